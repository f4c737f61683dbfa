"""A search that begins from published weights: candidates are told apart cheaply first, and the winner is trained.

Every step is a function from values to values: what every network costs at every size (:func:`priced`); what a linear
head on its frozen features gets (:func:`with_heads`); what a short fine-tuning of the most promising gets
(:func:`with_tuning`); and from there as in :mod:`mobilenets.search.search`: choose one, fine-tune it, quantize it if it
was chosen in int8, and test it once.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from mobilenets.architecture.cost import cost
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.compression.pipeline import CALIBRATION_IMAGES, quantize_quickly
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.data.splitting import spread
from mobilenets.data.subset import Subset
from mobilenets.errors import CompressionError, PlanningError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.search.budget import Budget, affordable
from mobilenets.search.candidates import Device, candidate_on, covered
from mobilenets.search.contenders import (
    Contender,
    Pretrained,
    Started,
    contenders_of,
    too_large,
    with_prices,
    worth_trying,
)
from mobilenets.search.halving import expected, network_of, shortlist
from mobilenets.search.heads import probe
from mobilenets.search.measuring import measure_networks
from mobilenets.search.plan import check_trusted
from mobilenets.search.profile import DeviceProfile
from mobilenets.search.supernet import accuracy_on
from mobilenets.search.timetable import Pace, Timetable
from mobilenets.training.features import feature_network, fit_head, frozen_features, with_head
from mobilenets.training.recalibration import recalibrated_with_torch
from mobilenets.training.supernet import TrainedModel
from mobilenets.training.task_training import TaskTraining
from mobilenets.training.workers import ALONE, TrainingWorkers

MEASURING_ROUNDS = 5
PROBED_IMAGES = 1500
"""Training and validation images that heads are fitted to at most; more tell no more networks apart."""
STATISTICS_IMAGES = 256
"""Of these, those that a cut network's batch norms are measured on, and that int8 is calibrated with."""
TRIED_IMAGES = 32
"""Images that the pace of this machine is told by."""
MOST_PROBED = 12
"""Networks that heads are fitted for at most, the largest by Mult-Adds."""
FINALISTS = 3
"""Networks that are fine-tuned shortly."""

Tuned = TypeVar("Tuned", bound=TrainedModel)
Measure = Callable[[Sequence[Contender]], Device | None]
"""A device that knows the networks of some contenders; None where they take no part in the choice."""
Beside = Callable[[Sequence[Contender]], Iterator[tuple[int, tuple[Started, ...]]]]
"""The number of each contender with its candidates as they were judged, whichever is done first."""
FineTune = Callable[[Contender, Model], TrainedModel]
"""A contender's Model, fine-tuned shortly."""


class PreparedImages:
    """Images of a dataset as networks take them, decoded once for each resolution.

    Args:
        dataset: Its training and validation images.
        progress: Receives progress updates.
        most: Images of each of the two that are taken at most, evenly drawn.
        calibrating: Images that int8 is calibrated with at most, where it is only compared.
    """

    def __init__(
        self,
        dataset: Dataset,
        progress: Progress = SILENT,
        *,
        most: int = PROBED_IMAGES,
        calibrating: int = CALIBRATION_IMAGES,
    ) -> None:
        self._dataset, self._progress, self._calibrating = dataset, progress, calibrating
        self._train = dataset.train.take(spread(len(dataset.train), most))
        self._validation = dataset.validation.take(spread(len(dataset.validation), most))
        self._kept: dict[tuple[str, int, int], Prepared] = {}

    @property
    def count(self) -> int:
        """Number of training and validation images that heads are judged on."""
        return len(self._train) + len(self._validation)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self._dataset.labels)

    def training(self, side: int, preprocessing: Preprocessing) -> Prepared:
        """Training images, evenly drawn where there are very many."""
        return self._prepared("train", self._train, side, preprocessing)

    def validation(self, side: int, preprocessing: Preprocessing) -> Prepared:
        """Validation images, evenly drawn where there are very many."""
        return self._prepared("validation", self._validation, side, preprocessing)

    def calibration(self, side: int, preprocessing: Preprocessing) -> Pixels:
        """Some hundred of the training images."""
        pixels = self.training(side, preprocessing).pixels
        return pixels[spread(len(pixels), STATISTICS_IMAGES)]

    def quantized(self, model: Model) -> Model:
        """A float32 Model in int8, as it is only compared.

        Raises:
            CompressionError: If it cannot be quantized.
        """
        pixels = self.training(model.network.height, model.preprocessing).pixels
        return quantize_quickly(model, pixels[spread(len(pixels), self._calibrating)])

    def forget(self, side: int) -> None:
        """Let go of the images of a resolution that is not needed again."""
        self._kept = {key: found for key, found in self._kept.items() if key[1] != side}

    def _prepared(self, name: str, subset: Subset, side: int, preprocessing: Preprocessing) -> Prepared:
        key = name, side, preprocessing.channels
        if key not in self._kept:
            self._kept[key] = prepare(subset, preprocessing, side, side, progress=self._progress)
        return self._kept[key]


