"""Measuring a device profile on this machine."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.layers import INPUT
from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.processors import processor_name
from mobilenets.base.progress import SILENT, Progress
from mobilenets.engine.session import MOST_THREADS, Session
from mobilenets.engine.steadiness import Steadiness
from mobilenets.engine.timing import ROUNDS, measure_sessions
from mobilenets.errors import PlanningError
from mobilenets.model.folding import folded_network
from mobilenets.model.model import Model, parameter_types
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs
from mobilenets.search.profile import (
    ARCHITECTURE,
    EIGHTHS,
    PRECISIONS,
    PROFILED_CLASSES,
    DeviceProfile,
    Point,
    check_precision,
    precisions_of,
)
from mobilenets.tasks.classification import Classification, class_count
from mobilenets.tasks.task import Task

PROFILED_RESOLUTIONS = (*PUBLISHED_RESOLUTIONS, 96, 64, 32)
"""Those of the published networks, and those that small images are trained at."""
FEW_CLASSES = 10
"""Measured beside them at the smallest resolution, since most networks that people train have a small last layer."""


@typed(PlanningError, but=("precisions",))
def measure_profile(
    *,
    widths: Sequence[float] = EIGHTHS,
    resolutions: Sequence[int] = PROFILED_RESOLUTIONS,
    precisions: str | Sequence[str] = PRECISIONS,
    threads: Sequence[int] = (1,),
    classes: int = PROFILED_CLASSES,
    rounds: int = ROUNDS,
    architecture: str = ARCHITECTURE,
    others: Sequence[Specification] = (),
    checked: bool = True,
    progress: Progress = SILENT,
) -> DeviceProfile:
    """Measure networks on this machine: an architecture at every width and resolution, and single sizes of others.

    Networks are gone through again and again, as many together as half a gigabyte holds, so that a disturbance is
    spread over all of them. Points halfway
    between those that the profile holds are measured beside them, to state how far interpolation errs.

    Args:
        widths: Values of α.
        resolutions: Sides of the square input, in pixels.
        precisions: ``float32``, ``int8`` or both.
        threads: Thread counts.
        classes: Of the networks. Where nobody says so, those of the smallest resolution are also measured with few.
        rounds: Times that the whole grid is gone through.
        architecture: A name of the catalog, of a network that can be int8.
        others: Further networks, each with its width and resolution, such as
            :func:`~mobilenets.search.candidates.published_networks` lists.
        checked: Whether points between are measured too.
        progress: Receives progress updates.

    Raises:
        PlanningError: If a precision is unknown, or a number is out of range.
        ArchitectureError: If no architecture has that name, or it cannot have one of the sizes.
    """
    check_integer("rounds", rounds, PlanningError, least=1)
    check_integer("classes", classes, PlanningError, least=1)
    for count in threads:
        check_integer("threads", count, PlanningError, least=1, most=MOST_THREADS)
    settings = [(precision, count) for precision in precisions_of(precisions) for count in threads]
    few = FEW_CLASSES if classes == PROFILED_CLASSES else classes
    networks = [Specification(architecture, width, side) for width in widths for side in resolutions]
    networks = list(dict.fromkeys([*networks, *others]))
    grid = [(network, *setting, classes) for network in networks for setting in settings]
    if few < classes:
        grid += [(network, *setting, few) for network in _smallest(networks) for setting in settings]
    places = _between(sorted(widths), sorted(resolutions)) if checked else []
    between = [(Specification(architecture, *place), *setting, few) for place in places for setting in settings]
    points, steadiness = measure([*grid, *between], rounds=rounds, progress=progress)
    return _profile(points[: len(grid)], points[len(grid) :], steadiness)


def measure_networks(
    networks: Sequence[Network],
    *,
    precisions: str | Sequence[str] = PRECISIONS,
    threads: int = 1,
    rounds: int = ROUNDS,
    progress: Progress = SILENT,
) -> DeviceProfile:
    """Measure some networks on this machine, whether they are in the catalog or not.

    Args:
        networks: The profile names each by its name, width and resolution.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        rounds: Times that all of them are gone through.
        progress: Receives progress updates.

    Raises:
        PlanningError: If a precision is unknown.
    """
    wanted = [(network, precision, threads) for network in networks for precision in precisions_of(precisions)]
    points, steadiness = _measured(wanted, rounds, progress)
    return _profile(points, [], steadiness)


def _profile(points: Sequence[Point], checks: Sequence[Point], steadiness: Steadiness) -> DeviceProfile:
    any_network = Specification(ARCHITECTURE, 0.25, 32).network(classes=FEW_CLASSES)
    return DeviceProfile(
        device=processor_name(),
        engine=Session(synthetic_model(any_network, "int8")).instruction_set,
        points=tuple(points),
        checks=tuple(checks),
        steadiness=steadiness,
    )


def _smallest(networks: Sequence[Specification]) -> list[Specification]:
    """The network of the smallest resolution of every architecture and width."""
    found: dict[tuple[str, float | None], Specification] = {}
    for one in sorted(networks, key=lambda one: -(one.resolution or 0)):
        found[one.name, one.width_multiplier] = one
    return list(found.values())


def _between(widths: Sequence[float], resolutions: Sequence[int]) -> list[tuple[float, int]]:
    """Two points that lie as far from the grid as points inside it can."""
    places = [
        (
            math.sqrt(widths[index] * widths[index + 1]),
            round(math.sqrt(resolutions[-2 - index] * resolutions[-1 - index])),
        )
        for index in range(min(2, len(widths) - 1, len(resolutions) - 1))
    ]
    return [(round(width, 3), side) for width, side in places]


def measure(
    settings: Iterable[tuple[Specification, str, int, int]], *, rounds: int = ROUNDS, progress: Progress = SILENT
) -> tuple[list[Point], Steadiness]:
    """Measure the latency of one image for each (network, precision, threads, classes), and how steadily."""
    wanted = [(one.network(classes=classes), precision, threads) for one, precision, threads, classes in settings]
    return _measured(wanted, rounds, progress)


def _measured(
    wanted: Sequence[tuple[Network, str, int]], rounds: int, progress: Progress
) -> tuple[list[Point], Steadiness]:
    """The latency of one image for each (network, precision, threads), and how steadily it was measured."""
    sessions = (Session(synthetic_model(network, precision), threads) for network, precision, threads in wanted)
    times = measure_sessions(sessions, count=len(wanted), rounds=rounds, progress=progress)
    points = [
        Point(
            network.width_multiplier,
            network.height,
            precision,
            threads,
            min(spent),
            statistics.median(spent),
            class_count(network),
            network.name,
        )
        for (network, precision, threads), spent in zip(wanted, times.ms, strict=True)
    ]
    return points, times.steadiness


def synthetic_model(network: Network, precision: str, task: Task | None = None) -> Model:
    """A Model of random weights, for measuring time, which does not depend on the weights.

    Args:
        network: The network.
        precision: ``float32`` or ``int8``.
        task: What its outputs mean; None for a classifier.

    Raises:
        PlanningError: If the precision is unknown.
    """
    check_precision(precision)
    folded = folded_network(network)
    rng = np.random.default_rng(0)
    labels = task or Classification.numbered(network)
    if precision == "float32":
        parameters = {
            name: (rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
            for name, (_, shape) in parameter_types(folded).items()
        }
        return Model(folded, parameters, labels)
    names = {INPUT, *(layer.name for layer in folded.layers)} - real_outputs(folded)
    scales = {name: TensorQuantization(6 / 255, 127 if name == INPUT else 0) for name in names}
    integers: dict[str, Any] = {}
    for layer in folded.layers:
        if layer.has_weight:
            shape = layer.weight_shape(folded.input_shapes(layer))
            integers[f"{layer.name}.weight"] = rng.integers(-127, 128, shape, dtype=np.int8)
            integers[f"{layer.name}.weight_scale"] = np.full(
                shape[0], 0.02 / math.sqrt(math.prod(shape[1:])), np.float32
            )
            integers[f"{layer.name}.bias"] = rng.integers(-1000, 1000, shape[0], dtype=np.int32)
    tabled = {name: TensorQuantization(6 / 255, 127) for name in needed_pre_activations(folded)}
    return Model(folded, integers, labels, quantization=Quantization(scales, pre_activations=tabled))
