"""What was found in a source of labeled images that its owner should know of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MOST_EXAMPLES = 5


class Kind(StrEnum):
    """What a finding asks of whoever reads it."""

    NOTE = "note"
    """How something was understood that could have been meant in another way."""
    LEFT_OUT = "left-out"
    """Images that are not used, and why."""
    WARNING = "warning"
    """Something that makes the Model or its figures worse."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: What it asks of whoever reads it.
        message: What it is, in one sentence without a full stop.
        images: How many images it is about; 0 where they were not counted.
        examples: Names of a few of them.
    """

    kind: Kind
    message: str
    images: int = 0
    examples: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """What it is, with what it asks before it."""
        return f"{self.kind.replace('-', ' ')}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "kind": str(self.kind),
            "message": self.message,
            "images": self.images,
            "examples": list(self.examples),
        }


def examples_of(names: Iterable[object]) -> tuple[str, ...]:
    """The first few of some names."""
    return tuple(str(name) for _, name in zip(range(MOST_EXAMPLES), names, strict=False))


def listed(names: Sequence[object], most: int = 3) -> str:
    """Names in a sentence, the first few of many.

    >>> listed(["a", "b"]), listed("abcde")
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
