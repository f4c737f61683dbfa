"""A user who presses Ctrl-C in the middle of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mobilenets.base.progress import Progress, ProgressTask


class Interruption(Progress):
    """Interrupts training when it reports an epoch.

    Args:
        epoch: The epoch, from 1.
        run: The training run that is interrupted, from 1, where there are several.
    """

    def __init__(self, epoch: int = 1, run: int = 1) -> None:
        self.epoch, self.run = epoch, run

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        """Receive the reports of a task; only trainings are interrupted."""
        self.run -= description == "training"
        yield _Interrupted(self.epoch) if description == "training" and self.run == 0 else ProgressTask()


class _Interrupted(ProgressTask):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def advance(self, steps: float = 1, **figures: str) -> None:
        if figures.get("epoch", "").startswith(f"{self.epoch}/"):
            raise KeyboardInterrupt
