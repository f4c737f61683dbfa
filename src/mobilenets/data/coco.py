"""Boxes in the JSON of COCO: lists of images, annotations and categories, a file for each part.

Source: the data format at cocodataset.org.
"""

from __future__ import annotations

import json
import mmap
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import (
    AnnotatedBox,
    AnnotatedImage,
    BoxLayout,
    are_shares,
    box_around,
    look_like_corners,
    part_of_path,
    size_of,
)
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import part_name
from mobilenets.data.reading import Reading, told
from mobilenets.errors import DataError

_MARKS = (b'"images"', b'"annotations"')
_OBJECTS = re.compile(rb'"bbox"|"segmentation"\s*:\s*\[\s*\[')
"""A box, or a polygon."""
_ANNOTATION_FOLDERS = ("annotation", "label")


def is_coco(path: Path) -> bool:
    """Whether a file looks like COCO's JSON with boxes."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(mark) >= 0 for mark in _MARKS) and _OBJECTS.search(content) is not None
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def read_coco(files: Sequence[Path], root: Path, reading: Reading) -> BoxLayout:
    """Read one file of all images, or one for each part.

    Args:
        files: The files.
        root: The source.
        reading: What cannot be told from them.

    Raises:
        DataError: If a file is damaged, two hold the same part, or an annotation is of a category or image that is not
            in its file's lists, or two of these have one id.
    """
    by_part = _by_part(files, root)
    labels: dict[str, None] = {}
    images: list[AnnotatedImage] = []
    findings: list[Finding] = []
    for part, file in by_part.items():
        data = _load(file)
        names = _categories(data, file)
        labels |= dict.fromkeys(names.values())
        folders = _image_folders(file, root) if reading.images_in is None else [Path(reading.images_in)]
        finder = FileFinder(*folders)
        images += _images(data, names, file, finder, part, findings)
    places = {part: _inside(file, root) for part, file in by_part.items()}
    return BoxLayout(tuple(images), tuple(labels), "COCO JSON", places if ALL not in by_part else {}, tuple(findings))


def _image_folders(file: Path, root: Path) -> list[Path]:
    """Folders that a file's images are looked for in."""
    if part_of_path(file, root) != ALL:
        return [file.parent, root]
    # Where the folder of the annotations alone was named, those of the images are usually beside it.
    beside = file.parent == root and root.name.casefold().startswith(_ANNOTATION_FOLDERS)
    return [root, root.parent] if beside else [root]


def _by_part(files: Sequence[Path], root: Path) -> dict[str, Path]:
    if len(files) == 1:
        return {_part(files[0], root): files[0]}
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[_part(file, root)].append(file)
    chosen = {}
    for part, several in found.items():
        # COCO has captions and keypoints of the same images beside the file of objects.
        objects = [file for file in several if file.stem.startswith("instances")]
        if len(several) > 1 and len(objects) != 1:
            raise DataError(
                f"{root} holds {plural(len(several), 'file')} of boxes for {part}: "
                f"{listed([_inside(file, root) for file in several])}; name one, or leave the others out with "
                f"{told(exclude=(several[-1].name,))}"
            )
        chosen[part] = objects[0] if len(several) > 1 else several[0]
    if ALL in chosen and len(chosen) > 1:
        raise DataError(
            f"{root} holds {_inside(chosen[ALL], root)} beside files of parts; leave it out with "
            f"{told(exclude=(chosen[ALL].name,))}, or name it"
        )
    return chosen


def _part(file: Path, root: Path) -> str:
    named = part_name(file.stem)
    return named.part if named is not None else part_of_path(file, root)


