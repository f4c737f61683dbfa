"""Which images validate and test, where a source does not say: drawn class by class, by content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mobilenets.base.text import plural
from mobilenets.data.reading import told
from mobilenets.errors import DataError

SHARE = 0.1
"""Share of each class that becomes validation images, and test images, where a source has none."""


def draw_parts(
    targets: npt.NDArray[np.int64],
    digests: Sequence[bytes],
    labels: Sequence[str],
    missing: Sequence[str],
    *,
    seed: int,
) -> dict[str, list[int]]:
    """Draw the parts that a source does not give, and keep the rest for training.

    What is drawn depends on the content of the images and the seed, not on names or order; equal images stay together,
    of one class and of several.

    Args:
        targets: int64 (N,), the class of each image.
        digests: Content hash of each image.
        labels: Names of the classes.
        missing: Names of the parts to draw.
        seed: Another seed draws other images.

    Returns:
        Positions of the images of ``train`` and of each missing part, rising.

    Raises:
        DataError: If a class has too few images, or too few different ones.

    >>> digests = [bytes([number]) for number in range(40)]
    >>> parts = draw_parts(np.arange(40) % 2, digests, ("a", "b"), ("validation", "test"), seed=0)
    >>> {name: len(positions) for name, positions in parts.items()}
    {'validation': 4, 'test': 4, 'train': 32}
    """
    counts = np.bincount(targets, minlength=len(labels))
    _check_enough(counts.tolist(), labels, missing)
    parts: dict[str, list[int]] = {name: [] for name in (*missing, "train")}
    place_of: dict[bytes, str] = {}
    for target, label in enumerate(labels):
        members = np.flatnonzero(targets == target).tolist()
        there = {name: [index for index in members if place_of.get(digests[index]) == name] for name in parts}
        free = [index for index in members if digests[index] not in place_of]
        ranked = sorted(free, key=lambda index: _rank(digests[index], seed))
        begin = 0
        for name in missing:
            size = max(1, round(SHARE * len(members))) - len(there[name])
            end = begin if size <= 0 else _after_equals(begin + size, [digests[index] for index in ranked])
            there[name] += ranked[begin:end]
            begin = end
        there["train"] += ranked[begin:]
        if not all(there.values()):
            raise DataError(f"class {label!r} has too few different images to be split")
        for name, positions in there.items():
            parts[name] += positions
            place_of |= dict.fromkeys((digests[index] for index in positions), name)
    return {name: sorted(positions) for name, positions in parts.items()}


def draw_parts_of_groups(
    groups: npt.NDArray[np.int64], digests: Sequence[bytes], missing: Sequence[str], *, seed: int
) -> dict[str, list[int]]:
    """As :func:`draw_parts`, for images of which a group may be small: an image may show several classes.

    A tenth of all images is drawn for each part, from every group its share of what is still to be drawn; groups that
    are too small to give any stay in training.

    Args:
        groups: int64 (N,); see :func:`~mobilenets.data.targets.strata`.
        digests: Content hash of each image.
        missing: Names of the parts to draw.
        seed: Another seed draws other images.

    Returns:
        Positions of the images of ``train`` and of each missing part, rising.

    Raises:
        DataError: If there are too few different images.

    >>> parts = draw_parts_of_groups(np.arange(30) % 3, [bytes([n]) for n in range(30)], ("test",), seed=0)
    >>> {name: len(positions) for name, positions in parts.items()}
    {'test': 3, 'train': 27}
    """
    # Groups one after the other, each shuffled by content: every tenth image then takes each group's share.
    order = sorted(range(len(groups)), key=lambda index: (int(groups[index]), _rank(digests[index], seed)))
    step = round(1 / SHARE)
    place_of: dict[bytes, str] = {}
    parts: dict[str, list[int]] = {name: [] for name in (*missing, "train")}
    for number, index in enumerate(order):
        turn = number % step
        drawn = missing[turn] if turn < len(missing) else "train"
        parts[place_of.setdefault(digests[index], drawn)].append(index)
    short = next((name for name, positions in parts.items() if not positions), None)
    if short is not None:
        few = plural(len(set(digests)), "different image is", "different images are")
        raise DataError(f"{few} too few to be split: none is left for {short}")
    return {name: sorted(positions) for name, positions in parts.items()}


def _check_enough(counts: Sequence[int], labels: Sequence[str], missing: Sequence[str]) -> None:
    """Raise if a class has fewer images than parts that need one."""
    needed = 1 + len(missing)
    small = [(label, count) for label, count in zip(labels, counts, strict=True) if count < needed]
    if not small:
        return
    purposes = " and ".join([", ".join(["training", *missing[:-1]]), *missing[-1:]])
    label, count = small[0]
    others = f" (and {len(small) - 1:,} more of the {len(labels):,} classes fewer than {needed})" if small[1:] else ""
    raise DataError(
        f"class {label!r} has {plural(count, 'image')}{others}; {purposes} need at least {needed}: "
        f"one of each class for each. Add images, or leave a class out with {told(exclude=(label,))}"
    )


def _rank(digest: bytes, seed: int) -> bytes:
    return hashlib.sha256(seed.to_bytes(8, "little", signed=True) + digest).digest()


def _after_equals(end: int, digests: Sequence[bytes]) -> int:
    """The first place at or after ``end`` where a new content begins, so that no image is on both sides of a cut."""
    while 0 < end < len(digests) and digests[end] == digests[end - 1]:
        end += 1
    return end


def spread(total: int, count: int) -> npt.NDArray[np.int64]:
    """At most so many positions, spread evenly over all.

    >>> spread(10, 4).tolist()
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))
