"""Planning: which network a budget is best spent on, among the published ones or the subnets of a supernet."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mobilenets.architecture.catalog import Specification
from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.processors import processor_name
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset, reload_dataset
from mobilenets.data.reading import Reading
from mobilenets.engine.session import MOST_THREADS, Session
from mobilenets.engine.steadiness import Steadiness
from mobilenets.engine.timing import measure_sessions
from mobilenets.errors import DataError, PlanningError
from mobilenets.formats.known_weights import KnownWeights, known_weights
from mobilenets.model.file import file_bytes, load
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.model.subnet import extract_subnet
from mobilenets.search.budget import Budget, affordable
from mobilenets.search.candidates import (
    IMAGENET_CLASSES,
    Candidate,
    CostKind,
    Device,
    PublishedCandidate,
    candidate_of,
    candidate_on,
    candidates_with_weights,
    published_networks,
    with_small_sides,
)
from mobilenets.search.devices import check_budget, device_named
from mobilenets.search.frontier import choose, compared_by, explain_knee, frontier
from mobilenets.search.measuring import measure_profile, synthetic_model
from mobilenets.search.microcontroller import Microcontroller
from mobilenets.search.profile import PRECISIONS, DeviceProfile, precisions_of
from mobilenets.search.supernet import CostFunction, Size, SubnetImages, candidates_in_precisions, evaluate_subnets

PLAN_ROUNDS = 5
"""Turns of every network that a plan measures."""
FASTEST_MACS_PER_MS = 1e9
"""What no core computes: 512 bits of int8 multiplied twice at 5 GHz are less. What would need more is not measured."""


@dataclass(frozen=True)
class PlanResult:
    """Candidates with what they cost and how accurate they are, and the choice among them.

    Attributes:
        budget: The limits, and the accuracy to reach.
        candidates: Everything that there is to choose from.
        choice: The candidate to take; one of them.
        device: Name of the processor that the latencies, or a microcontroller's instructions, hold for; None where
            they take no part in the choice.
        threads: Threads that share one image.
        accuracy_of: What the accuracies are, for a caption.
        steadiness: What was in the way when the latencies were measured; None where a profile does not say.
        left_out: Published networks that the profile of a device does not cover.
        counted: How a microcontroller's instructions were counted, and how far they err; None for other devices.
    """

    budget: Budget
    candidates: tuple[Candidate, ...]
    choice: Candidate
    device: str | None
    threads: int
    accuracy_of: str
    steadiness: Steadiness | None = None
    left_out: int = 0
    counted: str | None = None

    @property
    def compared_by(self) -> CostKind:
        """The cost that candidates are compared by: latency, or what is limited where latencies take no part."""
        return compared_by(self.candidates, self.budget)

    @property
    def frontier(self) -> list[Candidate]:
        """The candidates that no other beats in both that cost and accuracy, the cheapest first."""
        return frontier(self.candidates, self.compared_by)

    @property
    def reason(self) -> str:
        """Why the choice was taken."""
        if self.budget.min_accuracy is not None:
            return "the quickest that reaches the accuracy"
        return explain_knee(self.candidates, self.choice) if self.budget.empty else "the best within the budget"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        best = self.frontier
        return {
            "device": self.device,
            "accuracy": self.accuracy_of,
            "compared_by": self.compared_by,
            "steadiness": None if self.steadiness is None else self.steadiness.to_json(),
            "candidates": [{**asdict(one), "on_frontier": one in best} for one in self.candidates],
            "choice": asdict(self.choice),
            "not_in_profile": self.left_out,
            "counted": self.counted,
        }


@typed(PlanningError, but=("precisions",))
def plan(
    budget: Budget = Budget(),
    *,
    supernet: Model | str | Path | None = None,
    data: str | Path | None = None,
    reading: Reading | None = None,
    sizes: Sequence[tuple[float, int]] = (),
    family: str | None = None,
    classes: int = IMAGENET_CLASSES,
    precisions: str | Sequence[str] = PRECISIONS,
    threads: int = 1,
    device: Device | str | Path | None = None,
    progress: Progress = SILENT,
) -> PlanResult:
    """Choose the network that a budget is best spent on, without any training.

    The candidates are the published MobileNets of every family, each with the ImageNet accuracy of its best weights
    or, with ``supernet``, its subnets with their accuracy on the validation images that it was trained without.

    Args:
        budget: Limits, and the accuracy to reach; if empty, the knee of the frontier is chosen.
        supernet: A supernet that :func:`~mobilenets.search.search.search` trained, or the path of its file.
        data: The images that the supernet was trained on; None for where they were then.
        reading: How they are read; None for how they were read then.
        sizes: (α, resolution) of the subnets; by default those that the search evaluated.
        family: Only published networks whose architecture's name begins so: ``mobilenet_v3``.
        classes: Of the published networks, in place of ImageNet's, for what they cost.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        device: The name of a microcontroller, such as ``cortex-m4``, for which networks are int8 and compared by the
            instructions, flash and RAM of their C files; a device profile, or the path of one; None to measure this
            machine, where latencies take part in the choice: where one is limited, the quickest is asked for by
            ``min_accuracy``, or nothing is limited.
        progress: Receives progress updates.

    Returns:
        The candidates and the choice.

    Raises:
        PlanningError: If a precision is unknown, nothing meets the budget or reaches the accuracy, the profile does not
            cover the candidates, the Model is not a supernet, or the machine is too busy to measure several threads.
        DataError: If the images cannot be read, or are not those that the supernet was trained on.
        ModelFileError: If the supernet cannot be read.

    >>> found = plan(Budget(max_macs=30_000_000), family="mobilenet_v1", precisions="int8")
    >>> found.choice.macs <= 30_000_000, found.choice in found.frontier
    (True, True)
    """
    precisions = precisions_of(precisions)
    check_integer("threads", threads, PlanningError, least=1, most=MOST_THREADS)
    check_integer("classes", classes, PlanningError, least=1)
    if supernet is None and (data is not None or reading is not None or sizes):
        raise PlanningError("data, reading and sizes are those of a supernet; none is given")
    if supernet is not None and (family is not None or classes != IMAGENET_CLASSES):
        raise PlanningError("family and classes are those of published networks; a supernet has its own")
    profile = device_named(device, budget)
    precisions = check_budget(budget, profile, precisions, threads)
    if supernet is None:
        networks = published_networks(family)
        if isinstance(profile, Microcontroller):
            networks = with_small_sides(networks)
        if profile is None and budget.needs_latency:
            profile = _measured_networks(networks, budget, precisions, threads, classes, progress)
        steadiness = None if profile is None else profile.steadiness
        how: dict[str, Any] = {"precisions": precisions, "threads": threads}
        candidates: list[Candidate] = [*candidates_with_weights(networks, profile, classes=classes, **how)]
        left_out = 0 if device is None else len(networks) * len(precisions) - len(candidates)
        if not candidates and profile is not None:
            for one in networks:
                candidate_on(one.network(classes=classes), precisions[0], profile, threads)  # says what is missing
        accuracy_of = "top-1 as published for ImageNet"
    else:
        left_out = 0
        model = supernet if isinstance(supernet, Model) else load(supernet)
        _check_supernet(model)  # before its images are read
        dataset = dataset_of(model, data, reading, progress=progress)
        candidates, steadiness = _subnet_candidates(
            model, dataset, sizes, precisions, budget, threads, profile, progress
        )
        accuracy_of = f"top-1 on {len(dataset.validation)} validation images of {dataset.source}"
    measured_here = processor_name() if budget.needs_latency else None
    name = measured_here if profile is None else profile.device
    choice = choose(candidates, budget)
    counted = profile.how_counted if isinstance(profile, Microcontroller) else None
    return PlanResult(budget, tuple(candidates), choice, name, threads, accuracy_of, steadiness, left_out, counted)


def _measured_networks(
    networks: Sequence[Specification],
    budget: Budget,
    precisions: Sequence[str],
    threads: int,
    classes: int,
    progress: Progress,
) -> DeviceProfile:
    """Measure published networks here, but for those that are beyond a limit by what is computed of them."""

    def lower_bound(one: Specification, precision: str) -> Candidate:
        bound = candidate_of(one.network(classes=classes), precision, accuracy=0.0, latency_ms=0.0)
        return replace(bound, latency_ms=bound.macs / (FASTEST_MACS_PER_MS * threads))

    bounds = {one: [lower_bound(one, precision) for precision in precisions] for one in networks}
    possible = [one for one, found in bounds.items() if any(budget.meets(bound) for bound in found)]
    if not possible:
        raise _impossible(bounds, budget)
    profile = measure_profile(
        widths=(),
        resolutions=(),
        others=possible,
        precisions=precisions,
        threads=(threads,),
        classes=classes,
        rounds=PLAN_ROUNDS,
        checked=False,
        progress=progress,
    )
    check_trusted(profile.steadiness)
    return profile


def _impossible(bounds: Mapping[Specification, Sequence[Candidate]], budget: Budget) -> PlanningError:
    """What to say where no network can meet a budget, whatever the machine."""
    nearest, one = min(
        ((bound, one) for one, found in bounds.items() for bound in found), key=lambda pair: budget.excess(pair[0])
    )
    limit, least = budget.max_latency_ms, nearest.cost("latency_ms")
    time = f", at least {least:.3g} ms on any processor" if limit is not None and least > limit else ""
    return PlanningError(
        f"nothing meets the budget; the nearest is {one.name} with {nearest}: {nearest.macs / 1e6:.1f} M Mult-Adds"
        f"{time}, {nearest.file_bytes / 1e3:,.0f} kB, {nearest.memory_bytes / 1e3:,.0f} kB of activations"
    )


@typed(PlanningError)
def weights_within(
    budget: Budget,
    *,
    family: str | None = None,
    threads: int = 1,
    device: Device | str | Path | None = None,
    progress: Progress = SILENT,
) -> list[KnownWeights]:
    """Published weights of the networks that meet a budget in float32 or int8.

    Args:
        budget: Limits, and the accuracy to reach.
        family: Only architectures whose name begins so.
        threads: Threads that share one image.
        device: A microcontroller by its name, or a device profile or the path of one; None to measure this machine, if
            there is a limit on latency.
        progress: Receives progress updates.

    Raises:
        PlanningError: If nothing meets the budget, or the profile does not cover a single network.
    """
    named = published_networks(family)
    target = device_named(device, budget)
    check_budget(budget, target, PRECISIONS, threads)
    if budget.max_latency_ms is not None or isinstance(target, Microcontroller):
        planned = plan(
            replace(budget, min_accuracy=None), family=family, threads=threads, device=target, progress=progress
        )
        found = [one for one in planned.candidates if isinstance(one, PublishedCandidate) and budget.meets(one)]
        named = [Specification(one.architecture, one.width_multiplier, one.resolution) for one in found]
    else:
        costs = {
            one: [candidate_of(one.network(), precision, accuracy=0.0, latency_ms=None) for precision in PRECISIONS]
            for one in named
        }
        affordable([one for found in costs.values() for one in found], budget)
        named = [one for one, found in costs.items() if any(budget.meets(each) for each in found)]
    within, least = set(named), 100 * (budget.min_accuracy or 0.0)
    return [one for one in known_weights() if one.specification in within and one.top1 >= least]


# Subnets of a finished supernet --------------------------------------------------------------------------------------


def dataset_of(
    supernet: Model, source: str | Path | None = None, reading: Reading | None = None, *, progress: Progress = SILENT
) -> Dataset:
    """The images that a supernet was trained on, in the same parts.

    Args:
        supernet: The supernet.
        source: Where they are; None for where they were then.
        reading: How they are read; None for how they were read then.
        progress: Receives progress updates.

    Raises:
        PlanningError: If the Model does not say what it was trained on.
        DataError: If the images cannot be read, or are others: images that trained the Model would then evaluate it.
    """
    found = Provenance.of(supernet).data
    if found is None or not found.is_complete:
        raise PlanningError("the supernet does not say what it was trained on, so its subnets cannot be evaluated")
    return reload_dataset(found, source, reading, progress=progress)


def subnet_candidates(
    supernet: Model,
    dataset: Dataset,
    *,
    sizes: Sequence[Size] = (),
    precisions: str | Sequence[str] = ("float32",),
    budget: Budget = Budget(),
    threads: int = 1,
    profile: Device | None = None,
    progress: Progress = SILENT,
) -> list[Candidate]:
    """Subnets of a supernet with their accuracy on the validation images and their latency.

    Subnets whose batch-norm statistics the Model's file holds are used as they are; those of any other size are
    measured on training images by NumPy.

    Args:
        supernet: A Model that a search trained.
        dataset: What it was trained on: validation images evaluate, training images calibrate.
        sizes: (α, resolution) of the subnets, in all precisions; by default those that the Model has statistics of, in
            int8 only where that could be chosen.
        precisions: ``float32``, ``int8`` or both.
        budget: Limits of the choice.
        threads: Threads that share one image.
        profile: Another device; None to measure here, all subnets side by side, where latencies take part in the
            choice.
        progress: Receives progress updates.

    Raises:
        PlanningError: If a precision is unknown, the Model is not a supernet, or the profile does not cover a subnet.
        ModelError: If a width is below the smallest that was trained.
        ArchitectureError: If a width or resolution cannot be had.
        DataError: If there are no validation images.
    """
    return _subnet_candidates(supernet, dataset, sizes, precisions, budget, threads, profile, progress)[0]


def check_trusted(steadiness: Steadiness | None) -> None:
    """Raise if latencies were measured that say nothing of the networks.

    Raises:
        PlanningError: With what was in the way, and the way out.
    """
    if steadiness is not None and not steadiness.trusted:
        raise PlanningError(
            f"{steadiness.warning}, on one thread, whose interruptions are seen, or with the profile of a machine, "
            "device=FILE"
        )


def _check_supernet(model: Model) -> None:
    if not model.subnets:
        raise PlanningError(
            "this Model is no supernet; mobilenets fit with weights='none' and a budget, such as max_latency_ms=5, "
            "writes one as supernet.safetensors"
        )


def _subnet_candidates(
    supernet: Model,
    dataset: Dataset,
    sizes: Sequence[Size],
    precisions: str | Sequence[str],
    budget: Budget,
    threads: int,
    profile: Device | None,
    progress: Progress,
) -> tuple[list[Candidate], Steadiness | None]:
    precisions = precisions_of(precisions)
    _check_supernet(supernet)
    if not len(dataset.validation):
        raise DataError(f"{dataset.source} has no validation images")
    images = SubnetImages(dataset, supernet.preprocessing)

    def subnet_at(width: float, side: int) -> Model:
        known = (width, side) in supernet.subnets
        return extract_subnet(supernet, width, side, pixels=None if known else images.training(side))

    subnets = evaluate_subnets(list(sizes) or sorted(supernet.subnets), subnet_at, images, progress=progress)
    models = {size: subnet.model for size, subnet in subnets.items()}
    cost, steadiness = (
        _measured_cost(models, precisions, threads, progress)
        if profile is None and budget.needs_latency
        else (_predicted_cost(models, profile, threads), None if profile is None else profile.steadiness)
    )
    found = candidates_in_precisions(subnets, precisions, cost, images, budget, every=bool(sizes), progress=progress)
    return [replace(candidate, file_bytes=file_bytes(model)) for candidate, model in found], steadiness


def _measured_cost(
    models: Mapping[Size, Model], precisions: Sequence[str], threads: int, progress: Progress
) -> tuple[CostFunction, Steadiness]:
    """Measure here. In int8 with random weights, which cost the same, so that not every subnet must be quantized."""
    timed = {
        (*size, precision): model if precision == "float32" else synthetic_model(model.network, precision)
        for precision in precisions
        for size, model in models.items()
    }
    times = measure_sessions([Session(model, threads) for model in timed.values()], progress=progress)
    check_trusted(times.steadiness)
    medians = {place: statistics.median(spent) for place, spent in zip(timed, times.ms, strict=True)}

    def cost(width: float, side: int, precision: str) -> Candidate:
        latency_ms = medians[width, side, precision]
        return candidate_of(models[width, side].network, precision, accuracy=0.0, latency_ms=latency_ms)

    return cost, times.steadiness


def _predicted_cost(models: Mapping[Size, Model], profile: Device | None, threads: int) -> CostFunction:
    """Read from the profile of another device; without one, where latencies take no part, they are left unknown."""

    def cost(width: float, side: int, precision: str) -> Candidate:
        return candidate_on(models[width, side].network, precision, profile, threads)

    return cost
