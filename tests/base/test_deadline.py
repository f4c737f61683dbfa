"""Work that shall be over by a point in time: what would not be is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mobilenets.base.deadline import Deadline
from mobilenets.base.progress import SILENT, Progress, ProgressTask


class Clock:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.seconds


def work(clock: Clock, steps: int, seconds: float, progress: Progress, done: list[int]) -> str:
    """Steps that take so many seconds each."""
    with progress.task("working", steps, "steps") as task:
        for number in range(steps):
            clock.seconds += seconds
            done.append(number)
            task.advance()
    return "made"


@pytest.mark.parametrize(
    ("steps", "seconds", "limit", "made", "expected_steps"),
    [
        (10, 1.0, 10.0, "made", 10),
        (10, 1.0, 9.0, None, 1),  # the first step tells that ten would take ten seconds
        (10, 1.0, 0.0, None, 0),  # nothing is begun when the time is over
        (100, 0.01, 0.5, None, 30),  # nothing is told by the first moments, which prepare the rest
        (1, 5.0, 1.0, "made", 1),  # what is done is kept
        (10, 1.0, None, "made", 10),
    ],
)
def test_work_that_would_end_late_is_left_out_as_soon_as_that_is_known(
    steps: int, seconds: float, limit: float | None, made: str | None, expected_steps: int
) -> None:
    clock, done = Clock(), list[int]()
    deadline = Deadline.after(limit, now=clock)
    assert deadline.attempt("the work", lambda heard: work(clock, steps, seconds, heard, done), SILENT) == made
    assert len(done) == expected_steps
    assert deadline.left_out == ([] if made else ["the work"])


def test_errors_are_not_taken_for_want_of_time() -> None:
    def broken(progress: Progress) -> None:
        raise ValueError("broken")

    deadline = Deadline.after(100.0)
    with pytest.raises(ValueError, match="broken"):
        deadline.attempt("the work", broken, SILENT)
    assert deadline.left_out == []


def test_progress_reaches_the_listener_until_work_is_left_out() -> None:
    heard: list[str] = []

    class Listener(Progress):
        """Writes down what it is told."""

        @contextmanager
        def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
            heard.append(f"{description} {total:g} {unit}")
            yield ProgressTask()

        def note(self, message: str) -> None:
            """Write it down."""
            heard.append(message)

    clock = Clock()

    def noted(progress: Progress) -> str:
        progress.note("a note")
        return work(clock, 10, 1.0, progress, [])

    assert Deadline.after(5.0, now=clock).attempt("the work", noted, Listener()) is None
    assert heard == ["a note", "working 10 steps"]
