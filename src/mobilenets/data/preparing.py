"""Images as a network takes them: one, or many side by side on all cores. Imports little, for one is soon done."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from mobilenets.base.processors import cores
from mobilenets.data.image import ImageSource
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels, Preprocessing

if TYPE_CHECKING:
    from concurrent.futures import Future

Result = TypeVar("Result")


def source_side(preprocessing: Preprocessing, height: int, width: int) -> int:
    """Shorter side, in pixels, below which an image must not be scaled while it is decoded."""
    return math.ceil(max(height, width) / preprocessing.crop_fraction)


def prepare_image(image: ImageSource, preprocessing: Preprocessing, height: int, width: int) -> Pixels:
    """One image as a network takes it: uint8 (height, width, 3).

    Raises:
        DataError: If it cannot be decoded.
    """
    opened = image.open(source_side(preprocessing, height, width))
    return preprocessing.apply(opened, height, width)


def each(
    images: Iterable[ImageSource], function: Callable[[ImageSource], Result], *, threads: int | None = None
) -> Iterator[tuple[ImageSource, Result | DataError]]:
    """A function of every image, on all cores, in order, without ever holding many results.

    Yields:
        Each image with its result, or with the error that it raised.
    """

    def attempt(image: ImageSource) -> Result | DataError:
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

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[ImageSource, Future[Result | DataError]]] = deque()
        try:
            while True:
                for image in islice(remaining, 4 * workers - len(waiting)):
                    waiting.append((image, pool.submit(attempt, image)))
                if not waiting:
                    return
                image, future = waiting.popleft()
                yield image, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
