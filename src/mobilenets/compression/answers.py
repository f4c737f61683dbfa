"""What a Model says of every image of a set, so that two Models are compared image by image.

A handful of right answers more or fewer says little: of 36 images, two Models that are equally good differ by four as
often as not. So a count of right answers decides between two Models only where it is beyond doubt; then the mean loss,
which weighs how sure each answer is, where that is; and otherwise how far the answers lie from the float Model's, which
every image says something about, and which therefore holds for other images too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import CompressionError
from mobilenets.tasks.logits import best_class

Values = npt.NDArray[np.float64]

DOUBT = 2.0
"""Standard errors of a paired difference within which it may be none."""


@dataclass(frozen=True)
class Difference:
    """Primary figure and loss of one Model minus those of another, on the same images.

    Attributes:
        primary: Difference of the primary figures, such as the shares of right answers, from -1 to 1.
        primary_error: Its standard error.
        loss: Difference of the mean losses, in nats.
        loss_error: Its standard error; 0 where it is not known.
        divergence: Difference of the mean divergences from the float Model, in nats; None where it is not known.
        divergence_error: Its standard error.
    """

    primary: float
    primary_error: float
    loss: float
    loss_error: float = 0.0
    divergence: float | None = None
    divergence_error: float = 0.0


@dataclass(frozen=True, eq=False)
class Answers:
    """A score of which the result of every image is known, so that it is compared with another image by image.

    Attributes:
        right: Share of each image's views that are classified rightly, (N,).
        losses: Mean loss over each image's views, in nats, (N,).
        divergences: Mean Kullback-Leibler divergence of the answers from the float Model's over each image's views, in
            nats, (N,); None where there is no float Model to compare with.
    """

    right: Values
    losses: Values
    divergences: Values | None = None

    temperature = None
    energy = None
    threshold = None

    @property
    def primary(self) -> float:
        """Share of right answers."""
        return float(self.right.mean())

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""
        return float(self.losses.mean())

    def minus(self, other: object) -> Difference:
        """The difference to the answers of another Model; its standard errors are those of the paired differences.

        Raises:
            CompressionError: If the other score does not say what became of every image.
        """
        if not isinstance(other, Answers) or len(other.right) != len(self.right):
            raise CompressionError("answers to single images can only be compared with answers to the same images")
        gained = self.right - other.right
        found = Difference(
            float(gained.mean()),
            math.sqrt(float(np.square(gained).sum())) / len(gained),
            *_mean_and_error(self.losses - other.losses),
        )
        if self.divergences is None or other.divergences is None:
            return found
        divergence, error = _mean_and_error(self.divergences - other.divergences)
        return Difference(found.primary, found.primary_error, found.loss, found.loss_error, divergence, error)


def prefers(difference: Difference, doubt: float = DOUBT) -> bool:
    """Whether the first of two Models is better than the second, by the difference of their answers.

    Args:
        difference: The first minus the second.
        doubt: Standard errors that it must be better by where neither accuracy nor loss tell the two apart.
    """
    if abs(difference.primary) > DOUBT * difference.primary_error:
        return difference.primary > 0
    if difference.divergence is None:
        return difference.loss < -doubt * difference.loss_error
    if abs(difference.loss) > DOUBT * difference.loss_error:
        return difference.loss < 0
    return difference.divergence < -doubt * difference.divergence_error


def answers_to(
    logits: npt.NDArray[np.float32],
    float_logits: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64] | None,
    *,
    several: bool = False,
) -> Answers:
    """The answers that logits are, one image a row.

    Args:
        logits: Of an int8 Model, (N, classes).
        float_logits: Of the float Model, for the same images.
        targets: int64 (N,), the right classes, or (N, labels) where an image may have several labels. Without them a
            right answer is the float Model's, and the loss is the divergence from it.
        several: Whether an image may have several labels; a right answer is then the share of right labels.
    """
    if several:
        return _answers_of_labels(logits, float_logits, targets)
    given, wanted = log_probabilities(logits), log_probabilities(float_logits)
    divergences: Values = (np.exp(wanted) * (wanted - given)).sum(axis=1)
    if targets is None:
        return Answers(_as_values(best_class(logits) == best_class(float_logits)), divergences, divergences)
    return Answers(_as_values(best_class(logits) == targets), -given[np.arange(len(given)), targets], divergences)


def _answers_of_labels(
    logits: npt.NDArray[np.float32], float_logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64] | None
) -> Answers:
    given, wanted = logits.astype(np.float64), float_logits.astype(np.float64)
    yes, no = -np.logaddexp(0, -given), -np.logaddexp(0, given)  # logarithms of the probabilities
    share = np.exp(-np.logaddexp(0, -wanted))
    sure = share * -np.logaddexp(0, -wanted) + (1 - share) * -np.logaddexp(0, wanted)
    divergences: Values = (sure - share * yes - (1 - share) * no).sum(axis=1)
    if targets is None:
        return Answers(_as_values((given > 0) == (wanted > 0)).mean(axis=1), divergences, divergences)
    losses: Values = -np.where(targets > 0, yes, no).sum(axis=1)
    return Answers(_as_values((given > 0) == (targets > 0)).mean(axis=1), losses, divergences)


def log_probabilities(logits: npt.NDArray[np.float32]) -> Values:
    """Logarithms of the softmax along the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs: Values = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def _as_values(hits: npt.NDArray[Any]) -> Values:
    return hits.astype(np.float64)


def _mean_and_error(differences: Values) -> tuple[float, float]:
    return float(differences.mean()), float(differences.std()) / math.sqrt(len(differences))
