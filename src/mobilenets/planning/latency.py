"""Latency, measured on the machine at hand or read from a profile of another one."""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.architecture.layers import INPUT, Network
from mobilenets.architecture.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS, PUBLISHED_WIDTHS
from mobilenets.compression.fold import folded_network
from mobilenets.engine.session import Session
from mobilenets.errors import PlanningError
from mobilenets.model.atomic_file import write_atomically
from mobilenets.model.model import Model, numbered_labels, parameter_types
from mobilenets.model.quantization import Quantization, TensorQuantization, real_outputs
from mobilenets.progress import SILENT, Progress

FORMAT = "mobilenets device profile"
FORMAT_VERSION = 1
PRECISIONS = ("float32", "int8")

ROUNDS = 12
"""Times that the whole grid is gone through; a disturbance then hits every point a little and no point alone."""
SECONDS_PER_POINT = 0.03
"""Time spent on a point in each round."""


@dataclass(frozen=True)
class Point:
    """What one picture takes through one network.

    Attributes:
        width_multiplier: α.
        resolution: Side of the square input, in pixels.
        precision: ``float32`` or ``int8``.
        threads: Threads that shared the work.
        minimum_ms: Shortest time seen.
        median_ms: Median time.
    """

    width_multiplier: float
    resolution: int
    precision: str
    threads: int
    minimum_ms: float
    median_ms: float


