"""Which network is kept: the one rule by which training prefers one set of weights to another.

By the primary figure of the task, such as accuracy, where that tells the two apart. Where it does not, counting right
answers says nothing, and the loss decides, which weighs how sure each answer is, or the divergence from a float Model
(see :mod:`mobilenets.compression.answers`). The later of two that are as good is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mobilenets.compression.answers import DOUBT, Difference, prefers
from mobilenets.data.loading import Prepared
from mobilenets.data.subset import Targets
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.tasks.logits import top1
from mobilenets.tasks.temperature import fit_temperature
from mobilenets.tasks.unknown import unknown_threshold
from mobilenets.training.batches import normalized
from mobilenets.training.distributed import shared_out
from mobilenets.training.network import NetworkModule
from mobilenets.training.run import TrainingRun

VALIDATION_BATCH = 64

Validated = TypeVar("Validated", contravariant=True)


class Score(Protocol):
    """How well a network does on the images that it is chosen by."""

    @property
    def primary(self) -> float:
        """The primary figure of the task, from 0 to 1: of a classifier top-1, the share of right answers."""

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""

    @property
    def temperature(self) -> float | None:
        """The temperature that its logits need on those images; None where it was not fitted."""

    @property
    def energy(self) -> float | None:
        """The least energy of those images, but for the lowest twentieth; None where it is not known."""

    @property
    def threshold(self) -> float | None:
        """The score from which on a detector should report boxes, by those images; None where it was not chosen."""

    def minus(self, other: Score) -> Difference:
        """The difference to another network's score on the same images."""


@dataclass(frozen=True)
class Totals:
    """A score of which only the means are known.

    Attributes:
        primary: The primary figure of the task, from 0 to 1: of a classifier top-1.
        loss: Mean loss, in nats.
        images: Number of images.
        temperature: The temperature that the logits need on those images; None where it was not fitted.
        energy: The least energy of those images, but for the lowest twentieth; None where it is not known.
        threshold: The score from which on a detector should report boxes; None where it was not chosen.
    """

    primary: float
    loss: float
    images: int
    temperature: float | None = None
    energy: float | None = None
    threshold: float | None = None

    def minus(self, other: Score) -> Difference:
        """The difference to another score; that of the primary figures counts beyond the standard error of the larger.

        It is that of a share of the images, and stands for that of other figures too, whose own is not known.
        """
        error = _standard_error(max(self.primary, other.primary), self.images) / DOUBT
        return Difference(self.primary - other.primary, error, self.loss - other.loss)


def _standard_error(share: float, images: int) -> float:
    return math.sqrt(max(share * (1 - share), 1 / images) / images)


def is_better(score: Score, other: Score, doubt: float = DOUBT) -> bool:
    """Whether a score is better than another beyond doubt; see :func:`mobilenets.compression.answers.prefers`.

    Args:
        score: The score.
        other: What it is compared with, on the same images.
        doubt: Standard errors that it must be better by where accuracy does not decide.
    """
    return prefers(score.minus(other), doubt)


