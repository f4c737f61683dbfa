"""The shared network of a search: trained once, then sliced at every size that might be taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.subnet import sliced, statistics_of
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.judging import Cost, Judge, Size
from mobilenets.training.recalibration import reestimated

FEWEST_VALIDATED = 3
"""Validation images of every class without which one network cannot be preferred to another."""


def check_validation(dataset: Dataset) -> None:
    """Raise if there are too few validation images to choose a network by.

    Raises:
        DataError: If a class has fewer than three; the message says how many images are needed.
    """
    counts = np.bincount(dataset.validation.targets, minlength=len(dataset.labels))
    smallest = int(counts.argmin())
    if counts[smallest] >= FEWEST_VALIDATED:
        return
    total = sum(int((dataset.part(name).targets == smallest).sum()) for name in ("train", "validation", "test"))
    needed = (
        f"{10 * FEWEST_VALIDATED} images of each class"
        if "validation" in dataset.made_parts
        else f"{FEWEST_VALIDATED} images of each class in the validation folder"
    )
    raise DataError(
        f"class {dataset.labels[smallest]!r} has {total} image(s), {counts[smallest]} of them for validation; "
        f"choosing a network by its accuracy needs {needed} at least"
    )


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What the slices of a shared network reach.

    Attributes:
        shared: The shared Model, with the statistics of every slice that was evaluated.
        candidates: Every slice, in every precision that was looked at, with its accuracy on the validation images.
    """

    shared: Model
    candidates: tuple[Candidate, ...]


def evaluate_slices(
    shared: Model,
    dataset: Dataset,
    sizes: Sequence[Size],
    precisions: Iterable[str],
    cost: Cost,
    budget: Budget = Budget(),
    *,
    progress: Progress = SILENT,
) -> Evaluated:
    """Accuracy of slices on the validation images.

    Args:
        shared: float32, trained for every width.
        dataset: Training images give statistics and calibrate, validation images judge.
        sizes: (α, resolution) of the slices.
        precisions: ``float32``, ``int8`` or both; int8 is tried where it could be taken.
        cost: What each of them costs.
        budget: What they may cost.
        progress: Hears about every slice.
    """
    judge = Judge(dataset, shared.preprocessing, progress=progress)

    def slice_at(width: float, side: int) -> Model:
        return reestimated(sliced(shared, width_multiplier=width, resolution=side), judge.training_pixels(side))

    found = judge.in_float32(sizes, slice_at)
    judged = judge.judged(found, precisions, cost, budget)
    statistics = {size: statistics_of(model) for size, (model, _) in found.items()}
    return Evaluated(replace(shared, slices=statistics), tuple(one for one, _ in judged))
