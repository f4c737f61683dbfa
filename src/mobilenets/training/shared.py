"""The shared network of a search: trained once, then sliced at every size that might be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mobilenets.compression.quantize import Options, Rounding, quantize
from mobilenets.data.dataset import Dataset
from mobilenets.data.decoding import Prepared, prepare
from mobilenets.engine.session import Session
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.model.slicing import sliced, statistics_of
from mobilenets.planning.budget import Candidate, frontier
from mobilenets.progress import SILENT, Progress
from mobilenets.training.int8 import CALIBRATION
from mobilenets.training.slimmable import STATISTICS_PICTURES, reestimated, spread

SEVENTHS = (7, 6, 5, 4)
"""Resolutions of a search, in sevenths of the largest: the proportions of the published 224, 192, 160 and 128."""
SMALLEST_RESOLUTION = 32
FEWEST_VALIDATED = 3
"""Validation pictures of every class without which one network cannot be preferred to another."""
QUICK = Options(rounding=Rounding.NEAREST)
"""How candidates are quantised. The one that is taken is quantised with more care."""

Point = tuple[float, int]
"""(α, resolution)."""
Cost = Callable[[float, int, str], Candidate]
"""(α, resolution, precision) → what is known of that network before it has an accuracy."""


def resolutions_below(largest: int) -> tuple[int, ...]:
    """Four resolutions in the proportions of the published ones, or fewer where they would be the same or below 32.

    >>> resolutions_below(224), resolutions_below(64), resolutions_below(32)
    ((224, 192, 160, 128), (64, 56, 48, 40), (32,))
    """
    step = 16 if largest >= 128 else 8
    sides = [largest * share / 7 for share in SEVENTHS]
    rounded = [largest, *(max(SMALLEST_RESOLUTION, round(side / step) * step) for side in sides[1:])]
    return tuple(dict.fromkeys(min(side, largest) for side in rounded))


def check_validation(dataset: Dataset) -> None:
    """Raise if there are too few validation pictures to choose a network by.

    Raises:
        DataError: If a class has fewer than three; the message says how many pictures are needed.
    """
    counts = np.bincount(dataset.validation.targets, minlength=len(dataset.labels))
    smallest = int(counts.argmin())
    if counts[smallest] >= FEWEST_VALIDATED:
        return
    total = sum(int((dataset.part(name).targets == smallest).sum()) for name in ("train", "validation", "test"))
    needed = (
        f"{10 * FEWEST_VALIDATED} pictures of each class"
        if "validation" in dataset.made_parts
        else f"{FEWEST_VALIDATED} pictures of each class in the validation folder"
    )
    raise DataError(
        f"class {dataset.labels[smallest]!r} has {total} picture(s), {counts[smallest]} of them for validation; "
        f"choosing a network by its accuracy needs {needed} at least"
    )


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What the slices of a shared network reach.

    Attributes:
        shared: The shared Model, with the statistics of every slice that was evaluated.
        candidates: Every slice, in every precision that was looked at, with its accuracy on the validation pictures.
    """

    shared: Model
    candidates: tuple[Candidate, ...]


class Frontier:
    """Evaluates slices of a shared network on validation pictures.

    Args:
        dataset: Training pictures give statistics and calibrate, validation pictures judge.
        preprocessing: Of the shared network.
        threads: Of the engine.
        progress: Hears about every slice.
    """

    def __init__(
        self, dataset: Dataset, preprocessing: Preprocessing, *, threads: int | None = None, progress: Progress = SILENT
    ) -> None:
        chosen = spread(len(dataset.train), STATISTICS_PICTURES)
        self._dataset = replace(dataset, train=dataset.train.take(chosen))
        self._preprocessing, self._threads, self._progress = preprocessing, threads, progress
        self._prepared: dict[tuple[str, int], Prepared] = {}

    def evaluate(self, shared: Model, points: Sequence[Point], precisions: Iterable[str], cost: Cost) -> Evaluated:
        """Accuracy of slices.

        int8 takes time to make, so it is tried only where it could be taken: for slices that no quicker one beats
        in float32.

        Args:
            shared: float32, trained for every width.
            points: (α, resolution) of the slices.
            precisions: ``float32``, ``int8`` or both.
            cost: What each of them costs.
        """
        slices: dict[Point, Model] = {}
        found: list[Candidate] = []
        hopeful: list[Candidate] = []
        with self._progress.task("evaluating", len(points), "slices") as task:
            for width, side in points:
                narrow = sliced(shared, width_multiplier=width, resolution=side)
                narrow = reestimated(narrow, self._pixels("train", side))
                slices[width, side] = narrow
                accuracy = self._accuracy(narrow)
                if "float32" in precisions:
                    found.append(replace(cost(width, side, "float32"), accuracy=accuracy))
                if "int8" in precisions:
                    hopeful.append(replace(cost(width, side, "int8"), accuracy=accuracy))
                task.advance(accuracy=f"{100 * accuracy:.1f} %")
        hopeful = frontier(hopeful)
        with self._progress.task("evaluating int8", len(hopeful), "slices") as task:
            for one in hopeful:
                found.append(replace(one, accuracy=self._int8_accuracy(slices[one.width_multiplier, one.resolution])))
                task.advance()
        statistics = {point: statistics_of(model) for point, model in slices.items()}
        return Evaluated(replace(shared, slices=statistics), tuple(found))

    def _accuracy(self, model: Model) -> float:
        prepared = self._part("validation", model.network.height)
        logits = Session(model, self._threads).run(prepared.pixels)
        return float(np.mean(logits.argmax(axis=1) == prepared.targets))

    def _int8_accuracy(self, model: Model) -> float:
        pixels = self._pixels("train", model.network.height)
        return self._accuracy(quantize(model, pixels[spread(len(pixels), CALIBRATION)], QUICK).model)

    def _pixels(self, part: str, side: int) -> Pixels:
        return self._part(part, side).pixels

    def _part(self, part: str, side: int) -> Prepared:
        if (part, side) not in self._prepared:
            self._prepared[part, side] = prepare(self._dataset.part(part), self._preprocessing, side, side)
        return self._prepared[part, side]
