"""Some images and their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.data.image import ImageSource
from mobilenets.errors import DataError

Targets = npt.NDArray[np.int64]

UNKNOWN = -1
"""Target of an image whose class nobody knows."""
MOST_BROKEN = 0.1
"""Share of images that may be broken before it is an error."""


@dataclass(frozen=True, eq=False)
class Subset:
    """Some images and their classes.

    Attributes:
        images: The images.
        targets: int64 (N,): index of each image's class in the data's labels, or :data:`UNKNOWN`.
    """

    images: tuple[ImageSource, ...]
    targets: Targets

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: Subset) -> Subset:
        return Subset(self.images + other.images, np.concatenate([self.targets, other.targets]))

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Subset:
        """The images at some positions."""
        return Subset(tuple(self.images[index] for index in indices), self.targets[np.asarray(indices, np.int64)])


def check_skipped(skipped: Sequence[str], total: int) -> None:
    """Raise if too many images were broken.

    Raises:
        DataError: If more than a tenth were, or all.
    """
    if len(skipped) > MOST_BROKEN * total or (skipped and len(skipped) == total):
        raise DataError(
            f"{len(skipped)} of {total} images cannot be decoded, more than {MOST_BROKEN:.0%}: "
            f"{', '.join(skipped[:3])}{' …' if len(skipped) > 3 else ''}"
        )
