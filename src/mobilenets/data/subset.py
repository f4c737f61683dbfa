"""Some images and their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.records import record
from mobilenets.base.text import plural
from mobilenets.data.image import ImageSource

Targets = npt.NDArray[Any]

UNKNOWN = -1
"""Target of an image whose class nobody knows."""


@record(frozen=True, eq=False)
class Subset:
    """Some images and their classes.

    Attributes:
        images: The images.
        targets: int64 (N,): index of each image's class in the data's labels, or :data:`UNKNOWN`. Of data with boxes
            an array of objects (N,): the :class:`~mobilenets.tasks.boxes.GroundTruth` of each image.
    """

    images: tuple[ImageSource, ...]
    targets: Targets

    def __repr__(self) -> str:
        return f"Subset({plural(len(self.images), 'image')})"

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: Subset) -> Subset:
        return Subset(self.images + other.images, np.concatenate([self.targets, other.targets]))

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Subset:
        """The images at some positions."""
        return Subset(tuple(self.images[index] for index in indices), self.targets[np.asarray(indices, np.int64)])
