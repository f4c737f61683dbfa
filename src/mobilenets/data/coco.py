"""Boxes in the JSON of COCO: lists of images, annotations and categories, a file for each part.

Source: the data format at cocodataset.org.
"""

from __future__ import annotations

import json
import mmap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import AnnotatedBox, AnnotatedImage, BoxLayout, part_of_path
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import part_name
from mobilenets.data.reading import Reading, told
from mobilenets.errors import DataError

_MARKS = (b'"images"', b'"annotations"', b'"bbox"')


def is_coco(path: Path) -> bool:
    """Whether a file looks like COCO's JSON with boxes."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(mark) >= 0 for mark in _MARKS)
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
            in its file's lists.
    """
    by_part = _by_part(files, root)
    labels: dict[str, None] = {}
    images: list[AnnotatedImage] = []
    findings: list[Finding] = []
    for part, file in by_part.items():
        data = _load(file)
        names = _categories(data, file)
        labels |= dict.fromkeys(names.values())
        # The folder of the annotations is usually one beside those of the images.
        folders = [root, file.parent.parent] if part_of_path(file, root) == ALL else [file.parent, root]
        finder = FileFinder(*(folders if reading.images_in is None else [Path(reading.images_in)]))
        images += _images(data, names, file, finder, part, findings)
    places = {part: _inside(file, root) for part, file in by_part.items()}
    return BoxLayout(tuple(images), tuple(labels), "COCO JSON", places if ALL not in by_part else {}, tuple(findings))


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
    names = {}
    for row in data["categories"]:
        if not isinstance(row.get("name"), str) or not row["name"].strip():
            raise DataError(f"{file}: category {row.get('id')!r:.40} has no name")
        names[row.get("id")] = row["name"].strip()
    return names


def _images(
    data: Mapping[str, Any],
    names: Mapping[Any, str],
    file: Path,
    finder: FileFinder,
    part: str,
    findings: list[Finding],
) -> list[AnnotatedImage]:
    boxes: dict[Any, list[AnnotatedBox]] = {row.get("id"): [] for row in data["images"]}
    without = 0
    for row in data["annotations"]:
        box = _box(row, names, boxes, file)
        if box is None:
            without += 1
        else:
            boxes[row["image_id"]].append(box)
    if without:
        findings.append(Finding(Kind.LEFT_OUT, f"{plural(without, 'annotation')} of {file.name} without a box"))
    images = []
    for row in data["images"]:
        name = row.get("file_name") or row.get("coco_url")
        if not isinstance(name, str):
            raise DataError(f"{file}: image {row.get('id')!r:.40} has no file_name")
        path = finder.find(name) or file.parent / name
        images.append(AnnotatedImage(path, file, tuple(boxes[row.get("id")]), part, _size(row)))
    return images


def _box(
    row: Mapping[str, Any], names: Mapping[Any, str], images: Mapping[Any, object], file: Path
) -> AnnotatedBox | None:
    place = f"annotation {row.get('id')!r:.40}"
    if row.get("category_id") not in names:
        known = listed([f"{number} ({name})" for number, name in names.items()])
        raise DataError(f"{file}: {place} is of category {row.get('category_id')!r:.40}; the categories are {known}")
    if row.get("image_id") not in images:
        raise DataError(f"{file}: {place} is of image {row.get('image_id')!r:.40}, which is not in the list of images")
    sides = row.get("bbox")
    if not sides:
        return None
    try:
        left, top, width, height = (float(side) for side in sides)
    except (TypeError, ValueError):
        raise DataError(f"{file}: {place} has the bbox {sides!r:.60}; expected left, top, width and height") from None
    corners = (left, top, left + width, top + height)
    return AnnotatedBox(names[row["category_id"]], corners, place, bool(row.get("iscrowd", 0)))


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        width, height = int(row["width"]), int(row["height"])
    except (KeyError, TypeError, ValueError):
        return None
    return (width, height) if width > 0 and height > 0 else None
