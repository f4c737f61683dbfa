"""Labelled images, and the parts that they are trained, validated and tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data import digits
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.sources import MANIFEST, PARTS, class_folders, part_folders, read_manifest
from mobilenets.data.splitting import split_by_content
from mobilenets.data.subset import Subset, check_skipped
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.provenance import Data, Provenance
from mobilenets.tasks.classification import is_label


@dataclass(frozen=True, eq=False)
class Collection:
    """Labelled images as a source gives them.

    Attributes:
        labels: Names of the classes, in order of name.
        parts: ``train``, ``validation`` and ``test`` as far as the source gives them; ``all`` where it gives none.
        source: Where they come from.
        class_indices: For each class, its number in the set that it was taken from, if the source says so. Lets a
            part of ImageNet be met with a network of 1,000 classes.
    """

    labels: tuple[str, ...]
    parts: Mapping[str, Subset]
    source: str
    class_indices: tuple[int, ...] | None = None

    @property
    def everything(self) -> Subset:
        """All images of all parts."""
        first, *others = self.parts.values()
        for other in others:
            first = first + other
        return first


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train, validate and test on.

    Attributes:
        labels: Names of the classes, in order of name.
        train: What the weights are fitted to.
        validation: What choices are made by.
        test: What the result is reported on, once.
        fingerprint: Hash of every image, its class and its part: the same on every machine.
        source: Where the images come from.
        made_parts: The parts that the source did not give.
        skipped: Images that could not be read at all.
    """

    labels: tuple[str, ...]
    train: Subset
    validation: Subset
    test: Subset
    fingerprint: str
    source: str
    made_parts: tuple[str, ...] = ()
    skipped: tuple[str, ...] = field(default=())

    def part(self, name: str) -> Subset:
        """``train``, ``validation`` or ``test``."""
        return cast("Subset", getattr(self, name))


def load_collection(source: str | Path) -> Collection:
    """Find the labelled images of a source.

    Args:
        source: A folder of class folders; a folder of train/val[/test] folders of class folders; a CSV file of
            file,class (also as ``labels.csv`` in a folder of images); or ``"digits"``.

    Raises:
        DataError: If the source does not exist, is of no known form, or holds fewer than two classes.
    """
    path = Path(source)
    if str(source) == digits.NAME and not path.exists():
        return _collection({"all": digits.digits()}, digits.NAME)
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a folder of class folders, a CSV file, or {digits.NAME}")
    try:
        if not path.is_dir():
            if path.suffix.lower() != ".csv":
                raise DataError(f"{path} is a file; expected a folder of class folders, or a CSV of file,class")
            return _from_manifest(path)
        parts = part_folders(path)
        if parts:
            return _collection({part: class_folders(folder) for part, folder in parts.items()}, str(source))
        classes = class_folders(path)
        if not any(classes.values()) and (path / MANIFEST).is_file():
            return _from_manifest(path / MANIFEST)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return _collection({"all": classes}, str(source))


def _collection(parts: Mapping[str, Mapping[str, Sequence[ImageSource]]], source: str) -> Collection:
    labels = tuple(sorted({label for classes in parts.values() for label, images in classes.items() if images}))
    if not labels:
        raise DataError(f"{source} holds no images in class folders; expected {source}/<class>/<image>")
    if len(labels) == 1:
        raise DataError(f"{source} holds one class only ({labels[0]!r}); two or more are needed")
    for label in labels:
        if not is_label(label):
            raise DataError(f"class {label!r:.80} of {source} holds a control character or is not Unicode; rename it")
    return Collection(labels, {part: _subset(classes, labels) for part, classes in parts.items()}, source)


def _subset(classes: Mapping[str, Sequence[ImageSource]], labels: Sequence[str]) -> Subset:
    images: list[ImageSource] = []
    targets: list[int] = []
    for target, label in enumerate(labels):
        found = classes.get(label, ())
        images += found
        targets += [target] * len(found)
    return Subset(tuple(images), np.array(targets, dtype=np.int64))


