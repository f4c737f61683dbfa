"""Images with boxes in Parquet and Arrow shards, as the libraries of Hugging Face write them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenets.data.archives import ArchivedImage, is_archive
from mobilenets.data.box_annotations import (
    AnnotatedBox,
    AnnotatedImage,
    BoxLayout,
    are_shares,
    as_corners,
    look_like_corners,
)
from mobilenets.data.columns import CLASS_NAMES, simplified
from mobilenets.data.decoding import TURNED, image_header
from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.label_files import ALL
from mobilenets.data.listings import column_batches, image_column
from mobilenets.data.packs import Entry, packed
from mobilenets.data.remote import open_binary
from mobilenets.data.sharded import check_parts, facts_of, part_of_shard, shards_of
from mobilenets.errors import DataError

if TYPE_CHECKING:
    import pyarrow

ONLY_CLASS = "object"
"""What objects are called whose rows say no class."""
_LISTS = ("objects", "object", "annotations", "annotation", "bbox", "bboxes", "boxes")
_BOXES = ("bbox", "bboxes", "boxes", "box")
_CLASSES = (*CLASS_NAMES, "categories")
_IGNORED = ("iscrowd", "is_crowd", "ignored", "ignore", "difficult")


def boxes_column(schema: pyarrow.Schema) -> str | None:
    """The column of a table that holds the objects of each image; None where there is none.

    Args:
        schema: Of a Parquet or Arrow file.
    """
    from pyarrow import types

    for field in schema:
        if simplified(field.name) not in _LISTS:
            continue
        kind = field.type
        inner = kind.value_type if _is_list(kind) else kind
        if types.is_struct(inner) and any(inner.get_field_index(name) >= 0 for name in _BOXES):
            return str(field.name)
        if _is_list(kind) and _is_list(inner) and simplified(field.name) in _BOXES:
            return str(field.name)
    return None


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def holds_boxes(source: str) -> bool:
    """Whether shards are tables with a column of objects, as far as the first says."""
    shards = shards_of(source)
    if is_archive(shards[0]):
        return False
    try:
        import pyarrow
    except ModuleNotFoundError:
        return False  # which is said where the shard is read
    with open_binary(shards[0]) as file:
        try:
            schema, _ = column_batches(file, shards[0], lambda schema: schema.names[:1])
        except pyarrow.ArrowException:
            return False
    return boxes_column(schema) is not None


def sharded_boxes(source: str) -> BoxLayout:
    """The images of shards with their boxes. Nothing is decoded; each shard is read once, into the cache.

    Numbers of a box are left, top, width and height, unless boxes would reach beyond their images so, and none would as
    left, top, right and bottom.

    Args:
        source: As for :func:`~mobilenets.data.sharded.sharded_parts`.

    Raises:
        DataError: If a shard cannot be read or has no boxes, or only some of them say which part they are.
    """
    images: list[AnnotatedImage] = []
    labels: dict[str, None] = {}
    places: dict[str, str] = {}
    for shard in shards_of(source):
        part = part_of_shard(shard, source)
        places.setdefault(part, Path(shard).name)
        for image, text in packed(shard, ["boxes", facts_of(shard)[0]], facts_of(shard)[1], _entries(shard)):
            found = json.loads(text)
            labels |= dict.fromkeys(found["names"])
            images.append(_annotated(image, found, part, shard))
    check_parts(places, source)
    findings: list[Finding] = []
    if _are_corners(images):
        images = [replace(image, boxes=tuple(map(as_corners, image.boxes))) for image in images]
        findings.append(Finding(Kind.NOTE, "boxes are read as left, top, right and bottom, not width and height"))
    if are_shares(box for image in images for box in image.boxes):
        images = [replace(image, in_shares=True) for image in images]
    given = {box.label: None for image in images for box in image.boxes}
    names = (*labels, *sorted(set(given) - set(labels)))
    if given and all(label.isdecimal() for label in given):
        findings.append(
            Finding(Kind.NOTE, f"classes are numbers, and nothing says their names: {listed(sorted(given))}")
        )
    return BoxLayout(tuple(images), names, "shards", {} if ALL in places else places, tuple(findings))


def _annotated(image: ArchivedImage, found: Mapping[str, Any], part: str, shard: str) -> AnnotatedImage:
    boxes = []
    for number, (label, sides, ignored) in enumerate(found["objects"], start=1):
        try:
            left, top, width, height = (float(side) for side in sides)
        except (TypeError, ValueError):
            raise DataError(f"{image.name}: object {number} has the box {sides!r:.60}; expected four numbers") from None
        boxes.append(AnnotatedBox(label, (left, top, left + width, top + height), f"object {number}", bool(ignored)))
    size = found["size"]
    return AnnotatedImage(
        Path(image.name), Path(shard), tuple(boxes), part, (size[0], size[1]) if size else None, image=image
    )


def _are_corners(images: Sequence[AnnotatedImage]) -> bool:
    """Whether what was read as width and height is right and bottom."""
    return look_like_corners(
        (box, size) for image in images if image.boxes and (size := _size_of(image)) for box in image.boxes
    )


def _size_of(image: AnnotatedImage) -> tuple[int, int] | None:
    """Width and height as a row says, or else as the image does; None of one that cannot be read."""
    if image.size is not None or image.image is None:
        return image.size
    try:
        stored, orientation = image_header(io.BytesIO(image.image.content()), image.image.name)
    except DataError:
        return None
    return stored[::-1] if orientation in TURNED else stored


# Rows ----------------------------------------------------------------------------------------------------------------


def _entries(shard: str) -> Iterator[Entry]:
    import pyarrow

    with open_binary(shard) as file:
        try:
            schema, batches = column_batches(file, shard, lambda schema: _wanted(schema, shard))
            column = _wanted(schema, shard)[1]
            names = _class_names(schema)
            number = 0
            for batch in batches:
                for row in batch.to_pylist():
                    image = next(iter(row.values()))
                    path = image.get("path") if isinstance(image, dict) else None
                    content = (image.get("bytes") if isinstance(image, dict) else image) or b""
                    text = json.dumps(_objects(row, column, names, f"{shard}, row {number}"))
                    yield path or str(number), text, content
                    number += 1
        except pyarrow.ArrowException as error:
            raise DataError(f"{shard} cannot be read: {str(error).partition(chr(10))[0]}") from None


def _wanted(schema: pyarrow.Schema, shard: str) -> list[str]:
    column = boxes_column(schema)
    if column is None:
        raise DataError(f"{shard} has no column of boxes, which other shards have: {', '.join(schema.names)}")
    sizes = [name for name in schema.names if simplified(name) in ("width", "height")]
    beside = [name for name in schema.names if simplified(name) in (*_CLASSES, *_IGNORED)]
    return [image_column(schema, shard), column, *sizes, *beside]


def _objects(row: Mapping[str, Any], column: str, names: Sequence[str], place: str) -> dict[str, Any]:
    """The objects of a row: label, numbers and whether it is ignored; and the size that it says."""
    given = row[column]
    if isinstance(given, list) and given and isinstance(given[0], Mapping):  # an object for each
        rows = [(_first(one, _BOXES), _first(one, _CLASSES), _first(one, _IGNORED)) for one in given]
    else:
        values = given if isinstance(given, Mapping) else {**row, _BOXES[0]: given}
        boxes = _first(values, _BOXES) or []
        classes, ignored = _first(values, _CLASSES), _first(values, _IGNORED)
        classes = classes if isinstance(classes, list) else [None] * len(boxes)
        ignored = ignored if isinstance(ignored, list) else [False] * len(boxes)
        if not len(boxes) == len(classes) == len(ignored):
            raise DataError(f"{place} has {len(boxes)} boxes and {len(classes)} classes")
        rows = list(zip(boxes, classes, ignored, strict=True))
    sizes = {simplified(name): value for name, value in row.items()}
    size = [sizes.get("width"), sizes.get("height")]
    found = [(_label(label, names, place), box, bool(ignored)) for box, label, ignored in rows]
    return {"objects": found, "size": size if all(size) else None, "names": list(names)}


def _first(values: Mapping[str, Any], keys: Sequence[str]) -> Any:
    named = {simplified(str(name)): value for name, value in values.items()}
    return next((named[key] for key in keys if key in named), None)


def _label(value: Any, names: Sequence[str], place: str) -> str:
    if value is None:
        return ONLY_CLASS
    if names and isinstance(value, int):
        if not 0 <= value < len(names):
            raise DataError(f"{place} has an object of class {value}; the classes are 0 to {len(names) - 1}")
        return names[value]
    return str(value)


def _class_names(schema: pyarrow.Schema) -> Sequence[str]:
    """Names of the classes by number, where the file says them as the libraries of Hugging Face do."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return ()
    return _names_within(features)


def _names_within(features: Any) -> Sequence[str]:
    if not isinstance(features, Mapping):
        return ()
    names = features.get("names")
    if features.get("_type") == "ClassLabel" and isinstance(names, list):
        return [str(name) for name in names]
    return next((found for value in features.values() if (found := _names_within(value))), ())
