"""What commands share in speaking: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobilenets.base.progress import SILENT, Progress, ProgressTask
from mobilenets.base.text import GAP, per_second, visible
from mobilenets.cli.arguments import as_options
from mobilenets.errors import AssumptionWarning

if TYPE_CHECKING:  # rich takes longer to import than an image takes to be labeled
    from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

IMAGES_SKIPPED = 3
"""Exit code of a command that did what it was asked to, but for images that could not be read."""
LINE_SECONDS = 10
"""Where there is no terminal, a line is printed this often."""


def json_option(function: Command) -> Command:
    """``--json``: print results as JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def quiet_option(function: Command) -> Command:
    """``--quiet``: no progress and no notes."""
    return click.option("-q", "--quiet", is_flag=True, help="Print nothing but results and errors.")(function)


def print_json(value: object) -> None:
    """A result as JSON on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def say(sentence: str) -> None:
    """Print a sentence of results; what is longer than a line of the terminal goes on in the next, set in.

    Where there is no terminal, and ``COLUMNS`` says nothing of one, a sentence is one line, for programs that read it.
    """
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        width = shutil.get_terminal_size().columns - 1
        lines = textwrap.wrap(sentence, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        sentence = "\n".join(lines)
    click.echo(sentence.replace(GAP, " "))


def results() -> Console:
    """Console for results. Wide enough not to fold lines where nobody looks; a label in brackets is a label."""
    from mobilenets.cli.terminal import Results

    width = None if sys.stdout.isatty() else 120
    return Results(file=sys.stdout, width=width, highlight=False, soft_wrap=False, markup=False, emoji=False)


def progress_to_stderr(*, quiet: bool) -> Progress:
    """A bar on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        warnings.filterwarnings("ignore", category=AssumptionWarning)
        return SILENT
    if not sys.stderr.isatty():
        return _Lines()
    from mobilenets.cli.terminal import progress_bars

    return progress_bars()


class _LineTask(ProgressTask):
    def __init__(self, description: str, total: float, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = 0.0
        self._begun = self._printed = time.monotonic()
        self._figures: dict[str, str] = {}

    def advance(self, steps: float = 1, **figures: str) -> None:
        self._done += steps
        self._figures.update(figures)
        if (
            self._done < self._total or not self._total
        ) and time.monotonic() - self._printed >= LINE_SECONDS:  # the end is printed anyway
            self.print()

    def print(self) -> None:
        self._printed = time.monotonic()
        seconds = self._printed - self._begun
        rate = self._done / seconds if seconds else 0.0
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate and self._done < self._total else ""
        figures = "".join(f", {name} {value}" for name, value in self._figures.items())
        total = f"/{self._total:g}" if self._total else ""
        click.echo(
            f"{self._description}: {self._done:g}{total} {self._unit}, "
            f"{per_second(rate)}/s, {seconds:.0f} s{left}{figures}",
            err=True,
        )


class _Lines(Progress):
    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        task = _LineTask(description, total, unit)
        yield task
        task.print()

    def note(self, message: str) -> None:
        click.echo(visible(as_options(message)), err=True)