@dataclass(frozen=True)
class DeviceProfile:
    """Measured latencies of one machine.

    Attributes:
        device: What the machine calls its processor.
        engine: The instruction set that the engine used.
        points: What was measured.
        checks: Points that lie between those, measured to see how far interpolation errs.
    """

    device: str
    engine: str
    points: tuple[Point, ...]
    checks: tuple[Point, ...] = field(default=())

    def latency_ms(self, width_multiplier: float, resolution: int, precision: str, threads: int) -> float:
        """Median latency of MobileNet V1 at any width and resolution inside the measured grid.

        Between points the logarithm of the latency is taken as linear in log α and in log resolution.

        Raises:
            PlanningError: If the profile lacks the precision or thread count, or the point lies outside its grid.
        """
        known = {
            (point.width_multiplier, point.resolution): point.median_ms
            for point in self.points
            if (point.precision, point.threads) == (precision, threads)
        }
        if not known:
            measured = sorted({(point.precision, point.threads) for point in self.points})
            listed = ", ".join(f"{name} with {count} thread(s)" for name, count in measured)
            raise PlanningError(
                f"the profile of {self.device} has no {precision} with {threads} thread(s), only {listed}"
            )
        low_width, high_width = _around(sorted({width for width, _ in known}), width_multiplier, "α")
        low_side, high_side = _around(sorted({side for _, side in known}), resolution, "resolution")
        across = _share(low_width, high_width, width_multiplier)
        along = _share(low_side, high_side, resolution)
        corners = (
            ((1 - across) * (1 - along), low_width, low_side),
            (across * (1 - along), high_width, low_side),
            ((1 - across) * along, low_width, high_side),
            (across * along, high_width, high_side),
        )
        return math.exp(sum(weight * math.log(known[width, int(side)]) for weight, width, side in corners if weight))

    @property
    def interpolation_error(self) -> float | None:
        """Median of the relative errors of interpolation at the checks."""
        errors = [
            abs(
                self.latency_ms(check.width_multiplier, check.resolution, check.precision, check.threads)
                / check.median_ms
                - 1
            )
            for check in self.checks
        ]
        return statistics.median(errors) if errors else None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}

    def save(self, path: str | Path) -> None:
        """Write the profile as JSON, atomically."""
        write_atomically(Path(path), (json.dumps(self.to_json(), indent=1) + "\n").encode())

    @staticmethod
    def load(path: str | Path) -> DeviceProfile:
        """Read a profile.

        Raises:
            PlanningError: If it is not one, is of another version, or its figures are missing or not positive.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PlanningError(f"{path} is not a readable device profile: {error}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise PlanningError(f"{path} is not a device profile; make one with: mobilenets profile -o {path}")
        if data.get("format_version") != FORMAT_VERSION:
            raise PlanningError(
                f"{path} is a device profile of version {data.get('format_version')!r}; this package reads version "
                f"{FORMAT_VERSION}: measure it again"
            )
        try:
            points, checks = (tuple(_point(item) for item in data[name]) for name in ("points", "checks"))
            profile = DeviceProfile(str(data["device"]), str(data["engine"]), points, checks)
        except (KeyError, TypeError, ValueError) as error:
            raise PlanningError(f"{path} is a damaged device profile: {error}") from None
        if not points:
            raise PlanningError(f"{path} is a device profile without a single measurement")
        return profile


def _point(data: dict[str, Any]) -> Point:
    point = Point(**data)
    figures = (point.width_multiplier, point.resolution, point.threads, point.minimum_ms, point.median_ms)
    for figure in figures:
        if (
            isinstance(figure, bool)
            or not isinstance(figure, int | float)
            or not (math.isfinite(figure) and figure > 0)
        ):
            raise ValueError(f"{figure!r} must be a positive number")
    if point.precision not in PRECISIONS:
        raise ValueError(f"precision {point.precision!r} is not one of {', '.join(PRECISIONS)}")
    return point


def _around(values: Sequence[float], wanted: float, what: str) -> tuple[float, float]:
    if not values[0] <= wanted <= values[-1]:
        raise PlanningError(f"the profile covers {what} from {values[0]:g} to {values[-1]:g}, not {wanted:g}")
    low = max(value for value in values if value <= wanted)
    return low, min(value for value in values if value >= wanted)


def _share(low: float, high: float, wanted: float) -> float:
    return 0.0 if low == high else math.log(wanted / low) / math.log(high / low)


# Measuring ------------------------------------------------------------------------------------------------------------


def measure_profile(
    *,
    widths: Sequence[float] = PUBLISHED_WIDTHS,
    resolutions: Sequence[int] = PUBLISHED_RESOLUTIONS,
    precisions: Sequence[str] = PRECISIONS,
    threads: Sequence[int] = (1,),
    progress: Progress = SILENT,
) -> DeviceProfile:
    """Measure MobileNet V1 on this machine, at every width, resolution, precision and thread count.

    All networks are gone through again and again, so that a disturbance is spread over all of them. Points halfway
    between those that the profile holds are measured beside them, to state how far interpolation errs.

    Args:
        widths: Values of α.
        resolutions: Sides of the square input, in pixels.
        precisions: ``float32``, ``int8`` or both.
        threads: Thread counts.
        progress: Hears about every round.
    """
    settings = [(precision, count) for precision in precisions for count in threads]
    grid = [(width, side, *setting) for width in widths for side in resolutions for setting in settings]
    between = [(*point, *setting) for point in _between(sorted(widths), sorted(resolutions)) for setting in settings]
    points = measure([*grid, *between], progress=progress)
    return DeviceProfile(
        device=processor_name(),
        engine=Session(synthetic_model(mobilenet_v1(width_multiplier=0.25, resolution=32), "int8")).instruction_set,
        points=tuple(points[: len(grid)]),
        checks=tuple(points[len(grid) :]),
    )


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
    settings: Iterable[tuple[float, int, str, int]], *, classes: int = 1000, progress: Progress = SILENT
) -> list[Point]:
    """Latency of MobileNet V1 for one picture, by (α, resolution, precision, threads)."""
    wanted = list(settings)
    networks = {key: mobilenet_v1(width_multiplier=key[0], resolution=key[1], classes=classes) for key in wanted}
    sessions = [Session(synthetic_model(networks[key], key[2]), key[3]) for key in wanted]
    times = time_sessions(sessions, progress=progress)
    return [Point(*key, min(spent), statistics.median(spent)) for key, spent in zip(wanted, times, strict=True)]


def time_sessions(
    sessions: Sequence[Session], *, rounds: int = ROUNDS, progress: Progress = SILENT
) -> list[list[float]]:
    """Milliseconds of single pictures through each session, the sessions taking turns.

    Returns:
        For each session, one time per picture.
    """
    rng = np.random.default_rng(0)
    times: list[list[float]] = [[] for _ in sessions]
    with progress.task("measuring", rounds * len(sessions), "turns") as task:
        for _ in range(rounds):
            for session, spent in zip(sessions, times, strict=True):
                network = session.model.network
                pixels = rng.integers(0, 256, (1, network.height, network.width, network.channels), dtype=np.uint8)
                session.run(pixels)  # brings this session's weights back into the caches
                end = time.perf_counter() + SECONDS_PER_POINT
                while True:
                    begin = time.perf_counter()
                    session.run(pixels)
                    now = time.perf_counter()
                    spent.append(1e3 * (now - begin))
                    if now >= end:
                        break
                task.advance()
    return times


def synthetic_model(network: Network, precision: str) -> Model:
    """A Model of random weights, for measuring time: what a network says costs the same whatever it has learned."""
    folded = folded_network(network)
    rng = np.random.default_rng(0)
    labels = numbered_labels(network.classes)
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
    return Model(folded, integers, labels, quantization=Quantization(scales))


def processor_name() -> str:
    """What this machine calls its processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
