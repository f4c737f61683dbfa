"""Labeled images, and the parts that they are trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.box_annotations import BoxLayout
from mobilenets.data.box_checks import check_boxes
from mobilenets.data.box_layout import find_box_layout, parts_of, without_classes
from mobilenets.data.class_names import unify
from mobilenets.data.content import digests_of, fingerprint_of, split_by_content
from mobilenets.data.duplicates import Duplicates, find_duplicates
from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.image import ImageSource
from mobilenets.data.label_files import ALL, NO_LABEL
from mobilenets.data.layout import find_layout
from mobilenets.data.loading import check_skipped
from mobilenets.data.reading import Reading
from mobilenets.data.reconcile import reconciled
from mobilenets.data.sharded import is_sharded, sharded_parts
from mobilenets.data.sharded_boxes import holds_boxes, sharded_boxes
from mobilenets.data.sources import DIGITS, NOT_FETCHED, digits, is_address
from mobilenets.data.subset import Subset as Subset
from mobilenets.data.targets import label_matrix
from mobilenets.data.tree import scan
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.provenance import Data, Provenance
from mobilenets.tasks.boxes import as_targets
from mobilenets.tasks.labels import is_label


@dataclass(frozen=True, eq=False)
class Collection:
    """Labeled images as a source gives them.

    Attributes:
        labels: Names of the classes, in order of name.
        parts: ``train``, ``validation`` and ``test`` as far as the source gives them; ``all`` where it gives none.
        source: Where they come from.
        class_indices: For each class, its number in the set that it was taken from, if the source says so. Lets a
            part of ImageNet be met with a network of 1,000 classes.
        layout: What the source looks like, in a few words.
        places: Part → where in the source it was found.
        findings: What the source's owner should know of: images that are left out, and what could have been meant in
            another way.
        reading: How the source was read.
        task: Kind of the :class:`~mobilenets.tasks.task.Task` whose targets the images have.
    """

    labels: tuple[str, ...]
    parts: Mapping[str, Subset]
    source: str
    class_indices: tuple[int, ...] | None = None
    layout: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    reading: Reading = Reading()
    task: str = "classification"

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(subset)}" for name, subset in self.parts.items())
        return f"Collection({self.source!r}, {len(self.labels)} classes, images: {parts})"

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
        layout: What the source looks like, in a few words.
        places: Part → where in the source it was found.
        findings: What the source's owner should know of.
        duplicates: Images that are equal to the last byte.
        reading: How the source was read.
        seed: Random seed that the parts were drawn with.
        task: Kind of the :class:`~mobilenets.tasks.task.Task` whose targets the images have.
    """

    labels: tuple[str, ...]
    train: Subset
    validation: Subset
    test: Subset
    fingerprint: str
    source: str
    made_parts: tuple[str, ...] = ()
    skipped: tuple[str, ...] = field(default=())
    layout: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    duplicates: Duplicates = Duplicates()
    reading: Reading = Reading()
    seed: int = 0
    task: str = "classification"

    def __repr__(self) -> str:
        parts = f"{len(self.train)} train, {len(self.validation)} validation and {len(self.test)} test images"
        return f"Dataset({self.source!r}, {len(self.labels)} classes, {parts})"

    def part(self, name: str) -> Subset:
        """``train``, ``validation`` or ``test``."""
        return cast("Subset", getattr(self, name))


def check_source(source: str | Path) -> None:
    """Raise if a source does not exist: so much can be said before anything is loaded.

    Args:
        source: As for :func:`load_collection`.

    Raises:
        DataError: Naming what has nearly the same name, if anything has.
    """
    path = Path(source)
    try:
        exists = path.exists()
    except ValueError as error:  # a null character
        raise DataError(f"{str(source)!r} is no path: {error}") from None
    if exists or str(source) == DIGITS or is_sharded(source):
        return
    parent = path
    while not parent.is_dir():
        missing, parent = parent, parent.parent
    beside = [entry.name for entry in parent.iterdir() if not entry.name.startswith(".")]
    near = get_close_matches(missing.name, [*beside, *([DIGITS] if path.parent == Path() else [])], 1)
    meant = f"; did you mean {parent / near[0] / path.relative_to(missing)}?" if near else ""
    expected = "" if near else f"; expected a folder of class folders, a CSV file, or {DIGITS}"
    raise DataError(f"{source} {NOT_FETCHED if is_address(source) else f'does not exist{meant}{expected}'}")


