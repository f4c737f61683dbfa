"""Predictions for any number of images into one file."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, fspath
from typing import Any

from mobilenets.base.arguments import check_integer, check_type, typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.image import ImageSource
from mobilenets.data.image_stream import WHOLE, Shard, count_images, expand_sources, stream_images
from mobilenets.data.sharded import is_sharded, shards_of
from mobilenets.engine.bulk.output import RowOutput
from mobilenets.engine.bulk.rows import Row, RowColumns, RowShape
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.errors import DataError, EngineError
from mobilenets.model.file import model_digest
from mobilenets.model.model import Model
from mobilenets.model.source import model_of
from mobilenets.tasks.multilabel import MultiLabel

Sources = str | PathLike[str] | Iterable[str | PathLike[str]]


@dataclass(frozen=True)
class BulkPrediction:
    """What :func:`predict_to_file` did, or would do.

    Attributes:
        file: The file, or its address.
        images: Images in it; None where they were not counted, as images at addresses are not beforehand.
        failed: How many of them could not be read.
        earlier: How many were there already, from a run that was stopped.
        columns: Of the table.
        seconds: What this run took.
    """

    file: str
    images: int | None
    failed: int
    earlier: int
    columns: tuple[str, ...]
    seconds: float = 0.0


DEFAULT_LABELS = 3
"""Labels of an image that are written, unless another number is asked for."""


@dataclass(frozen=True)
class AnswerOptions:
    """How images are predicted.

    Attributes:
        top: Largest number of results for each; None for what the Model's task gives.
        unknown: Whether to tell images of no known class, by the Model's threshold.
        threshold: Answer "unknown" below this probability, or leave out boxes below this score; None for never.
    """

    top: int | None
    unknown: bool
    threshold: float | None

    def predictor(self, model: Model, threads: int | None) -> Predictor:
        """What answers so.

        Raises:
            EngineError: If the Model cannot.
        """
        if self.top is not None:
            check_integer("top", self.top, EngineError, least=1)
        if model.task.kind == "detection" and not self.unknown:
            from mobilenets.engine.detector import Detector  # only detectors need it

            return Detector(model, threads)
        if not self.unknown and self.threshold is None:
            return Predictor(model, threads)
        classifier = Classifier(model, threads)
        classifier.check_rejection(unknown=self.unknown, threshold=self.threshold)
        return classifier

    def rows(self, predictor: Predictor, images: Iterable[ImageSource]) -> Iterator[Row]:
        """The row of each image, in order."""
        given: deque[str] = deque()

        def noted() -> Iterator[ImageSource]:
            for image in images:
                given.append(image.name)
                yield image

        how: dict[str, Any] = {"top": self.top}
        if self.threshold is not None and not self.unknown:
            how |= {"threshold": self.threshold}
        elif self.unknown:
            how |= {"unknown": self.unknown, "threshold": self.threshold}
        for result in predictor.predict_many(noted(), **how):
            name = given.popleft()
            yield {"image": name, "error": str(result)} if isinstance(result, DataError) else result.to_json()


@typed(DataError, but=("sources",))
def predict_to_file(
    model: Model | str | PathLike[str],
    sources: Sources,
    output: str | PathLike[str],
    *,
    top: int | None = None,
    unknown: bool = False,
    threshold: float | None = None,
    shard: str | None = None,
    threads: int | None = None,
    ray: bool | str = False,
    replace_existing: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> BulkPrediction:
    """Predict any number of images, in bounded memory, into a file with one row for each, or for each box.

    Rows are written every few seconds, to ``OUTPUT.partial``. The same call after a kill goes on from there, and no row
    is lost or twice. An image that cannot be read has a row with its ``error``.

    Args:
        model: A Model of any task, or what :func:`mobilenets.load` reads.
        sources: Images, folders, lists (text, CSV, JSON Lines, Parquet, Arrow), tar archives such as WebDataset's:
            each a path, or an address that fsspec reads (``s3://…``). ``{00..99}`` in a name is a range.
        output: File or address that ends in ``.parquet``, ``.csv`` or ``.jsonl``. Of a shard, ``-2-of-8`` is added to
            its name.
        top: Largest number of results for each image; None for three labels, or every box.
        unknown: Answer ``"unknown"`` for images of no known class, by the Model's threshold.
        threshold: Answer so, too, below this probability; of a detector, leave out boxes below this score;
            where an image has several labels, it is given those of this probability.
        shard: Such as ``"2/8"``: only the second of eight equal shares of the images.
        threads: Threads to use; by default the cores that this process may use. Not with ``ray``.
        ray: Whether to share the images out over a Ray cluster, by Ray Data; or the cluster's address.
        replace_existing: Replace a file that is there, and begin anew where a run was stopped.
        dry_run: Only count the images, and check everything else.
        progress: Receives progress updates.

    Returns:
        How many images there were, and how many could not be read.

    Raises:
        DataError: If a source cannot be read, the file is there already, or a stopped run had another Model, other
            sources or other options.
        EngineError: If the Model cannot be run, or cannot answer so.
        MissingDependencyError: If what a format, an address or ``ray`` needs is not installed.
        ModelFileError: If the Model's file cannot be read.

    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> ones = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> model = Model(network, ones, Classification(("cat", "dog")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "cut.jpg").write_bytes(b"")
    ...     done = predict_to_file(model, folder, f"{folder}/labels.csv", top=1)
    ...     Path(folder, "labels.csv").read_text().splitlines()[0]
    'image,label,probability,error'
    >>> done.images, done.failed
    (1, 1)
    """
    share = WHOLE if shard is None else Shard.parse(shard)
    loaded = model_of(model)
    top = DEFAULT_LABELS if top is None and loaded.task.kind == "classification" else top
    answers = AnswerOptions(top, unknown, threshold)
    if isinstance(loaded.task, MultiLabel) and threshold is not None and not unknown:
        loaded = replace(loaded, task=loaded.task.with_threshold(threshold))
        answers = AnswerOptions(top, unknown, None)
    predictor = answers.predictor(loaded, threads)  # says what is wrong before anything is read
    names = [file for name in expand_sources(_names(sources)) for file in _shards_of_folder(name)]
    path = _file_of(fspath(output), share)
    columns = RowColumns.of(loaded.task, top=top or DEFAULT_LABELS, unknown=unknown or threshold is not None)
    made_from: dict[str, Any] = {"model": model_digest(loaded), "sources": names, "shard": str(share)}
    if columns.shape is RowShape.BOXES:  # earlier releases wrote boxes as JSON in one column
        made_from["table"] = list(columns.types)
    rows = RowOutput(
        path, columns, made_from | {"options": [top, unknown, threshold]}, replace_existing=replace_existing
    )
    total = count_images(names, share)
    if dry_run:
        return BulkPrediction(path, total, rows.failed, rows.done, tuple(columns.types))
    predicted = _rows_of(predictor, answers, ray)
    with rows.held():
        earlier, seconds = _predict(rows, names, share, total, predicted, progress)
    return BulkPrediction(path, rows.done, rows.failed, earlier, tuple(columns.types), seconds)


def _shards_of_folder(source: str) -> list[str]:
    """The files of a folder that holds shards and no images, such as ``mobilenets shard`` writes; else the source."""
    return shards_of(source) if os.path.isdir(source) and is_sharded(source) else [source]


def _names(sources: Sources) -> list[str]:
    given = [sources] if isinstance(sources, str | PathLike) or not isinstance(sources, Iterable) else list(sources)
    for source in given:
        check_type("sources", source, str | PathLike, DataError)
    return [fspath(source) for source in given]


def _file_of(output: str, share: Shard) -> str:
    """The file of a shard: ``labels-2-of-8.csv`` for ``labels.csv``."""
    if share.count == 1:
        return output
    stem, dot, suffix = output.rpartition(".")
    return f"{stem}-{share.number}-of-{share.count}{dot}{suffix}"


def _rows_of(
    predictor: Predictor, answers: AnswerOptions, ray: bool | str
) -> Callable[[Iterator[ImageSource]], Iterator[Row]]:
    """What predicts: this process, or a cluster."""
    if ray is False:
        return partial(answers.rows, predictor)
    from mobilenets.engine.bulk.cluster import Cluster

    return partial(Cluster(None if ray is True or not ray else ray).rows, predictor.model, answers)


def _predict(
    rows: RowOutput,
    names: list[str],
    share: Shard,
    total: int | None,
    predicted: Callable[[Iterator[ImageSource]], Iterator[Row]],
    progress: Progress,
) -> tuple[int, float]:
    """Predict what has no row yet; how many had one, and the seconds that the others took."""
    images = stream_images(names, share)
    if earlier := rows.done:
        rows.skip(images)
        progress.note(f"going on after {plural(earlier, 'image')}")
    begun = time.monotonic()
    try:
        with progress.task("predicting", 0 if total is None else total - earlier, "images") as task:
            for row in predicted(images):
                rows.add(row)
                task.advance()
    except BaseException:
        with suppress(DataError):
            rows.write()
        raise
    seconds = time.monotonic() - begun
    if share is WHOLE and not rows.holds_any:
        raise DataError(f"no images in {', '.join(names[:3])}{' …' if len(names) > 3 else ''}")
    rows.finish()
    return earlier, seconds
