"""The subnets of a supernet, and their accuracy on the validation images.

No PyTorch is needed here: how batch-norm statistics are measured is passed in, and supernets are trained by
:mod:`mobilenets.training.supernet`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.compression.pipeline import quantize_quickly
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.data.splitting import spread
from mobilenets.engine.evaluate import evaluate_prepared
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.model.subnet import cut_subnet, statistics_of
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.frontier import compared_by, frontier
from mobilenets.search.profile import precisions_of

FEWEST_VALIDATED = 3
"""Validation images of every class without which one network cannot be preferred to another."""
STATISTICS_IMAGES = 512
"""Training images that batch-norm statistics are measured on; more change no accuracy."""
Size = tuple[float, int]
"""(α, resolution)."""
CostFunction = Callable[[float, int, str], Candidate]
"""(α, resolution, precision) → what is known of that network before it has an accuracy."""
Recalibration = Callable[[Model, Pixels], Model]
"""(Model, training images) → the Model with batch-norm statistics measured on them."""
Over = Callable[[], bool]
"""Whether the time for something is over."""


def never() -> bool:
    """For work whose time has no limit.

    >>> never()
    False
    """
    return False


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
        f"class {dataset.labels[smallest]!r} has {plural(total, 'image')}, {counts[smallest]} of them for validation; "
        f"choosing a network by its accuracy needs at least {needed}"
    )


# Accuracy -------------------------------------------------------------------------------------------------------------


class SubnetImages:
    """Images that subnets are evaluated on, decoded once for each resolution.

    Args:
        dataset: Some hundred of its training images give statistics and calibrate; its validation images evaluate.
        preprocessing: Of the supernet.
    """

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing) -> None:
        self._dataset, self._preprocessing = dataset, preprocessing
        self._prepared: dict[tuple[str, int], Prepared] = {}

    @cached_property
    def _train(self) -> Dataset:
        chosen = spread(len(self._dataset.train), STATISTICS_IMAGES)
        return replace(self._dataset, train=self._dataset.train.take(chosen))

    def training(self, side: int) -> Pixels:
        """Some hundred training images at a resolution: uint8 (N, side, side, 3)."""
        return self._part("train", side).pixels

    def validation(self, side: int) -> Prepared:
        """The validation images at a resolution, with their labels."""
        return self._part("validation", side)

    def _part(self, part: str, side: int) -> Prepared:
        if (part, side) not in self._prepared:
            self._prepared[part, side] = prepare(self._train.part(part), self._preprocessing, side, side)
        return self._prepared[part, side]


@dataclass(frozen=True, eq=False)
class Subnet:
    """A subnet in float32.

    Attributes:
        model: The Model.
        accuracy: Top-1 on the validation images, as a share of 1.
    """

    model: Model
    accuracy: float


def accuracy_on(model: Model, prepared: Prepared) -> float:
    """The primary figure of a Model on prepared images, from 0 to 1: of a classifier top-1."""
    return evaluate_prepared(model, prepared).primary.value


def evaluate_subnets(
    sizes: Sequence[Size],
    subnet_at: Callable[[float, int], Model],
    images: SubnetImages,
    *,
    over: Over = never,
    needed: Collection[Size] = (),
    progress: Progress = SILENT,
) -> dict[Size, Subnet]:
    """Evaluate subnets on the validation images, in float32.

    Args:
        sizes: (α, resolution) of the subnets.
        subnet_at: Gives the subnet of a size.
        images: Images to evaluate on.
        over: Whether the time for this is over; the first is evaluated at least.
        needed: Sizes that are evaluated whatever the time is.
        progress: Receives progress updates.
    """
    found = dict[Size, Subnet]()
    left_out = 0
    with progress.task("evaluating", len(sizes), "subnets") as task:
        for width, side in sizes:
            if found and (width, side) not in needed and over():
                left_out += 1
                continue
            model = subnet_at(width, side)
            accuracy = accuracy_on(model, images.validation(side))
            found[width, side] = Subnet(model, accuracy)
            task.advance(accuracy=f"{100 * accuracy:.1f} %")
    if left_out:
        _say_left_out(left_out, progress)
    return found


def candidates_in_precisions(
    subnets: Mapping[Size, Subnet],
    precisions: str | Iterable[str],
    cost: CostFunction,
    images: SubnetImages,
    budget: Budget = Budget(),
    *,
    every: bool = False,
    over: Over = never,
    progress: Progress = SILENT,
) -> list[tuple[Candidate, Model]]:
    """Describe evaluated subnets as candidates in each precision.

    Quantizing takes time, so int8 is tried only where it could be chosen: for subnets within the budget that no quicker
    one beats in float32.

    Args:
        subnets: Subnets with their float32 accuracy.
        precisions: ``float32``, ``int8`` or both.
        cost: Costs of each of them.
        images: Training images calibrate, validation images evaluate.
        budget: Limits of the choice.
        every: Try int8 everywhere.
        over: Whether the time for int8 is over; it is tried once at least, where it does best in float32.
        progress: Receives progress updates.

    Returns:
        The candidates, each with its Model; those in float32 first.

    Raises:
        PlanningError: If a precision is unknown.
    """
    precisions = precisions_of(precisions)
    found: list[tuple[Candidate, Model]] = []
    if "float32" in precisions:
        found += [
            (replace(cost(*size, "float32"), accuracy=subnet.accuracy), subnet.model)
            for size, subnet in subnets.items()
        ]
    if "int8" not in precisions:
        return found
    hopeful = [replace(cost(*size, "int8"), accuracy=subnet.accuracy) for size, subnet in subnets.items()]
    if not every:
        limits = replace(budget, min_accuracy=None)
        within = [one for one in hopeful if limits.meets(one)] or hopeful
        hopeful = frontier(within, compared_by(within, budget))
    if over is not never:
        hopeful = sorted(hopeful, key=lambda one: -one.accuracy)
    with progress.task("evaluating int8", len(hopeful), "subnets") as task:
        for number, one in enumerate(hopeful):
            if number and over():
                _say_left_out(len(hopeful) - number, progress, " in int8")
                break
            model = subnets[one.width_multiplier, one.resolution].model
            integer = quantize_quickly(model, images.training(one.resolution))
            found.append((replace(one, accuracy=accuracy_on(integer, images.validation(one.resolution))), integer))
            task.advance()
    return found


def _say_left_out(count: int, progress: Progress, how: str = "") -> None:
    out = plural(count, "subnet is not evaluated", "subnets are not evaluated")
    progress.note(f"{out}{how}: the time for them is over")


@dataclass(frozen=True, eq=False)
class EvaluatedSupernet:
    """A supernet whose subnets were evaluated.

    Attributes:
        supernet: The supernet, with the batch-norm statistics of every subnet that was evaluated.
        candidates: Every subnet, in every precision that was evaluated, with its accuracy on the validation images.
    """

    supernet: Model
    candidates: tuple[Candidate, ...]


def evaluate_supernet(
    supernet: Model,
    dataset: Dataset,
    sizes: Sequence[Size],
    precisions: str | Iterable[str],
    cost: CostFunction,
    recalibrate: Recalibration,
    budget: Budget = Budget(),
    *,
    over: Over = never,
    progress: Progress = SILENT,
) -> EvaluatedSupernet:
    """Measure the batch-norm statistics of subnets, and evaluate them on the validation images.

    Args:
        supernet: A float32 Model that was trained for every width.
        dataset: Training images give statistics and calibrate, validation images evaluate.
        sizes: (α, resolution) of the subnets; the first and the largest are evaluated whatever the time is.
        precisions: ``float32``, ``int8`` or both; int8 is tried where it could be chosen.
        cost: Costs of each of them.
        recalibrate: Measures batch-norm statistics.
        budget: Limits of the choice.
        over: Whether the time for this is over.
        progress: Receives progress updates.
    """
    images = SubnetImages(dataset, supernet.preprocessing)

    def subnet_at(width: float, side: int) -> Model:
        return recalibrate(cut_subnet(supernet, width_multiplier=width, resolution=side), images.training(side))

    largest = supernet.network.width_multiplier, supernet.network.height  # which teaches the one that is chosen
    subnets = evaluate_subnets(sizes, subnet_at, images, over=over, needed={largest}, progress=progress)
    found = candidates_in_precisions(subnets, precisions, cost, images, budget, over=over, progress=progress)
    measured = {size: statistics_of(subnet.model) for size, subnet in subnets.items()}
    return EvaluatedSupernet(replace(supernet, subnets=measured), tuple(candidate for candidate, _ in found))
