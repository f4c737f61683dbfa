"""The same image more than once: in two parts of a dataset, in two classes, or in one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mobilenets.data.findings import MOST_EXAMPLES
from mobilenets.data.subset import Subset
from mobilenets.data.targets import briefly, in_words


@dataclass(frozen=True)
class Leak:
    """Images of one part that are copies of images of another.

    Attributes:
        part: The part whose figures they spoil: ``test``, or ``validation``.
        other: The part that holds them too.
        images: How many images of ``part`` they are.
        total: How many images ``part`` has.
        examples: Some of them, each with the name of its copy in ``other``.
    """

    part: str
    other: str
    images: int
    total: int
    examples: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "part": self.part,
            "other": self.other,
            "images": self.images,
            "total": self.total,
            "examples": [list(pair) for pair in self.examples],
        }


@dataclass(frozen=True)
class Duplicates:
    """Images whose files are equal to the last byte.

    Attributes:
        leaks: Copies of training images in the validation and test images, and of these in each other.
        contradictions: How many images stand under more than one class.
        contradiction_examples: Some of them: name, class, name of its copy, class of that.
        repeated: How many images are copies of another one of their class and part.
        repeated_examples: Some of them, each with the name of its copy.
    """

    leaks: tuple[Leak, ...] = ()
    contradictions: int = 0
    contradiction_examples: tuple[tuple[str, str, str, str], ...] = ()
    repeated: int = 0
    repeated_examples: tuple[tuple[str, str], ...] = ()

    def leak(self, part: str, other: str = "train") -> Leak | None:
        """The copies of images of one part in another."""
        return next((leak for leak in self.leaks if (leak.part, leak.other) == (part, other)), None)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "leaks": [leak.to_json() for leak in self.leaks],
            "contradictions": {
                "images": self.contradictions,
                "examples": [list(example) for example in self.contradiction_examples],
            },
            "repeated": {"images": self.repeated, "examples": [list(pair) for pair in self.repeated_examples]},
        }


def find_duplicates(parts: Mapping[str, Subset], labels: Sequence[str], digests: Mapping[str, bytes]) -> Duplicates:
    """Find images that are equal to the last byte.

    Args:
        parts: ``train``, ``validation`` and ``test``.
        labels: Names of the classes.
        digests: Content hash of every image, by its name.
    """
    counts = Counter(digests[image.name] for subset in parts.values() for image in subset.images)
    several = {
        name: subset.take([place for place, image in enumerate(subset.images) if counts[digests[image.name]] > 1])
        for name, subset in parts.items()
    }
    first = {name: _first_of(subset, digests) for name, subset in several.items()}
    found = [
        _leak(part, several[part], len(parts[part]), other, first[other], digests)
        for other, part in combinations(("train", "validation", "test"), 2)
    ]
    contradictions = _contradictions(several, labels, digests)
    repeated = [pair for subset in several.values() for pair in _repeated(subset, labels, digests)]
    return Duplicates(
        tuple(leak for leak in found if leak.images),
        len(contradictions),
        tuple(contradictions[:MOST_EXAMPLES]),
        len(repeated),
        tuple(repeated[:MOST_EXAMPLES]),
    )


def _first_of(subset: Subset, digests: Mapping[str, bytes]) -> dict[bytes, str]:
    first: dict[bytes, str] = {}
    for image in subset.images:
        first.setdefault(digests[image.name], image.name)
    return first


def _leak(
    part: str, subset: Subset, images: int, other: str, there: Mapping[bytes, str], digests: Mapping[str, bytes]
) -> Leak:
    pairs = [(image.name, there[digests[image.name]]) for image in subset.images if digests[image.name] in there]
    return Leak(part, other, len(pairs), images, tuple(pairs[:MOST_EXAMPLES]))


def _contradictions(
    parts: Mapping[str, Subset], labels: Sequence[str], digests: Mapping[str, bytes]
) -> list[tuple[str, str, str, str]]:
    classes: dict[bytes, dict[str, str]] = defaultdict(dict)
    brief: dict[str, str] = {}
    everything = []
    for subset in parts.values():
        for image, target in zip(subset.images, subset.targets, strict=True):
            said = in_words(target, labels)
            everything.append((image.name, said))
            brief[said] = briefly(target, labels)
    for name, target in everything:
        classes[digests[name]].setdefault(target, name)
    found = []
    for name, target in everything:
        others = classes[digests[name]]
        if len(others) > 1:
            other = next(key for key in others if key != target)
            found.append((name, brief[target], others[other], brief[other]))
    return found


def _repeated(subset: Subset, labels: Sequence[str], digests: Mapping[str, bytes]) -> list[tuple[str, str]]:
    first: dict[tuple[bytes, str], str] = {}
    pairs = []
    for image, target in zip(subset.images, subset.targets, strict=True):
        key = digests[image.name], in_words(target, labels)
        if key in first:
            pairs.append((image.name, first[key]))
        else:
            first[key] = image.name
    return pairs