# What they cost -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Priced:
    """Contenders with what they cost.

    Attributes:
        contenders: Those that are worth trying.
        profile: The device; None where latencies take no part in the choice.
        considered: Number of networks that the costs of were looked at.
    """

    contenders: tuple[Contender, ...]
    profile: Device | None
    considered: int


def priced(
    weights: Sequence[Pretrained],
    sides: Sequence[int],
    budget: Budget,
    *,
    classes: int,
    widest: float | None,
    precisions: Sequence[str],
    threads: int,
    measure: Measure,
    progress: Progress = SILENT,
) -> Priced:
    """Find which networks of some weights a budget may take.

    A network is cut to narrower ones only where it is too large for the budget at the largest resolution itself.

    Args:
        weights: What they begin from.
        sides: Resolutions to consider, in pixels.
        budget: Limits.
        classes: Of the data.
        widest: Largest α; None for no limit.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        measure: Gives the latencies of networks.
        progress: Receives a note of networks that a profile does not cover.

    Raises:
        PlanningError: If none meets the budget; the message names the nearest.
    """

    def costed(found: Sequence[Contender]) -> tuple[list[Contender], Device | None]:
        profile = measure(found)
        usable = [
            one for one in found if all(covered(one.network, precision, profile, threads) for precision in precisions)
        ]
        if len(usable) < len(found):
            progress.note(f"{plural(len(found) - len(usable), 'network')} of {len(found)} are not in the profile")
        return [with_prices(one, profile, precisions, threads) for one in usable], profile

    whole = [one for each in weights for one in contenders_of(each, sides, classes=classes, widest=None)]
    found, profile = costed(whole)
    if not found and profile is not None:
        for one, precision in itertools.product(whole, precisions):
            candidate_on(one.network, precision, profile, threads)  # says what is missing
    large = too_large(found, budget) | {
        each for each in weights if widest is not None and each.model.network.width_multiplier > widest
    }
    found = [one for one in found if widest is None or one.network.width_multiplier <= widest]
    cut = [one for each in large for one in contenders_of(each, sides, classes=classes, widest=widest, cut=True)]
    if cut:
        cut.sort(key=lambda one: one.name)
        narrow, more = costed(cut)
        found += narrow
        if isinstance(profile, DeviceProfile) and isinstance(more, DeviceProfile) and more is not profile:
            profile = replace(profile, points=profile.points + more.points)
    tried = worth_trying(found, budget)
    if not tried:
        affordable([candidate for one in found for candidate in one.candidates], budget)
        raise PlanningError("none of the published networks takes images of these sizes")
    return Priced(tuple(tried), profile, len(found))


def measured_here(
    contenders: Sequence[Contender],
    precisions: Sequence[str],
    threads: int,
    timetable: Timetable = Timetable(None),
    progress: Progress = SILENT,
) -> DeviceProfile:
    """Latencies of the networks of contenders on this machine.

    Args:
        contenders: The networks.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        timetable: How often they are measured follows from it.
        progress: Receives progress updates.

    Raises:
        PlanningError: If the machine is too busy to measure several threads.
    """
    networks = list(dict.fromkeys(one.network for one in contenders))
    rounds = timetable.rounds(len(networks) * len(precisions), MEASURING_ROUNDS)
    profile = measure_networks(networks, precisions=precisions, threads=threads, rounds=rounds, progress=progress)
    check_trusted(profile.steadiness)
    if profile.steadiness is not None and profile.steadiness.warning is not None:
        progress.note(f"latencies were measured while {profile.steadiness.warning}")
    return profile