@dataclass
class Selection:
    """The network that is kept among those that are offered one after another.

    It is the latest that is better than the start, if there is one, unless one before it is better beyond doubt.

    Attributes:
        start: What a network must be better than to be kept at all; None if the first one offered is kept.
        doubt: Standard errors by which its loss must be lower than the start's.
        kept: Score of the network that is kept; None while there is none.
    """

    start: Score | None = None
    doubt: float = DOUBT
    kept: Score | None = None

    def offer(self, score: Score) -> bool:
        """Whether the network with this score takes the place of the one that is kept."""
        if self.start is not None and not is_better(score, self.start, self.doubt):
            return False
        if self.kept is not None and is_better(self.kept, score):
            return False
        self.kept = score
        return True


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch.

    Attributes:
        number: From 0.
        resolution: Side of the training images, in pixels; the longer one.
        learning_rate: Of its last step.
        loss: Mean loss over the training images as they were shown.
        primary: Share of them that was classified rightly; None where right answers are not counted one by one.
        validation_loss: Mean loss over the validation images; None where it was not validated.
        validation_primary: The primary figure of the task on them; None where it was not validated.
        validation_temperature: The temperature that the logits need on them; None where it was not validated.
        validation_energy: Their least energy, but for the lowest twentieth: what is below that is like none of the
            classes. None where it was not validated, or on fewer than ten images.
        validation_threshold: The score from which on a detector should report boxes, by them; None where it was not
            chosen.
    """

    number: int
    resolution: int
    learning_rate: float
    loss: float
    primary: float | None
    validation_loss: float | None = None
    validation_primary: float | None = None
    validation_temperature: float | None = None
    validation_energy: float | None = None
    validation_threshold: float | None = None

    def score(self, images: int) -> Totals:
        """The validation score, on so many images; zeros where the epoch was not validated."""
        return Totals(self.validation_primary or 0.0, self.validation_loss or 0.0, images)


@dataclass
class Sums:
    """Running figures of the epoch under way; ``right`` is None where right answers are not counted."""

    loss: float = 0.0
    right: int | None = 0
    images: int = 0


WENT_WRONG = 3.0
"""Standard errors below the best epoch beyond which the last one is a sign that training went wrong. The best of dozens
of epochs is some two standard errors above the others by chance alone."""


def is_as_accurate(epoch: Epoch, best: Epoch, images: int) -> bool:
    """Whether an epoch is not far below the best in accuracy, both validated on so many images."""
    difference = epoch.score(images).minus(best.score(images))
    return -difference.primary <= WENT_WRONG * DOUBT * difference.primary_error


def joined_after(run: TrainingRun, history: Sequence[Epoch], images: int) -> int | None:
    """The first epoch that is trained on the validation images too, if any is, by what is known so far.

    Args:
        run: The first epoch that may be trained on them.
        history: Figures of the epochs that are over.
        images: Number of validation images.
    """
    first = run.joined
    if first is None or len(history) < first:
        return first
    best = max(history[:first], key=lambda epoch: epoch.validation_primary or 0.0)
    return first if is_as_accurate(history[first - 1], best, images) else None


def validated_epoch(history: Sequence[Epoch], kept: int) -> Epoch:
    """The epoch whose validation holds for the one that was kept: that itself, or the last validated one before it."""
    return next(
        (epoch for epoch in reversed(history[: kept + 1]) if epoch.validation_primary is not None), history[kept]
    )


class Validator(Protocol[Validated]):
    """What a network is scored by after an epoch."""

    @property
    def images(self) -> int:
        """Number of validation images."""

    def __call__(self, module: Validated) -> Score:
        """The score of a module in evaluation mode."""


def classifier_score(logits: npt.NDArray[np.float32], targets: Targets) -> Totals:
    """Top-1 and cross-entropy of a classifier, the temperature that its logits need, and their least energy.

    Args:
        logits: (N, classes).
        targets: int64 (N,), the right class of each image.
    """
    loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    threshold = unknown_threshold(logits)
    temperature, energy = fit_temperature(logits, targets), None if threshold is None else threshold.energy
    return Totals(top1(logits, targets).value, float(loss), len(targets), temperature, energy)


@dataclass(frozen=True, eq=False)
class Validation:
    """The primary figure and the loss of a network's one output on validation images.

    Attributes:
        prepared: The images at the network's size, and their targets.
        preprocessing: Mean and deviation to normalize by.
        run: The device and the precision.
        score: Scores the output, float32 (N, channels), by the targets; by default as that of a classifier.
    """

    prepared: Prepared
    preprocessing: Preprocessing
    run: TrainingRun
    score: Callable[[npt.NDArray[np.float32], Targets], Totals] = classifier_score

    @property
    def images(self) -> int:
        """Number of validation images."""
        return len(self.prepared.targets)

    def __call__(self, module: NetworkModule) -> Totals:
        """The score of a module in evaluation mode."""
        outputs = module_logits(module, self.prepared.pixels, self.preprocessing, self.run)
        return self.score(outputs, self.prepared.targets)


def module_logits(
    module: NetworkModule, pixels: Pixels, preprocessing: Preprocessing, run: TrainingRun
) -> npt.NDArray[np.float32]:
    """Logits of a module in evaluation mode, float32 (N, classes), for pixels, uint8 (N, height, width, 3)."""

    def rows(share: slice) -> npt.NDArray[np.float32]:
        parts = []
        for begin in range(share.start, share.stop, VALIDATION_BATCH):
            images = normalized(pixels[begin : min(begin + VALIDATION_BATCH, share.stop)], preprocessing, run.device)
            parts.append(module(images).float().cpu().numpy())
        return np.concatenate(parts or [np.zeros(0, np.float32)])

    with torch.inference_mode(), run.autocast():
        return shared_out(len(pixels), rows)
