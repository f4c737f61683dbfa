"""The figures of a run, epoch by epoch, and which epoch is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch; validation's are None where it was not validated."""

    number: int
    resolution: int
    learning_rate: float
    loss: float
    top1: float
    validation_loss: float | None = None
    validation_top1: float | None = None


def is_better(epoch: Epoch, kept: Epoch, images: int) -> bool:
    """Whether an epoch should be kept in the place of another, both validated on so many images.

    By accuracy where the two are more than a standard error apart. Within that, counting right answers on a few hundred
    images tells nothing, and the validation loss decides, which weighs how sure each answer is.
    """
    new, old = epoch.validation_top1 or 0.0, kept.validation_top1 or 0.0
    if abs(new - old) > _standard_error(max(new, old), images):
        return new > old
    return (epoch.validation_loss or 0.0) <= (kept.validation_loss or 0.0)


def is_as_good(epoch: Epoch, kept: Epoch, images: int) -> bool:
    """Whether an epoch is at most a standard error below another in accuracy, both validated on so many images."""
    new, old = epoch.validation_top1 or 0.0, kept.validation_top1 or 0.0
    return old - new <= _standard_error(max(new, old), images)


def _standard_error(share: float, images: int) -> float:
    return math.sqrt(max(share * (1 - share), 1 / images) / images)


def judged(history: Sequence[Epoch], kept: int) -> Epoch:
    """The epoch whose validation speaks for the one that was kept: that itself, or the last before it that has any."""
    return next((epoch for epoch in reversed(history[: kept + 1]) if epoch.validation_top1 is not None), history[kept])


@dataclass
class Sums:
    """Running figures of the epoch under way."""

    loss: float = 0.0
    right: int = 0
    images: int = 0
