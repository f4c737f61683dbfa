"""The cache of resized images on disk, for more of them than memory should hold: decoded once, by all cores, for all
runs and processes of this machine.

Images are read with ``pread``, not through a mapping of the file: the kernel keeps what it has room for, and none of it
counts as this process's memory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from mobilenets.base.cache import cache_folder
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import size as in_bytes
from mobilenets.data.archives import ArchivedImage
from mobilenets.data.augmentation import Floats
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.loading import CHUNK_SIZE, check_skipped, each
from mobilenets.data.subset import Subset
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.image_cache import CachedImages, Indices, squash, squashed_image

SPARE_BYTES = 1 << 30
"""What is left free on the disk of the cache."""
CHUNK = 1024
"""Images after which what is decoded counts, when a run is stopped."""
AHEAD = 4
"""Batches that the kernel is asked to read before they are needed."""
_NOT_YET, _BROKEN = np.float32(0), np.float32(-1)
"""In the place of an image's aspect."""


class DiskImages:
    """Resized images in a file.

    Args:
        path: Of the pixels, uint8 (N, side, side, 3).
        aspects: float32 (N,), width over height of the images that they were made from; below 0 of broken ones.
        subset: The images.
        side: Height and width of an image in the file.
        shown: Height and width as batches have it, at most ``side``.
    """

    def __init__(self, path: Path, aspects: Floats, subset: Subset, side: int, shown: int | None = None) -> None:
        self._path, self._all_aspects, self._subset, self._stored = path, aspects, subset, side
        self.side = shown or side
        self.positions: Indices = np.flatnonzero(aspects > 0)
        self.targets = subset.targets[self.positions]

    def at(self, side: int) -> CachedImages:
        return DiskImages(self._path, self._all_aspects, self._subset, self._stored, min(side, self._stored))

    def batches(self, order: Sequence[Indices]) -> Iterator[tuple[Pixels, Floats]]:
        length = self._stored * self._stored * 3
        file = os.open(self._path, os.O_RDONLY)
        try:
            for indices in order[:AHEAD]:
                _wanted(file, self.positions[indices], length)
            for number, indices in enumerate(order):
                if number + AHEAD < len(order):
                    _wanted(file, self.positions[order[number + AHEAD]], length)
                places = self.positions[indices]
                pixels = np.empty((len(places), self.side, self.side, 3), np.uint8)
                for row, place in enumerate(places):
                    content = np.frombuffer(os.pread(file, length, int(place) * length), np.uint8)
                    stored = content.reshape(self._stored, self._stored, 3)
                    same = self.side == self._stored
                    pixels[row] = stored if same else squash(Image.fromarray(stored), self.side)
                yield pixels, self._all_aspects[places]
        finally:
            os.close(file)


def _wanted(file: int, places: Iterable[int], length: int) -> None:
    """Have the kernel read some images meanwhile, where they are not in memory yet."""
    if hasattr(os, "posix_fadvise"):  # not on a Mac
        for place in places:
            os.posix_fadvise(file, int(place) * length, length, os.POSIX_FADV_WILLNEED)


def disk_images(subset: Subset, side: int, progress: Progress = SILENT) -> CachedImages | None:
    """Resized images from the cache on disk, which is made first where it is not there.

    A run that was stopped while it was made goes on; of several processes one makes it, and the others wait.

    Args:
        subset: The images.
        side: Height and width of an image.
        progress: Receives progress updates, and what the cache takes.

    Returns:
        The images; None where the disk has no room, or they are not files that can be told apart by size and time.

    Raises:
        DataError: If more than a tenth of the images cannot be decoded, or the disk fills up meanwhile.
    """
    key = _key(subset, side)
    if key is None or not hasattr(os, "pread"):
        return None
    folder = cache_folder("resized")
    pixels, aspects = folder / f"{key}.pixels", folder / f"{key}.aspects"
    needed = len(subset) * side * side * 3
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f"{key}.lock"):
            known = _read_aspects(aspects, len(subset))
            if (known == _NOT_YET).any():
                there = pixels.stat().st_blocks * 512 if pixels.exists() else 0
                free = shutil.disk_usage(folder).free - SPARE_BYTES
                if needed - there > free:
                    progress.note(
                        f"{in_bytes(needed)} have no room in {folder}, where {in_bytes(max(0, free))} may be taken: "
                        "they are decoded again in every epoch"
                    )
                    return None
                progress.note(f"they are kept in {folder}, which takes {in_bytes(needed)} of disk")
                _fill(subset, side, pixels, aspects, known, progress)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DataError(
                f"the disk of {folder} is full; what is decoded is kept there, and the same call goes on when there is "
                "room, or with MOBILENETS_CACHE on another disk"
            ) from None
        raise DataError(f"{folder} cannot be used: {error.strerror}") from None
    check_skipped([subset.images[place].name for place in np.flatnonzero(known < 0)], len(subset))
    return DiskImages(pixels, known, subset, side)


def _key(subset: Subset, side: int) -> str | None:
    """What the cache of these images is called: another where one of them is another file, or has changed."""
    found = hashlib.sha256(f"resized 2 {side}".encode())
    stats: dict[str, os.stat_result] = {}
    for image in subset.images:
        path, place = _file_of(image)
        if path is None:
            return None
        try:
            status = stats.get(path) or os.stat(path)
        except OSError:
            return None  # decoding says why
        if isinstance(image, ArchivedImage):
            stats[path] = status
        whole = path if os.path.isabs(path) else os.path.abspath(path)
        mark = f"{whole}\0{place}\0{status.st_size}\0{status.st_mtime_ns}\0"
        found.update(mark.encode(errors="surrogateescape"))
    return found.hexdigest()[:32]


def _file_of(image: ImageSource) -> tuple[str | None, int]:
    match image:
        case FileImage():
            return os.fspath(image.path), 0
        case ArchivedImage():
            return image.archive, image.offset
        case _:
            return None, 0


def _read_aspects(path: Path, count: int) -> Floats:
    """What is known of each image, as far as the cache was made."""
    known = np.fromfile(path, np.float32) if path.exists() else np.zeros(0, np.float32)
    return known if len(known) == count else np.zeros(count, np.float32)


def _fill(subset: Subset, side: int, pixels: Path, aspects: Path, known: Floats, progress: Progress) -> None:
    """Decode what is missing, chunk by chunk: a chunk counts when its pixels are on the disk."""
    missing = np.flatnonzero(known == _NOT_YET)
    length = side * side * 3
    with progress.task("decoding", len(missing), "images") as task, _opened(pixels) as file:

        def stored(place: int) -> float:
            image, aspect = squashed_image(subset.images[place], side)
            _write_at(file, image.tobytes(), place * length)
            return aspect

        for begin in range(0, len(missing), CHUNK):
            places = map(int, missing[begin : begin + CHUNK])
            for place, result in each(places, stored, chunk_size=CHUNK_SIZE):
                task.advance()
                if isinstance(result, DataError):
                    progress.note(f"skipped: {result}")
                    known[place] = _BROKEN
                else:
                    known[place] = result
            os.fsync(file)
            temporary = aspects.with_suffix(".part")
            known.tofile(temporary)
            os.replace(temporary, aspects)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _write_at(file: int, content: bytes, offset: int) -> None:
    while content:
        done = os.pwrite(file, content, offset)
        content, offset = content[done:], offset + done


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process makes the same cache; the system ends the lock of a process that ends."""
    try:
        import fcntl
    except ModuleNotFoundError:  # not on Windows
        yield
        return
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
