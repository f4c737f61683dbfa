"""How long work tells how far it is, without knowing who listens.

Library functions take a :class:`Progress` and say nothing to anybody by default. The command line passes one that
draws a bar on a terminal and prints plain lines elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ProgressTask:
    """One piece of work under way."""

    def advance(self, steps: float = 1, **figures: str) -> None:
        """Say that more is done.

        Args:
            steps: How much more, in the task's unit.
            figures: Named figures to show beside the bar, such as ``loss="0.31"``; each stays until replaced.
        """


class Progress:
    """Listens to nothing. Subclasses show what they are told."""

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        """Begin a piece of work that is over when the block ends.

        Args:
            description: What is being done, such as ``calibrating``.
            total: How many steps it takes; 0 where that is not known.
            unit: What is counted, such as ``images``.
        """
        yield ProgressTask()

    def note(self, message: str) -> None:
        """Say one line that is worth reading but is not a result, such as a skipped file."""


SILENT = Progress()
