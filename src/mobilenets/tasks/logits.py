"""Logits of a classifier: probabilities, the likeliest classes, and top-1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.tasks.metrics import Counts, Share
from mobilenets.tasks.task import Array, Outputs

CONFIDENT = 0.5
"""How far from chance to certainty the likeliest class must be to be called confident: 0.75 of two classes."""


def logits_of(outputs: Outputs) -> Array:
    """The first output as a matrix, (N, classes)."""
    return outputs[0].reshape(len(outputs[0]), -1)


def softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def best_class(logits: Array) -> Counts:
    """The likeliest class along the last axis; of equals the first."""
    best: Counts = logits.argmax(axis=-1)
    return best


def likeliest(logits: Array, top: int) -> Counts:
    """The likeliest classes along the last axis, likeliest first; of equals the first."""
    order: Counts = np.argsort(-logits, axis=-1, kind="stable")[..., :top]
    return order


def is_confident(logits: Array) -> npt.NDArray[np.bool_]:
    """Whether the likeliest class is at least :data:`CONFIDENT` of the way from chance to certainty; (N,).

    Of two classes the likeliest has half at least, so that half alone would say nothing.

    >>> is_confident(np.log([[0.7, 0.3], [0.8, 0.2]])).tolist()
    [False, True]
    """
    chance = 1 / logits.shape[-1]
    confident: npt.NDArray[np.bool_] = softmax(logits).max(axis=-1) >= chance + CONFIDENT * (1 - chance)
    return confident


def top1(logits: Array, targets: Counts) -> Share:
    """Images whose likeliest class is the right one.

    Args:
        logits: (N, classes).
        targets: int64 (N,), the right class of each image.
    """
    return Share.of(best_class(logits) == targets)
