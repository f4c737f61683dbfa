"""Progress of a training run: how far it is, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.base.text import duration, plural
from mobilenets.training.selection import Epoch, Sums

ESTIMATE_SECONDS = 2.0
"""How long to look at the rate before saying how long it will all take."""
SHOW_SECONDS = 0.2


class Display:
    """Reports how far the run is, at most a few times a second, and once how long it will take.

    Args:
        task: Receives the number of images and the figures of the epoch under way.
        progress: Receives an estimate of the duration.
        epochs: Of the whole run.
        left: Given an epoch, the steps from its first to the run's last, each counted as the share of one of that epoch
            that it costs.
    """

    def __init__(self, task: ProgressTask, progress: Progress, epochs: int, left: Callable[[int], float]) -> None:
        self._task, self._progress, self._epochs, self._left = task, progress, epochs, left
        self._images = 0
        self._shown_at = time.monotonic()
        self._begun: tuple[float, int] | None = None
        self._estimated = False

    def skip(self, images: int) -> None:
        """Images that an earlier part of the run has seen."""
        if images:
            self._task.advance(images)

    def advance(self, images: int, step: int, epoch: int, sums: Sums) -> None:
        """Record one completed step; ``step`` counts from 0."""
        self._images += images
        now = time.monotonic()
        if not self._estimated:
            self._estimate(now, step, epoch)
        if now - self._shown_at < SHOW_SECONDS:
            return
        figures = {"epoch": f"{epoch + 1}/{self._epochs}", "loss": f"{sums.loss / sums.images:.3f}"}
        if sums.right is not None:
            figures["accuracy"] = f"{100 * sums.right / sums.images:.1f} %"
        self._task.advance(self._images, **figures)
        self._images, self._shown_at = 0, now

    def validated(self, epoch: Epoch) -> None:
        """An epoch is over."""
        figures = {"epoch": f"{epoch.number + 1}/{self._epochs}"}
        if epoch.validation_primary is not None:
            figures["validation"] = f"{100 * epoch.validation_primary:.1f} %"
        self._task.advance(self._images, **figures)
        self._images = 0

    def _estimate(self, now: float, step: int, epoch: int) -> None:
        if self._begun is None:
            self._begun = (now, step)  # the first step, which prepares its operators, does not count
            return
        seconds, steps = now - self._begun[0], step - self._begun[1]
        if seconds < ESTIMATE_SECONDS or steps < 3:
            return
        self._estimated = True
        left = seconds / steps * self._left(epoch)
        self._progress.note(f"training {plural(self._epochs, 'epoch')}; about {duration(left)} left")
