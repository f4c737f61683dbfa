"""Pictures as a network takes them: one, or many side by side on all cores. Imports little, for one is soon done."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from mobilenets.data.picture import Picture
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.processors import cores

if TYPE_CHECKING:
    from concurrent.futures import Future

Result = TypeVar("Result")


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
    if workers == 1:
        for picture in remaining:
            yield picture, attempt(picture)
        return
    from concurrent.futures import ThreadPoolExecutor  # takes as long to import as one picture to decode

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
