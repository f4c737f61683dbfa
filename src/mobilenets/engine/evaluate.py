"""Evaluation: a Model and labeled images in, metrics out."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Collection, Subset
from mobilenets.data.loading import Prepared, check_skipped
from mobilenets.engine.predictor import Outputs, Predictor
from mobilenets.engine.session import BATCH, Session
from mobilenets.errors import DataError, EngineError
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification, ClassificationMetrics
from mobilenets.tasks.metrics import Counts


def evaluate(
    model: Predictor | Model | str | PathLike[str], subset: Subset, *, progress: Progress = SILENT
) -> ClassificationMetrics:
    """Evaluate a classifier on labeled images.

    Args:
        model: The Model, the path of its file, or what predicts with it.
        subset: Images whose targets are indices into the Model's labels (see :func:`match_labels`).
        progress: Receives progress updates.

    Returns:
        Top-1 with its interval, top-5, precision and recall of every class, and the confusion matrix.

    Raises:
        DataError: If there are no labeled images, or more than a tenth of them are broken.
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or is no classifier.
    """
    if not isinstance(subset, Subset):
        raise DataError(
            "a Model is evaluated on a Subset, such as load_dataset(folder).test, "
            f"not on a value of type {type(subset).__name__}"
        )
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    task = _classification(predictor.model)
    rows: list[Outputs] = []
    targets, skipped = [], []
    with progress.task("evaluating", len(subset), "images") as bar:
        for (image, outputs), target in zip(predictor.outputs_many(subset.images), subset.targets, strict=True):
            bar.advance()
            if isinstance(outputs, DataError):
                skipped.append(image.name)
                progress.note(f"skipped: {outputs}")
            else:
                rows.append(outputs)
                targets.append(target)
    check_skipped(skipped, len(subset))
    if not rows:
        raise DataError("there are no images to evaluate on")
    together = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    return task.metrics(together, np.array(targets, np.int64), skipped=skipped)


def evaluate_prepared(model: Model, prepared: Prepared, *, threads: int | None = None) -> ClassificationMetrics:
    """Evaluate a classifier on labeled images that are in memory, as the network takes them.

    Args:
        model: The Model.
        prepared: Images of the network's size, whose targets are indices into the Model's labels.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        DataError: If there are no images.
        EngineError: If the Model cannot be run, or is no classifier.
    """
    task, session = _classification(model), Session(model, threads)
    batches = [
        tuple(session.outputs(prepared.pixels[begin : begin + BATCH]).values())
        for begin in range(0, len(prepared.pixels), BATCH)
    ]
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return task.metrics(outputs, prepared.targets, skipped=prepared.skipped)


def _classification(model: Model) -> Classification:
    if not isinstance(model.task, Classification):
        raise EngineError(f"labeled images evaluate classifiers; the Model's task is {model.task.kind}")
    return model.task


def match_labels(collection: Collection, labels: Sequence[str]) -> Counts:
    """For each class of some data, its index among a Model's labels.

    Classes are matched by name; failing that, by the number that the data gives them, shifted by one where the Model
    has 1,001 classes of which the first is the background.

    Raises:
        DataError: If a class of the data is not one of the Model's.
    """
    if set(collection.labels) <= set(labels):
        return np.array([labels.index(label) for label in collection.labels], np.int64)
    if collection.class_indices is not None:
        shift = 1 if len(labels) == 1001 and max(collection.class_indices) < 1000 else 0
        if max(collection.class_indices) + shift < len(labels):
            return np.array(collection.class_indices, np.int64) + shift
    strange = next(label for label in collection.labels if label not in labels)
    known = ", ".join(labels[:5]) + (" …" if len(labels) > 5 else "")
    raise DataError(f"the data has the class {strange!r}; the model knows {len(labels)} classes: {known}")
