"""Lists of class names as people and programs write them: lines, numbered lines, JSON, YAML, TensorFlow's label maps.

Labels are given in the order of the network's classes. Where a list numbers them, the numbers are that order, from 0 or
from 1.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import read_file

MOST_LABELS = 1 << 20
_NUMBERED = re.compile(r"\s*(\d{1,7})(?:\s*[:,;]\s*|[ \t]+)(\S.*?)\s*")
_NUMBER_COLUMNS = frozenset({"id", "index", "idx", "number", "class_id", "label_id", "class_index", "class"})
_NAMES = re.compile(
    r"^names:[ \t]*(?:(?P<inline>\[[^\]]*\])|\n(?P<block>(?:[ \t]*(?:-|\d+[ \t]*:)[^\n]*(?:\n|\Z))+))", re.M
)
_ITEM = re.compile(r"\bitem\s*\{([^{}]*)\}", re.DOTALL)
_FIELD = re.compile(r"\b(id|name|display_name)\s*:\s*(?:(\d+)|\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')")


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names of a file.

    Args:
        path: A text file with one label a line, which may be numbered as in ``0 person``; a JSON list, or an object of
            labels by number or of numbers by label; ``names`` in YAML; or a ``.pbtxt`` label map.

    Raises:
        FormatError: If the file is no text in UTF-8 or UTF-16, holds no labels, or its numbers leave classes out.
    """
    content = read_file(path)
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as Windows' editor writes it
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text; a list of labels was expected") from None
    labels = parse_labels(text, str(path))
    if not labels:
        raise FormatError(f"{path} holds no labels")
    return labels


def parse_labels(text: str, where: str) -> tuple[str, ...]:
    """Class names of a text, in the forms that :func:`read_labels` takes.

    Args:
        text: The text.
        where: What is named in errors.

    Raises:
        FormatError: If its numbers leave classes out.

    >>> parse_labels("0 person\\n1 bicycle\\n\\n", "labels.txt")
    ('person', 'bicycle')
    >>> parse_labels('{"1": "dog", "0": "cat"}', "labels.json")
    ('cat', 'dog')
    """
    start = text.lstrip()[:1]
    if start in ("[", "{"):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None  # a first label in brackets
        if isinstance(data, list | dict):
            try:
                return labels_of_data(data, where)
            except RecursionError:
                raise FormatError(f"{where} holds objects within objects without end") from None
    if _ITEM.search(text):
        return _of_label_map(text, where)
    if (names := _NAMES.search(text)) is not None:
        return _of_yaml(names["inline"], names["block"] or "", where)
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        del lines[-1]
    lines = lines[1:] if _is_header(lines) else lines
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(found[1]) for found in numbered if found is not None]
    if len(lines) > 1 and len(numbers) == len(lines) and sorted(numbers) in (_range(lines, 0), _range(lines, 1)):
        return _ordered({int(found[1]): found[2] for found in numbered if found is not None}, where)
    return tuple(lines)


def _is_header(lines: list[str]) -> bool:
    """Whether the first line names the columns of the others, which all are numbered."""
    names = re.split(r"[,;\t]", lines[0].lower()) if lines else []
    numbered = len(lines) > 1 and all(map(_NUMBERED.fullmatch, lines[1:]))
    return len(names) > 1 and names[0].strip(" \"'") in _NUMBER_COLUMNS and numbered


def _of_yaml(inline: str | None, block: str, where: str) -> tuple[str, ...]:
    """``names: [cat, dog]``, or a list or a mapping in the lines behind ``names:``, as in YOLO's data.yaml."""
    if inline is not None:
        return tuple(_unquoted(one) for one in inline.strip("[]").split(",") if one.strip())
    entries = [line.strip() for line in block.splitlines() if line.strip()]
    if all(one.startswith("-") for one in entries):
        return tuple(_unquoted(one[1:]) for one in entries)
    return _ordered(
        {int(number): _unquoted(name) for number, _, name in (one.partition(":") for one in entries)}, where
    )


def _unquoted(text: str) -> str:
    return text.strip().strip("\"'")


def _range(lines: list[str], first: int) -> list[int]:
    return list(range(first, first + len(lines)))


def labels_of_data(data: list[Any] | dict[str, Any], where: str) -> tuple[str, ...]:
    """Class names of a list of labels, labels by number, or numbers by label.

    Of several names of a class the last is taken.

    Args:
        data: As JSON has it.
        where: What is named in errors.

    Raises:
        FormatError: If it is neither, or its numbers leave classes out.

    >>> labels_of_data({"dog": 1, "cat": 0}, "labels.json")
    ('cat', 'dog')
    """
    if isinstance(data, list):
        numbers = [_number_of(value) for value in data]
        if data and None not in numbers:
            return _ordered(
                {number or 0: _label(value, where) for number, value in zip(numbers, data, strict=True)}, where
            )
        return tuple(_label(value, where) for value in data)
    for key in ("labels", "classes", "class_names", "id2label", "names"):
        if isinstance(data.get(key), list | dict) and len(data[key]) > 0:
            return labels_of_data(data[key], where)
    if data and all(type(value) is int for value in data.values()):
        return _ordered({number: label for label, number in data.items()}, where)
    if data and all(key.isdecimal() for key in data):
        return _ordered({int(key): _label(value, where) for key, value in data.items()}, where)
    raise FormatError(f"{where} is an object that is neither labels by number nor numbers by label")


def _number_of(value: Any) -> int | None:
    """The number that an object gives its label, as COCO's categories do."""
    found = next((value[key] for key in ("id", "index") if key in value), None) if isinstance(value, dict) else None
    return found if type(found) is int else None


def _label(value: Any, where: str) -> str:
    """One label; Keras's index has ``["n01440764", "tench"]``."""
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, dict):
        value = next((value[key] for key in ("display_name", "name", "label") if key in value), None)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise FormatError(f"{where} holds {value!r:.60} where a label was expected")
    return str(value)


def _of_label_map(text: str, where: str) -> tuple[str, ...]:
    """Items with an id and a name, as object detection in TensorFlow has them; ids begin with 1."""
    labels: dict[int, str] = {}
    for item in _ITEM.findall(text):
        fields = {name: number or double or single for name, number, double, single in _FIELD.findall(item)}
        if "id" not in fields or not ({"name", "display_name"} & set(fields)):
            raise FormatError(f"an item of {where} lacks its id or its name")
        labels[int(fields["id"])] = fields.get("display_name") or fields["name"]
    return _ordered(labels, where)


def _ordered(labels: Mapping[int, str], where: str) -> tuple[str, ...]:
    """Labels by number, from 0 or from 1; a number that is left out in between has a number for a name."""
    first, last = min(labels), max(labels)
    if first not in (0, 1) or last >= MOST_LABELS or last >= 4 * len(labels) + 16:
        raise FormatError(f"{where} numbers {len(labels)} labels from {first} to {last}; 0 or 1 was expected first")
    return tuple(labels.get(number, str(number)) for number in range(first, last + 1))
