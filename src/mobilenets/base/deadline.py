"""A point in time by which work shall be over, and what is left out so that it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from mobilenets.base.progress import Progress, ProgressTask

T = TypeVar("T")

FIRST_LOOK_SECONDS = 0.3
"""How long a task runs before its rate tells when it will be over: the first steps prepare what the others use."""


class OutOfTimeError(Exception):
    """A task would end after the deadline."""


@dataclass(frozen=True, eq=False)
class Deadline:
    """A point in time by which work shall be over.

    Attributes:
        end: By ``now``, in seconds; None for no deadline.
        now: The clock.
        left_out: What :meth:`attempt` has left out, in order.

    >>> clock = iter([0.0, 5.0, 10.0]).__next__
    >>> deadline = Deadline.after(8.0, now=clock)
    >>> deadline.left, deadline.left
    (3.0, 0.0)
    """

    end: float | None = None
    now: Callable[[], float] = time.monotonic
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def after(cls, seconds: float | None, *, now: Callable[[], float] = time.monotonic) -> Deadline:
        """A deadline so many seconds from now.

        Args:
            seconds: How many; None for no deadline.
            now: The clock.
        """
        return cls(None if seconds is None else now() + seconds, now)

    @property
    def left(self) -> float | None:
        """Seconds that are left, at least 0; None where there is no deadline."""
        return None if self.end is None else max(0.0, self.end - self.now())

    def attempt(self, name: str, work: Callable[[Progress], T], progress: Progress) -> T | None:
        """Do some work if it ends in time, as the rate of its own tasks tells; otherwise leave it out.

        Args:
            name: Of the work, as :attr:`left_out` keeps it.
            work: Takes the progress that it reports to.
            progress: Receives progress updates.

        Returns:
            What the work gives; None where it was left out.
        """
        if self.end is None:
            return work(progress)
        try:
            return work(_Watched(progress, self))
        except OutOfTimeError:
            self.left_out.append(name)
            return None


class _Watched(Progress):
    """Breaks off the first task that would end after a deadline."""

    def __init__(self, progress: Progress, deadline: Deadline) -> None:
        self._progress, self._deadline = progress, deadline

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        if self._deadline.left == 0:
            raise OutOfTimeError
        with self._progress.task(description, total, unit) as task:
            yield _WatchedTask(task, total, self._deadline)

    def note(self, message: str) -> None:
        self._progress.note(message)


class _WatchedTask(ProgressTask):
    def __init__(self, task: ProgressTask, total: float, deadline: Deadline) -> None:
        self._task, self._total, self._deadline = task, total, deadline
        self._begun, self._done = deadline.now(), 0.0

    def advance(self, steps: float = 1, **figures: str) -> None:
        self._task.advance(steps, **figures)
        self._done += steps
        passed, left = self._deadline.now() - self._begun, self._deadline.left
        if left is None or passed < FIRST_LOOK_SECONDS or self._done >= self._total or not self._done:
            return
        if passed / self._done * (self._total - self._done) > left:
            raise OutOfTimeError
