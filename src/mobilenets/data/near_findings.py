"""Warnings of images that are nearly the same in two parts or under two classes; of very many images, of a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.cache import cache_folder, cache_key
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.image import ImageSource
from mobilenets.data.near_duplicates import find_near_pairs
from mobilenets.data.subset import Subset
from mobilenets.data.targets import briefly

VERSION = 1
"""Of what is remembered: another where images are compared in another way."""
ORDER = ("test", "validation", "train")
MOST_IMAGES = 20_000
"""Images that are looked at: of more, as many training images as are left beside the others, evenly drawn."""
MOST_COMPARED = 10_000**2
"""Pairs that are compared, each way; about fifteen seconds of two cores. Of more images, only those for validation and
test are compared with all; of still more, as many of these as this leaves, evenly drawn."""
MANY = 5_000
"""Images from which on findings are remembered in the cache folder."""


@dataclass(frozen=True)
class LookedAt:
    """The images that are compared.

    Attributes:
        parts: Those of ``test``, ``validation`` and ``train``, in this order.
        queries: How many first ones are compared with all; 0 for every pair.
    """

    parts: dict[str, Subset]
    queries: int


def looked_at(
    parts: Mapping[str, Subset], most_images: int = MOST_IMAGES, most_compared: int = MOST_COMPARED
) -> LookedAt:
    """Choose the images that are compared.

    Args:
        parts: ``train``, ``validation`` and ``test``.
        most_images: How many may be looked at.
        most_compared: How many pairs may be compared.
    """
    counts = {name: len(parts[name]) for name in ORDER}
    total = sum(counts.values())
    if total**2 <= most_compared and total <= most_images:
        return LookedAt({name: parts[name] for name in ORDER}, 0)
    judged = counts["test"] + counts["validation"]
    queries = min(judged, most_compared // (2 * min(total, most_images)), most_images // 2)
    counts["test"] = round(queries * counts["test"] / max(1, judged))
    counts["validation"] = queries - counts["test"]
    counts["train"] = min(counts["train"], most_images - queries)
    return LookedAt({name: _evenly(parts[name], counts[name]) for name in ORDER}, queries)


def _evenly(subset: Subset, count: int) -> Subset:
    if count == len(subset):
        return subset
    return subset.take(np.linspace(0, len(subset) - 1, count).round().astype(np.int64))


def remembered_findings(
    parts: Mapping[str, Subset], labels: Sequence[str], *facts: str, progress: Progress = SILENT
) -> tuple[Finding, ...]:
    """:func:`near_duplicate_findings`, of many images read from the user's cache folder where they were made before.

    Args:
        parts: ``train``, ``validation`` and ``test``.
        labels: Names of the classes.
        facts: What tells these images, their names, classes and parts from others.
        progress: Receives progress updates.
    """
    if sum(map(len, parts.values())) < MANY:
        return near_duplicate_findings(parts, labels, progress=progress)
    path = cache_folder("near-duplicates") / f"{cache_key(VERSION, *facts)}.json"
    with suppress(OSError, ValueError, TypeError, LookupError):
        return _read(path)
    findings = near_duplicate_findings(parts, labels, progress=progress)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps([one.to_json() for one in findings]).encode())
    return findings


def _read(path: Path) -> tuple[Finding, ...]:
    return tuple(
        Finding(Kind(one["kind"]), str(one["message"]), int(one["images"]), tuple(map(str, one["examples"])))
        for one in json.loads(path.read_bytes())
    )


def near_duplicate_findings(
    parts: Mapping[str, Subset], labels: Sequence[str], *, progress: Progress = SILENT
) -> tuple[Finding, ...]:
    """Warnings of images that are nearly the same in two parts, or under two classes; and those that are damaged.

    Files that are equal to the last byte are another finding, and not among these.

    Args:
        parts: ``train``, ``validation`` and ``test``.
        labels: Names of the classes.
        progress: Receives progress updates.
    """
    chosen = looked_at(parts)
    images = [image for name in ORDER for image in chosen.parts[name].images]
    of_part = [name for name in ORDER for _ in chosen.parts[name].images]
    said = [briefly(target, labels) for name in ORDER for target in chosen.parts[name].targets]
    unreadable: list[int] = []
    found = find_near_pairs(images, queries=chosen.queries, unreadable=unreadable, progress=progress)
    pairs = _of_other_bytes([(pair.first, pair.second) for pair in found], images)
    findings = []
    if unreadable:
        damaged = [images[position].name for position in unreadable]
        message = f"{plural(len(damaged), 'image')} that cannot be decoded: {listed(damaged)}"
        findings.append(Finding(Kind.LEFT_OUT, message, len(damaged), examples_of(damaged)))
    if sum(map(len, chosen.parts.values())) < sum(map(len, parts.values())):
        findings.append(Finding(Kind.NOTE, _sample_in_words(parts, chosen.parts)))
    for part, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        across = [(a, b) for a, b in pairs if (of_part[a], of_part[b]) == (part, other)]
        copies = dict(across)
        if copies:
            of_those = " that were compared" if len(chosen.parts[part]) < len(parts[part]) else ""
            message = (
                f"{len(copies):,} of {len(chosen.parts[part]):,} {part} images{of_those} are nearly the same as "
                f"{other} images (encoded again, resized or cropped)"
            )
            names = examples_of(f"{images[a].name} ~ {images[b].name}" for a, b in copies.items())
            findings.append(Finding(Kind.WARNING, message, len(copies), names))
    boxes = any(subset.targets.dtype == object for subset in parts.values())  # drawn twice, they are never the same
    apart = [] if boxes else [(a, b) for a, b in pairs if said[a] != said[b]]
    if apart:
        names = examples_of(f"{images[a].name} ({said[a]}) ~ {images[b].name} ({said[b]})" for a, b in apart)
        message = f"{len(apart):,} pairs of images are nearly the same and of different classes"
        findings.append(Finding(Kind.WARNING, message, len(apart), names))
    return tuple(findings)


def _of_other_bytes(pairs: Sequence[tuple[int, int]], images: Sequence[ImageSource]) -> list[tuple[int, int]]:
    """Pairs whose files differ."""
    digests = {position: images[position].digest() for position in {one for pair in pairs for one in pair}}
    return [(first, second) for first, second in pairs if digests[first] != digests[second]]


def _sample_in_words(parts: Mapping[str, Subset], chosen: Mapping[str, Subset]) -> str:
    counts = [f"{len(chosen[name]):,} of {len(parts[name]):,} {name}" for name in ORDER if len(parts[name])]
    return f"near duplicates were looked for among {', '.join(counts[:-1])} and {counts[-1]} images"
