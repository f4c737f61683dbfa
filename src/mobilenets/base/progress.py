"""How long work tells how far it is, without knowing who listens.

Library functions take a :class:`Progress` and say nothing to anybody by default. The command line passes one that
draws a bar on a terminal and prints plain lines elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Task:
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
    def task(self, description: str, total: float, unit: str = "") -> Iterator[Task]:
        """Begin a piece of work that is over when the block ends.

        Args:
            description: What is being done, such as ``calibrating``.
            total: How many steps it takes.
            unit: What is counted, such as ``images``.
        """
        yield Task()

    def note(self, message: str) -> None:
        """Say one line that is worth reading but is not a result, such as a skipped file."""


SILENT = Progress()


def pace(rate: float) -> str:
    """Steps a second as people read them: below ten, two digits that mean something.

    >>> pace(11_529.6), pace(9.87), pace(0.034)
    ('11,530', '9.9', '0.034')
    """
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(42), duration(600), duration(7000)
    ('42 s', '10 min', '1.9 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
