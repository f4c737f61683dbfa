"""Progress in a notebook, where nobody sees a terminal: one line below the cell that is written again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mobilenets.base.progress import SILENT, Progress, ProgressTask
from mobilenets.base.text import duration, per_second

SHOW_SECONDS = 0.5
"""How often the line is written."""


def default_progress() -> Progress:
    """What shows progress where the caller does not say: a line in a notebook, nothing elsewhere."""
    return NotebookProgress() if in_notebook() else SILENT


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class _Line(ProgressTask):
    def __init__(self, description: str, total: float, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done, self._shown, self._length = 0.0, 0.0, 0
        self._begun = time.monotonic()
        self._figures: dict[str, str] = {}

    def advance(self, steps: float = 1, **figures: str) -> None:
        self._done += steps
        self._figures.update(figures)
        if time.monotonic() - self._shown >= SHOW_SECONDS:
            self.show()

    def show(self) -> None:
        self._shown = time.monotonic()
        seconds = self._shown - self._begun
        rate = self._done / seconds if seconds else 0.0
        share = f" ({100 * self._done / self._total:.0f} %)" if self._total else ""
        left = f", {duration((self._total - self._done) / rate)} left" if rate and self._done < self._total else ""
        figures = "".join(f", {name} {value}" for name, value in self._figures.items())
        text = f"{self._description}: {self._done:g}/{self._total:g} {self._unit}{share}, {per_second(rate)}/s"
        line = f"{text}{left}{figures}"
        print(f"\r{line:{self._length}}", end="", flush=True)
        self._length = len(line)


class NotebookProgress(Progress):
    """Writes to standard output, which a notebook shows below the cell; standard error would be red."""

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        """A line of its own, which is left at its end."""
        line = _Line(description, total, unit)
        try:
            yield line
        finally:
            line.show()
            print()

    def note(self, message: str) -> None:
        """A line."""
        print(message)
