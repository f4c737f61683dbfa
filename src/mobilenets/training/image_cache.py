"""The cache of resized training images: all of one size, as bytes, decoded once where they fit in memory.

Crops and turns are taken from these by resampling, so they are a little larger than what the network sees. Images of
other shapes are squashed into a square; their aspect ratios are stored with them, and the crop undoes the squashing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.memory import memory_of_machine
from mobilenets.base.processors import cores
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import size as in_bytes
from mobilenets.data.augmentation import Floats
from mobilenets.data.image import ImageSource
from mobilenets.data.loading import MOST_BROKEN, decode_all, shrunk_image
from mobilenets.data.subset import Subset, Targets
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.distributed import launch

MEMORY_SHARE = 0.04
"""Share of memory that resized images may take; more of them are kept on disk, or decoded again in every epoch. It is
small, for the kernel keeps what lies on disk in memory that nobody else wants, and later runs find it there."""
UNKNOWN_MEMORY = 4 << 30
"""Bytes of memory that a machine is taken to have where it does not say it."""

MARGIN = 1.25
"""Side of a cached image over the side of the network's input: the usual crop is then seen at its own size."""

Indices = npt.NDArray[np.int64]


class CachedImages(Protocol):
    """Training images at one size.

    Attributes:
        targets: int64 (N,), their classes.
        positions: int64 (N,), rising: where each stands among the images that they were made from.
        side: Height and width of an image.
    """

    targets: Targets
    positions: Indices
    side: int

    def batches(self, order: Sequence[Indices]) -> Iterator[tuple[Pixels, Floats]]:
        """For each group of indices, the images, uint8 (n, side, side, 3), and their aspects, float32 (n,)."""

    def at(self, side: int) -> CachedImages:
        """The same images at another size, never larger than they were decoded."""


class StoredImages:
    """Images in memory.

    Args:
        pixels: uint8 (N, side, side, 3).
        aspects: float32 (N,), width over height of the images that they were made from.
        targets: int64 (N,).
        positions: int64 (N,); None where no image is missing.
    """

    def __init__(self, pixels: Pixels, aspects: Floats, targets: Targets, positions: Indices | None = None) -> None:
        self.pixels, self.aspects, self.targets = pixels, aspects, targets
        self.positions = np.arange(len(targets), dtype=np.int64) if positions is None else positions
        self.side = pixels.shape[1]

    def batches(self, order: Sequence[Indices]) -> Iterator[tuple[Pixels, Floats]]:
        for indices in order:
            yield self.pixels[indices], self.aspects[indices]

    def at(self, side: int) -> CachedImages:
        if side >= self.side:
            return self
        smaller = np.empty((len(self.pixels), side, side, 3), np.uint8)
        for index, pixels in enumerate(self.pixels):
            smaller[index] = squash(Image.fromarray(pixels), side)
        return StoredImages(smaller, self.aspects, self.targets, self.positions)


class StreamedImages:
    """Images that are decoded when they are needed, a few batches ahead. For more images than fit in memory.

    An image that cannot be decoded is named once, and the next one takes its place.

    Args:
        subset: The images.
        side: Height and width of an image.
        progress: Receives a note for every broken image.
    """

    AHEAD = 4

    def __init__(self, subset: Subset, side: int, progress: Progress = SILENT) -> None:
        self._subset, self.side, self._progress = subset, side, progress
        self.targets, self.positions = subset.targets, np.arange(len(subset), dtype=np.int64)
        self._broken: set[str] = set()

    def at(self, side: int) -> CachedImages:
        return StreamedImages(self._subset, side, self._progress)

    def batches(self, order: Sequence[Indices]) -> Iterator[tuple[Pixels, Floats]]:
        waiting: deque[list[Future[tuple[Pixels, float]]]] = deque()
        remaining = iter(order)
        with ThreadPoolExecutor(cores()) as pool:
            try:
                while True:
                    while len(waiting) < self.AHEAD and (indices := next(remaining, None)) is not None:
                        waiting.append([pool.submit(self._squashed, int(index)) for index in indices])
                    if not waiting:
                        return
                    decoded = [future.result() for future in waiting.popleft()]
                    aspects = np.array([aspect for _, aspect in decoded], np.float32)
                    yield np.stack([pixels for pixels, _ in decoded]), aspects
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _squashed(self, index: int) -> tuple[Pixels, float]:
        target = self.targets[index]
        for offset in range(len(self._subset)):
            position = (index + offset) % len(self._subset)
            if self.targets[position] != target:
                continue  # what takes its place must be of its class
            image = self._subset.images[position]
            try:
                return squashed_image(image, self.side)
            except DataError as error:
                self._note(image.name, error)
        raise DataError(f"no image of the class of {self._subset.images[index].name} can be decoded")

    def _note(self, name: str, error: DataError) -> None:
        if name in self._broken:
            return
        self._broken.add(name)
        self._progress.note(f"skipped: {error}")
        if len(self._broken) > MOST_BROKEN * len(self._subset):
            raise DataError(f"{len(self._broken)} of {len(self._subset)} images cannot be decoded")


def bytes_in_memory(share: float) -> int:
    """Bytes of resized images that each process of this machine may hold.

    Args:
        share: Of the memory of the machine, or of what its control group may take, for all processes that train
            together on it.
    """
    return int(share * (memory_of_machine() or UNKNOWN_MEMORY) / launch().local_count)


def cache_images(
    subset: Subset, resolution: int, *, memory_share: float = MEMORY_SHARE, progress: Progress = SILENT
) -> CachedImages:
    """Resize training images, and keep them in memory if they fit.

    Args:
        subset: The images.
        resolution: Side of the network's input, in pixels.
        memory_share: Share of memory that the images may take; more are kept on disk where that has room for them
            (:mod:`mobilenets.training.disk_cache`), and else decoded again in every epoch.
        progress: Receives progress updates.

    Raises:
        DataError: If more than a tenth of the images cannot be decoded.
    """
    side = round(resolution * MARGIN)
    needed, most = len(subset) * side * side * 3, bytes_in_memory(memory_share)
    if needed > most:
        from mobilenets.training.disk_cache import disk_images

        progress.note(
            f"{len(subset):,} resized images take {in_bytes(needed)}, and {in_bytes(most)} of memory are theirs "
            f"(memory_share {memory_share:g})"
        )
        if (on_disk := disk_images(subset, side, progress)) is not None:
            return on_disk
        return StreamedImages(subset, side, progress)
    decoded = decode_all(subset, side, progress=progress)
    if not decoded.images:
        raise DataError("none of the training images can be decoded")
    aspects = np.array([pixels.shape[1] / pixels.shape[0] for pixels in decoded.images], np.float32)
    sides = [min(pixels.shape[:2]) for pixels in decoded.images]
    side = min(side, max(sides)) if max(sides) >= resolution else resolution
    pixels = np.empty((len(decoded.images), side, side, 3), np.uint8)
    for index, image in enumerate(decoded.images):
        pixels[index] = squash(Image.fromarray(image), side)
    return StoredImages(pixels, aspects, decoded.targets, decoded.positions)


def squashed_image(image: ImageSource, side: int) -> tuple[Pixels, float]:
    """An image as a square of that side, as images in memory are made, and its width over its height.

    Raises:
        DataError: If it cannot be decoded.
    """
    small = shrunk_image(image.open(side), side)
    return squash(small, side), small.width / small.height


def squash(image: Image.Image, side: int) -> Pixels:
    """An image as a square, uint8 (side, side, 3), whatever its shape."""
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(image, dtype=np.uint8)
