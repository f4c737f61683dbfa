"""ImageNet's classes by the names of their folders: synset numbers such as ``n01440764``.

Source: the 1,000 synsets of ImageNet's challenge (ILSVRC 2012); classes are numbered in the order of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from mobilenets.base.text import plural

_SYNSET = re.compile(r"n\d{8}")
_FIRST, _LAST = "tench", "toilet tissue"


def are_synsets(names: Sequence[str]) -> bool:
    """Whether names are numbers of synsets, and of nothing else.

    >>> are_synsets(["n01440764", "n01443537"]), are_synsets(["tench"])
    (True, False)
    """
    return bool(names) and all(_SYNSET.fullmatch(name) for name in names)


@cache
def synset_indices() -> Mapping[str, int]:
    """The number of each class, from 0, by its synset.

    >>> synset_indices()["n01440764"], synset_indices()["n15075141"]
    (0, 999)
    """
    names = (Path(__file__).parent / "imagenet_synsets.txt").read_text(encoding="ascii").split()
    return {name: index for index, name in enumerate(names)}


def imagenet_offset(labels: Sequence[str]) -> int | None:
    """The number of ImageNet's first class among a Model's labels; None where they are not ImageNet's.

    >>> imagenet_offset(["cat", "dog"]) is None
    True
    """
    offset = len(labels) - len(synset_indices())
    if offset not in (0, 1):
        return None
    ends = labels[offset].lower().replace("_", " "), labels[-1].lower().replace("_", " ")
    return offset if ends[0].startswith(_FIRST) and ends[1].startswith(_LAST) else None


def unknown_synsets(names: Sequence[str]) -> str:
    """What to say of synsets that are none of the challenge's; empty where all are."""
    strange = [name for name in names if name not in synset_indices()]
    if not strange:
        return ""
    return (
        f"{plural(len(strange), 'class', 'classes')} not among the 1,000 of ImageNet's challenge, such as {strange[0]}"
    )
