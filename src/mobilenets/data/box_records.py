"""Boxes in JSON of other programs than COCO's: an object for each image, in a file of its own or in one of many.

Read are the forms of LabelMe, Label Studio, the VGG annotator (VIA), Create ML, and of folders of images for the
libraries of Hugging Face (``metadata.jsonl`` with ``objects``).
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import (
    AnnotatedBox,
    AnnotatedImage,
    BoxLayout,
    are_shares,
    as_corners,
    box_around,
    box_around_turned,
    look_like_corners,
    part_of_path,
    size_of,
)
from mobilenets.data.columns import FILE_NAMES, simplified
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import part_name
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError

Record = Mapping[str, Any]
Corners = tuple[float, float, float, float]

_LOOKED_AT = 20
_CLASS_KEYS = ("category", "categories", "label", "labels", "class", "classes", "name", "class_name", "category_id")


@dataclass
class _Found:
    """What a record says.

    Attributes:
        file: Name of the image.
        boxes: Its objects.
        others: Annotations in it that are no boxes.
        size: Width and height of the image, where it says so.
        in_shares: Whether corners are shares of the width and height.
    """

    file: str
    boxes: list[AnnotatedBox] = field(default_factory=list)
    others: int = 0
    size: tuple[int, int] | None = None
    in_shares: bool = False


@dataclass(frozen=True)
class _Form:
    """A form of records.

    Attributes:
        name: The program's.
        marks: What a file of this form holds.
        read: What one record says; raises KeyError, TypeError or ValueError of a record of another form.
    """

    name: str
    marks: tuple[re.Pattern[bytes], ...]
    read: Callable[[Record], _Found]


def holds_box_records(files: Sequence[Path]) -> bool:
    """Whether one of the first files holds boxes in one of the forms."""
    return any(_form_of(file) is not None for file in files[:_LOOKED_AT])


def _form_of(file: Path) -> _Form | None:
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return next((form for form in _FORMS if all(mark.search(content) for mark in form.marks)), None)
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


def read_box_records(files: Sequence[Path], root: Path, reading: Reading) -> BoxLayout:
    """Read records.

    The part of an image is what its file's name, or a folder above it, says.

    Args:
        files: JSON files, some of which may hold something else.
        root: The source.
        reading: Where the images are.

    Raises:
        DataError: If a file is damaged, or a record is of another form than its file.
    """
    images: list[AnnotatedImage] = []
    places: dict[str, str] = {}
    forms: dict[str, None] = {}
    findings: list[Finding] = []
    others = 0
    finders: dict[Path, FileFinder] = {}
    for file in files:
        form = _form_of(file)
        if form is None:
            continue
        forms[form.name] = None
        named = part_name(file.stem)
        part = named.part if named is not None else part_of_path(file, root)
        if part != ALL:
            places.setdefault(part, (file.parent if named is None else file).relative_to(root).as_posix())
        records = [_read(form, record, f"{file}, record {number}") for number, record in _records(file)]
        if form.read is _hugging_face and look_like_corners(
            (box, found.size) for found in records if found.size is not None for box in found.boxes
        ):
            records = [replace(found, boxes=[as_corners(box) for box in found.boxes]) for found in records]
            findings.append(
                Finding(
                    Kind.NOTE, f"boxes of {file.name} are read as left, top, right and bottom, not width and height"
                )
            )
        in_shares = are_shares(box for found in records for box in found.boxes)
        for found in records:
            others += found.others
            # Images are looked for beside the file that describes them; folders of one file each are listed once.
            folders = [file.parent, root] if reading.images_in is None else [Path(reading.images_in)]
            finder = finders.setdefault(folders[0], FileFinder(*folders))
            path = finder.find(found.file) or file.parent / found.file
            shares = found.in_shares or in_shares
            images.append(AnnotatedImage(path, file, tuple(found.boxes), part, found.size, shares))
    if others:
        message = f"{plural(others, 'annotation')} that are neither a box nor a polygon"
        findings.append(Finding(Kind.LEFT_OUT, message))
    labels = sorted({box.label for image in images for box in image.boxes}, key=_in_order)
    if labels and all(label.isdecimal() for label in labels):
        findings.append(Finding(Kind.NOTE, f"classes are numbers, and nothing says their names: {listed(labels)}"))
    return BoxLayout(tuple(images), tuple(labels), f"JSON of {' and '.join(forms)}", places, tuple(findings))


def _in_order(label: str) -> tuple[int, str]:
    """Numbers in order of their value."""
    return (int(label) if label.isdecimal() else -1, label)


def _records(file: Path) -> Iterator[tuple[int, Any]]:
    """The objects of a file, numbered from 1."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() != ".json":
            yield from enumerate((json.loads(line) for line in text.splitlines() if line.strip()), start=1)
            return
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    if isinstance(data, dict) and isinstance(data.get("_via_img_metadata"), dict):
        data = data["_via_img_metadata"]
    if isinstance(data, dict) and data and all(isinstance(one, dict) and "regions" in one for one in data.values()):
        data = list(data.values())
    yield from enumerate(data if isinstance(data, list) else [data], start=1)


def _read(form: _Form, record: Any, place: str) -> _Found:
    try:
        found = form.read(record)
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError) as error:
        reason = f"{error.args[0]!r:.40} is missing" if isinstance(error, KeyError) else f"{error!s:.80}"
        raise DataError(f"{place} is not as {form.name} writes boxes: {reason}") from None
    if not isinstance(found.file, str) or not found.file:
        raise DataError(f"{place} names no image")
    for box in found.boxes:
        if not box.label:
            raise DataError(f"{place}: {box.place} has no class")
    return found


def _class(value: Any) -> str:
    """A class as a label; empty where there is none."""
    if isinstance(value, list):
        value = value[0] if value else ""
    return "" if value is None else str(value).strip()


