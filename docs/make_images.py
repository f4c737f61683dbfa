"""Make the images of README.md anew: a report of a run on the bundled digits, as a browser shows it.

Run it from the root of the repository, where ``chromium`` is installed: ``python docs/make_images.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent / "images"
COLOURS = 64
"""Enough for a page, and a third of the bytes."""


def main() -> None:
    """Train, and photograph the head of the report."""
    with tempfile.TemporaryDirectory() as folder:
        options = ("--output", "digits-model", "--epochs", "8", "--width", "0.25", "--resolution", "32", "--int8")
        subprocess.run([sys.executable, "-m", "mobilenets", "fit", "digits", *options], cwd=folder, check=True)
        page, shot = Path(folder, "digits-model", "report.html"), Path(folder, "report.png")
        browser = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        size = "--window-size=1000,1150"
        subprocess.run([*browser, size, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
        FOLDER.mkdir(exist_ok=True)
        Image.open(shot).convert("RGB").quantize(COLOURS).save(FOLDER / "report.png", optimize=True)


if __name__ == "__main__":
    main()