def _from_manifest(path: Path) -> Collection:
    rows, column = read_manifest(path)
    parts: dict[str, dict[str, list[ImageSource]]] = {}
    indices: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        part = PARTS.get((row.get("split") or "").lower(), "all")
        parts.setdefault(part, {}).setdefault(row[column], []).append(FileImage(path.parent / row["file"]))
        if row.get("index"):
            if not row["index"].isdecimal():
                raise DataError(f"{path}, line {number}: index must be a whole number, not {row['index']!r}")
            indices[row[column]] = int(row["index"])
    if len(parts) > 1 and "all" in parts:
        raise DataError(f"{path}: some rows name a split and some do not")
    collection = _collection(parts, str(path))
    if len(indices) < len(collection.labels):
        return collection
    chosen = tuple(indices[label] for label in collection.labels)
    return Collection(collection.labels, collection.parts, collection.source, chosen)


def load_dataset(source: str | Path, *, seed: int = 0, progress: Progress = SILENT) -> Dataset:
    """Find labelled images and make the parts that the source does not give.

    A part that has to be made is drawn class by class: a tenth of the images each for validation and test. Which ones
    depends on their content and the seed only, and identical images stay together.

    Args:
        source: As for :func:`load_collection`.
        seed: Another seed draws other images.
        progress: Hears about reading.

    Raises:
        DataError: As :func:`load_collection`, or if a class has too few images to be split, or more than a tenth of
            all images cannot be read.
    """
    collection = load_collection(source)
    digests, unreadable = _digests(collection.everything, progress)
    check_skipped(sorted(unreadable), len(collection.everything))
    readable = {name: _without(subset, unreadable) for name, subset in collection.parts.items()}
    parts = split_by_content(readable, collection.labels, digests, seed=seed)
    made = tuple(name for name in ("train", "validation", "test") if name not in collection.parts)
    return Dataset(
        labels=collection.labels,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        fingerprint=_fingerprint(parts, collection.labels, digests),
        source=str(source),
        made_parts=made,
        skipped=tuple(sorted(unreadable)),
    )


def dataset_fitted_to(model: Model, source: str | Path, *, progress: Progress = SILENT) -> Dataset | None:
    """The images of a source in the parts that a Model was fitted to.

    Returns:
        None where the Model was fitted to other images, or does not say to which.
    """
    data = Provenance.of(model).data
    if data is None or not data.is_complete:
        return None
    try:
        return reload_dataset(data, source, progress=progress)
    except DataError:
        return None


def reload_dataset(data: Data, source: str | Path | None = None, *, progress: Progress = SILENT) -> Dataset:
    """The images that a Model was fitted to, in the same parts.

    Args:
        data: Says which they are.
        source: Where they are; None for where they were.
        progress: Hears about reading.

    Raises:
        DataError: If they cannot be read, or are others.
    """
    if data.source is None or data.seed is None:
        raise DataError("the Model does not say what it was fitted to")
    source = data.source if source is None else source
    dataset = load_dataset(source, seed=data.seed, progress=progress)
    if dataset.fingerprint != data.fingerprint:
        raise DataError(
            f"{source} is not what the Model was fitted to: its fingerprint is {dataset.fingerprint}, "
            f"and that of the run is {data.fingerprint}"
        )
    return dataset


def _digests(subset: Subset, progress: Progress) -> tuple[dict[str, bytes], set[str]]:
    """Digest of every image by name, and the names of those that cannot be read."""

    def digest(image: ImageSource) -> bytes | None:
        try:
            return image.digest()
        except DataError as error:
            progress.note(f"skipped: {error}")
            return None

    digests: dict[str, bytes] = {}
    with progress.task("reading", len(subset), "images") as task, ThreadPoolExecutor(4) as pool:
        for image, value in zip(subset.images, pool.map(digest, subset.images), strict=True):
            task.advance()
            if value is not None:
                digests[image.name] = value
    return digests, {image.name for image in subset.images} - set(digests)


def _without(subset: Subset, names: set[str]) -> Subset:
    return subset.take([index for index, image in enumerate(subset.images) if image.name not in names])


def _fingerprint(parts: Mapping[str, Subset], labels: Sequence[str], digests: Mapping[str, bytes]) -> str:
    lines = sorted(
        f"{name}\0{labels[target]}\0{digests[image.name].hex()}\n"
        for name, subset in parts.items()
        for image, target in zip(subset.images, subset.targets, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]