@typed(DataError)
def load_collection(source: str | Path, reading: Reading = Reading()) -> Collection:
    """Find the labeled images of a source.

    Args:
        source: A folder of class folders, of folders of parts that hold class folders, or of images with a label file;
            shards (Parquet, Arrow or tar files, a folder of them, an address, or ``"hub-data:owner/name"``);
            a label file (CSV, TSV, JSON or JSON lines); images with boxes (COCO's JSON, Pascal VOC's XML, YOLO's text
            files or a table); or ``"digits"``.
        reading: What the source does not say itself.

    Returns:
        The images with their classes or boxes, in the parts that the source gives. No image is decoded yet.

    Raises:
        DataError: If the source does not exist, is of no known form, could be read in several ways, or holds fewer than
            two classes; or, with boxes, if an annotation names a class or an image that there is not, or more than a
            tenth of the boxes cannot be used.
        MissingDependencyError: If the source is ``"digits"`` and scikit-learn is not installed.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("cat", "dog"):
    ...         Path(folder, label).mkdir()
    ...         Image.new("RGB", (64, 48)).save(Path(folder, label, "1.jpg"))
    ...     collection = load_collection(folder)
    >>> collection.labels, collection.parts["all"].targets.tolist()
    (('cat', 'dog'), [0, 1])
    """
    path = Path(source)
    if str(source) == DIGITS and not path.exists():
        return collection_of({ALL: digits()}, DIGITS, layout="the bundled sample")
    if is_sharded(source) and holds_boxes(str(source)):
        return box_collection(sharded_boxes(str(source)), str(source), reading)
    if is_sharded(source):
        return collection_of(sharded_parts(str(source)), str(source), layout="shards", reading=reading)
    check_source(source)
    try:
        root = scan(path, reading.exclude) if path.is_dir() else None
        boxes = find_box_layout(path, root, reading)
        if boxes is not None:
            return box_collection(boxes, str(source), reading)
        layout = find_layout(path, reading, root)
        parts, indices, findings = reconciled(layout, reading, str(source))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    make = several_labels_collection if layout.several else collection_of
    return make(
        parts,
        str(source),
        indices,
        layout=layout.kind,
        places=layout.places,
        findings=(*layout.findings, *findings),
        reading=reading,
    )


def box_collection(layout: BoxLayout, source: str, reading: Reading = Reading()) -> Collection:
    """Images with boxes, every box checked, as a Collection.

    Args:
        layout: What files say.
        source: What to call it.
        reading: How the source was read.

    Raises:
        DataError: If there is no box, a class cannot be printed, or more than a tenth of the boxes cannot be used.
    """
    layout = without_classes(layout, reading.exclude)
    present = {box.label for image in layout.images for box in image.boxes}
    if not present:
        raise DataError(f"{source} describes {plural(len(layout.images), 'image')} and no box in any of them")
    names, alike = unify([label for label in layout.labels if label in present], reading)
    labels = tuple(dict.fromkeys(names.values()))
    for label in labels:
        if not is_label(label):
            raise DataError(f"class {label!r:.80} of {source} holds a control character or is not Unicode; rename it")
    unused = [label for label in layout.labels if label not in present]
    findings = [*layout.findings, *alike]
    if unused:
        message = f"{plural(len(unused), 'class', 'classes')} without any box left out: {listed(unused)}"
        findings.append(Finding(Kind.NOTE, message))
    checked = check_boxes(layout.images, {name: labels.index(label) for name, label in names.items()}, source)
    _check_trained(layout, source)
    parts = {
        part: Subset(
            tuple(image.source for image in layout.images if image.part == part),
            as_targets(
                [truth for image, truth in zip(layout.images, checked.truths, strict=True) if image.part == part]
            ),
        )
        for part in parts_of(layout.images)
    }
    return Collection(
        labels,
        parts,
        source,
        layout=layout.kind,
        places=layout.places,
        findings=(*findings, *checked.findings),
        reading=reading,
        task="detection",
    )


