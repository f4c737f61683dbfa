"""Pages that take images and show answers: what a test does with one in a browser, and measures of how it looks."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.browser import Browser
from tests.support.server import in_base64

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
CARDS = "[...document.querySelectorAll('.card')]"
ANSWERED = f"{CARDS}.filter(card => card.querySelector('.labels, .bad')).length"
SMALLEST_TARGET = (
    "Math.min(...[...document.querySelectorAll('button, select, .button')]"
    ".filter(e => e.offsetParent).map(e => e.getBoundingClientRect().height))"
)
UNNAMED = (
    "[...document.querySelectorAll('button, a, select, input, video')].filter(e => e.offsetParent"
    " && !(e.innerText || e.getAttribute('aria-label') || (e.labels && e.labels.length))).length"
)


def widest(*, but: str) -> str:
    """JavaScript for the rightmost pixel of what is seen, but for elements of a kind."""
    return (
        "Math.max(document.documentElement.scrollWidth, ...[...document.body.querySelectorAll('*')]"
        f".filter(e => !e.closest('.hidden') && !e.closest('{but}')).map(e => e.getBoundingClientRect().right))"
    )


def looked_at(page: Browser, name: str) -> None:
    """Keep a screenshot where somebody wants to look at it."""
    folder = os.environ.get("MOBILENETS_SCREENSHOTS")
    if folder:
        page.screenshot(Path(folder) / f"{name}.png")


def files(*contents: bytes) -> str:
    """JavaScript that makes a DataTransfer of files."""
    made = "".join(
        f"data.items.add(new File([Uint8Array.from(atob('{in_base64(content)}'), c => c.charCodeAt(0))],"
        f" 'file {number}.jpg', {{type: 'image/jpeg'}}));"
        for number, content in enumerate(contents)
    )
    return f"(() => {{ const data = new DataTransfer(); {made} return data; }})()"


def choose(page: Browser, *paths: Path) -> None:
    """Choose files in the field of a page."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    field = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", files=[str(path) for path in paths], nodeId=field)
