"""A headless Chromium that tests steer: pages are laid out, measured, printed and looked at.

It is spoken to in the DevTools protocol over two pipes, which needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "google-chrome", "google-chrome-stable", "headless_shell", "chromium-browser")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # there is none for root, and the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
SECONDS = 60
_CONNECT = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One page of a running Chromium."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._pending = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        """Show a file in a window of that many CSS pixels, with the network switched off."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.visit(path.resolve().as_uri(), width=width, height=height, dark=dark)

    def visit(self, address: str, *, width: int, height: int, dark: bool = False) -> None:
        """Show what an address holds in a window of that many CSS pixels."""
        phone = width < 500
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + SECONDS
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < deadline, f"{address} does not finish loading"
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page, as JSON values."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    @property
    def requested(self) -> list[str]:
        """Addresses that the page asked for since it was opened, images inside it left out."""
        sent = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["request"]["url"].startswith("data:")]

    @property
    def complaints(self) -> list[str]:
        """What the browser wrote into its console."""
        return [str(event["params"]) for event in self.events if event.get("method") in _COMPLAINTS]

    def wait_for(self, expression: str) -> Any:
        """The value of a JavaScript expression, once it is true."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{expression} does not come true"
            time.sleep(0.05)
        return value

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            own = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **own)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The page as PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        data = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)["data"]
        return base64.b64decode(data)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._read], [], [], SECONDS)
            assert ready, f"the browser has said nothing for {SECONDS} s"
            more = os.read(self._read, 1 << 16)
            assert more, "the browser has left"
            self._pending += more
        message, _, self._pending = self._pending.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


_COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


@contextmanager
def browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """A Chromium that lives as long as the block; the test is skipped where there is none, or none that starts.

    Args:
        profile: A folder of its own.
        flags: More of the program's.
    """
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed here: looked for {', '.join(PROGRAMS)}")
    to_browser, from_browser = os.pipe(), os.pipe()
    # The browser reads from 3 and writes to 4; what stands there on the way must not be in the way.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 32) for end in (to_browser[0], from_browser[1])]
    command = [sys.executable, "-c", _CONNECT, *map(str, theirs), program, *FLAGS, *flags, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command, pass_fds=theirs, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for end in (*theirs, to_browser[0], from_browser[1]):
        os.close(end)
    try:
        try:
            page = Browser(from_browser[0], to_browser[1])
        except (AssertionError, OSError) as error:
            pytest.skip(f"{program} does not start here: {error}")
        yield page
        page._session = None
        with suppress(OSError, AssertionError):
            page.call("Browser.close")
    finally:
        for end in (from_browser[0], to_browser[1]):
            os.close(end)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
