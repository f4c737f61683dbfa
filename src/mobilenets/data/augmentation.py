"""Random crops, rotations, mirroring and color changes, as numbers; whoever has the pixels applies them.

A :class:`Augmentation` says how far images may be distorted; :meth:`Augmentation.draw` draws, for each image of a
batch, one affine map and one change of color, so that applying all of it is one resampling and one pass of arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mobilenets.base.arguments import check_number, word_of
from mobilenets.errors import DataError

Floats = npt.NDArray[np.float32]


class Flip(StrEnum):
    """Which mirror images show the same thing."""

    NONE = "none"
    """None, as with writing."""
    HORIZONTAL = "horizontal"
    """Left and right may be exchanged."""
    ANY = "any"
    """Up and down too, and rows for columns: there is no upright, as when one looks straight down."""


@dataclass(frozen=True, eq=False)
class DrawnAugmentation:
    """What happens to each image of one batch.

    Attributes:
        maps: float32 (N, 2, 3). Where each point of the result comes from: (x, y, 1) on the result to (x, y) on the
            image, both running from −1 to 1 across the whole width and height.
        brightness: float32 (N,), added to every value, on the scale where white is 1.
        contrast: float32 (N,), factor on the distance from the image's mean.
        saturation: float32 (N,), factor on the distance from the pixel's gray.
    """

    maps: Floats
    brightness: Floats
    contrast: Floats
    saturation: Floats

    def at(self, rows: npt.NDArray[np.int64]) -> DrawnAugmentation:
        """What happens to some of the images."""
        return DrawnAugmentation(self.maps[rows], self.brightness[rows], self.contrast[rows], self.saturation[rows])


@dataclass(frozen=True)
class Augmentation:
    """How far images may be distorted while training.

    Attributes:
        smallest_area: A crop keeps at least this share of the image.
        stretch: A crop's sides are stretched by at most this factor against each other.
        rotation_degrees: Crops are turned by at most this much, either way.
        flip: Which mirror images are taken: a :class:`Flip`, or its text.
        brightness: Most that is added or taken away, where white is 1.
        contrast: Contrast changes by at most this share.
        saturation: Saturation changes by at most this share.

    Raises:
        DataError: If a number is out of range, or ``flip`` is unknown.
    """

    smallest_area: float = 0.3
    stretch: float = 4 / 3
    rotation_degrees: float = 0.0
    flip: Flip = Flip.HORIZONTAL
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "flip", word_of(Flip, self.flip, "flip", DataError))
        check_number("smallest_area", self.smallest_area, DataError, above=0, most=1)
        check_number("stretch", self.stretch, DataError, least=1)
        check_number("rotation_degrees", self.rotation_degrees, DataError, least=0, most=180)
        for name in ("brightness", "contrast", "saturation"):
            check_number(name, getattr(self, name), DataError, least=0)

    @property
    def changes_color(self) -> bool:
        """Whether colors are changed at all."""
        return max(self.brightness, self.contrast, self.saturation) > 0

    def draw(self, aspects: Floats, target_aspect: float, rng: np.random.Generator) -> DrawnAugmentation:
        """Draw what happens to each image of a batch.

        Args:
            aspects: (N,), width over height of each image.
            target_aspect: Width over height of the network's input.
            rng: Where the chances come from.
        """
        count = len(aspects)
        widths, heights = self._crops(aspects, target_aspect, rng)
        turn = np.radians(rng.uniform(-self.rotation_degrees, self.rotation_degrees, count))
        cosine, sine = np.cos(turn), np.sin(turn)
        maps = np.empty((count, 2, 3))
        maps[:, 0, 0], maps[:, 0, 1] = cosine * widths, -sine * heights
        maps[:, 1, 0], maps[:, 1, 1] = sine * widths, cosine * heights
        maps[:, 0, 2] = rng.uniform(-1, 1, count) * (1 - widths)
        maps[:, 1, 2] = rng.uniform(-1, 1, count) * (1 - heights)
        if self.flip is not Flip.NONE:
            maps[:, :, 0] *= rng.choice([-1, 1], (count, 1))
        if self.flip is Flip.ANY:
            maps[:, :, 1] *= rng.choice([-1, 1], (count, 1))
            exchanged = rng.random(count) < 0.5
            maps[exchanged] = maps[exchanged][:, :, [1, 0, 2]]
        return DrawnAugmentation(
            maps=maps.astype(np.float32),
            brightness=rng.uniform(-self.brightness, self.brightness, count).astype(np.float32),
            contrast=rng.uniform(1 - self.contrast, 1 + self.contrast, count).astype(np.float32),
            saturation=rng.uniform(1 - self.saturation, 1 + self.saturation, count).astype(np.float32),
        )

    def _crops(
        self, aspects: Floats, target_aspect: float, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Widths and heights of the crops, as shares of their images'."""
        count = len(aspects)
        relative = target_aspect / aspects.astype(np.float64)  # a crop this wide for its height keeps the shapes
        largest = np.minimum(relative, 1 / relative)  # the area of the largest such crop
        areas = largest * rng.uniform(self.smallest_area, 1, count)
        ratios = relative * np.exp(rng.uniform(-math.log(self.stretch), math.log(self.stretch), count))
        return np.minimum(np.sqrt(areas * ratios), 1), np.minimum(np.sqrt(areas / ratios), 1)


UNDISTORTED = Augmentation(smallest_area=1, stretch=1, flip=Flip.NONE, brightness=0, contrast=0, saturation=0)
"""The largest crop that keeps the shapes, and nothing else (where it is, is left to chance)."""