# Heads ----------------------------------------------------------------------------------------------------------------


def with_heads(
    contenders: Sequence[Contender],
    images: PreparedImages,
    *,
    first: Contender | None = None,
    over: Callable[[], bool] = lambda: False,
    beside: Beside | None = None,
    progress: Progress = SILENT,
) -> list[Contender]:
    """Judge contenders by a linear head on their frozen features, which the engine computes once.

    Args:
        contenders: With their costs.
        images: Training and validation images.
        first: The one that is judged first, if any.
        over: Whether the time for this is over; one network is judged at least.
        beside: Gives what :func:`judged_by_head` gives, of all of them in any order; None for one after the other.
        progress: Receives progress updates.

    Returns:
        Those that were judged, in the order in which they were, with what their heads got.
    """
    possible = [one for one in contenders if feature_network(one.network) is not None]
    chosen = sorted(possible, key=lambda one: (-one.candidates[0].macs, one.name))[:MOST_PROBED]
    chosen.sort(key=lambda one: (one is not first, -one.network.height))  # so that few images are in memory at a time
    if beside is not None:
        return _judged_beside(chosen, beside(chosen), over, progress)
    found: list[Contender] = []
    with progress.task("heads", len(chosen), "networks") as task:
        for number, one in enumerate(chosen):
            if found and over():
                left = plural(len(chosen) - number, "network is left out", "networks are left out")
                progress.note(f"{left}: the time for them is over")
                break
            found.append(replace(one, candidates=judged_by_head(one, images)))
            if all(other.network.height != one.network.height for other in chosen[number + 1 :]):
                images.forget(one.network.height)
            task.advance()
    return found


def _judged_beside(
    contenders: Sequence[Contender],
    judged: Iterator[tuple[int, tuple[Started, ...]]],
    over: Callable[[], bool],
    progress: Progress,
) -> list[Contender]:
    """Contenders as others judge them, in their own order; those that are judged when the time is over."""
    found: dict[int, Contender] = {}
    for number, candidates in judged:
        found[number] = replace(contenders[number], candidates=candidates)
        if over() and len(found) < len(contenders):
            left = len(contenders) - len(found)
            out = plural(left, "network is left out", "networks are left out")
            progress.note(f"{out}: the time for them is over")
            break
    return [found[number] for number in sorted(found)]


def judged_by_head(one: Contender, images: PreparedImages) -> tuple[Started, ...]:
    """A contender's candidates with what a linear head on its frozen features gets.

    Args:
        one: The contender, with its costs.
        images: Training and validation images.
    """
    model = usable_model(one, images)
    parts = [part(one.network.height, model.preprocessing) for part in (images.training, images.validation)]
    features = np.concatenate([frozen_features(model, part.pixels) for part in parts if len(part.pixels)])
    worth = probe(features, np.concatenate([part.targets for part in parts]), images.classes)
    return tuple(replace(candidate, head_top1=worth.accuracy, accuracy=worth.accuracy) for candidate in one.candidates)


def first_usable(one: Contender, images: PreparedImages, training: TaskTraining, budget: Budget) -> tuple[Model, float]:
    """A Model within the budget after seconds: a linear classifier on a contender's frozen features.

    Args:
        one: The contender, with its costs.
        images: Training images fit the classifier, and validation images judge it.
        training: How the task is trained.
        budget: Where the float32 Model does not meet it, the Model is int8.

    Returns:
        The Model, and its primary figure on the validation images in float32, from 0 to 1.

    Raises:
        CompressionError: If it must be int8, and cannot be.
    """
    model, side = usable_model(one, images), one.network.height
    train, validation = images.training(side, model.preprocessing), images.validation(side, model.preprocessing)
    seen, judged = frozen_features(model, train.pixels), frozen_features(model, validation.pixels)
    head = fit_head(seen, train.targets, (judged, validation.targets), training)
    outputs = (judged @ head.weight.T + head.bias).astype(np.float32)
    model = with_head(model, head, training.finished(head.score.temperature, outputs, validation.targets))
    if not any(candidate.precision == "float32" and budget.meets(candidate) for candidate in one.candidates):
        model = images.quantized(model)
    return model, head.score.primary


