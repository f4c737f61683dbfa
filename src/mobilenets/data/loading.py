"""Images as a network takes them: one, or many decoded side by side on all cores.

Broken images are named, counted and skipped. The module imports little, so that a single image is soon predicted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.processors import cores
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.records import record
from mobilenets.base.text import plural
from mobilenets.data.decoding import ASSUMPTION, FULL_SIZE
from mobilenets.data.image import ImageSource
from mobilenets.data.subset import Subset, Targets
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.tasks.task import Geometry

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_BROKEN = 0.1
"""Share of images that may be broken before it is an error."""


@record(frozen=True, eq=False)
class Decoded:
    """Images in memory.

    Attributes:
        images: uint8 (H, W, 3) each, of sizes of their own.
        targets: (N,), their classes or what else the data says of them.
        positions: int64 (N,), where each stood in the subset.
        skipped: Names of the images that could not be decoded.
    """

    images: list[Pixels]
    targets: Targets
    positions: npt.NDArray[np.int64]
    skipped: tuple[str, ...]


@record(frozen=True, eq=False)
class Prepared:
    """Images as a network takes them.

    Attributes:
        pixels: uint8 (N, height, width, channels).
        targets: (N,), their classes or what else the data says of them.
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
    pixels = np.empty((len(subset), height, width, preprocessing.channels), np.uint8)
    kept: list[int] = []
    skipped: list[str] = []

    geometry: dict[int, Geometry] = {}

    def prepared(source: tuple[int, ImageSource]) -> tuple[Pixels, str | None]:
        number, named = source
        image = named.open(source_side(preprocessing, height, width))
        geometry[number] = geometry_of(named.name, image, preprocessing, height, width)
        return preprocessing.apply(image, height, width), image.info.get(ASSUMPTION)

    for index, image in _decoded(subset, prepared, skipped, progress):
        pixels[len(kept)] = image
        kept.append(index)
    names = tuple(subset.images[index].name for index in kept)
    from mobilenets.tasks.boxes import with_geometry  # a prediction has no use for it

    targets = with_geometry(subset.targets[kept], [geometry[index] for index in kept])
    return Prepared(pixels[: len(kept)], targets, names, tuple(skipped))


def decode_all(subset: Subset, shortest_side: int, *, progress: Progress = SILENT) -> Decoded:
    """All images of a subset, decoded once, none with a shorter side above ``shortest_side``.

    Raises:
        DataError: If more than a tenth of them are broken.
    """
    images: list[Pixels] = []
    kept: list[int] = []
    skipped: list[str] = []

    def decoded(source: tuple[int, ImageSource]) -> tuple[Pixels, str | None]:
        image = source[1].open(shortest_side)
        return shrunk(image, shortest_side), image.info.get(ASSUMPTION)

    for index, image in _decoded(subset, decoded, skipped, progress):
        images.append(image)
        kept.append(index)
    return Decoded(images, subset.targets[kept], np.array(kept, np.int64), tuple(skipped))


def _decoded(
    subset: Subset,
    decode: Callable[[tuple[int, ImageSource]], tuple[Pixels, str | None]],
    skipped: list[str],
    progress: Progress,
) -> Iterator[tuple[int, Pixels]]:
    """Position and pixels of each image that can be decoded; the names of the others are added to ``skipped``.

    Args:
        subset: The images.
        decode: Gives pixels, and what had to be assumed to read them, of the position of an image and its source.
        skipped: Receives names.
        progress: Receives progress updates.

    Raises:
        DataError: At the end, if more than a tenth of the images are broken.
    """
    assumptions: list[str | None] = []
    with progress.task("decoding", len(subset), "images") as task:
        chunk_size = CHUNK_SIZE if len(subset) >= MANY else 1
        for (index, image), result in each(enumerate(subset.images), decode, chunk_size=chunk_size):
            task.advance()
            if isinstance(result, DataError):
                skipped.append(image.name)
                progress.note(f"skipped: {result}")
            else:
                pixels, assumption = result
                assumptions.append(assumption)
                yield index, pixels
    _note_assumptions(assumptions, progress)
    check_skipped(skipped, len(subset))


def shrunk(image: Image.Image, shortest_side: int) -> Pixels:
    """An image, uint8 (height, width, 3), whose shorter side has so many pixels at most; its shape stays."""
    return np.asarray(shrunk_image(image, shortest_side), dtype=np.uint8)


def shrunk_image(image: Image.Image, shortest_side: int) -> Image.Image:
    """An image whose shorter side has so many pixels at most; its shape stays."""
    scale = shortest_side / min(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


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


def _note_assumptions(assumptions: Sequence[str | None], progress: Progress) -> None:
    """Say what was assumed of images whose files do not say it, and of how many."""
    for text in dict.fromkeys(assumptions):
        if text is not None:
            progress.note(f"{plural(assumptions.count(text), 'image')}: {text}")


def source_side(preprocessing: Preprocessing, height: int, width: int) -> int:
    """Shorter side, in pixels, below which an image must not be scaled while it is decoded."""
    return math.ceil(max(height, width) / preprocessing.crop_fraction)


def geometry_of(name: str, image: Image.Image, preprocessing: Preprocessing, height: int, width: int) -> Geometry:
    """What an input of a network is made of.

    Args:
        name: What the image is called.
        image: As it was decoded.
        preprocessing: What brings it to the network's size.
        height: Input height of the network.
        width: Input width of the network.
    """
    box = preprocessing.box(image.size, height, width)
    return Geometry(name, image.size, box, image.info.get(FULL_SIZE))


def prepare_image(image: ImageSource, preprocessing: Preprocessing, height: int, width: int) -> Pixels:
    """One image as a network takes it: uint8 (height, width, channels).

    Raises:
        DataError: If it cannot be decoded.
    """
    opened = image.open(source_side(preprocessing, height, width))
    return preprocessing.apply(opened, height, width)


CHUNK_SIZE = 64
"""Small images that a thread takes at a time, where there are many."""
MANY = 2_000
"""Images from which on a thread takes several at a time."""


def each(
    images: Iterable[Item], function: Callable[[Item], Result], *, threads: int | None = None, chunk_size: int = 1
) -> Iterator[tuple[Item, Result | DataError]]:
    """A function of every image, on all cores, in order, without ever holding many results.

    Args:
        images: The images.
        function: What is done with each.
        threads: Of how many threads; None for as many as there are cores.
        chunk_size: Images that a thread takes at a time; more cost less where the function takes well under a
            millisecond, :data:`CHUNK_SIZE` for example.

    Yields:
        Each image with its result, or with the error that it raised.
    """

    def attempt(image: Item) -> Result | DataError:
        try:
            return function(image)
        except DataError as error:
            return error

    workers = threads or cores()
    remaining = iter(images)
    if workers == 1:
        for image in remaining:
            yield image, attempt(image)
        return
    from concurrent.futures import ThreadPoolExecutor  # takes as long to import as one image to decode

    def attempt_all(group: list[Item]) -> list[Result | DataError]:
        return [attempt(image) for image in group]

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[list[Item], Future[list[Result | DataError]]]] = deque()
        try:
            while True:
                while len(waiting) < 4 * workers and (group := list(islice(remaining, chunk_size))):
                    waiting.append((group, pool.submit(attempt_all, group)))
                if not waiting:
                    return
                group, future = waiting.popleft()
                yield from zip(group, future.result(), strict=True)
        finally:
            for _, future in waiting:
                future.cancel()
