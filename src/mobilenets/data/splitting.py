"""Making the parts that a source does not give: stratified, and by content instead of by file order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from mobilenets.data.subset import Subset
from mobilenets.errors import DataError

SHARE = 0.1
"""Of each class, for validation and for test each, where they have to be made."""


def split_by_content(
    parts: Mapping[str, Subset], labels: Sequence[str], digests: Mapping[str, bytes], *, seed: int
) -> dict[str, Subset]:
    """Train, validation and test, the missing ones drawn from what there is.

    Args:
        parts: Some of ``train``, ``validation`` and ``test``, or only ``all``.
        labels: Names of the classes.
        digests: Content hash of every image, by its name.
        seed: Another seed draws other images.

    Raises:
        DataError: If a class has too few images.
    """
    missing = [name for name in ("validation", "test") if name not in parts]
    pool = parts["all"] if "all" in parts else parts.get("train")
    if pool is None or len(pool) == 0:
        raise DataError("there are no images to train on")
    counts = np.bincount(pool.targets, minlength=len(labels))
    for label, count in zip(labels, counts, strict=True):
        if count < 1 + len(missing):
            purposes = " and ".join(["training", *missing])
            raise DataError(f"class {label!r} has {count} image(s); {purposes} need {1 + len(missing)} at least")
    drawn: dict[str, list[int]] = {name: [] for name in missing}
    kept: list[int] = []
    for target in range(len(labels)):
        members = np.flatnonzero(pool.targets == target).tolist()
        ranked = sorted(members, key=lambda index: _rank(digests[pool.images[index].name], seed))
        begin = 0
        for name in missing:
            size = max(1, round(SHARE * len(members)))
            end = _after_equals(ranked, begin + size, [digests[pool.images[index].name] for index in ranked])
            drawn[name] += ranked[begin:end]
            begin = end
        if begin >= len(ranked):
            raise DataError(f"class {labels[target]!r} has too few different images to be split")
        kept += ranked[begin:]
    result = {name: subset for name, subset in parts.items() if name != "all"}
    result["train"] = pool.take(sorted(kept))
    for name in missing:
        result[name] = pool.take(sorted(drawn[name]))
    for name in ("validation", "test"):
        if len(result[name]) == 0:
            raise DataError(f"the {name} folder holds no images of the classes {', '.join(labels[:5])}")
    return result


def _rank(digest: bytes, seed: int) -> bytes:
    return hashlib.sha256(seed.to_bytes(8, "little", signed=True) + digest).digest()


def _after_equals(ranked: Sequence[int], end: int, digests: Sequence[bytes]) -> int:
    """The first place at or after ``end`` where a new content begins, so that no image is on both sides of a cut."""
    while 0 < end < len(ranked) and digests[end] == digests[end - 1]:
        end += 1
    return end