def _check_trained(layout: BoxLayout, source: str) -> None:
    """Raise if none of the images to train on has a box."""
    trained = [image for image in layout.images if image.part == "train"]
    if trained and not any(image.boxes for image in trained):
        where = layout.places.get("train", "train")
        raise DataError(f"none of the {plural(len(trained), 'training image')} of {source} ({where}) has a box")


def collection_of(
    parts: Mapping[str, Mapping[str, Sequence[ImageSource]]],
    source: str,
    indices: Mapping[str, int] = MappingProxyType({}),
    **facts: Any,
) -> Collection:
    """Labeled images by part and class, as a Collection."""
    labels = tuple(sorted({label for classes in parts.values() for label, images in classes.items() if images}))
    if not labels:
        raise DataError(
            f"{source} holds no images in class folders; expected {source}/<class>/<image>, "
            "or a CSV of file,class that says which image is of which class"
        )
    if len(labels) == 1:
        raise DataError(f"{source} holds one class only ({labels[0]!r}); two or more are needed")
    for label in labels:
        if not is_label(label):
            raise DataError(f"class {label!r:.80} of {source} holds a control character or is not Unicode; rename it")
    numbered = len(labels) == len([label for label in labels if label in indices])
    chosen = tuple(indices[label] for label in labels) if numbered else None
    return Collection(
        labels, {part: _subset(classes, labels) for part, classes in parts.items()}, source, chosen, **facts
    )


def several_labels_collection(
    parts: Mapping[str, Mapping[str, Sequence[ImageSource]]],
    source: str,
    indices: Mapping[str, int] = MappingProxyType({}),
    **facts: Any,
) -> Collection:
    """Images of several labels, or none, as a Collection.

    Args:
        parts: Part → label → images; an image may stand under several labels, or under :data:`NO_LABEL`.
        source: What to call it.
        indices: Numbers that labels have elsewhere; not used.
        facts: What else the Collection holds.

    Raises:
        DataError: If no image has a label, or a label cannot be printed.
    """
    labels = tuple(sorted({one for named in parts.values() for one, images in named.items() if images} - {NO_LABEL}))
    if not labels:
        raise DataError(f"{source} gives no image a label")
    for label in labels:
        if not is_label(label):
            raise DataError(f"label {label!r:.80} of {source} holds a control character or is not Unicode; rename it")
    subsets = {part: _of_several(named, labels) for part, named in parts.items()}
    return Collection(labels, subsets, source, task="multilabel", **facts)


def _of_several(named: Mapping[str, Sequence[ImageSource]], labels: Sequence[str]) -> Subset:
    images: dict[str, ImageSource] = {}
    sets: dict[str, list[str]] = {}
    for label in (*labels, NO_LABEL):
        for image in named.get(label, ()):
            images.setdefault(image.name, image)
            sets.setdefault(image.name, []).extend([label] if label else [])
    return Subset(
        tuple(images[name] for name in sorted(images)), label_matrix([sets[name] for name in sorted(images)], labels)
    )


def _subset(classes: Mapping[str, Sequence[ImageSource]], labels: Sequence[str]) -> Subset:
    images: list[ImageSource] = []
    targets: list[int] = []
    for target, label in enumerate(labels):
        found = classes.get(label, ())
        images += found
        targets += [target] * len(found)
    return Subset(tuple(images), np.array(targets, dtype=np.int64))


