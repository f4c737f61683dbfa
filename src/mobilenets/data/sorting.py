"""Sorting of images into folders by label, without ever overwriting a file."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable
from itertools import count
from os import PathLike
from pathlib import Path

from mobilenets.base.arguments import typed
from mobilenets.errors import DataError

_FORBIDDEN = '/\\:*?"<>|'
"""What a name of a folder may not hold on one system or another."""


class SortedFolders:
    """Folders of images by label, as ``fit`` reads them.

    Args:
        folder: Where the folders of the labels are made.
        labels: The labels that there are, each of which gets a folder of its own when its first image comes.
        link: Make symbolic links to the images instead of copies.
        sources: Folders that the images come from.

    Attributes:
        earlier: Files that were in the folders of the labels before; they stay.

    Raises:
        DataError: If the folder lies within one of the sources, so that a second run would find its own copies.
    """

    @typed(DataError)
    def __init__(
        self,
        folder: str | PathLike[str],
        labels: Iterable[str],
        *,
        link: bool = False,
        sources: Iterable[str | PathLike[str]] = (),
    ) -> None:
        self.folder, self.link = Path(folder), link
        for source in map(Path, sources):
            if source.is_dir() and self.folder.resolve().is_relative_to(source.resolve()):
                raise DataError(
                    f"{folder} lies within {source}, whose images are sorted: another run would find them twice; "
                    "name a folder outside it"
                )
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{folder} is a file, not a folder")
        self._names = folder_names(labels)
        places = (self.folder / name for name in self._names.values())
        self.earlier = sum(len(files) for place in places for _, _, files in os.walk(place))

    def add(self, image: str | PathLike[str], label: str) -> Path:
        """Put an image into the folder of its label.

        A file of its name that is the same image already stays; next to another one it gets a number.

        Args:
            image: Path of the image.
            label: One of the labels.

        Returns:
            Where it is now.

        Raises:
            DataError: If it cannot be copied or linked.
        """
        image, folder = Path(image), self.folder / self._names[label]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            targets = (folder / f"{name}{image.suffix}" for name in _numbered(image.stem))
            return next(target for target in targets if self._put(image, target))
        except OSError as error:
            raise DataError(f"{image} cannot be put into {folder}: {error.strerror or error}") from None

    def _put(self, image: Path, target: Path) -> bool:
        """Put an image there, unless another one is; whether it is there now."""
        try:
            if self.link:
                target.symlink_to(image.resolve())
            else:
                _copy(image, target)
        except FileExistsError:
            return target.is_file() and filecmp.cmp(image, target, shallow=False)
        return True


def _copy(image: Path, target: Path) -> None:
    """Copy a file to a name that nothing has, even if another process takes it meanwhile."""
    with image.open("rb") as source:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except BaseException:
            target.unlink()
            raise
    shutil.copystat(image, target)


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """A name of a folder for each label: the label, less what no folder may be called.

    >>> folder_names(["cat", "a/c unit", "a:c unit", "..", "Cat"])
    {'cat': 'cat', 'a/c unit': 'a_c unit', 'a:c unit': 'a_c unit-2', '..': '_', 'Cat': 'Cat-2'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        plain = "".join("_" if char in _FORBIDDEN else char for char in label).strip() or "_"
        plain = f"_{plain[1:]}" if plain.startswith(".") else plain
        plain = plain.rstrip(". ") or "_"
        name = next(one for one in _numbered(plain) if one.casefold() not in taken)  # some systems ignore the case
        taken.add(name.casefold())
        names[label] = name
    return names


def _numbered(name: str) -> Iterable[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))
