"""Whole subsets into memory: decoded side by side on all cores, broken ones named, counted and skipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.preparing import each, prepare_image
from mobilenets.data.subset import Subset, Targets, check_skipped
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels, Preprocessing


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images in memory.

    Attributes:
        images: uint8 (H, W, 3) each, of sizes of their own.
        targets: int64 (N,), their classes.
        positions: int64 (N,), where each stood in the subset.
        skipped: Names of the images that could not be decoded.
    """

    images: list[Pixels]
    targets: Targets
    positions: npt.NDArray[np.int64]
    skipped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images as a network takes them.

    Attributes:
        pixels: uint8 (N, height, width, 3).
        targets: int64 (N,), their classes.
        names: What each image is called.
        skipped: Names of the images that could not be decoded.
    """

    pixels: Pixels
    targets: Targets
    names: tuple[str, ...]
    skipped: tuple[str, ...]


def prepare(
    subset: Subset, preprocessing: Preprocessing, height: int, width: int, *, progress: Progress = SILENT
) -> Prepared:
    """All images of a subset as a network takes them.

    Raises:
        DataError: If more than a tenth of them are broken.
    """
    pixels = np.empty((len(subset), height, width, 3), np.uint8)
    kept: list[int] = []
    names: list[str] = []
    skipped: list[str] = []
    with progress.task("decoding", len(subset), "images") as task:
        work = each(subset.images, lambda image: prepare_image(image, preprocessing, height, width))
        for index, (image, result) in enumerate(work):
            task.advance()
            if isinstance(result, DataError):
                skipped.append(image.name)
                progress.note(f"skipped: {result}")
            else:
                pixels[len(kept)] = result
                kept.append(index)
                names.append(image.name)
    check_skipped(skipped, len(subset))
    return Prepared(pixels[: len(kept)], subset.targets[kept], tuple(names), tuple(skipped))


def decode_all(subset: Subset, shortest_side: int, *, progress: Progress = SILENT) -> Decoded:
    """All images of a subset, decoded once, none with a shorter side above ``shortest_side``.

    Raises:
        DataError: If more than a tenth of them are broken.
    """
    images: list[Pixels] = []
    kept, skipped = [], []
    with progress.task("decoding", len(subset), "images") as task:
        work = each(subset.images, lambda image: _shrink(image.open(shortest_side), shortest_side))
        for index, (image, result) in enumerate(work):
            task.advance()
            if isinstance(result, DataError):
                skipped.append(image.name)
                progress.note(f"skipped: {result}")
            else:
                images.append(result)
                kept.append(index)
    check_skipped(skipped, len(subset))
    return Decoded(images, subset.targets[kept], np.array(kept, np.int64), tuple(skipped))


def _shrink(image: Image.Image, shortest_side: int) -> Pixels:
    scale = shortest_side / min(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(image, dtype=np.uint8)
