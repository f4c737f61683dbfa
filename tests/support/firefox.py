"""A headless Firefox that tests steer, over Marionette, which is a socket of the standard library's kind."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("firefox", "firefox-esr")
SECONDS = 60
PREFERENCES = {
    "marionette.port": 0,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
}
# A script of the page itself: Marionette's own do not see what the page declares.
_EVALUATE = """
const [expression, done] = arguments, script = document.createElement("script");
addEventListener("evaluated", ({ detail }) => done(detail), { once: true });
script.textContent = `{
  const say = (said) => dispatchEvent(new CustomEvent("evaluated", { detail: JSON.stringify(said) }));
  (async () => ${expression})().then((value) => say({ value }), (error) => say({ error: String(error) }));
}`;
document.head.append(script);
script.remove();
"""
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Firefox:
    """One window of a running Firefox."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._pending = b""
        self._number = 0
        self._receive()  # what it is
        self.call("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})

    def call(self, command: str, **parameters: Any) -> Any:
        """One command, and its result."""
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(str(len(message)).encode() + b":" + message)
        _, number, error, result = self._receive()
        assert number == self._number
        assert error is None, f"{command}: {error}"
        return result

    def visit(self, address: str) -> None:
        """Show what an address holds."""
        self.call("WebDriver:Navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page, or its promise, as JSON values."""
        found = self.call("WebDriver:ExecuteAsyncScript", script=_EVALUATE, args=[expression], sandbox=None)["value"]
        answer = json.loads(found)
        assert "error" not in answer, answer
        return answer.get("value")

    def wait_for(self, expression: str) -> Any:
        """The value of a JavaScript expression, once it is true."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{expression} does not come true"
            time.sleep(0.05)
        return value

    def choose(self, *paths: Path) -> None:
        """Choose files in the field of a page."""
        found = self.call("WebDriver:FindElement", using="css selector", value="#file")["value"]
        self.call("WebDriver:ElementSendKeys", id=found[_ELEMENT], text="\n".join(map(str, paths)))

    def screenshot(self, path: Path) -> None:
        """The page as PNG."""
        data = self.call("WebDriver:TakeScreenshot", full=True)["value"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> Any:
        while b":" not in self._pending:
            self._more()
        size, _, self._pending = self._pending.partition(b":")
        while len(self._pending) < int(size):
            self._more()
        message, self._pending = self._pending[: int(size)], self._pending[int(size) :]
        return json.loads(message)

    def _more(self) -> None:
        more = self._socket.recv(1 << 16)
        assert more, "the browser has left"
        self._pending += more


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """A Firefox that lives as long as the block; the test is skipped where there is none, or none that starts.

    Args:
        profile: A folder of its own.
    """
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no Firefox is installed here: looked for {', '.join(PROGRAMS)}")
    preferences = "".join(
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()
    )
    (profile / "user.js").write_text(preferences, encoding="utf-8")
    command = [program, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        try:
            page = Firefox(_port(profile / "MarionetteActivePort", process))
        except (AssertionError, OSError) as error:
            pytest.skip(f"{program} does not start here: {error}")
        with closing(page):
            yield page
            with suppress(OSError, AssertionError):
                page.call("Marionette:Quit", flags=["eForceQuit"])
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    """Where it listens, which it writes into its profile."""
    deadline = time.monotonic() + SECONDS
    while not (file.is_file() and file.read_text().strip()):
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.05)
    return int(file.read_text())
