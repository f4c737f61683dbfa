"""What a dataset was understood as, in lines that people read before it is trained on and as JSON."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.base.progress import Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.near_findings import remembered_findings
from mobilenets.data.parts import PARTS
from mobilenets.data.reading import Reading
from mobilenets.data.targets import boxes_by_class, images_by_class

MOST_CLASSES = 12
"""Classes that are listed with their counts; of more, the smallest and the largest are named."""
FEW_TRAINED, FEW_TESTED = 10, 3
"""Images of a class below which it is warned of."""
UNEVEN = 10
"""How many times as many training images as the smallest class the largest may have without a warning."""
DRAWN = "drawn, a tenth of each {}"


def described_dataset(source: str | Path, seed: int, reading: Reading, progress: Progress) -> Dataset:
    """Load a dataset and tell ``progress`` what it was understood as, before anything is made of it."""
    dataset = inspected_dataset(source, seed, reading, progress)
    for line in dataset_lines(dataset):
        progress.note(line)
    return dataset


def inspected_dataset(source: str | Path, seed: int, reading: Reading, progress: Progress) -> Dataset:
    """Load a dataset, and look at its images for near duplicates, which are then among its findings."""
    dataset = load_dataset(source, seed=seed, reading=reading, progress=progress)
    parts = {part: dataset.part(part) for part in PARTS}
    near = remembered_findings(parts, dataset.labels, dataset.fingerprint, dataset.source, progress=progress)
    return replace(dataset, findings=(*dataset.findings, *near))


def dataset_lines(dataset: Dataset, width: int = 80) -> list[str]:
    """What was understood, what was left out and what is wrong.

    Args:
        dataset: The images.
        width: Columns that lines may have; names of files may be longer.
    """
    lines = [f"{dataset.source}: {dataset.layout or 'images'}, {classes_in_words(dataset)}"]
    lines += [f"  {part:<10} {len(dataset.part(part)):>9,} images  {_place(dataset, part)}".rstrip() for part in PARTS]
    lines.append(_classes(dataset))
    for finding in all_findings(dataset):
        example = f" (for example {finding.examples[0]})" if finding.examples and finding.kind is Kind.WARNING else ""
        lines.append(f"{finding.line}{example}".replace(f"{dataset.source.rstrip('/')}/", ""))
    return [row.replace(_KEPT, " ") for line in lines for row in _wrapped(_whole_arguments(line), width)]


_KEPT = "\0"
"""A blank that no line is broken at."""


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _whole_arguments(line: str) -> str:
    """A line that does not break within what a caller would write, which the command line writes in its own way."""
    return re.sub(r"\bReading\((?:[^()]|\([^()]*\))*\)", lambda found: found[0].replace(" ", _KEPT), line)


def _place(dataset: Dataset, part: str) -> str:
    if part not in dataset.made_parts:
        return dataset.places.get(part, "")
    return DRAWN.format(_noun(dataset)) if part != "train" else "all others"


def classes_in_words(dataset: Dataset) -> str:
    """How many classes, or labels, the data has: ``3 classes``."""
    return _counted(dataset, len(dataset.labels))


def _noun(dataset: Dataset) -> str:
    return "label" if dataset.task == "multilabel" else "class"


def _counted(dataset: Dataset, number: int) -> str:
    return plural(number, "label") if dataset.task == "multilabel" else plural(number, "class", "classes")


def _classes(dataset: Dataset) -> str:
    counts, counted = _counts(dataset), "classes"
    if dataset.task == "detection":
        counts, counted = _counts(dataset, boxes=True), "boxes"
    if dataset.task == "multilabel":
        counted = "images with each label"
    if len(dataset.labels) <= MOST_CLASSES:
        each = [
            f"{label} {'/'.join(map(str, row))}" for label, row in zip(dataset.labels, counts.tolist(), strict=True)
        ]
        return f"{counted} (train/validation/test): {', '.join(each)}"
    order = np.argsort(counts[:, 0], kind="stable")
    few, many = order[0], order[-1]
    return (
        f"training {'boxes' if counted == 'boxes' else 'images'} of a {_noun(dataset)}: "
        f"{counts[few, 0]:,} ({dataset.labels[few]}) to {counts[many, 0]:,} "
        f"({dataset.labels[many]}), median {np.median(counts[:, 0]):,.0f}"
    )


def _counts(dataset: Dataset, *, boxes: bool = False) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """int64 (classes, 3): images, or boxes, of each class in each part."""
    count = boxes_by_class if boxes else images_by_class
    columns = [count(dataset.part(part).targets, len(dataset.labels)) for part in PARTS]
    return np.stack(columns, axis=1).astype(np.int64)


# Findings ------------------------------------------------------------------------------------------------------------


def all_findings(dataset: Dataset) -> list[Finding]:
    """What the source's owner should know of: first what is left out, then notes, then warnings."""
    found = [*dataset.findings, *_skipped(dataset), *_copies(dataset), *_balance(dataset)]
    order = (Kind.LEFT_OUT, Kind.NOTE, Kind.WARNING)
    return sorted(found, key=lambda finding: order.index(finding.kind))