def _sides(left: Any, top: Any, width: Any, height: Any) -> Corners:
    return float(left), float(top), float(left) + float(width), float(top) + float(height)


# Forms ---------------------------------------------------------------------------------------------------------------


def _labelme(record: Record) -> _Found:
    size = size_of(record.get("imageWidth"), record.get("imageHeight"))
    found = _Found(str(record["imagePath"]), size=size)
    for number, shape in enumerate(record["shapes"], start=1):
        points = [float(number) for point in shape["points"] for number in point]
        kind = shape.get("shape_type") or "polygon"
        if kind == "circle" and len(points) == 4:  # its centre, and a point on it
            x, y = points[:2]
            radius = ((points[2] - x) ** 2 + (points[3] - y) ** 2) ** 0.5
            points = [x - radius, y - radius, x + radius, y + radius]
        elif kind not in ("rectangle", "polygon", "rotation", "mask") or len(points) < 4:
            found.others += 1
            continue
        found.boxes.append(AnnotatedBox(_class(shape["label"]), box_around(points), f"shape {number}"))
    return found


def _label_studio(record: Record) -> _Found:
    if isinstance(record.get("data"), Mapping):
        file = next((value for value in record["data"].values() if isinstance(value, str)), "")
        done = [one for one in record.get("annotations") or record["completions"] if not one.get("was_cancelled")]
        results = [result for one in done[:1] for result in one["result"]]
        values = [result.get("value") or {} for result in results]
    else:
        file = next((str(value) for name, value in record.items() if simplified(name) in FILE_NAMES), "")
        values = [one for value in record.values() if isinstance(value, list) for one in value]
    found = _Found(file, in_shares=True)
    for number, value in enumerate(values, start=1):
        place, polygon = f"region {number}", value.get("points")
        if value.get("rectanglelabels"):
            left, top, right, bottom = _sides(value["x"], value["y"], value["width"], value["height"])
            corners = _turned_in_shares(value, (left, top, right, bottom))
            found.boxes.append(AnnotatedBox(_class(value["rectanglelabels"]), corners, place))
        elif value.get("polygonlabels") and polygon:
            around_all = box_around([float(number) / 100 for point in polygon for number in point])
            found.boxes.append(AnnotatedBox(_class(value["polygonlabels"]), around_all, place))
        else:
            found.others += 1
    return found


def _turned_in_shares(value: Mapping[str, Any], corners: Corners) -> Corners:
    """The box around one in percent of the image that is turned about its first corner, in shares."""
    rotation = float(value.get("rotation") or 0)
    left, top, right, bottom = (corner / 100 for corner in corners)
    if not rotation:
        return left, top, right, bottom
    wide, high = float(value.get("original_width") or 1), float(value.get("original_height") or 1)
    turned = box_around_turned((right - left) * wide, (bottom - top) * high, rotation)
    x, y = left * wide, top * high
    return (x + turned[0]) / wide, (y + turned[1]) / high, (x + turned[2]) / wide, (y + turned[3]) / high


def _via(record: Record) -> _Found:
    found = _Found(str(record["filename"]))
    regions = record["regions"]
    for number, region in enumerate(regions.values() if isinstance(regions, Mapping) else regions, start=1):
        shape, attributes = region["shape_attributes"], region.get("region_attributes") or {}
        label = _class(next((one for one in attributes.values() if isinstance(one, str)), "object"))
        match shape.get("name"):
            case "rect":
                corners = _sides(shape["x"], shape["y"], shape["width"], shape["height"])
            case "polygon":
                points = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
                corners = box_around([float(number) for point in points for number in point])
            case _:
                found.others += 1
                continue
        found.boxes.append(AnnotatedBox(label, corners, f"region {number}"))
    return found


def _create_ml(record: Record) -> _Found:
    found = _Found(str(record.get("image") or record.get("imagefilename") or record["filename"]))
    for number, one in enumerate(record.get("annotations") or record.get("annotation") or (), start=1):
        place = one["coordinates"]
        width, height = float(place["width"]), float(place["height"])
        corners = _sides(float(place["x"]) - width / 2, float(place["y"]) - height / 2, width, height)
        found.boxes.append(AnnotatedBox(_class(one.get("label")), corners, f"annotation {number}"))
    return found


def _hugging_face(record: Record) -> _Found:
    size = size_of(record.get("width"), record.get("height"))
    objects = record["objects"]
    found = _Found(str(record["file_name"]), size=size)
    if isinstance(objects, list):  # an object for each, instead of a list for each of their values
        rows = [(one["bbox"], _class_of(one)) for one in objects]
    else:
        classes = _class_of(objects)
        rows = list(zip(objects["bbox"], classes or ["object"] * len(objects["bbox"]), strict=True))
    for number, (bbox, label) in enumerate(rows, start=1):
        found.boxes.append(AnnotatedBox(_class(label), _sides(*bbox), f"object {number}"))
    return found


def _class_of(values: Mapping[str, Any]) -> Any:
    return next((values[key] for key in _CLASS_KEYS if key in values), None)


def _marks(*words: str) -> tuple[re.Pattern[bytes], ...]:
    return tuple(re.compile(rb'"' + word.encode() + rb'"\s*:') for word in words)


_FORMS = (
    _Form("LabelMe", _marks("shapes", "imagePath"), _labelme),
    _Form("Label Studio", _marks("(rectangle|polygon)labels"), _label_studio),
    _Form("the VGG annotator", _marks("shape_attributes", "regions"), _via),
    _Form("Create ML", _marks("annotations?", "coordinates"), _create_ml),
    _Form("Hugging Face", _marks("file_name", "objects", "bbox"), _hugging_face),
)
