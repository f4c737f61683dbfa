"""A folder and all that lies below it, listed once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from mobilenets.data.sources import OTHER_SUFFIXES, looks_like_image
from mobilenets.data.system_files import is_system_name
from mobilenets.errors import DataError

LABEL_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson"})
"""Suffixes of files that may say which image is of which class."""
BOX_SUFFIXES = frozenset({".xml", ".txt", ".yaml", ".yml", ".names", ".labels"})
"""Suffixes of further files that may say where in an image objects are, or what classes are called."""
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"})
"""Suffixes of files that may hold images, which are not looked into."""


@dataclass(eq=False)
class Folder:
    """A folder.

    Attributes:
        path: Where it is.
        images: Images directly in it.
        folders: The folders in it, without those of operating systems and programs.
        label_files: Files directly in it that may hold labels.
        box_files: Files directly in it that may hold boxes or names of classes.
        system_folders: What was passed over below it.
        archives: Archives directly in it, which are not looked into.
        other_files: Files directly in it that people may take for images, and that are not read.
    """

    path: Path
    images: list[Path] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    label_files: list[Path] = field(default_factory=list)
    box_files: list[Path] = field(default_factory=list)
    system_folders: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    other_files: list[Path] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def filled(self) -> list[Folder]:
        """The folders in it that hold images at some depth."""
        return [folder for folder in self.folders if folder.count]

    @property
    def count(self) -> int:
        """Number of images in it and below."""
        return len(self.images) + sum(folder.count for folder in self.folders)

    @property
    def all_images(self) -> list[Path]:
        """Images in it and below, in order of path."""
        return sorted(image for folder in self.walk() for image in folder.images)

    @property
    def leaves(self) -> list[Folder]:
        """It and the folders below that hold images themselves."""
        return [folder for folder in self.walk() if folder.images]

    def walk(self) -> Iterator[Folder]:
        """It and every folder below."""
        yield self
        for folder in self.folders:
            yield from folder.walk()


def scan(path: Path, exclude: Sequence[str] = ()) -> Folder:
    """List a folder.

    Links are followed, and loops of links end. Hidden files and those of operating systems are passed over.

    Args:
        path: The folder.
        exclude: Names, or paths from the folder on, to pass over; ``*`` stands for anything.

    Raises:
        DataError: If it, or a folder in it, cannot be listed.
    """
    return _scan(path, path, tuple(pattern.strip("/") for pattern in exclude), ())


def _scan(path: Path, root: Path, exclude: tuple[str, ...], above: tuple[tuple[int, int], ...]) -> Folder:
    found = Folder(path)
    try:
        status = path.stat()
        above = (*above, (status.st_dev, status.st_ino))
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{path} cannot be listed: {error.strerror}") from None
    for entry in entries:
        inner = Path(entry.path)
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link that leads to itself is neither
            continue
        if is_system_name(entry.name):
            if is_folder and not entry.name.startswith("."):
                found.system_folders.append(inner)
            continue
        if exclude and _matches(inner, root, exclude):
            continue
        if is_folder:
            _add_folder(found, inner, root, exclude, above)
        elif is_file and looks_like_image(inner):
            found.images.append(inner)
        elif is_file and inner.suffix.lower() in LABEL_SUFFIXES:
            found.label_files.append(inner)
        elif is_file and inner.suffix.lower() in BOX_SUFFIXES:
            found.box_files.append(inner)
        elif is_file and inner.suffix.lower() in ARCHIVE_SUFFIXES:
            found.archives.append(inner)
        elif is_file and inner.suffix.lower() in OTHER_SUFFIXES:
            found.other_files.append(inner)
    return found


def _add_folder(
    found: Folder, inner: Path, root: Path, exclude: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> None:
    try:
        status = inner.stat()
    except OSError as error:
        raise DataError(f"{inner} cannot be listed: {error.strerror}") from None
    if (status.st_dev, status.st_ino) in above:
        return
    folder = _scan(inner, root, exclude, above)
    found.folders.append(folder)
    found.system_folders += folder.system_folders


def _matches(path: Path, root: Path, patterns: tuple[str, ...]) -> bool:
    inside = path.relative_to(root).as_posix()
    return any(fnmatchcase(path.name, pattern) or fnmatchcase(inside, pattern) for pattern in patterns)
