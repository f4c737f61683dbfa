"""Device profiles: latencies of networks, measured on this machine or read from a file of another one."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.architecture.network import Network
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.suffixes import taken_for
from mobilenets.engine.steadiness import Steadiness
from mobilenets.errors import PlanningError
from mobilenets.tasks.classification import class_count

FORMAT = "mobilenets device profile"
FORMAT_VERSION = 4
_VERSIONS = (2, 3, FORMAT_VERSION)
"""Those that are read: 2 did not name the architecture, and 3 held one."""
ARCHITECTURE = "mobilenet_v1"
"""What profiles of version 2, which did not say, have measured; and what is measured where nobody says."""
PRECISIONS = ("float32", "int8")
PROFILED_CLASSES = 1000
"""Of the published networks."""

LARGEST_FIGURE = 1e12
"""What no figure of a profile reaches, whatever its unit."""

EIGHTHS = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
"""Widths at which the channels of nearly all layers are multiples of 8, as the engine's kernels want them. Between them
a narrower network is hardly quicker: at 64 pixels α = 0.45 takes 95 % of the time of 0.5 (AVX2, float32)."""


def precisions_of(asked: str | Iterable[str]) -> tuple[str, ...]:
    """The precisions that a caller asks for, each once, in their order. A text is one of them.

    Raises:
        PlanningError: If one is unknown, or none is given.

    >>> precisions_of("int8"), precisions_of(["float32", "int8", "int8"])
    (('int8',), ('float32', 'int8'))
    """
    if not isinstance(asked, Iterable):
        raise PlanningError(f"precisions are some of {', '.join(PRECISIONS)}, not {asked!r}")
    words = [asked] if isinstance(asked, str) else list(asked)
    for word in words:
        check_precision(word)
    if not words:
        raise PlanningError(f"no precision is given; known are {', '.join(PRECISIONS)}")
    return tuple(dict.fromkeys(words))


def check_precision(word: str) -> None:
    """Refuse what is no precision.

    Raises:
        PlanningError: If the precision is neither ``float32`` nor ``int8``.
    """
    if word not in PRECISIONS:
        raise PlanningError(f"no precision is called {word!r}; known are {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Point:
    """Measured latency of one network.

    Attributes:
        width_multiplier: α.
        resolution: Side of the square input, in pixels.
        precision: ``float32`` or ``int8``.
        threads: Threads that shared one image.
        minimum_ms: Minimum time of one image.
        median_ms: Median time of one image.
        classes: Of the network's output layer.
        architecture: Of the network, by its name in the catalog.
    """

    width_multiplier: float
    resolution: int
    precision: str
    threads: int
    minimum_ms: float
    median_ms: float
    classes: int = PROFILED_CLASSES
    architecture: str = ARCHITECTURE


@dataclass(frozen=True)
class DeviceProfile:
    """Measured latencies of networks on one machine.

    Attributes:
        device: Name of the processor.
        engine: The instruction set that the engine used.
        points: What was measured: of each architecture a whole grid, or single sizes, with one number of classes, and
            for every width some point with another.
        checks: Points that lie between those, measured to see how far interpolation errs.
        steadiness: What was in the way when it was measured; None in profiles that do not say.
    """

    device: str
    engine: str
    points: tuple[Point, ...]
    checks: tuple[Point, ...] = field(default=())
    steadiness: Steadiness | None = None

    @property
    def architectures(self) -> tuple[str, ...]:
        """The architectures that were measured, by their names in the catalog."""
        return tuple(dict.fromkeys(point.architecture for point in self.points))

    def covers(self, network: Network, precision: str, threads: int) -> bool:
        """Whether :meth:`latency_of` knows a network."""
        try:
            self.latency_of(network, precision, threads)
        except PlanningError:
            return False
        return True

    def latency_of(self, network: Network, precision: str, threads: int) -> float:
        """Median latency of a network, in milliseconds.

        Args:
            network: Of an architecture that was measured.
            precision: ``float32`` or ``int8``.
            threads: Threads that share one image.

        Raises:
            PlanningError: If the network is of another architecture, or not covered: see :meth:`latency_ms`.
        """
        if network.name not in self.architectures:
            raise PlanningError(
                f"the profile of {self.device} measured {', '.join(self.architectures)}; {network.name} is of another "
                "architecture"
            )
        size, classes = (network.width_multiplier, network.height), class_count(network)
        return self.latency_ms(*size, precision, threads, classes, architecture=network.name)

    def latency_ms(
        self,
        width_multiplier: float,
        resolution: int,
        precision: str,
        threads: int,
        classes: int | None = None,
        *,
        architecture: str | None = None,
    ) -> float:
        """Median latency of an architecture at any width and resolution inside the measured grid.

        Between points the logarithm of the latency is taken as linear in log α and in log resolution. The last layer
        costs the same at every resolution, and its cost is taken as linear in its classes and in α.

        Args:
            width_multiplier: α.
            resolution: Side of the square input, in pixels.
            precision: ``float32`` or ``int8``.
            threads: Threads that share one image.
            classes: Of the network; those of the grid if None.
            architecture: By its name in the catalog; the first that was measured if None.

        Raises:
            PlanningError: If the precision is unknown, the profile lacks it or the thread count or classes, or the
                point lies outside its grid.
        """
        architecture = architecture or self.architectures[0]
        grid = self.grid(precision, threads, architecture)
        usual = grid[0].classes
        known = {(point.width_multiplier, point.resolution): point.median_ms for point in grid}
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
        for weight, width, side in corners:
            if weight and (width, side) not in known:
                raise PlanningError(
                    f"the profile of {self.device} lacks α {width:g} at {side:g} px, {precision}: measure it again"
                )
        latency = math.exp(sum(weight * math.log(known[width, int(side)]) for weight, width, side in corners if weight))
        if classes is None or classes == usual:
            return latency
        others = [
            point
            for point in self.points
            if (point.precision, point.threads, point.architecture) == (precision, threads, architecture)
            and point.classes != usual
        ]
        return max(0.1 * latency, latency + (classes - usual) * self._class_ms(known, others, usual, width_multiplier))

    def grid(self, precision: str, threads: int, architecture: str | None = None) -> list[Point]:
        """Points of an architecture, precision and thread count with the most usual number of classes.

        Args:
            precision: ``float32`` or ``int8``.
            threads: Threads that share one image.
            architecture: By its name in the catalog; the first that was measured if None.

        Raises:
            PlanningError: If the precision is unknown, or there are none.
        """
        check_precision(precision)
        wanted = precision, threads, architecture or self.architectures[0]
        points = [one for one in self.points if (one.precision, one.threads, one.architecture) == wanted]
        if not points:
            measured = sorted({(point.precision, point.threads) for point in self.points})
            listed = ", ".join(f"{name} with {count} thread(s)" for name, count in measured)
            raise PlanningError(
                f"the profile of {self.device} has no {precision} with {threads} thread(s), only {listed}"
            )
        usual = Counter(point.classes for point in points).most_common(1)[0][0]
        return [point for point in points if point.classes == usual]

    def _class_ms(
        self, known: Mapping[tuple[float, int], float], others: Sequence[Point], usual: int, width_multiplier: float
    ) -> float:
        """Milliseconds of one class more at a width, by the points that were measured with other numbers of classes."""
        costs = {
            point.width_multiplier: (known[place] - point.median_ms) / (usual - point.classes)
            for point in others
            if (place := (point.width_multiplier, point.resolution)) in known
        }
        if not costs:
            raise PlanningError(
                f"the profile of {self.device} holds latencies of networks of {usual} classes only; measure it again"
            )
        # No class costs less than nothing; where it looks so, the difference was lost in the noise.
        widths = sorted(costs)
        return float(np.interp(width_multiplier, widths, [max(0.0, costs[width]) for width in widths]))

    @property
    def interpolation_error(self) -> float | None:
        """Median of the relative errors of interpolation at the checks."""
        errors = [
            abs(
                self.latency_ms(
                    check.width_multiplier,
                    check.resolution,
                    check.precision,
                    check.threads,
                    check.classes,
                    architecture=check.architecture,
                )
                / check.median_ms
                - 1
            )
            for check in self.checks
        ]
        return statistics.median(errors) if errors else None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        steadiness = None if self.steadiness is None else self.steadiness.to_json()
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self), "steadiness": steadiness}

    def save(self, path: str | Path) -> None:
        """Write the profile as JSON, atomically.

        Raises:
            PlanningError: If the path has the suffix of another kind of file, such as ``.safetensors``.
        """
        check_profile_path(Path(path))
        write_atomically(Path(path), (json.dumps(self.to_json(), indent=1) + "\n").encode())

    @staticmethod
    def load(path: str | Path) -> DeviceProfile:
        """Read a profile of any version from 2 on. Version 2, which names no architecture, is that of MobileNet V1.

        Raises:
            PlanningError: If it is not one, is of another version, or its figures are missing or not positive.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise PlanningError(f"{path} does not exist; mobilenets profile writes a device profile") from None
        except (OSError, ValueError, RecursionError) as error:
            raise PlanningError(f"{path} is not a readable device profile: {error}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise PlanningError(f"{path} is not a device profile; make one with: mobilenets profile -o device.json")
        version = data.get("format_version")
        if version not in _VERSIONS:
            raise PlanningError(
                f"{path} is a device profile of version {version!r:.40}; this package reads versions "
                f"{', '.join(map(str, _VERSIONS))}: measure it again"
            )
        try:
            measured = None if version == FORMAT_VERSION else data["architecture"] if version == 3 else ARCHITECTURE
            points, checks = (tuple(_point(item, measured) for item in data[name]) for name in ("points", "checks"))
            device, engine = (str(data[name]) for name in ("device", "engine"))
            steadiness = None if data.get("steadiness") is None else Steadiness.from_json(data["steadiness"])
            profile = DeviceProfile(device, engine, points, checks, steadiness)
        except KeyError as error:
            raise PlanningError(f"{path} is a damaged device profile: {error} is missing") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise PlanningError(f"{path} is a damaged device profile: {error}") from None
        if not points:
            raise PlanningError(f"{path} is a device profile without a single measurement")
        return profile


def check_profile_path(path: Path) -> None:
    """Raise if a file of this name would be taken for another thing than a device profile.

    Raises:
        PlanningError: Naming what it would be taken for.
    """
    other = taken_for(path, (".json",))
    if other is not None:
        named = path.with_suffix(".json")
        raise PlanningError(f"{path} has the name of {other}, and a device profile is JSON: write {named}")


def _point(data: dict[str, Any], architecture: str | None) -> Point:
    """A point as a file holds it; its architecture, where the files of that version state it once for all."""
    names = [one.name for one in fields(Point) if architecture is None or one.name != "architecture"]
    if data.keys() != set(names):
        raise ValueError(f"a point holds {', '.join(map(str, data))}; expected {', '.join(names)}")
    point = Point(**data) if architecture is None else Point(**data, architecture=architecture)
    if not isinstance(point.architecture, str):
        raise ValueError(f"architecture is {point.architecture!r:.40}; it must be a name")
    for name, figure in asdict(point).items():
        if name in ("precision", "architecture"):
            continue
        if isinstance(figure, bool) or not isinstance(figure, int | float) or not 0 < figure < LARGEST_FIGURE:
            raise ValueError(f"{name} is {figure!r:.40}; it must be a positive number below {LARGEST_FIGURE:g}")
        if name in ("resolution", "threads", "classes") and not isinstance(figure, int):
            raise ValueError(f"{name} is {figure!r:.40}; it must be an integer")
    if point.precision not in PRECISIONS:
        raise ValueError(f"precision {point.precision!r} is not one of {', '.join(PRECISIONS)}")
    return point


def _around(values: Sequence[float], wanted: float, what: str) -> tuple[float, float]:
    if not values[0] <= wanted <= values[-1]:
        raise PlanningError(
            f"the profile covers {what} from {values[0]:g} to {values[-1]:g}, not {wanted:g}; that of a search has its "
            "own sizes only, mobilenets profile measures all"
        )
    low = max(value for value in values if value <= wanted)
    return low, min(value for value in values if value >= wanted)


def _share(low: float, high: float, wanted: float) -> float:
    return 0.0 if low == high else math.log(wanted / low) / math.log(high / low)
