"""Images of no known class: a threshold below which a classifier's answer is "unknown".

The logits of an image that is like none of the training images are low, all of them. Their energy, the logarithm of the
sum of their exponentials, tells that better than the probabilities do, which sum to 1 whatever the image shows.

Source: Liu et al. 2020, arXiv:2010.03759.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.arguments import is_integer, is_number
from mobilenets.base.records import record
from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.task import Array

UNKNOWN_LABEL = "unknown"
"""What an image of no known class is called."""
KEPT = 0.95
"""Share of images of known classes that the threshold lets pass."""
FEWEST_IMAGES = 10
"""Fewer images set no threshold."""
LARGEST_ENERGY = 1e6


@record(frozen=True)
class UnknownThreshold:
    """The least energy of an image that is taken for one of the classes.

    Attributes:
        energy: In the unit of the logits.
        images: Number of images of known classes that it was set on.

    Raises:
        ModelError: If they are not a finite number and a count.
    """

    energy: float
    images: int

    def __post_init__(self) -> None:
        if not is_number(self.energy) or not abs(self.energy) < LARGEST_ENERGY:
            raise ModelError(f"the threshold of unknown images must be a number, not {self.energy!r:.40}")
        if not is_integer(self.images) or self.images < 1:
            raise ModelError(f"the threshold of unknown images was set on {self.images!r:.40} images; it needs some")

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"energy": self.energy, "images": self.images}

    @staticmethod
    def from_json(data: object) -> UnknownThreshold:
        """What :meth:`encode` wrote.

        Raises:
            ModelError: If it is something else.
        """
        if not isinstance(data, Mapping) or set(data) != {"energy", "images"}:
            raise ModelError("the threshold of unknown images must hold energy and images")
        return UnknownThreshold(data["energy"], data["images"])


def energy(logits: Array) -> npt.NDArray[np.float64]:
    """Logarithm of the sum of the exponentials of the logits, along the last axis: lower for images of no known class.

    >>> energy(np.array([[8.0, 0.0], [0.0, 0.0]])).round(3).tolist()
    [8.0, 0.693]
    """
    values = logits.astype(np.float64)
    largest = values.max(axis=-1)
    result: npt.NDArray[np.float64] = largest + np.log(np.exp(values - largest[..., None]).sum(axis=-1))
    return result


def fit_unknown(logits: Array) -> UnknownThreshold:
    """Set the threshold on images of known classes, of which it lets 95 % pass.

    Args:
        logits: (N, classes), of images that the network was not trained on.

    Raises:
        DataError: If there are too few.

    >>> fit_unknown(np.arange(200.0).reshape(100, 2)).energy
    11.2133
    """
    if len(logits) < FEWEST_IMAGES:
        raise DataError(f"{len(logits)} images set no threshold of unknown images; {FEWEST_IMAGES} are the fewest")
    return UnknownThreshold(float(f"{np.quantile(energy(logits), 1 - KEPT):.6g}"), len(logits))


def unknown_threshold(logits: Array) -> UnknownThreshold | None:
    """:func:`fit_unknown` where there are enough images; else None."""
    return fit_unknown(logits) if len(logits) >= FEWEST_IMAGES else None


def area_under_curve(known: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> float:
    """How often an image of a known class has the larger score of a pair: 0.5 is chance, 1 tells all apart.

    >>> area_under_curve(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left")
    upto = np.searchsorted(ordered, known, "right")
    return float((below + upto).mean() / 2 / len(unknown))