def _inside(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file != root and file.is_relative_to(root) else file.name


def _load(file: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    for name in ("images", "annotations", "categories"):
        rows = data.get(name) if isinstance(data, Mapping) else None
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise DataError(f"{file} is no COCO file: {name!r} must be a list of objects")
    checked: Mapping[str, Any] = data
    return checked


def _categories(data: Mapping[str, Any], file: Path) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for row in data["categories"]:
        if not isinstance(row.get("name"), str) or not row["name"].strip():
            raise DataError(f"{file}: category {row.get('id')!r:.40} has no name")
        known = names.setdefault(_id(row.get("id")), row["name"].strip())
        if known != row["name"].strip():
            raise DataError(
                f"{file}: the categories {known} and {row['name'].strip()} have one id, {row.get('id')!r:.40}"
            )
    return names


def _id(value: object) -> object:
    """An id as it is compared: programs write the same one as a number and as text."""
    return value.strip() if isinstance(value, str) else str(value)


def _images(
    data: Mapping[str, Any],
    names: Mapping[Any, str],
    file: Path,
    finder: FileFinder,
    part: str,
    findings: list[Finding],
) -> list[AnnotatedImage]:
    boxes: dict[Any, list[AnnotatedBox]] = {_id(row.get("id")): [] for row in data["images"]}
    _check_ids(data["images"], file)
    without = 0
    for row in data["annotations"]:
        box = _box(row, names, boxes, file)
        if box is None:
            without += 1
        else:
            boxes[_id(row["image_id"])].append(box)
    if without:
        message = f"{plural(without, 'annotation')} of {file.name} without a box or a polygon"
        findings.append(Finding(Kind.LEFT_OUT, message))
    in_shares = are_shares(box for several in boxes.values() for box in several)
    if in_shares:
        findings.append(Finding(Kind.NOTE, f"the boxes of {file.name} are shares of the width and height, not pixels"))
    images = []
    for row in data["images"]:
        name = row.get("file_name") or row.get("coco_url")
        if not isinstance(name, str):
            raise DataError(f"{file}: image {row.get('id')!r:.40} has no file_name")
        path = finder.find(name) or file.parent / name
        images.append(
            AnnotatedImage(
                path,
                file,
                tuple(boxes[_id(row.get("id"))]),
                part,
                size_of(row.get("width"), row.get("height")),
                in_shares,
            )
        )
    if look_like_corners((box, image.size) for image in images if image.size is not None for box in image.boxes):
        message = (
            f"boxes of {file.name} look like left, top, right and bottom; they are read as left, top, width and height"
        )
        findings.append(Finding(Kind.WARNING, message))
    return images


def _check_ids(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Raise if two images have one id: whose boxes are whose, nobody could tell."""
    first: dict[object, object] = {}
    for row in rows:
        known = first.setdefault(_id(row.get("id")), row.get("file_name"))
        if known != row.get("file_name"):
            raise DataError(f"{file}: the images {known} and {row.get('file_name')} have one id, {row.get('id')!r:.40}")


def _box(
    row: Mapping[str, Any], names: Mapping[Any, str], images: Mapping[Any, object], file: Path
) -> AnnotatedBox | None:
    place = f"annotation {row.get('id')!r:.40}"
    if _id(row.get("category_id")) not in names:
        known = listed([f"{number} ({name})" for number, name in names.items()])
        raise DataError(f"{file}: {place} is of category {row.get('category_id')!r:.40}; the categories are {known}")
    if _id(row.get("image_id")) not in images:
        raise DataError(f"{file}: {place} is of image {row.get('image_id')!r:.40}, which is not in the list of images")
    sides = row.get("bbox")
    if not sides:
        corners = _around_polygons(row.get("segmentation"))
        return None if corners is None else AnnotatedBox(names[_id(row["category_id"])], corners, place, _ignored(row))
    try:
        left, top, width, height = (float(side) for side in sides)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{file}: {place} has the bbox {sides!r:.60}; expected left, top, width and height") from None
    corners = (left, top, left + width, top + height)
    return AnnotatedBox(names[_id(row["category_id"])], corners, place, _ignored(row))


def _ignored(row: Mapping[str, Any]) -> bool:
    return bool(row.get("iscrowd", 0) or row.get("ignore", 0))


def _around_polygons(polygons: object) -> tuple[float, float, float, float] | None:
    """The box around an object's polygons; None where it has none, such as one that is a mask of run lengths."""
    if not isinstance(polygons, list):
        return None
    try:
        points = [float(number) for polygon in polygons for number in polygon]
    except (TypeError, ValueError, OverflowError):
        return None
    return box_around(points) if len(points) >= 6 and len(points) % 2 == 0 else None
