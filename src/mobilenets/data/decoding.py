"""Many pictures into memory: decoded side by side on all cores, broken ones named, counted and skipped."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from PIL import Image

from mobilenets.data.picture import Picture
from mobilenets.data.subset import Subset, Targets, check_skipped
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.processors import cores
from mobilenets.progress import SILENT, Progress

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pictures in memory.

    Attributes:
        pictures: uint8 (H, W, 3) each, of sizes of their own.
        targets: int64 (N,), their classes.
        skipped: Names of the pictures that could not be decoded.
    """

    pictures: list[Pixels]
    targets: Targets
    skipped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Pictures as a network takes them.

    Attributes:
        pixels: uint8 (N, height, width, 3).
        targets: int64 (N,), their classes.
        names: What each picture is called.
        skipped: Names of the pictures that could not be decoded.
    """

    pixels: Pixels
    targets: Targets
    names: tuple[str, ...]
    skipped: tuple[str, ...]


def source_side(preprocessing: Preprocessing, height: int, width: int) -> int:
    """Shorter side, in pixels, below which a picture must not be scaled while it is decoded."""
    return math.ceil(max(height, width) / preprocessing.crop_fraction)


def prepare_picture(picture: Picture, preprocessing: Preprocessing, height: int, width: int) -> Pixels:
    """One picture as a network takes it: uint8 (height, width, 3).

    Raises:
        DataError: If it cannot be decoded.
    """
    opened = picture.open(source_side(preprocessing, height, width))
    return preprocessing.apply(opened, height, width)


def each(
    pictures: Iterable[Picture], function: Callable[[Picture], Result], *, threads: int | None = None
) -> Iterator[tuple[Picture, Result | DataError]]:
    """A function of every picture, on all cores, in order, without ever holding many results.

    Yields:
        Each picture with its result, or with the error that it raised.
    """

    def attempt(picture: Picture) -> Result | DataError:
        try:
            return function(picture)
        except DataError as error:
            return error

    workers = threads or cores()
    remaining = iter(pictures)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Picture, Future[Result | DataError]]] = deque()
        try:
            while True:
                for picture in islice(remaining, 4 * workers - len(waiting)):
                    waiting.append((picture, pool.submit(attempt, picture)))
                if not waiting:
                    return
                picture, future = waiting.popleft()
                yield picture, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def prepare(
    subset: Subset, preprocessing: Preprocessing, height: int, width: int, *, progress: Progress = SILENT
) -> Prepared:
    """All pictures of a subset as a network takes them.

    Raises:
        DataError: If more than a tenth of them are broken.
    """
    pixels = np.empty((len(subset), height, width, 3), np.uint8)
    kept: list[int] = []
    names: list[str] = []
    skipped: list[str] = []
    with progress.task("decoding", len(subset), "pictures") as task:
        work = each(subset.pictures, lambda picture: prepare_picture(picture, preprocessing, height, width))
        for index, (picture, result) in enumerate(work):
            task.advance()
            if isinstance(result, DataError):
                skipped.append(picture.name)
                progress.note(f"skipped: {result}")
            else:
                pixels[len(kept)] = result
                kept.append(index)
                names.append(picture.name)
    check_skipped(skipped, len(subset))
    return Prepared(pixels[: len(kept)], subset.targets[kept], tuple(names), tuple(skipped))


def decode_all(subset: Subset, shortest_side: int, *, progress: Progress = SILENT) -> Decoded:
    """All pictures of a subset, decoded once, none with a shorter side above ``shortest_side``.

    Raises:
        DataError: If more than a tenth of them are broken.
    """
    pictures: list[Pixels] = []
    kept, skipped = [], []
    with progress.task("decoding", len(subset), "pictures") as task:
        work = each(subset.pictures, lambda picture: _shrink(picture.open(shortest_side), shortest_side))
        for index, (picture, result) in enumerate(work):
            task.advance()
            if isinstance(result, DataError):
                skipped.append(picture.name)
                progress.note(f"skipped: {result}")
            else:
                pictures.append(result)
                kept.append(index)
    check_skipped(skipped, len(subset))
    return Decoded(pictures, subset.targets[kept], tuple(skipped))


def _shrink(picture: Image.Image, shortest_side: int) -> Pixels:
    scale = shortest_side / min(picture.size)
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(picture, dtype=np.uint8)
