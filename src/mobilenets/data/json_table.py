"""Tables of images and labels in JSON, in the shapes that programs and people give them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mobilenets.data.label_table import LabelTable, looks_like_file
from mobilenets.data.parts import part_of_word
from mobilenets.errors import DataError

Record = dict[str, Any]


def json_table(text: str, path: Path) -> LabelTable:
    """The table in JSON or, where the suffix says so, in lines of JSON.

    Args:
        text: The file's.
        path: The file, for messages and for what its suffix says.

    Raises:
        DataError: If it is no JSON, or of no shape that is known.
    """
    flat = []
    for number, record in enumerate(_records(text, path), start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}, record {number}: expected an object, not {str(record)[:40]!r}")
        flat.append(_flat(record))
    columns = tuple(dict.fromkeys(name for record in flat for name in record))
    rows = tuple(tuple(record.get(name, "") for name in columns) for record in flat)
    return LabelTable(path, columns, rows, tuple(range(1, len(rows) + 1)))


def _records(text: str, path: Path) -> Sequence[Any]:
    try:
        if path.suffix.lower() != ".json":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from None
    records = _of_object(data) if isinstance(data, dict) else _of_pairs(data) if isinstance(data, list) else None
    if records is None:
        raise DataError(
            f"{path} needs a list of objects with a file and a class, an object of file: class, or an object of "
            "class: [files]"
        )
    return records


def _of_object(data: Record) -> Sequence[Any] | None:
    """The records of an object, by its shape; None of one that is not known."""
    values = list(data.values())
    lists = [value for value in values if isinstance(value, list)]
    if all(isinstance(value, str | int) for value in values):
        return [{"file": name, "class": str(label)} for name, label in data.items()]
    if _is_coco(data):
        return _of_coco(data)
    if len(lists) == len(values) and all(part_of_word(name) for name in data):
        by_part = {name: _of_pairs(value) for name, value in data.items()}
        return [_with_part(record, name) for name, records in by_part.items() for record in records]
    if len(lists) == len(values) and all(isinstance(one, str) and looks_like_file(one) for one in _joined(lists)):
        return [{"file": file, "class": name} for name, files in data.items() for file in files]
    columns = _as_columns(data)
    if columns is not None:
        return columns
    if len(lists) == 1:
        return _of_pairs(lists[0])
    if all(isinstance(value, dict) for value in values):
        return [{"file": name, **_unnested(value)} for name, value in data.items()]
    return None


def _joined(lists: Iterable[list[Any]]) -> Iterable[Any]:
    return (one for each in lists for one in each)


def _of_pairs(records: Sequence[Any]) -> Sequence[Any]:
    """Records, of which some may be pairs of a file and a class."""
    return [
        {"file": one[0], "class": str(one[1])}
        if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) and isinstance(one[1], str | int)
        else one
        for one in records
    ]


def _with_part(record: Any, part: str) -> Any:
    return {**record, "split": part} if isinstance(record, dict) else record


def _as_columns(data: Record) -> Sequence[Any] | None:
    """The rows of columns, as pandas writes them: lists of one length, or objects with the same row numbers."""
    columns = list(data.values())
    if len(columns) < 2:
        return None
    if all(isinstance(column, list) for column in columns) and len({len(column) for column in columns}) == 1:
        return [dict(zip(data, row, strict=True)) for row in zip(*columns, strict=True)]
    if all(isinstance(column, dict) and column for column in columns):
        keys = list(columns[0])
        if all(key.isdecimal() for key in keys) and all(list(column) == keys for column in columns):
            return [{name: column[key] for name, column in data.items()} for key in keys]
    return None


def _unnested(record: Record) -> Record:
    """A record with the texts of the objects in it: the attributes that the VGG annotator keeps of a file."""
    inner = {key: one for value in record.values() if isinstance(value, dict) for key, one in value.items()}
    own = {key: value for key, value in record.items() if not isinstance(value, dict | list)}
    named = {"file": own["filename"]} if isinstance(own.get("filename"), str) else {}
    return {**own, **{key: value for key, value in inner.items() if isinstance(value, str | int)}, **named}


def _is_coco(data: Record) -> bool:
    return all(isinstance(data.get(key), list) and data[key] for key in ("images", "annotations", "categories"))


def _of_coco(data: Record) -> Sequence[Any] | None:
    """The images of COCO's form with the names of their categories; None where the form is not kept."""
    try:
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        files = {image["id"]: str(image["file_name"]) for image in data["images"]}
        found: dict[str, dict[str, None]] = {}
        for annotation in data["annotations"]:
            found.setdefault(files[annotation["image_id"]], {})[names[annotation["category_id"]]] = None
    except (KeyError, TypeError):
        return None
    return [{"file": file, "class": list(labels)} for file, labels in found.items()]


def _flat(record: Record) -> dict[str, str]:
    """The texts of a record: of Label Studio's and Vertex AI's nested ones, those that say file, class and part."""
    if isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list):
        image = next((value for value in record["data"].values() if isinstance(value, str)), "")
        return {"image": image, "choice": _text(_choices(record["annotations"]))}
    if isinstance(record.get("classificationAnnotation"), dict):
        labels = record.get("dataItemResourceLabels") or {}
        part = next((str(value) for key, value in labels.items() if str(key).endswith("ml_use")), "")
        name = record["classificationAnnotation"].get("displayName")
        return {"image": _text(record.get("imageGcsUri")), "label": _text(name), **({"split": part} if part else {})}
    return {
        str(name): _text(_names_of_objects(value))
        for name, value in record.items()
        if not isinstance(value, dict | list) or value
    }


def _names_of_objects(value: Any) -> Any:
    """The different labels in a list of annotations, such as Create ML's."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return list(dict.fromkeys(str(one[key]) for one in value for key in ("label", "class", "name") if key in one))
    return value


def _choices(annotations: Iterable[Any]) -> list[str]:
    """What annotators chose, in Label Studio's words; each choice once, without cancelled annotations."""
    chosen: list[str] = []
    for annotation in annotations:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or ():
            value = result.get("value") if isinstance(result, dict) else None
            chosen += map(str, (value or {}).get("choices") or ())
    return list(dict.fromkeys(chosen))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return json.dumps(value, ensure_ascii=False)
