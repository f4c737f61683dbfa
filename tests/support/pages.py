"""Commands of the documentation's pages: where they stand, how they are run, and whether they print what is shown."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mobilenets.data.sources import digits

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT.parent / "shared" / "data" / "weights" / "mobilenet_v1_0.25_224.h5"
ANYTHING = "..."
"""Stands for any output."""

_BLOCK = re.compile(r"^```console(?P<words>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_FIGURE = re.compile(r"[+-]?\b\d[\d.,]*")
_UNITS = re.compile(r"\b(?:µs|ms|s|min|h|B|kB|MB|k|M)\b")
_NAMES = re.compile(r"AMD EPYC[^,\n]*|Intel\(R\)[^,\n]*|avx\w+|neon\w*|scalar")


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        line: Number of its line, from 1.
        text: The command.
        output: What the page shows for it.
        words: Words after ``console`` of its block.
        span: Where the output stands: index of its first line, and of the line after it.
    """

    line: int
    text: str
    output: str
    words: frozenset[str]
    span: tuple[int, int]


def commands_of(page: Path) -> list[Command]:
    """Every command of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        words = frozenset(block["words"].split())
        lines = block["body"].splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        assert not lines or starts[:1] == [0], f"{page.name}:{first}: a console block begins with '$ '"
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            last = start
            while lines[last].endswith("\\"):
                last += 1
            command = "\n".join(lines[start : last + 1]).removeprefix("$ ")
            output = "\n".join(lines[last + 1 : end]).strip("\n")
            found.append(Command(first + start, command, output, words, (first + last, first + end - 1)))
    return found


def make_programs(folder: Path) -> None:
    """Write ``mobilenets`` and ``python`` into a folder, so that commands run with this interpreter and this source."""
    interpreter = f'exec "{sys.executable}"'
    for name, call in {
        "python": f'{interpreter} "$@"',
        "mobilenets": f"{interpreter} -c 'from mobilenets.cli.main import main; main()' \"$@\"",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{call}\n")
        (folder / name).chmod(0o755)


def run_command(command: Command, folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as on a terminal of 80 columns."""
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "COLUMNS": "80",
    }
    shell = ["bash", "-c", command.text]
    # Two commands that train at once, on two threads each, take several times as long as on a core each.
    if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and (taskset := shutil.which("taskset")):
        cores = sorted(os.sched_getaffinity(0))
        shell = [taskset, "--cpu-list", str(cores[int(worker.removeprefix("gw")) % len(cores)]), *shell]
    return subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def is_run(command: Command, folder: Path) -> bool:
    """Whether a command can be run here; what its block asks for is put into the folder."""
    if "photos" in command.words and not (folder / "photos").exists():
        make_photos(folder / "photos")
    if "weights" in command.words:
        if not WEIGHTS.exists():
            return False
        if not (folder / WEIGHTS.name).exists():
            (folder / WEIGHTS.name).symlink_to(WEIGHTS)
    return "not-run" not in command.words


def make_photos(folder: Path) -> None:
    """Two classes that look different enough to be told apart by a small network in seconds: zeros and ones."""
    classes = digits()
    for name, digit in {"cat": "0", "dog": "1"}.items():
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(classes[digit][:40], start=1):
            image.open().resize((48, 48)).save(folder / name / f"{number:03}.jpg")


def lines_of(printed: str) -> str:
    """Output without blanks at the ends of its lines."""
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())


def agrees(shown: str, printed: str, *, figures: bool = True) -> bool:
    """Whether a command printed what a page shows, where ``...`` stands for anything.

    Args:
        shown: By the page.
        printed: By the command.
        figures: Whether figures, units and the names of processors have to be the same; columns need not be as wide.

    >>> agrees("took 5 ms", "took 900 µs"), agrees("took 5 ms", "took 900 µs", figures=False)
    (False, True)
    """
    if not figures:
        shown, printed = _shape(shown), _shape(printed)
    rules = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(f"{shown}\n", f"{printed}\n", rules)


def _shape(text: str) -> str:
    """Output without what differs from machine to machine."""
    return _UNITS.sub("UNIT", _FIGURE.sub("#", _NAMES.sub("PROCESSOR", text)))
