"""Random windows of images, mirrored and recolored, with the boxes of what is seen in them.

A window may be larger than the image, which then stands somewhere on a plain ground: objects are seen at many sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.base.arguments import check_number
from mobilenets.data.augmentation import Augmentation, DrawnAugmentation, Flip
from mobilenets.errors import DataError
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.training.detection.matching import Objects

Floats = npt.NDArray[np.float32]

SMALLEST_SIDE = 2e-3
"""Of what is seen of a box, in sides of the input, below which there is nothing to be found."""


@dataclass(frozen=True)
class BoxAugmentation:
    """How far images with boxes may be distorted while training.

    Attributes:
        smallest: Side of the smallest window, as a share of that of a whole image.
        largest: Side of the largest window; what lies outside of the image is plain.
        stretch: A window's sides are stretched by at most this factor against each other.
        whole: Share of the images that are seen whole.
        flip: Which mirror images are taken.
        brightness: Most that is added or taken away, where white is 1.
        contrast: Contrast changes by at most this share.
        saturation: Saturation changes by at most this share.

    Raises:
        DataError: If a number is out of range.
    """

    smallest: float = 0.5
    largest: float = 1.3
    stretch: float = 1.25
    whole: float = 0.2
    flip: Flip = Flip.HORIZONTAL
    brightness: float = 0.1
    contrast: float = 0.25
    saturation: float = 0.25

    def __post_init__(self) -> None:
        check_number("smallest", self.smallest, DataError, above=0, most=1)
        check_number("largest", self.largest, DataError, least=1, most=10)
        check_number("whole", self.whole, DataError, least=0, most=1)

    @property
    def colors(self) -> Augmentation:
        """The part that is about colors and mirror images, as classification has it."""
        return Augmentation(
            smallest_area=1.0,
            stretch=self.stretch,
            flip=self.flip,
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
        )

    def draw(self, windows: npt.NDArray[np.float64], rng: np.random.Generator) -> DrawnAugmentation:
        """Draw what happens to each image of a batch.

        Args:
            windows: (N, 2), width and height of the window that shows the whole image, in sides of the image: 1 and 1
                where it is stretched to the input, more where it is letterboxed.
            rng: Where the chances come from.
        """
        count = len(windows)
        drawn = self.colors.draw(np.ones(count, np.float32), 1.0, rng)
        scale = np.exp(rng.uniform(math.log(self.smallest), math.log(self.largest), count))
        ratio = np.exp(rng.uniform(-math.log(self.stretch), math.log(self.stretch), count) / 2)
        scale, ratio = (np.where(rng.random(count) < self.whole, 1.0, one) for one in (scale, ratio))
        size = windows * np.stack([scale * ratio, scale / ratio], axis=1)
        # Within the image where the window is smaller, and around it where it is larger.
        centre = rng.uniform(-1, 1, (count, 2)) * np.abs(1 - size)
        maps = np.zeros((count, 2, 3), np.float64)
        maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = size[:, 0], size[:, 1], centre
        return DrawnAugmentation(_mirrored(maps, self.flip, rng), drawn.brightness, drawn.contrast, drawn.saturation)


def _mirrored(maps: npt.NDArray[np.float64], flip: Flip, rng: np.random.Generator) -> Floats:
    count = len(maps)
    if flip is not Flip.NONE:
        maps[:, :, 0] *= rng.choice([-1, 1], (count, 1))
    if flip is Flip.ANY:
        maps[:, :, 1] *= rng.choice([-1, 1], (count, 1))
        exchanged = rng.random(count) < 0.5
        maps[exchanged] = maps[exchanged][:, :, [1, 0, 2]]
    return maps.astype(np.float32)


def objects_seen(truth: GroundTruth, window: Floats) -> Objects:
    """The objects of an image that are seen in a window of it.

    An object whose centre is outside is not asked for, but what is seen of it is no background either.

    Args:
        truth: The objects of the whole image.
        window: float32 (2, 3), as :attr:`~mobilenets.data.augmentation.DrawnAugmentation.maps` has it.

    >>> truth = GroundTruth.of([(0, 0, 50, 100), (90, 0, 100, 50)], [0, 1], (100, 100))
    >>> left_half = np.array([[0.5, 0, -0.5], [0, 1, 0]], np.float32)
    >>> seen = objects_seen(truth, left_half)
    >>> seen.boxes.tolist(), seen.labels.tolist()
    ([[0.0, 0.0, 1.0, 1.0]], [0])
    """
    width, height = truth.size
    corners = 2 * truth.boxes.astype(np.float64) / (width, height, width, height) - 1
    inverse = np.linalg.inv(window[:, :2].astype(np.float64))
    ends = np.stack([(corners[:, at] - window[:, 2]) @ inverse.T for at in (slice(0, 2), slice(2, 4))])
    boxes = (np.concatenate([ends.min(axis=0), ends.max(axis=0)], axis=1) + 1) / 2
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = np.logical_and(centre > 0, centre < 1).all(axis=1)
    seen = boxes.clip(0, 1)
    visible = ((seen[:, 2:] - seen[:, :2]) > SMALLEST_SIDE).all(axis=1)
    return Objects(
        seen[visible].astype(np.float32), truth.labels[visible], np.logical_or(truth.ignored, ~inside)[visible]
    )
