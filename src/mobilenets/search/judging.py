"""Slices of a shared network, judged on validation images in float32 and, where it could be taken, in int8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quantize import Options, Rounding, quantize
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.data.sampling import spread
from mobilenets.engine.session import BATCH, Session
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.frontier import frontier

STATISTICS_IMAGES = 512
"""Training images that batch-norm statistics are estimated from; more change no accuracy."""
CALIBRATION = 64
"""Training images that int8 ranges come from."""
QUICK = Options(rounding=Rounding.NEAREST)
"""How slices become int8. The one that is taken can be quantised with more care."""

Size = tuple[float, int]
"""(α, resolution)."""
Cost = Callable[[float, int, str], Candidate]
"""(α, resolution, precision) → what is known of that network before it has an accuracy."""
Judged = list[tuple[Candidate, Model]]
"""What slices reach, each with its Model."""


class Judge:
    """Judges slices; images are decoded once for each size.

    Args:
        dataset: Training images give statistics and calibrate, validation images judge.
        preprocessing: Of the shared network.
        threads: Of the engine.
        progress: Hears about every slice.
    """

    def __init__(
        self, dataset: Dataset, preprocessing: Preprocessing, *, threads: int | None = None, progress: Progress = SILENT
    ) -> None:
        chosen = spread(len(dataset.train), STATISTICS_IMAGES)
        self._dataset = replace(dataset, train=dataset.train.take(chosen))
        self._preprocessing, self._threads, self._progress = preprocessing, threads, progress
        self._prepared: dict[tuple[str, int], Prepared] = {}

    def training_pixels(self, side: int) -> Pixels:
        """Some hundred training images at a size, to estimate statistics from."""
        return self._part("train", side).pixels

    def accuracy(self, model: Model) -> float:
        """Share of the validation images that a Model gets right."""
        prepared, session = self._part("validation", model.network.height), Session(model, self._threads)
        answers = [
            session.run(prepared.pixels[begin : begin + BATCH]).argmax(axis=1)
            for begin in range(0, len(prepared.pixels), BATCH)
        ]
        return float(np.mean(np.concatenate(answers) == prepared.targets))

    def in_float32(
        self, sizes: Sequence[Size], slice_at: Callable[[float, int], Model]
    ) -> dict[Size, tuple[Model, float]]:
        """Every slice with its accuracy."""
        found = {}
        with self._progress.task("evaluating", len(sizes), "slices") as task:
            for width, side in sizes:
                model = slice_at(width, side)
                found[width, side] = model, self.accuracy(model)
                task.advance(accuracy=f"{100 * found[width, side][1]:.1f} %")
        return found

    def judged(
        self,
        slices: Mapping[Size, tuple[Model, float]],
        precisions: Iterable[str],
        cost: Cost,
        budget: Budget = Budget(),
        *,
        every: bool = False,
    ) -> Judged:
        """What slices cost and reach in each precision.

        int8 takes time to make, so it is tried only where it could be taken: for slices within the budget that no
        quicker one beats in float32.

        Args:
            slices: What :meth:`in_float32` found.
            precisions: ``float32``, ``int8`` or both.
            cost: What each of them costs.
            budget: Its limits.
            every: Try int8 everywhere.
        """
        found: Judged = []
        if "float32" in precisions:
            for size, (model, share) in slices.items():
                found.append((replace(cost(*size, "float32"), accuracy=share), model))
        if "int8" not in precisions:
            return found
        hopeful = [replace(cost(*size, "int8"), accuracy=share) for size, (_, share) in slices.items()]
        if not every:
            limits = replace(budget, min_accuracy=None)
            hopeful = frontier([one for one in hopeful if limits.meets(one)] or hopeful)
        with self._progress.task("evaluating int8", len(hopeful), "slices") as task:
            for one in hopeful:
                model = self._quantized(slices[one.width_multiplier, one.resolution][0])
                found.append((replace(one, accuracy=self.accuracy(model)), model))
                task.advance()
        return found

    def _quantized(self, model: Model) -> Model:
        pixels = self.training_pixels(model.network.height)
        return quantize(model, pixels[spread(len(pixels), CALIBRATION)], QUICK).model

    def _part(self, part: str, side: int) -> Prepared:
        if (part, side) not in self._prepared:
            self._prepared[part, side] = prepare(self._dataset.part(part), self._preprocessing, side, side)
        return self._prepared[part, side]
