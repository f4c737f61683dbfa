"""Class names that training scripts save beside the weights: ``class_to_idx``, ``classes``, ``id2label`` and others.

Checkpoints of PyTorch have them in dictionaries beside the state_dict, often within those of settings; safetensors and
ONNX have text by key, which is JSON or a Python literal. All of it is read as plain data; nothing is run.
"""

from __future__ import annotations

import ast
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mobilenets.errors import FormatError
from mobilenets.formats.labels import labels_of_data
from mobilenets.formats.published import imagenet_labels
from mobilenets.tasks.imagenet import synset_indices

_KEYS = (
    *("classtoidx", "idxtoclass", "classtoindex", "indextoclass", "classnames", "classes", "classlabels", "classlist"),
    *("id2label", "label2id", "idx2label", "label2idx", "idx2class", "class2idx", "id2class", "class2id"),
    *("idtolabel", "labeltoid", "idxtolabel", "labeltoidx", "indextolabel", "labeltoindex", "indextoname"),
    *("labelnames", "labels", "labelmap", "classmap", "categories", "names", "cattoname"),
)
"""Keys as people write them, in small letters and without underscores; of several, the first."""
MOST_NODES = 2_000
"""Dictionaries that are looked into, beyond which no more are: an optimizer's state has one for each parameter."""
DEEPEST = 4
LONGEST_TEXT = 1 << 22
"""Characters of a text that is read as data."""


@dataclass(frozen=True)
class SavedLabels:
    """Class names that a file holds.

    Attributes:
        key: Where they stand: ``args.class_names``.
        labels: In the order of the network's classes.
    """

    key: str
    labels: tuple[str, ...]


def saved_labels(beside: Mapping[str, Any]) -> list[SavedLabels]:
    """All lists of class names among what a file holds beside its weights, those nearest to the outermost level first.

    Args:
        beside: Plain data, or text that holds data, by key.

    >>> saved_labels({"epoch": 3, "hparams": {"class_to_idx": {"dog": 1, "cat": 0}}})
    [SavedLabels(key='hparams.class_to_idx', labels=('cat', 'dog'))]
    >>> saved_labels({"names": "{0: 'cat', 1: 'dog'}"})[0].labels
    ('cat', 'dog')
    """
    found: list[tuple[int, int, SavedLabels]] = []
    for depth, path, key, value in _entries(beside):
        plain = "".join(character for character in key.lower() if character.isalnum())
        if plain in _KEYS and (labels := _labels(value)):
            found.append((depth, _KEYS.index(plain), SavedLabels(path, labels)))
    return [labels for _, _, labels in sorted(found, key=lambda one: one[:2])]


def fitting_labels(saved: Iterable[SavedLabels], classes: int) -> tuple[str, ...] | None:
    """The first list of so many names; ImageNet's names in the place of its 1,000 synsets."""
    found = next((one.labels for one in saved if len(one.labels) == classes), None)
    return imagenet_labels(classes) if found == tuple(synset_indices()) else found


def _entries(beside: Mapping[str, Any]) -> Iterator[tuple[int, str, str, Any]]:
    """Entries of dictionaries within dictionaries: depth, path, key and value; each dictionary once."""
    waiting: deque[tuple[int, str, Mapping[Any, Any]]] = deque([(0, "", beside)])
    seen: set[int] = set()
    while waiting and len(seen) < MOST_NODES:
        depth, path, entries = waiting.popleft()
        if id(entries) in seen:
            continue
        seen.add(id(entries))
        for key, value in entries.items():
            if not isinstance(key, str):
                continue
            place = f"{path}.{key}" if path else key
            yield depth, place, key, value
            if isinstance(value, Mapping) and depth + 1 < DEEPEST:
                waiting.append((depth + 1, place, value))


def _labels(value: Any) -> tuple[str, ...]:
    """Class names of plain data or of a text of it; none where it is no list of names."""
    value = _of_text(value) if isinstance(value, str) else value
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list) and not all(isinstance(one, str) for one in value):
        return ()
    if isinstance(value, Mapping):
        by_name = all(type(key) is str and type(one) is int for key, one in value.items())
        by_number = all(str(key).isdecimal() and type(one) is str for key, one in value.items())
        if not (by_name or by_number):
            return ()
        value = {str(key): one for key, one in value.items()}
    elif not isinstance(value, list):
        return ()
    try:
        labels = labels_of_data(value, "the file")
    except FormatError:
        return ()
    return labels if len(labels) > 1 and len(set(labels)) == len(labels) and all(map(str.strip, labels)) else ()


def _of_text(text: str) -> Any:
    """JSON, a Python literal, or names with commas between them."""
    if len(text) > LONGEST_TEXT:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    names = [name.strip() for name in text.split(",")]
    return names if len(names) > 1 and all(names) else None
