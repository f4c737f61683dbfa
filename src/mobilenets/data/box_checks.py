"""Every box is checked against its image: what can be mended is, the rest is left out, and all of it is counted."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import AnnotatedImage
from mobilenets.data.decoding import TURNED, UPRIGHT, image_header
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.label_files import MOST_LEFT_OUT
from mobilenets.data.loading import each
from mobilenets.errors import DataError
from mobilenets.tasks.boxes import GroundTruth

TOLERANCE = 1.0
"""Pixels by which a box may reach beyond its image without a word: some programs count pixels from 1."""
SAME_ASPECT = 0.02
"""Share by which two aspect ratios may differ where an image was resized after it was annotated."""

MOST_SHARE = 2.0
"""Largest coordinate of a box that is given in shares of the image and reaches some way beyond it."""

Floats = npt.NDArray[np.float64]


class Fault(StrEnum):
    """What is wrong with a box."""

    NOT_FINITE = "with NaN or infinite coordinates, left out"
    OUTSIDE = "wholly outside of the image, left out"
    EMPTY = "without an area, left out"
    REPEATED = "equal to another of its class, left out"
    SWAPPED = "with swapped corners, which were put in order"
    CLIPPED = "reaching beyond the image, clipped to it"
    TINY = "narrower or lower than a pixel"


LEFT_OUT = (Fault.NOT_FINITE, Fault.OUTSIDE, Fault.EMPTY)
"""Faults that make an annotation suspicious if there are many; a repeated box is none."""


@dataclass(frozen=True)
class CheckedBoxes:
    """Ground truth of every image, and what was found on the way.

    Attributes:
        truths: Of each image.
        findings: What the source's owner should know of.
    """

    truths: tuple[GroundTruth, ...]
    findings: tuple[Finding, ...]


@dataclass
class _Notes:
    """Boxes by fault, and images whose annotation is of another size."""

    faults: dict[Fault, list[str]] = field(default_factory=lambda: defaultdict(list))
    turned: list[str] = field(default_factory=list)
    scaled: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


def check_boxes(images: Sequence[AnnotatedImage], numbers: Mapping[str, int], source: str) -> CheckedBoxes:
    """Check every box, and turn it into pixels of its upright image.

    Args:
        images: What files say.
        numbers: Name of a class, as files give it → its number.
        source: What to call the data.

    Raises:
        DataError: If more than a tenth of all boxes had to be left out.
    """
    notes = _Notes()
    headers = (result for _, result in each(images, _header))
    truths = tuple(_truth(image, header, numbers, notes) for image, header in zip(images, headers, strict=True))
    total = sum(len(image.boxes) for image in images)
    bad = [text for fault in LEFT_OUT for text in notes.faults[fault]]
    if len(bad) > MOST_LEFT_OUT * total:
        kinds = ", ".join(
            f"{len(notes.faults[fault]):,} {fault.value.split(',')[0]}" for fault in LEFT_OUT if notes.faults[fault]
        )
        raise DataError(
            f"{len(bad):,} of the {total:,} boxes of {source} cannot be used: {kinds}; such as {listed(bad)}. "
            + _question(images)
        )
    return CheckedBoxes(truths, _findings(notes))


def _question(images: Sequence[AnnotatedImage]) -> str:
    """What may be wrong with boxes of which many cannot be used."""
    largest = max((abs(corner) for one in images for box in one.boxes for corner in box.corners), default=0.0)
    if any(image.in_shares for image in images) and largest > MOST_SHARE:
        return "They are read as shares of the width and height, from 0 to 1, and look like pixels"
    return "Are the coordinates those of images of another size?"


def _header(image: AnnotatedImage) -> tuple[tuple[int, int], int]:
    if image.image is not None:
        return image_header(io.BytesIO(image.image.content()), str(image.file))
    try:
        with image.file.open("rb") as file:
            return image_header(file, str(image.file))
    except OSError as error:
        raise DataError(f"{image.file} cannot be read: {error.strerror}") from None


def _truth(
    image: AnnotatedImage,
    header: tuple[tuple[int, int], int] | DataError,
    numbers: Mapping[str, int],
    notes: _Notes,
) -> GroundTruth:
    if isinstance(header, DataError):  # the image is skipped, by name, when it is decoded
        return GroundTruth.of([], [], image.size or (1, 1))
    stored, orientation = header
    size = stored[::-1] if orientation in TURNED else stored
    corners = np.array([box.corners for box in image.boxes], np.float64).reshape(-1, 4)
    if image.boxes and _is_unsure(image, stored, orientation):
        notes.unsure.append(str(image.file))
    pixels = _in_pixels(corners, image, stored, size, orientation, notes)
    classes = np.array([numbers[box.label] for box in image.boxes], np.int64)
    fine, kept = _mended(pixels, classes, size, image, notes)
    ignored = [box.ignored for box in image.boxes]
    return GroundTruth.of(fine[kept], classes[kept], size, np.array(ignored, np.bool_)[kept])


def _is_unsure(image: AnnotatedImage, stored: tuple[int, int], orientation: int) -> bool:
    """Whether EXIF turns or mirrors an image and nothing says whether its boxes were drawn before or after."""
    told = orientation in TURNED and not image.in_shares and stored != stored[::-1] and image.size is not None
    return orientation != UPRIGHT and not told


def _in_pixels(
    corners: Floats,
    image: AnnotatedImage,
    stored: tuple[int, int],
    size: tuple[int, int],
    orientation: int,
    notes: _Notes,
) -> Floats:
    """Corners in pixels of the upright image, whatever image they were drawn on."""
    name = str(image.file)
    if image.in_shares:
        return np.asarray(corners * np.tile(size, 2))
    if image.size is None or image.size == size:
        return corners
    if image.size == stored and orientation in TURNED:  # drawn on the image as it is stored
        notes.turned.append(name)
        return _turned(corners, stored, orientation)
    wanted, found = image.size[0] / image.size[1], size[0] / size[1]
    if abs(wanted / found - 1) <= SAME_ASPECT:
        notes.scaled.append(f"{name} ({image.size[0]}×{image.size[1]} for {size[0]}×{size[1]})")
        return np.asarray(corners * np.tile(np.array(size) / image.size, 2))
    notes.other_shape.append(f"{name} ({image.size[0]}×{image.size[1]} for {size[0]}×{size[1]})")
    return corners


def _turned(corners: Floats, stored: tuple[int, int], orientation: int) -> Floats:
    """Corners of an image as it is stored, as those of the upright one, for orientations that swap its sides."""
    width, height = stored
    left, top, right, bottom = corners.T
    match orientation:
        case 5:
            turned = top, left, bottom, right
        case 6:
            turned = height - bottom, left, height - top, right
        case 7:
            turned = height - bottom, width - right, height - top, width - left
        case 8:
            turned = top, width - right, bottom, width - left
        case _:
            raise ValueError(f"orientation {orientation} leaves the sides as they are")
    return np.stack(turned, axis=1)


def _mended(
    corners: Floats, classes: npt.NDArray[np.int64], size: tuple[int, int], image: AnnotatedImage, notes: _Notes
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Corners in order and inside of the image, and which boxes are kept."""

    def note(fault: Fault, where: Any) -> None:
        notes.faults[fault] += [_place(image, number) for number in np.flatnonzero(where).tolist()]

    kept = np.isfinite(corners).all(axis=1)
    note(Fault.NOT_FINITE, ~kept)
    first, second = np.nan_to_num(corners[:, :2]), np.nan_to_num(corners[:, 2:])
    swapped = kept & (first > second).any(axis=1)
    note(Fault.SWAPPED, swapped)
    ordered = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    limits = np.array(size, np.float64)
    empty = np.asarray(kept & (ordered[:, :2] == ordered[:, 2:]).any(axis=1))
    outside = np.asarray(kept & ~empty & ((ordered[:, :2] >= limits) | (ordered[:, 2:] <= 0)).any(axis=1))
    beyond = np.maximum(-ordered[:, :2], ordered[:, 2:] - limits).max(axis=1, initial=0) > TOLERANCE
    note(Fault.EMPTY, empty)
    note(Fault.OUTSIDE, outside)
    note(Fault.CLIPPED, kept & ~empty & ~outside & beyond)
    clipped = np.clip(ordered, 0, np.tile(limits, 2))
    note(Fault.TINY, kept & ~empty & ~outside & ((clipped[:, 2:] - clipped[:, :2]) < 1).any(axis=1))
    keys = np.concatenate([clipped, classes[:, None]], axis=1)
    kept = kept & ~empty & ~outside
    repeated = np.ones(len(keys), np.bool_)
    repeated[np.unique(keys, axis=0, return_index=True)[1] if len(keys) else []] = False
    note(Fault.REPEATED, kept & repeated)
    return clipped, kept & ~repeated


def _place(image: AnnotatedImage, number: int) -> str:
    box = image.boxes[number]
    corners = ", ".join(f"{corner:g}" for corner in box.corners)
    return f"{image.origin}, {box.place} ({box.label} {corners})"


def _findings(notes: _Notes) -> tuple[Finding, ...]:
    found = [
        Finding(Kind.WARNING, f"{plural(len(places), 'box', 'boxes')} {fault.value}", 0, examples_of(places))
        for fault in Fault
        if (places := notes.faults[fault])
    ]
    for names, text, kind in (
        (notes.turned, "annotated as stored, and not upright: their boxes were turned", Kind.NOTE),
        (
            notes.unsure,
            "turned by EXIF, and nothing says if boxes were drawn before: taken for drawn on the upright image",
            Kind.NOTE,
        ),
        (notes.scaled, "annotated at another size: their boxes were scaled", Kind.NOTE),
        (
            notes.other_shape,
            "annotated at a size of another shape: boxes were taken as pixels of the image",
            Kind.WARNING,
        ),
    ):
        if names:
            found.append(Finding(kind, f"{plural(len(names), 'image')} {text}", len(names), examples_of(names)))
    return tuple(found)
