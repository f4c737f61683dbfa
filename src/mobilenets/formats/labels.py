"""Lists of class names as people and programs write them: lines, numbered lines, JSON, and TensorFlow's label maps.

Labels are given in the order of the network's classes. Where a list numbers them, the numbers are that order, from 0 or
from 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import read_file

MOST_LABELS = 1 << 20
_NUMBERED = re.compile(r"\s*(\d{1,7})(?:\s*[:,;]\s*|[ \t]+)(\S.*?)\s*")
_ITEM = re.compile(r"\bitem\s*\{([^{}]*)\}", re.DOTALL)
_FIELD = re.compile(r"\b(id|name|display_name)\s*:\s*(?:(\d+)|\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')")


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names of a file.

    Args:
        path: A text file with one label a line, which may be numbered as in ``0 person``; a JSON list, or an object of
            labels by number or of numbers by label; or a ``.pbtxt`` label map.

    Raises:
        FormatError: If the file is not UTF-8 text, or its numbers leave classes out.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text; a list of labels was expected") from None
    return parse_labels(text, str(path))


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
                return _of_json(data, where)
            except RecursionError:
                raise FormatError(f"{where} holds objects within objects without end") from None
    if _ITEM.search(text):
        return _of_label_map(text, where)
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        del lines[-1]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(found[1]) for found in numbered if found is not None]
    if len(lines) > 1 and len(numbers) == len(lines) and sorted(numbers) in (_range(lines, 0), _range(lines, 1)):
        return _ordered({int(found[1]): found[2] for found in numbered if found is not None}, where)
    return tuple(lines)


def _range(lines: list[str], first: int) -> list[int]:
    return list(range(first, first + len(lines)))


def _of_json(data: list[Any] | dict[str, Any], where: str) -> tuple[str, ...]:
    """A list of labels, labels by number, or numbers by label; of several names of a class the last is taken."""
    if isinstance(data, list):
        return tuple(_label(value, where) for value in data)
    for key in ("labels", "classes", "class_names", "id2label", "names"):
        if isinstance(data.get(key), list | dict) and len(data[key]) > 0:
            return _of_json(data[key], where)
    if data and all(type(value) is int for value in data.values()):
        return _ordered({number: label for label, number in data.items()}, where)
    if data and all(key.isdecimal() for key in data):
        return _ordered({int(key): _label(value, where) for key, value in data.items()}, where)
    raise FormatError(f"{where} is an object that is neither labels by number nor numbers by label")


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