def _skipped(dataset: Dataset) -> list[Finding]:
    count = len(dataset.skipped)
    if not count:
        return []
    return [
        Finding(Kind.LEFT_OUT, f"{plural(count, 'image')} that cannot be read", count, examples_of(dataset.skipped))
    ]


def _copies(dataset: Dataset) -> list[Finding]:
    duplicates = dataset.duplicates
    found = [leak_finding(leak.part, leak.other, leak.images, leak.total, leak.examples) for leak in duplicates.leaks]
    if duplicates.contradictions:
        examples = [
            f"{name} ({label}) = {other} ({second})" for name, label, other, second in duplicates.contradiction_examples
        ]
        other = "that has other labels" if dataset.task == "multilabel" else "in another class"
        message = f"{plural(duplicates.contradictions, 'image')} with a copy {other}"
        found.append(Finding(Kind.WARNING, message, duplicates.contradictions, tuple(examples)))
    if duplicates.repeated:
        message = f"{plural(duplicates.repeated, 'image')} with a copy in the same class and part"
        pairs = [f"{name} = {other}" for name, other in duplicates.repeated_examples]
        found.append(Finding(Kind.NOTE, message, duplicates.repeated, tuple(pairs)))
    return found


def leak_finding(part: str, other: str, images: int, total: int, examples: Sequence[Sequence[str]]) -> Finding:
    """The warning of images of one part that are copies of images of another."""
    names = {"train": "training images", "validation": "validation images", "test": "test images"}
    copies = "is a copy" if images == 1 else "are copies"
    message = f"{images:,} of {total:,} {names[part]} {copies} of {names[other]}"
    kind = Kind.NOTE
    if other == "train":
        kind = Kind.WARNING
        message += ": how right the Model is on new images cannot be told by them"
    return Finding(kind, message, images, tuple(f"{name} = {copy}" for name, copy in examples))


def _balance(dataset: Dataset) -> list[Finding]:
    counts = _counts(dataset)
    found = []
    for part, few, why in (("train", FEW_TRAINED, "too few to learn from"), ("test", FEW_TESTED, "too few to test by")):
        column = counts[:, PARTS.index(part)]
        small = [index for index in np.argsort(column, kind="stable").tolist() if 0 < column[index] < few]
        if small:
            name = "training" if part == "train" else part
            each = [f"{dataset.labels[index]} {column[index]}" for index in small]
            message = f"{_counted(dataset, len(small))} with fewer than {few} {name} images, {why}: "
            found.append(Finding(Kind.WARNING, f"{message}{listed(each)}"))
    trained = counts[:, 0]
    few, many = int(trained.argmin()), int(trained.argmax())
    if trained[few] and trained[many] >= UNEVEN * trained[few] and dataset.task != "multilabel":
        message = (
            f"uneven classes: {dataset.labels[many]} has {trained[many]:,} training images, "
            f"{trained[many] / trained[few]:.0f} times as many as {dataset.labels[few]} with {trained[few]:,}; "
            "a Model answers with large classes too often"
        )
        found.append(Finding(Kind.WARNING, message))
    return found


# JSON ----------------------------------------------------------------------------------------------------------------


def _boxes_to_json(dataset: Dataset, part: str) -> dict[str, Any]:
    """Boxes of each class in a part, and how many of its images have none; nothing of data without boxes."""
    if dataset.task != "detection":
        return {}
    truths = dataset.part(part).targets
    counts = boxes_by_class(truths, len(dataset.labels)).tolist()
    without = sum(not len(truth.boxes) for truth in truths)
    return {"boxes": dict(zip(dataset.labels, counts, strict=True)), "images_without_boxes": without}


def dataset_to_json(dataset: Dataset) -> dict[str, Any]:
    """JSON-ready values: layout, parts with their counts, findings, copies, and unreadable images."""
    counts = _counts(dataset)
    parts = {
        part: {
            "images": len(dataset.part(part)),
            "from": None if part in dataset.made_parts else dataset.places.get(part),
            "drawn": part in dataset.made_parts,
            **_boxes_to_json(dataset, part),
            "classes": {label: int(row[number]) for label, row in zip(dataset.labels, counts, strict=True)},
        }
        for number, part in enumerate(PARTS)
    }
    return {
        "source": dataset.source,
        "layout": dataset.layout,
        "task": dataset.task,
        "fingerprint": dataset.fingerprint,
        "reading": dataset.reading.encode(),
        "labels": list(dataset.labels),
        "parts": parts,
        "findings": [finding.to_json() for finding in all_findings(dataset)],
        "duplicates": dataset.duplicates.to_json(),
        "skipped": list(dataset.skipped),
    }
