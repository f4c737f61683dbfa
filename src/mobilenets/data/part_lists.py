"""Lists of files by part: ``train.txt`` and ``test.txt`` beside class folders, as data sets of research have them.

Food-101 has ``meta/train.txt`` with lines such as ``apple_pie/1005649``; others have whole paths, and the number of a
class after them. The classes are those of the folders; the lists say which part an image is in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mobilenets.base.text import plural
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.parts import PARTS, part_name
from mobilenets.data.reading import told
from mobilenets.data.sources import IMAGE_SUFFIXES
from mobilenets.data.tree import Folder
from mobilenets.errors import DataError

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list"})
MOST_LIST_BYTES = 200_000_000
LEAST_FOUND = 0.9
"""Share of the lines of a file that must name images for it to be a list of images."""

Tail = tuple[str, str]
"""Name of the folder that an image is in, and its own without the suffix."""


@dataclass(frozen=True)
class PartLists:
    """Images by part, as lists of files say.

    Attributes:
        parts: Part → the images; every image is in one part at most.
        places: Part → the list, from the source on.
    """

    parts: Mapping[str, frozenset[Path]]
    places: Mapping[str, str]

    def split(self, classes: Mapping[str, Sequence[Path]], findings: list[Finding]) -> dict[str, dict[str, list[Path]]]:
        """The images of every class by part; those in no list are left out, and a finding says so."""
        found = {
            part: {label: [image for image in images if image in listed_] for label, images in classes.items()}
            for part, listed_ in self.parts.items()
        }
        everywhere = frozenset().union(*self.parts.values())
        others = [image for images in classes.values() for image in images if image not in everywhere]
        if others:
            message = f"{plural(len(others), 'image')} in none of {listed(list(self.places.values()))}"
            findings.append(Finding(Kind.LEFT_OUT, message, len(others), examples_of(others)))
        return found


@dataclass(frozen=True)
class Listed:
    """The images that a file gives to a part.

    Attributes:
        part: The part.
        images: The images.
        file: The file, from the source on.
        words: What says so in the file, where it is not all of it; or what says so instead.
    """

    part: str
    images: frozenset[Path]
    file: str
    words: str = ""

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePosixPath(self.file).name

    @property
    def place(self) -> str:
        """What the list is called."""
        return self.words or self.file


def find_part_lists(
    root: Folder, node: Folder, exclude: Sequence[str], images: Iterable[Path] | None = None
) -> PartLists | None:
    """Find lists of the images below a folder, in it, in the source and in folders of them that hold no images.

    Args:
        root: The source.
        node: The folder that holds the class folders.
        exclude: Names of files to leave out.
        images: The images; by default those below ``node``.

    Returns:
        None where there is no list, or only one of all images.

    Raises:
        DataError: If several files list images of one part, or an image is in two parts.
    """
    files = _candidates(root, node, exclude)
    if not files:
        return None
    by_tail = _by_tail(node.all_images if images is None else images)
    found = [
        Listed(part, images, file.relative_to(root.path).as_posix())
        for file, part in files
        if (images := _listed_images(file, by_tail)) is not None
    ]
    return as_part_lists(root, found, frozenset(by_tail.values()))


def as_part_lists(root: Folder, found: Sequence[Listed], images: frozenset[Path]) -> PartLists | None:
    """The parts that lists give to some images: with one list, those that it does not name are the other part.

    Args:
        root: The source.
        found: The lists.
        images: All images of the classes.

    Raises:
        DataError: If several lists are of one part, or an image is in two parts.
    """
    by_part: dict[str, Listed] = {}
    for one in found:
        if one.part in by_part:
            raise DataError(
                f"{root.path} holds two lists of images for {one.part}: {by_part[one.part].file} and {one.file}; leave "
                f"one out with {told(exclude=(one.name,))}, or both with {told(find_parts=False)}"
            )
        by_part[one.part] = one
    if not by_part:
        return None
    _refuse_shared(by_part)
    if len(by_part) == 1:
        ((part, only),) = by_part.items()
        rest = images - only.images
        if part == "validation" or not rest:
            return None
        other = "train" if part == "test" else "test"
        by_part[other] = Listed(other, rest, only.file, f"all that {only.place} does not list")
    in_order = [by_part[part] for part in PARTS if part in by_part]
    return PartLists({one.part: one.images for one in in_order}, {one.part: one.place for one in in_order})


def _candidates(root: Folder, node: Folder, exclude: Sequence[str]) -> list[tuple[Path, str]]:
    """Files that are called like lists of a part, each with the part."""
    folders = {
        folder.path: None
        for near in (root, node)
        for folder in (near, *(inner for inner in near.folders if not inner.count))
    }
    found = []
    for folder in folders:
        for file in sorted(folder.iterdir()):
            named = part_name(file.stem) if file.suffix.lower() in LIST_SUFFIXES else None
            if named is not None and file.name not in exclude and file.is_file():
                found.append((file, named.part))
    return found


def _by_tail(images: Iterable[Path]) -> dict[Tail, Path]:
    """The images by folder and name, and those whose name no other has by the name alone."""
    found = {(image.parent.name, _stem(image.name)): image for image in images}
    names = Counter(stem for _, stem in found)
    return found | {("", stem): image for (_, stem), image in found.items() if names[stem] == 1}


def _stem(name: str) -> str:
    """A file's name without the suffix of an image: ``a.b`` stays."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else name


def _listed_images(file: Path, by_tail: Mapping[Tail, Path]) -> frozenset[Path] | None:
    """The images that a file lists, one a line; None where it lists something else."""
    try:
        if file.stat().st_size > MOST_LIST_BYTES:
            return None
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    wanted = [line.strip() for line in lines if line.strip()]
    found = [image for line in wanted if (image := _image_of(line, by_tail)) is not None]
    return frozenset(found) if found and len(found) >= LEAST_FOUND * len(wanted) else None


def _image_of(line: str, by_tail: Mapping[Tail, Path]) -> Path | None:
    """The image that a line names by its folder and its name, perhaps with a class after it."""
    for text in (line, re.split(r"[\t,;]|\s+(?=\S+$)", line)[0]):
        parts = text.strip("\"' ").replace("\\", "/").split("/")
        folder = parts[-2] if len(parts) > 1 else ""
        if (image := by_tail.get((folder, _stem(parts[-1])))) is not None:
            return image
    return None


def _refuse_shared(lists: Mapping[str, Listed]) -> None:
    names = list(lists)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if both := lists[one].images & lists[other].images:
                raise DataError(
                    f"{lists[one].place} and {lists[other].place} both list {plural(len(both), 'image')}, such as "
                    f"{min(both)}; leave one list out with {told(exclude=(lists[other].name,))}"
                )