def usable_model(one: Contender, images: PreparedImages) -> Model:
    """The weights at a contender's size; a cut network with batch-norm statistics of its own."""
    model = one.model()
    if not one.cut:
        return model
    return recalibrated_with_torch(model, images.calibration(one.network.height, model.preprocessing))


def pace_of(one: Contender, dataset: Dataset) -> Pace:
    """How fast images are decoded, and run through a network, as few of them tell.

    Args:
        one: A contender whose network has a vector of features.
        dataset: Its training images are looked at.
    """
    few = PreparedImages(dataset, most=TRIED_IMAGES)
    model = one.model()
    begun = time.monotonic()
    pixels = few.training(one.network.height, model.preprocessing).pixels
    decoded = time.monotonic()
    frozen_features(model, pixels[:1])
    first = time.monotonic()
    frozen_features(model, pixels)
    rest = max((time.monotonic() - first) - (first - decoded), 1e-6)
    return Pace((decoded - begun) / len(pixels), rest / max(1, len(pixels) - 1) / cost(one.network).macs)


# Short fine-tunings ---------------------------------------------------------------------------------------------------


def with_tuning(
    contenders: Sequence[Contender],
    budget: Budget,
    images: PreparedImages,
    validation_images: int,
    fine_tune: FineTune,
    *,
    finalists: int = FINALISTS,
    workers: TrainingWorkers = ALONE,
    progress: Progress = SILENT,
) -> list[Contender]:
    """Fine-tune the most promising contenders shortly.

    Args:
        contenders: That were judged by their heads.
        budget: Limits, and the accuracy to reach.
        images: Training images calibrate int8, and validation images judge it.
        validation_images: Their number.
        fine_tune: Fine-tunes a Model shortly.
        finalists: How many.
        workers: Where that is done.
        progress: Receives progress updates.

    Returns:
        All contenders; those that were fine-tuned with what they got.
    """
    known = [candidate for one in contenders for candidate in one.candidates]
    chosen = shortlist(expected(known, validation_images, images.count), budget, finalists)
    if len(chosen) == 1:
        return list(contenders)  # there is nothing to choose from
    by_network = {network_of(one.candidates[0]): one for one in contenders}

    def begun() -> Iterator[tuple[Contender, Model]]:
        for number, candidate in enumerate(chosen):
            one = by_network[network_of(candidate)]
            progress.note(f"fine-tuning {candidate.label} shortly, {number + 1} of {len(chosen)}")
            yield one, usable_model(one, images)

    for number, made in workers.results(partial(fine_tuned, fine_tune), begun()):
        key = network_of(chosen[number])
        by_network[key] = _with_tuned(by_network[key], made, budget, images)
    return list(by_network.values())


def fine_tuned(fine_tune: Callable[[Contender, Model], Tuned], begun: tuple[Contender, Model]) -> Tuned:
    """What fine-tuning makes of a contender and its Model, as workers are given them."""
    return fine_tune(*begun)


def _with_tuned(one: Contender, made: TrainedModel, budget: Budget, images: PreparedImages) -> Contender:
    """A contender with what its fine-tuned Model gets in each precision that meets the budget."""
    limits = replace(budget, min_accuracy=None)

    def judged(candidate: Started) -> Started:
        if not limits.meets(candidate):
            return candidate
        got = made.validation_primary if candidate.precision == "float32" else _int8_accuracy(made.model, images)
        return candidate if got is None else replace(candidate, tuned_top1=got, accuracy=got)

    return replace(one, candidates=tuple(judged(candidate) for candidate in one.candidates))


def _int8_accuracy(model: Model, images: PreparedImages) -> float | None:
    """The primary figure on the validation images of a Model that is quantized quickly; None where it cannot be."""
    side = model.network.height
    try:
        integer = images.quantized(model)
    except CompressionError:
        return None
    return accuracy_on(integer, images.validation(side, model.preprocessing))


def files_of(folder: Path | None, contender: Contender, stage: str) -> Path | None:
    """The checkpoint of a fine-tuning; None where nothing is written."""
    return None if folder is None else folder / f"{stage}-{contender.name}.checkpoint.safetensors"
