"""Bulk prediction on a Ray cluster: Ray Data shares the images out, our engine runs in its workers.

What comes back are rows, in the order of the images, and this process alone writes them. A block of images whose worker
or node is lost is predicted again by another, so every image has one row.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from mobilenets.data.image import ImageSource
from mobilenets.engine.bulk.rows import Row
from mobilenets.engine.predictor import Predictor
from mobilenets.engine.ray_cluster import join_cluster, worker_failure
from mobilenets.errors import EngineError, MissingDependencyError
from mobilenets.model.file import model_digest
from mobilenets.model.model import Model

if TYPE_CHECKING:
    from mobilenets.engine.bulk.prediction import AnswerOptions

BLOCK = 256
"""Images that a worker is given together."""
WINDOW_BLOCKS, WINDOW_BYTES = 512, 256 << 20
"""Blocks, and bytes of images that lie in memory, that the cluster is given together."""

_predictors: dict[tuple[str, Any], Predictor] = {}
"""Those of this worker's process: it loads a Model once."""


class Cluster:
    """A Ray cluster that predicts.

    Args:
        address: Of the cluster, such as ``ray://head:10001``; None for the one that this process is part of, or else
            one of this machine's cores.

    Raises:
        EngineError: If the cluster cannot be reached.
        MissingDependencyError: If Ray is not installed.
    """

    def __init__(self, address: str | None) -> None:
        ray = join_cluster(address)
        try:
            import ray.data
        except ModuleNotFoundError:
            raise MissingDependencyError("ray", "ray") from None
        self._ray = ray

    def rows(self, model: Model, answers: AnswerOptions, images: Iterator[ImageSource]) -> Iterator[Row]:
        """The row of each image, in order.

        Args:
            model: It is sent to every node once.
            answers: How images are predicted.
            images: Files are opened by the workers, so their paths must mean the same there.

        Raises:
            EngineError: If the workers cannot run, for example because this package is not installed there.
        """
        from ray.exceptions import RayError

        sent, digest = self._ray.put(model), model_digest(model)
        try:
            with self._in_order():
                for window in _windows(images):
                    yield from self._predicted(window, (sent, digest, answers))
        except RayError as error:
            raise EngineError(f"a worker of the Ray cluster failed: {worker_failure(error)}") from None

    def _predicted(self, window: list[bytes], how: tuple[Any, str, AnswerOptions]) -> Iterator[Row]:
        blocks = self._ray.data.from_items([{"images": block} for block in window], override_num_blocks=len(window))
        predicted = blocks.map_batches(
            cast("Any", _predict_block),
            batch_size=1,
            batch_format="numpy",
            fn_args=how,
            num_cpus=1,
            zero_copy_batch=True,
        )
        for batch in predicted.iter_batches(batch_size=None, batch_format="numpy"):
            for rows in batch["rows"]:
                yield from json.loads(rows)

    @contextmanager
    def _in_order(self) -> Iterator[None]:
        """Have Ray Data keep the order, and say nothing on the terminal."""
        logger = logging.getLogger("ray.data._internal")
        level = logger.level
        context = self._ray.data.DataContext.get_current()
        before = context.execution_options.preserve_order, context.enable_progress_bars
        context.execution_options.preserve_order, context.enable_progress_bars = True, False
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            context.execution_options.preserve_order, context.enable_progress_bars = before
            logger.setLevel(level)


def _windows(images: Iterator[ImageSource]) -> Iterator[list[bytes]]:
    """Blocks of images, as many at a time as the cluster is given together."""
    window: list[bytes] = []
    while block := list(islice(images, BLOCK)):
        window.append(pickle.dumps(block))
        if len(window) == WINDOW_BLOCKS or sum(map(len, window)) > WINDOW_BYTES:
            yield window
            window = []
    if window:
        yield window


def _predict_block(batch: dict[str, Any], sent: Any, digest: str, answers: AnswerOptions) -> dict[str, Any]:
    """What a worker does."""
    import ray

    key = digest, answers
    if key not in _predictors:
        _predictors.clear()
        _predictors[key] = answers.predictor(ray.get(sent), threads=1)
    found = [json.dumps(list(answers.rows(_predictors[key], pickle.loads(block)))) for block in batch["images"]]
    return {"rows": found}
