"""Images with boxes as files say it, before anything is checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mobilenets.data.archives import ArchivedImage
from mobilenets.data.findings import Finding
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import part_name
from mobilenets.data.tree import Folder

BEYOND, BEYOND_SHARE = 1.5, 0.1
"""Pixels that a box may reach beyond its image, and the share of boxes that may by more, before their numbers are taken
for others than they are called."""


LARGEST_SIDE = 10_000_000
"""Pixels of a side that no image has."""


@dataclass(frozen=True)
class AnnotatedBox:
    """One object.

    Attributes:
        label: Its class.
        corners: Left, top, right and bottom, as the file has them.
        place: Where in its file it stands, such as ``object 3`` or ``line 12``.
        ignored: Whether it is a crowd, or too difficult to count.
    """

    label: str
    corners: tuple[float, float, float, float]
    place: str
    ignored: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One image.

    Attributes:
        file: The image.
        origin: The file that says what is in it.
        boxes: Its objects.
        part: ``train``, ``validation``, ``test`` or ``all``.
        size: Its width and height as the file says, in pixels; None where it does not. Where it is not that of the
            image, the boxes are those of a smaller or larger copy, or of one that was not turned upright.
        in_shares: Whether corners are shares of the width and height, and not pixels.
        image: Where it is, if in no file of its own; ``file`` is then its name.
    """

    file: Path
    origin: Path
    boxes: tuple[AnnotatedBox, ...]
    part: str = ALL
    size: tuple[int, int] | None = None
    in_shares: bool = False
    image: ArchivedImage | None = None

    @property
    def source(self) -> ImageSource:
        """The image, wherever it is."""
        return FileImage(self.file) if self.image is None else self.image


@dataclass(frozen=True)
class BoxLayout:
    """Images with boxes of a source.

    Attributes:
        images: The images, each in one part.
        labels: Names of the classes, in the order of the source; those of its files that list them.
        kind: What the layout is, in a few words.
        places: Part → where it was found, from the source on.
        findings: What the source's owner should know of.
    """

    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...]
    kind: str
    places: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as a file gives them, in whole pixels; None of what is no size.

    >>> size_of("640", 480.0), size_of(0, 480), size_of("wide", 480)
    ((640, 480), None, None)
    """
    try:
        size = int(float(width)), int(float(height))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if all(0 < side < LARGEST_SIDE for side in size) else None


def are_shares(boxes: Iterable[AnnotatedBox | None]) -> bool:
    """Whether corners are shares of the image's sides: no box of pixels, in a whole file, is smaller than one.

    >>> are_shares([AnnotatedBox("cat", (0.1, 0.25, 0.4, 0.75), "line 2")])
    True
    """
    corners = [corner for box in boxes if box is not None for corner in box.corners if math.isfinite(corner)]
    return bool(corners) and max(map(abs, corners)) <= 1.5 and any(corner % 1 for corner in corners)


def as_corners(box: AnnotatedBox) -> AnnotatedBox:
    """A box whose width and height are right and bottom in truth.

    >>> as_corners(AnnotatedBox("cat", (10, 20, 50, 80), "object 1")).corners
    (10, 20, 40, 60)
    """
    left, top, right, bottom = box.corners
    return replace(box, corners=(left, top, right - left, bottom - top))


def look_like_corners(boxes: Iterable[tuple[AnnotatedBox, tuple[int, int]]]) -> bool:
    """Whether what was read as width and height looks like right and bottom.

    It does where more than a tenth of the boxes reach beyond their images as they were read, and none does as corners.

    Args:
        boxes: Boxes with the sizes of their images.
    """
    given = list(boxes)
    beyond = sum(not _is_inside(box, size) for box, size in given)
    return beyond > BEYOND_SHARE * len(given) and all(_is_inside(as_corners(box), size) for box, size in given)


def _is_inside(box: AnnotatedBox, size: tuple[int, int]) -> bool:
    left, top, right, bottom = box.corners
    return left < right <= size[0] + BEYOND and top < bottom <= size[1] + BEYOND


def box_around(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The box around points, which are given as x and y in turn.

    >>> box_around([10, 60, 40, 20, 25, 70])
    (10, 20, 40, 70)
    """
    return min(points[0::2]), min(points[1::2]), max(points[0::2]), max(points[1::2])


def box_around_turned(width: float, height: float, degrees: float) -> tuple[float, float, float, float]:
    """The box around one whose first corner is at 0 and that is turned about it, clockwise as images are seen.

    >>> [round(side) for side in box_around_turned(30, 40, 90)]
    [-40, 0, 0, 30]
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x * cosine - y * sine, x * sine + y * cosine) for x in (0, width) for y in (0, height)]
    return box_around([side for corner in corners for side in corner])


def box_around_centre(
    x: float, y: float, width: float, height: float, degrees: float
) -> tuple[float, float, float, float]:
    """The box around one that is turned about its centre.

    >>> [round(side) for side in box_around_centre(100, 100, 30, 40, 90)]
    [80, 85, 120, 115]
    """
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    wide, high = width * cosine + height * sine, width * sine + height * cosine
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


class ImagesByName:
    """Images below a folder, to be found by the file that describes each: of the same name but for the suffix."""

    def __init__(self, root: Folder) -> None:
        self._by_stem: dict[str, list[Path]] = {}
        for image in root.all_images:
            self._by_stem.setdefault(image.stem, []).append(image)

    def described_by(self, file: Path) -> Path | None:
        """The image that a file is called like; of several the one that shares most of its folders."""
        candidates = self._by_stem.get(file.stem, [])
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        folders = set(file.parent.parts)
        return max(candidates, key=lambda image: (image.parent == file.parent, len(folders & set(image.parent.parts))))


def part_of_path(path: Path, root: Path) -> str:
    """The part that a folder between a source and a file is called by; ``all`` if none is.

    >>> part_of_path(Path("data/images/val2017/1.jpg"), Path("data"))
    'validation'
    """
    inside = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    named = [part_name(folder) for folder in inside.parts[:-1]]
    return next((name.part for name in named if name is not None), ALL)
