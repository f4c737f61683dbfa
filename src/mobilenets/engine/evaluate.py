"""Evaluation: a Model and labeled images in, metrics out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, overload

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.class_names import label_of
from mobilenets.data.dataset import Collection, Dataset, dataset_fitted_to, load_collection, reading_of
from mobilenets.data.loading import Prepared, check_skipped
from mobilenets.data.reading import told
from mobilenets.data.subset import Subset
from mobilenets.data.targets import relabeled
from mobilenets.engine.predictor import Classifier, Outputs, Predictor
from mobilenets.engine.session import BATCH, Session
from mobilenets.errors import DataError, EngineError, InputTypeError
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.boxes import with_geometry
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.imagenet import are_synsets, imagenet_offset, synset_indices, unknown_synsets
from mobilenets.tasks.metrics import Counts
from mobilenets.tasks.task import Geometry, Metrics

SPLITS = ("train", "validation", "test", "all")
LabeledImages = Subset | Collection | Dataset | str | PathLike[str]
"""Images with their right answers; a path is what :func:`~mobilenets.data.dataset.load_collection` takes."""


@overload
def evaluate(
    model: Classifier, data: LabeledImages, *, split: str | None = None, progress: Progress = SILENT
) -> ClassificationMetrics: ...
@overload
def evaluate(
    model: Predictor | Model | str | PathLike[str],
    data: LabeledImages,
    *,
    split: str | None = None,
    progress: Progress = SILENT,
) -> Metrics: ...
def evaluate(
    model: Predictor | Model | str | PathLike[str],
    data: LabeledImages,
    *,
    split: str | None = None,
    progress: Progress = SILENT,
) -> Metrics:
    """Evaluate a Model of any task on images whose right answers are known.

    Args:
        model: The Model, the path of its file, or what predicts with it.
        data: Images with their classes, as a folder, a CSV, ``"digits"`` or what was loaded from them, for a
            classifier; images with boxes for a detector. Or a Subset whose targets are what the Model's task takes (for
            a classifier, indices into its labels), used as it is.
        split: ``train``, ``validation``, ``test`` or ``all``. By default the test images where ``data`` has them, or
            where the Model was fitted to ``data``; else all images.
        progress: Receives progress updates.

    Returns:
        Metrics of the Model's task. Those of a detector are mean average precision as COCO defines it, by class and by
        size: :class:`~mobilenets.tasks.detection_metrics.DetectionMetrics`. Those of a classifier are top-1 with its
        interval, top-5, precision and recall of every class, and the confusion matrix:
        :class:`~mobilenets.tasks.classification_metrics.ClassificationMetrics`.

    Raises:
        DataError: If there are no labeled images, a class is not one of the Model's, or more than a tenth of the
            images are broken.
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or classes of images say nothing about its task.

    Source: E. B. Wilson 1927 (the 95 % interval of a share).

    >>> from mobilenets import Classification, Model, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=10)
    >>> parameters = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> parameters["classifier.bias"] = np.array([1] + 9 * [0], np.float32)
    >>> model = Model(network, parameters, Classification(tuple("0123456789")))
    >>> metrics = evaluate(model, "digits")  # calls every image a 0
    >>> metrics.images, round(metrics.top1, 2), [round(end, 2) for end in metrics.top1_interval]
    (1797, 0.1, [0.09, 0.11])
    """
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    _, subset = labeled_images(predictor.model, data, split)
    outputs, targets, skipped = collect_outputs(predictor, subset, progress=progress)
    return predictor.model.task.metrics(outputs, targets, skipped=skipped)


def collect_outputs(
    predictor: Predictor, subset: Subset, *, progress: Progress = SILENT
) -> tuple[Outputs, Any, tuple[str, ...]]:
    """Run a Model on labeled images.

    Args:
        predictor: Runs the Model.
        subset: The images.
        progress: Receives progress updates.

    Returns:
        The outputs and the targets of the images that could be decoded, and the names of the others.

    Raises:
        DataError: If there are no images, or more than a tenth of them are broken.
        EngineError: If the Model cannot be run.
    """
    rows: list[Outputs] = []
    geometry: list[Geometry] = []
    kept: list[int] = []
    skipped = []
    with progress.task("evaluating", len(subset), "images") as bar:
        for number, (image, ran) in enumerate(predictor.run_many(subset.images)):
            bar.advance()
            if isinstance(ran, DataError):
                skipped.append(image.name)
                progress.note(f"skipped: {ran}")
            else:
                rows.append(ran[0])
                geometry.append(ran[1])
                kept.append(number)
    check_skipped(skipped, len(subset))
    if not rows:
        raise DataError("there are no images to evaluate on")
    together = tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))
    return together, with_geometry(subset.take(kept).targets, geometry), tuple(skipped)


def evaluate_prepared(model: Model, prepared: Prepared, *, threads: int | None = None) -> Metrics:
    """Evaluate a Model on images that are in memory, as the network takes them.

    Args:
        model: The Model.
        prepared: Images of the network's size, whose targets are what the Model's task takes.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        DataError: If there are no images.
        EngineError: If the Model cannot be run.
    """
    session = Session(model, threads)
    batches = [
        tuple(session.outputs(prepared.pixels[begin : begin + BATCH]).values())
        for begin in range(0, len(prepared.pixels), BATCH)
    ]
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return model.task.metrics(outputs, prepared.targets, skipped=prepared.skipped)


def labeled_images(model: Model, data: LabeledImages, split: str | None = None) -> tuple[str, Subset]:
    """The images to evaluate a Model on, with targets as its task takes them.

    Args:
        model: The Model.
        data: As for :func:`evaluate`.
        split: As for :func:`evaluate`.

    Returns:
        The name of the split (``all`` for a Subset), and its images.

    Raises:
        DataError: If the images cannot be found, have no such split, or are of a class that the Model does not know.
        EngineError: If classes of images are given for a Model that is no classifier, or boxes for one that is no
            detector.
    """
    if split is not None and split not in SPLITS:
        raise DataError(f"no split is called {split!r}; known are {', '.join(SPLITS)}")
    match data:
        case Subset():
            if split is not None:
                raise DataError(f"a Subset is evaluated as a whole; it has no split {split}")
            return "all", data
        case Collection():
            source, collection = data.source, data
        case Dataset():
            parts = {name: data.part(name) for name in SPLITS if name != "all"}
            source, collection = data.source, Collection(data.labels, parts, data.source, task=data.task)
        case str() | PathLike():
            source = fspath(data)
            collection = load_collection(source, reading_of(model, source))
        case _:
            raise InputTypeError(
                "data must be labeled images: a folder, a CSV, a Subset, or what load_collection or load_dataset gives,"
                f" not a value of type {type(data).__name__}"
            )
    if collection.task != model.task.kind or model.task.labels is None:
        raise _other_task(collection, model, source)
    name, subset = _split_of(model, collection, source, split)
    numbers = match_labels(collection, model.task.labels)
    return name, replace(subset, targets=relabeled(subset.targets, numbers, len(model.task.labels)))


def _other_task(collection: Collection, model: Model, source: str) -> EngineError:
    kind = model.task.kind
    if collection.task == "detection":
        return EngineError(
            f"{source} holds boxes, which evaluate a detector, and this Model's task is {kind}; if its folders are "
            f"classes too, leave the files with boxes out, such as {told(exclude=('*.xml',))}"
        )
    if collection.task == "multilabel":
        return EngineError(
            f"images of {source} have several labels, which evaluate a Model that gives several, and this Model's task "
            f"is {kind}; where each has one class, say {told(task='classification')}"
        )
    return EngineError(
        f"the classes of {source} evaluate a classifier, and this Model's task is {kind}; "
        "pass a Subset whose targets are those of the task"
    )


def _split_of(model: Model, collection: Collection, source: str, split: str | None) -> tuple[str, Subset]:
    wanted = split or "test"
    if wanted in collection.parts:
        return wanted, collection.parts[wanted]
    dataset = dataset_fitted_to(model, source) if split != "all" else None
    if dataset is not None:
        return wanted, dataset.part(wanted)
    if split not in (None, "all"):
        raise DataError(f"{source} gives no {split} images, and the model was not fitted to it; use split all")
    return "all", collection.everything


def trained_among(model: Model, source: str, split: str) -> str | None:
    """What is to be said of figures of images that trained the Model, which are no test; None of others.

    Args:
        model: The Model.
        source: Where the images come from.
        split: Which of them.
    """
    data = Provenance.of(model).data
    if split not in ("train", "all") or data is None or data.source is None:
        return None
    if Path(data.source).resolve() != Path(source).resolve():
        return None
    which = "these images" if split == "train" else "images of these"
    return f"{which} trained the Model, so the figures are no test of it"


def match_labels(collection: Collection, labels: Sequence[str]) -> Counts:
    """For each class of some data, its index among a Model's labels.

    Classes are matched by name, whatever blanks are around it and however its accents are encoded; failing that, by the
    number that the data gives them, shifted by one where the Model has 1,001 classes of which the first is the
    background. Folders named by ImageNet's synsets (``n01440764``) are matched with ImageNet's labels.

    Raises:
        DataError: If a class of the data is not one of the Model's.
    """
    if set(collection.labels) <= set(labels):
        return np.array([labels.index(label) for label in collection.labels], np.int64)
    positions = {label_of(label): index for index, label in enumerate(labels)}
    if len(positions) == len(labels) and all(label_of(label) in positions for label in collection.labels):
        return np.array([positions[label_of(label)] for label in collection.labels], np.int64)
    if collection.class_indices is not None:
        shift = 1 if len(labels) == 1001 and max(collection.class_indices) < 1000 else 0
        if max(collection.class_indices) + shift < len(labels):
            return np.array(collection.class_indices, np.int64) + shift
    offset = imagenet_offset(labels)
    if offset is not None and are_synsets(collection.labels):
        if strange := unknown_synsets(collection.labels):
            raise DataError(f"{collection.source}: {strange}; leave those folders out")
        return np.array([synset_indices()[label] + offset for label in collection.labels], np.int64)
    strange = next(label for label in collection.labels if label not in labels)
    known = ", ".join(labels[:5]) + (" …" if len(labels) > 5 else "")
    raise DataError(
        f"the data has the class {strange!r}; the model knows {len(labels)} classes: {known}; "
        f"{_way_out(strange, labels, collection.task)}"
    )


def _way_out(strange: str, labels: Sequence[str], task: str) -> str:
    """What to do with a class that a Model does not know."""

    def written_alike(label: str) -> str:
        return "".join(char for char in label.casefold() if char.isalnum())

    alike = [label for label in labels if written_alike(label) == written_alike(strange)]
    if len(alike) == 1 and written_alike(strange):
        return f"if it is {alike[0]!r}, rename it"
    if task == "detection":
        return f"leave its boxes out with {told(exclude=(strange,))}"
    return f"leave it out with {told(exclude=(strange,))}"