@typed(DataError)
def load_dataset(
    source: str | Path, *, seed: int = 0, reading: Reading = Reading(), progress: Progress = SILENT
) -> Dataset:
    """Find labeled images and make the parts that the source does not give.

    A part that has to be made is drawn class by class: a tenth of the images each for validation and test. Which ones
    depends on their content and the seed only, and identical images stay together.

    Args:
        source: As for :func:`load_collection`.
        seed: Another seed draws other images.
        reading: What the source does not say itself.
        progress: Receives progress updates.

    Returns:
        The images in three parts, and what their owner should know of them.

    Raises:
        DataError: As :func:`load_collection`, or if a class has too few images to be split, or more than a tenth of
            all images cannot be read.
        MissingDependencyError: If the source is ``"digits"`` and scikit-learn is not installed.

    >>> dataset = load_dataset("digits")
    >>> dataset
    Dataset('digits', 10 classes, 1439 train, 179 validation and 179 test images)
    >>> dataset.labels[dataset.test.targets[0]], dataset.fingerprint[:8]
    ('0', 'b70e05be')
    """
    check_integer("seed", seed, DataError, least=0)
    return split_collection(load_collection(source, reading), seed=seed, progress=progress)


def split_collection(collection: Collection, *, seed: int = 0, progress: Progress = SILENT) -> Dataset:
    """Make the parts that a collection lacks.

    Args:
        collection: The images.
        seed: Another seed draws other images.
        progress: Receives progress updates.

    Raises:
        DataError: If a class has too few images to be split, or more than a tenth of all images cannot be read.
    """
    check_integer("seed", seed, DataError, least=0)
    digests, unreadable = digests_of(collection.everything, progress)
    check_skipped(sorted(unreadable), len(collection.everything))
    readable = {name: _without(subset, unreadable) for name, subset in collection.parts.items()}
    parts = split_by_content(readable, collection.labels, digests, seed=seed)
    made = tuple(name for name in ("train", "validation", "test") if name not in collection.parts)
    return Dataset(
        labels=collection.labels,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        fingerprint=fingerprint_of(parts, collection.labels, digests),
        source=collection.source,
        made_parts=made,
        skipped=tuple(sorted(unreadable)),
        layout=collection.layout,
        places=collection.places,
        findings=collection.findings,
        duplicates=find_duplicates(parts, collection.labels, digests),
        reading=collection.reading,
        seed=seed,
        task=collection.task,
    )


def reading_of(model: Model, source: str | Path) -> Reading:
    """How a source was read when a Model was fitted to it; as usual where it was fitted to another."""
    data = Provenance.of(model).data
    if data is None or data.reading is None or data.source is None:
        return Reading()
    same = Path(data.source).resolve() == Path(source).resolve()
    return Reading.decode(data.reading) if same else Reading()


def dataset_fitted_to(
    model: Model, source: str | Path, reading: Reading | None = None, *, progress: Progress = SILENT
) -> Dataset | None:
    """The images of a source in the parts that a Model was fitted to.

    Args:
        model: Says which they are.
        source: Where they are.
        reading: How they are read; None for how they were read then.
        progress: Receives progress updates.

    Returns:
        None where the Model was fitted to other images, or does not say to which.
    """
    data = Provenance.of(model).data
    if data is None or not data.is_complete:
        return None
    try:
        return reload_dataset(data, source, reading, progress=progress)
    except DataError:
        return None


def reload_dataset(
    data: Data, source: str | Path | None = None, reading: Reading | None = None, *, progress: Progress = SILENT
) -> Dataset:
    """The images that a Model was fitted to, in the same parts.

    Args:
        data: Says which they are.
        source: Where they are; None for where they were.
        reading: How they are read; None for how they were read then.
        progress: Receives progress updates.

    Raises:
        DataError: If they cannot be read, or are others.
    """
    if data.source is None or data.seed is None:
        raise DataError("the Model does not say what it was fitted to")
    source = data.source if source is None else source
    if reading is None:
        reading = Reading() if data.reading is None else Reading.decode(data.reading)
    dataset = load_dataset(source, seed=data.seed, reading=reading, progress=progress)
    if dataset.fingerprint != data.fingerprint:
        raise DataError(
            f"{source} is not what the Model was fitted to: its fingerprint is {dataset.fingerprint}, "
            f"and that of the run is {data.fingerprint}"
        )
    return dataset


def _without(subset: Subset, names: set[str]) -> Subset:
    return subset.take([index for index, image in enumerate(subset.images) if image.name not in names])
