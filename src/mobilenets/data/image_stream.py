"""Images of many sources, one after the other: folders, lists, archives and addresses, in bounded memory.

The order is the same on every machine and in every run, so that work on a long stream can go on where it stopped, and
can be shared out.
"""

from __future__ import annotations

import heapq
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from mobilenets.base.arguments import check_integer
from mobilenets.data.archives import archived_images, is_archive
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.listings import count_listed, is_listing, listed_images
from mobilenets.data.remote import RemoteImage, file_system, reason_of
from mobilenets.data.sources import IMAGE_SUFFIXES, is_address, looks_like_image
from mobilenets.data.system_files import is_system_name
from mobilenets.errors import DataError

NAMES_IN_MEMORY = 200_000
"""Names of one folder that are sorted in memory; more are sorted on disk."""


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a stream.

    Attributes:
        number: Which, from 1.
        count: How many there are.

    Raises:
        DataError: If there is no such share.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        check_integer("the number of shards", self.count, DataError, least=1)
        check_integer("the number of the shard", self.number, DataError, least=1, most=self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @staticmethod
    def parse(text: str) -> Shard:
        """The share that a text such as ``3/8`` means, the third of eight.

        Raises:
            DataError: If it means none.

        >>> Shard.parse("3/8")
        Shard(number=3, count=8)
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise DataError(f"a shard is given as number/count, such as 1/8 to 8/8, not {text!r:.40}")
        return Shard(int(match[1]), int(match[2]))


WHOLE = Shard(1, 1)


def expand_sources(sources: Iterable[str | Path]) -> list[str]:
    """Names of sources, those with a range of numbers in braces as all that they stand for; each is there.

    Args:
        sources: Paths and addresses.

    Raises:
        DataError: If a path does not exist, or there are none.

    >>> expand_sources(["s3://bucket/train-{08..10}.tar"])
    ['s3://bucket/train-08.tar', 's3://bucket/train-09.tar', 's3://bucket/train-10.tar']
    """
    expanded = [name for source in sources for name in _braces(str(source))]
    for name in expanded:
        if not is_address(name) and not os.path.exists(name):
            raise DataError(f"{name} does not exist")
    if not expanded:
        raise DataError("no images in nothing: name a folder, a list, an archive or an image")
    return expanded


def stream_images(sources: Sequence[str], shard: Shard = WHOLE) -> Iterator[ImageSource]:
    """The images of sources, in order.

    Args:
        sources: What :func:`expand_sources` gives: images, folders, lists (:mod:`mobilenets.data.listings`) and tar
            archives, each a path or an address.
        shard: Which share of them. Where all sources are archives or lists and there is one for each share at least,
            whole ones are shared out, so that none is read twice; else every so many-th image.

    Raises:
        DataError: If a source cannot be read.
    """
    if shard.count > 1 and len(sources) >= shard.count and all(is_archive(one) or is_listing(one) for one in sources):
        sources, shard = sources[shard.number - 1 :: shard.count], WHOLE
    images = (image for source in sources for image in _images_of(source))
    return islice(images, shard.number - 1, None, shard.count)


def count_images(sources: Sequence[str], shard: Shard = WHOLE) -> int | None:
    """How many images sources have, where that can be told without reading images; else None."""
    total = 0
    for source in sources:
        if is_archive(source) or is_address(source):
            return None
        total += count_listed(source) if is_listing(source) else sum(1 for _ in _images_of(source))
    return len(range(shard.number - 1, total, shard.count))


def _images_of(source: str) -> Iterator[ImageSource]:
    if is_listing(source):
        return listed_images(source)
    if is_archive(source):
        return archived_images(source)
    if is_address(source):
        return _remote_images(source)
    if os.path.isdir(source):
        return (FileImage(path) for path in _files_below(source, set()) if looks_like_image(Path(path)))
    return iter([FileImage(source)])


def _braces(name: str) -> Iterator[str]:
    match = re.search(r"\{(\d+)\.\.(\d+)\}", name)
    if match is None:
        yield name
        return
    for number in range(int(match[1]), int(match[2]) + 1):
        yield from _braces(f"{name[: match.start()]}{number:0{len(match[1])}}{name[match.end() :]}")


def _remote_images(address: str) -> Iterator[ImageSource]:
    """The image at an address, or those below it."""
    if address.lower().endswith(tuple(IMAGE_SUFFIXES)):
        yield RemoteImage(address)
        return
    system, top = file_system(address)
    try:
        for folder, folders, files in system.walk(top):
            folders[:] = sorted(name for name in folders if not is_system_name(name))
            for name in sorted(files):
                if name.lower().endswith(tuple(IMAGE_SUFFIXES)) and not is_system_name(name):
                    below = folder.strip("/").removeprefix(top.strip("/")).strip("/")
                    yield RemoteImage("/".join(filter(None, (address.rstrip("/"), below, name))))
    except DataError:
        raise
    except Exception as error:  # stores raise what their libraries raise
        raise DataError(f"{address} cannot be listed: {reason_of(error)}") from None


def _files_below(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Every file below a folder in order of name. Links are followed, and loops of links end."""
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        for name in _sorted(_entries(folder)):
            path = os.path.join(folder, name.rstrip("/"))
            if name.endswith("/"):
                yield from _files_below(path, seen)
            else:
                yield path
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from None


def _entries(folder: str) -> Iterator[str]:
    """Names in a folder, those of folders with a slash."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_system_name(entry.name):
                continue
            try:
                if entry.is_dir():
                    yield f"{entry.name}/"
                elif entry.is_file():
                    yield entry.name
            except OSError:  # a link that leads to itself is neither
                continue


def _sorted(names: Iterator[str]) -> Iterator[str]:
    """Names in order; what does not fit in memory lies in files that nobody else sees."""
    first = sorted(islice(names, NAMES_IN_MEMORY))
    if len(first) < NAMES_IN_MEMORY:
        yield from first
        return
    with ExitStack() as files:
        runs: list[IO[str]] = []
        while first:
            file = files.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="")
            )
            runs.append(file)
            file.writelines(f"{name}\0" for name in first)
            file.seek(0)
            first = sorted(islice(names, NAMES_IN_MEMORY))
        yield from heapq.merge(*map(_ended_by_zero, runs))


def _ended_by_zero(file: IO[str]) -> Iterator[str]:
    """What was written into a file, each ended by a zero byte: names may hold every other."""
    left = ""
    while chunk := file.read(1 << 16):
        *whole, left = (left + chunk).split("\0")
        yield from whole
