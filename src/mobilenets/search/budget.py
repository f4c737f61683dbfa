"""Budgets in the units that people write, and the choice of what meets one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from mobilenets.errors import PlanningError

_SECONDS = {"us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3}
_BYTES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_COUNTS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµμ%]*)\s*")


def parse_latency(text: str) -> float:
    """Milliseconds.

    Raises:
        PlanningError: If there is no unit, an unknown one, or nothing above zero.

    >>> parse_latency("5ms"), parse_latency("800 us"), parse_latency("0.02s")
    (5.0, 0.8, 20.0)
    """
    return _parse(text, _SECONDS, "a latency", "5ms, 800us or 0.02s")


def parse_bytes(text: str) -> int:
    """Bytes. kB is 1,000 and KiB is 1,024 of them.

    Raises:
        PlanningError: If there is no unit, an unknown one, or nothing above zero.

    >>> parse_bytes("500kB"), parse_bytes("2 MiB")
    (500000, 2097152)
    """
    return _whole(text, _BYTES, "a size", "500kB, 1.5MB or 256KiB")


def parse_macs(text: str) -> int:
    """Multiply-accumulate operations.

    Raises:
        PlanningError: If the unit is unknown, or nothing is above zero.

    >>> parse_macs("50M"), parse_macs("1.2G"), parse_macs("41030272")
    (50000000, 1200000000, 41030272)
    """
    return _whole(text, _COUNTS, "a number of Mult-Adds", "50M or 1.2G")


def parse_accuracy(text: str) -> float:
    """A share of images, above 0 and at most 1.

    Raises:
        PlanningError: If it is neither a share nor a percentage.

    >>> parse_accuracy("0.9"), parse_accuracy("92.5%")
    (0.9, 0.925)
    """
    accuracy = _parse(text, {"": 1.0, "%": 0.01}, "an accuracy", "0.9 or 90%")
    if accuracy > 1:
        meant = "" if "%" in text else f": did you mean {text.strip()}%?"
        raise PlanningError(f"an accuracy is at most 1, or 100%; {text!r} is more{meant}")
    return accuracy


def _whole(text: str, units: dict[str, float], what: str, examples: str) -> int:
    number = math.floor(_parse(text, units, what, examples, fold_case=True))
    if not number:
        raise PlanningError(f"{what} must be at least 1, not {text!r}")
    return number


def _parse(text: str, units: dict[str, float], what: str, examples: str, *, fold_case: bool = False) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise PlanningError(f"{text!r} is not {what}; write it like {examples}")
    number, unit = match.groups()
    factor = units.get(unit.lower() if fold_case else unit)
    if factor is None:
        problem = f"{text!r} has no unit" if not unit else f"{text!r} has the unknown unit {unit!r}"
        raise PlanningError(f"{problem}; write {what} like {examples}")
    value = float(number) * factor
    if not (math.isfinite(value) and value > 0):
        raise PlanningError(f"{what} must be above zero and finite, not {text!r}")
    return value


@dataclass(frozen=True)
class Candidate:
    """One network that might be chosen, and what is known of it.

    Attributes:
        width_multiplier: α.
        resolution: Side of the square input, in pixels.
        precision: ``float32`` or ``int8``.
        accuracy: Share of images that it gets right: measured, or published.
        latency_ms: For one image.
        file_bytes: Size of the Model file.
        macs: Mult-Adds for one image.
        memory_bytes: Peak activation memory.
    """

    width_multiplier: float
    resolution: int
    precision: str
    accuracy: float
    latency_ms: float
    file_bytes: int
    macs: int
    memory_bytes: int

    def __str__(self) -> str:
        return f"α {self.width_multiplier:g} at {self.resolution} px, {self.precision}"


@dataclass(frozen=True)
class Budget:
    """What a network may cost, and what it must reach. None means no limit.

    Attributes:
        max_latency_ms: Most milliseconds for one image.
        max_file_bytes: Most bytes of the Model file.
        max_macs: Most Mult-Adds for one image.
        max_memory_bytes: Most bytes of activations alive at one moment.
        min_accuracy: Least share of images to get right; then the cheapest network that does is chosen.

    Raises:
        PlanningError: If a limit is not above zero and finite, or the accuracy is more than 1.
    """

    max_latency_ms: float | None = None
    max_file_bytes: int | None = None
    max_macs: int | None = None
    max_memory_bytes: int | None = None
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise PlanningError(f"{limit.name} must be above zero and finite, not {value}")
        if self.min_accuracy is not None and self.min_accuracy > 1:
            raise PlanningError(f"min_accuracy is a share of at most 1, not {self.min_accuracy}")

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return all(getattr(self, field.name) is None for field in fields(self))

    def excess(self, candidate: Candidate) -> float:
        """How many times a candidate costs the limit that it exceeds most: at most 1 where it meets all limits."""
        costs = (
            (candidate.latency_ms, self.max_latency_ms),
            (candidate.file_bytes, self.max_file_bytes),
            (candidate.macs, self.max_macs),
            (candidate.memory_bytes, self.max_memory_bytes),
        )
        return max((cost / limit for cost, limit in costs if limit is not None), default=0.0)

    def meets(self, candidate: Candidate) -> bool:
        """Whether a candidate costs no more than it may. Accuracy is another matter."""
        return self.excess(candidate) <= 1


def choose(candidates: Sequence[Candidate], budget: Budget) -> Candidate:
    """The candidate that a person with this budget wants.

    The most accurate that meets the limits, the quicker of two equals; with ``min_accuracy`` the quickest that reaches
    it; without any limit the knee of the frontier (see :func:`knee`).

    Raises:
        PlanningError: If none meets the budget; the message names the nearest.
    """
    if not candidates:
        raise PlanningError("there is nothing to choose from")
    affordable = [candidate for candidate in candidates if budget.meets(candidate)]
    if not affordable:
        nearest = min(candidates, key=budget.excess)
        raise PlanningError(f"nothing meets the budget; the nearest is {nearest}: {_costs(nearest)}")
    if budget.min_accuracy is not None:
        good = [candidate for candidate in affordable if candidate.accuracy >= budget.min_accuracy]
        if not good:
            best = max(affordable, key=lambda candidate: candidate.accuracy)
            raise PlanningError(
                f"nothing within the budget reaches {100 * budget.min_accuracy:.1f} %; "
                f"the best is {best} with {100 * best.accuracy:.1f} %"
            )
        return min(good, key=lambda candidate: (candidate.latency_ms, candidate.macs))
    if budget.empty:
        return knee(candidates)
    return max(affordable, key=lambda candidate: (candidate.accuracy, -candidate.latency_ms))


def _costs(candidate: Candidate) -> str:
    return (
        f"{candidate.latency_ms:.3g} ms, {candidate.file_bytes / 1e3:,.0f} kB, {candidate.macs / 1e6:.1f} M Mult-Adds, "
        f"{candidate.memory_bytes / 1e3:,.0f} kB of activations"
    )


def frontier(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other beats in both latency and accuracy, quickest first."""
    best: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda one: (one.latency_ms, -one.accuracy)):
        if not best or candidate.accuracy > best[-1].accuracy:
            best.append(candidate)
    return best


def knee(candidates: Sequence[Candidate]) -> Candidate:
    """Where more time stops buying much accuracy.

    On the frontier of accuracy against the logarithm of latency, both scaled to [0, 1], the point furthest above the
    line from the quickest to the most accurate; the most accurate where none lies above it. Source: the criterion of
    Satopää et al. 2011, "Finding a Kneedle in a Haystack".

    Raises:
        PlanningError: If there are no candidates.
    """
    curve = frontier(candidates)
    if not curve:
        raise PlanningError("there is nothing to choose from")
    first, last = curve[0], curve[-1]
    time = math.log(last.latency_ms / first.latency_ms) or 1.0
    gain = (last.accuracy - first.accuracy) or 1.0

    def height(candidate: Candidate) -> float:
        across = math.log(candidate.latency_ms / first.latency_ms) / time
        return (candidate.accuracy - first.accuracy) / gain - across

    return max(curve, key=lambda candidate: (height(candidate), candidate.accuracy))
