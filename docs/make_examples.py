"""Make the examples of README.md anew: what its commands print, the head of a report, and the frontier of this machine.

Run it from the root of the repository on a quiet machine, where ``chromium`` is installed:
``python -m docs.make_examples``. The output of every block of README.md that is marked ``shape`` is written into it;
``tests/test_documentation.py`` holds that commands still print it, but for figures.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from tests.support.pages import ANYTHING, ROOT, Command, commands_of, is_run, lines_of, make_programs, run_command

IMAGES = Path(__file__).parent / "images"
RUN = (
    "fit", "digits", "--max-latency", "0.1ms", "--weights", "none", "--width", "0.375", "--resolution", "40",
    "--epochs", "5", "--output", "digits-model",
)  # fmt: skip
"""The run whose report is shown; it takes some minutes."""
COLOURS = 128
"""Enough for a page, and half of the bytes."""


def main() -> None:
    """Run what README.md shows, write what it printed, and draw what it made."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as programs:
        make_programs(Path(programs))
        write_outputs(ROOT / "README.md", Path(folder), Path(programs))
        call(*RUN, folder=folder)
        photograph(Path(folder, RUN[-1], "report.html"), IMAGES / "report.png", height=1240)
    call("plan", "--max-latency", "1ms", "--plot", str(IMAGES / "frontier.svg"))


def call(*words: str, folder: str | None = None) -> None:
    """Run ``mobilenets`` in a folder."""
    subprocess.run([sys.executable, "-m", "mobilenets", *words], cwd=folder, check=True)


def write_outputs(page: Path, folder: Path, programs: Path) -> None:
    """Run the commands of a page in order, and write the output of those in blocks marked ``shape`` into it."""
    lines = page.read_text(encoding="utf-8").splitlines()
    moved = 0  # lines that outputs before have become longer
    for command in commands_of(page):
        if not is_run(command, folder):
            continue
        print(f"$ {command.text}", file=sys.stderr)
        done = run_command(command, folder, programs)
        assert done.returncode == 0, done.stderr
        if "shape" in command.words and command.output:
            start, end = command.span
            new = shortened(command, lines_of(done.stdout).splitlines())
            lines[start + moved : end + moved] = new
            moved += len(new) - (end - start)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def shortened(command: Command, printed: list[str]) -> list[str]:
    """As many lines of an output as the page shows, where it leaves out the end."""
    shown = command.output.splitlines()
    return [*printed[: len(shown) - 1], ANYTHING] if shown[-1:] == [ANYTHING] else printed


def photograph(page: Path, picture: Path, *, height: int) -> None:
    """Write the head of a page as a browser shows it."""
    browser = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    shot = page.with_suffix(".png")
    size = f"--window-size=1000,{height}"
    subprocess.run([*browser, size, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
    Image.open(shot).convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    main()
