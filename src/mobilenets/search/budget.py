"""Budgets: limits in the units that people write, and which candidates meet them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar, assert_never

from mobilenets.base.arguments import is_number
from mobilenets.base.quantities import BYTE_UNITS
from mobilenets.errors import PlanningError
from mobilenets.search.candidates import COST_KINDS, Candidate, CostKind

Chosen = TypeVar("Chosen", bound=Candidate)

_SECONDS = {"us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "msec": 1.0, "s": 1e3, "sec": 1e3}
_DURATIONS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_COUNTS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµμ%]*)\s*")


def parse_latency(text: str) -> float:
    """Read a latency, in milliseconds.

    Raises:
        PlanningError: If there is no unit, an unknown one, or nothing above zero.

    >>> parse_latency("5ms"), parse_latency("800 us"), parse_latency("0.02s")
    (5.0, 0.8, 20.0)
    """
    return _parse(text, _SECONDS, "a latency", "5ms, 800us or 0.02s", ("ms",))


def parse_time(text: str) -> float:
    """Read how long something may take, in seconds.

    Raises:
        PlanningError: If there is no unit, an unknown one, or nothing above zero.

    >>> parse_time("20m"), parse_time("90 s"), parse_time("1.5h")
    (1200.0, 90.0, 5400.0)
    """
    return _parse(text, _DURATIONS, "a time", "20m, 90s or 1h", ("m", "s"))


def parse_bytes(text: str) -> int:
    """Read a size, in bytes. kB, or k, is 1,000 and KiB is 1,024 of them.

    Raises:
        PlanningError: If there is no unit, an unknown one, or nothing above zero.

    >>> parse_bytes("500kB"), parse_bytes("300k"), parse_bytes("2 MiB")
    (500000, 300000, 2097152)
    """
    return _integer(text, BYTE_UNITS, "a size", "500kB, 1.5MB or 256KiB", ("kB",))


def parse_macs(text: str) -> int:
    """Read a number of multiply-accumulate operations.

    Raises:
        PlanningError: If the unit is unknown, or nothing is above zero.

    >>> parse_macs("50M"), parse_macs("1.2G"), parse_macs("41030272")
    (50000000, 1200000000, 41030272)
    """
    return _integer(text, _COUNTS, "a number of Mult-Adds", "50M or 1.2G")


def parse_instructions(text: str) -> int:
    """Read a number of instructions.

    Raises:
        PlanningError: If the unit is unknown, or nothing is above zero.

    >>> parse_instructions("10M"), parse_instructions("2500000")
    (10000000, 2500000)
    """
    return _integer(text, _COUNTS, "a number of instructions", "10M or 1.5G")


def parse_accuracy(text: str) -> float:
    """Read an accuracy, as a share above 0 and at most 1.

    Raises:
        PlanningError: If it is neither a share nor a percentage.

    >>> parse_accuracy("0.9"), parse_accuracy("92.5%")
    (0.9, 0.925)
    """
    accuracy = _parse(text, {"": 1.0, "%": 0.01}, "an accuracy", "0.9 or 90%")
    if accuracy > 1:
        meant = "" if "%" in text or accuracy > 100 else f": did you mean {text.strip()}%?"
        raise PlanningError(f"an accuracy is at most 1, or 100%; {text!r} is more{meant}")
    return accuracy


def _integer(text: str, units: Mapping[str, float], what: str, examples: str, usual: tuple[str, ...] = ()) -> int:
    number = math.floor(_parse(text, units, what, examples, usual))
    if not number:
        raise PlanningError(f"{what} must be at least 1, not {text!r}")
    return number


def _parse(text: str, units: Mapping[str, float], what: str, examples: str, usual: tuple[str, ...] = ()) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        meant = _meant(text, units)
        hint = f"did you mean {meant}? Write" if meant else "write"
        raise PlanningError(f"{text!r} is not {what}; {hint} it like {examples}")
    number, unit = match.groups()
    factor = units.get(unit.lower())
    if factor is None:
        meant = " or ".join(f"{number}{one}" for one in usual) if not unit else ""
        hint = f"did you mean {meant}? Write" if meant else "write"
        raise PlanningError(f"{text!r} {_unit_problem(unit)}; {hint} {what} like {examples}")
    value = float(number) * factor
    if not (math.isfinite(value) and value > 0):
        raise PlanningError(f"{what} must be above zero and finite, not {text!r}")
    return value


def _meant(text: str, units: Mapping[str, float]) -> str:
    """What a text that is no quantity probably means: a comma for the point, or hours and minutes; empty if nothing.

    >>> _meant("1,5ms", _SECONDS), _meant("1h 30m", _DURATIONS), _meant("1:30", _DURATIONS), _meant("fast", _SECONDS)
    ('1.5ms', '90m', '90m or 90s', '')
    """
    pointed = _QUANTITY.fullmatch(text.replace(",", "."))
    if pointed is not None and (pointed[2].lower() in units):
        return f"{pointed[1]}{pointed[2]}"
    if units is not _DURATIONS:
        return ""
    if clock := re.fullmatch(r"\s*(\d{1,3}):([0-5]\d)\s*", text):
        together = 60 * int(clock[1]) + int(clock[2])
        return f"{together}m or {together}s"
    parts = re.fullmatch(r"\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s(?:ec)?)?\s*", text.lower())
    if parts is None or not any(parts.groups()):
        return ""
    seconds = sum(int(number or 0) * unit for number, unit in zip(parts.groups(), (3600, 60, 1), strict=True))
    return f"{seconds}s" if seconds % 60 else f"{seconds // 60}m"


def _unit_problem(unit: str) -> str:
    """What is wrong with a unit that is not one of those that were expected."""
    if not unit:
        return "has no unit"
    for kind, option, units in (
        ("a latency", "max_latency_ms=LATENCY", _SECONDS),
        ("a size", "max_file_bytes=SIZE, max_memory_bytes=SIZE and max_flash_bytes=SIZE", BYTE_UNITS),
        ("an accuracy", "min_accuracy=SHARE", ("%",)),
        ("a time", "time=TIME", ("min", "h")),
    ):
        if unit.lower() in units:
            return f"has the unit of {kind}, and goes with {option}"
    return f"has the unknown unit {unit!r}"


@dataclass(frozen=True)
class Budget:
    """Limits on what a network may cost, and the accuracy that it must reach. None means no limit.

    Attributes:
        max_latency_ms: Largest latency of one image, in milliseconds.
        max_file_bytes: Largest Model file, in bytes.
        max_macs: Most Mult-Adds for one image.
        max_memory_bytes: Largest peak activation memory, in bytes; on a microcontroller largest RAM, with image and
            stack.
        min_accuracy: Smallest top-1, as a share of 1; of images with several labels the smallest mean average
            precision. The quickest network that reaches it is then chosen.
        max_flash_bytes: Most flash of a microcontroller, for weights and code, in bytes.
        max_instructions: Most instructions of a microcontroller for one image.

    Raises:
        PlanningError: If a limit is no number above zero and finite (:func:`parse_latency` and its like read texts),
            or the accuracy is more than 1.

    >>> budget = Budget(max_latency_ms=5, max_file_bytes=500_000)
    >>> str(budget), budget.empty
    ('at most 5 ms and 500 kB of file', False)
    >>> Budget(min_accuracy=90)
    Traceback (most recent call last):
    ...
    mobilenets.errors.PlanningError: min_accuracy is a share of at most 1, not 90
    """

    max_latency_ms: float | None = None
    max_file_bytes: int | None = None
    max_macs: int | None = None
    max_memory_bytes: int | None = None
    min_accuracy: float | None = None
    max_flash_bytes: int | None = None
    max_instructions: int | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not (is_number(value) and math.isfinite(value) and value > 0):
                raise PlanningError(f"{limit.name} must be a number above zero and finite, not {value!r}")
        if self.min_accuracy is not None and self.min_accuracy > 1:
            raise PlanningError(f"min_accuracy is a share of at most 1, not {self.min_accuracy}")

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return all(getattr(self, field.name) is None for field in fields(self))

    @property
    def microcontroller(self) -> bool:
        """Whether it limits what only a microcontroller has.

        >>> Budget(max_flash_bytes=250_000).microcontroller, Budget(max_memory_bytes=100_000).microcontroller
        (True, False)
        """
        return self.max_flash_bytes is not None or self.max_instructions is not None

    @property
    def needs_latency(self) -> bool:
        """Whether latencies take part in the choice: as a limit, or where the quickest or the knee is asked for.

        >>> Budget(max_latency_ms=5).needs_latency, Budget(max_memory_bytes=100_000).needs_latency
        (True, False)
        """
        return self.max_latency_ms is not None or self.min_accuracy is not None or self.empty

    def limit(self, kind: CostKind) -> float | None:
        """The limit on one of the costs; None where there is none.

        Args:
            kind: Name of the cost, as a candidate has it.
        """
        match kind:
            case "latency_ms":
                return self.max_latency_ms
            case "memory_bytes":
                return self.max_memory_bytes
            case "file_bytes":
                return self.max_file_bytes
            case "macs":
                return self.max_macs
            case "instructions":
                return self.max_instructions
            case "flash_bytes":
                return self.max_flash_bytes
        assert_never(kind)

    def excess(self, candidate: Candidate) -> float:
        """Largest ratio of a candidate's cost to its limit: at most 1 where it meets all limits.

        Args:
            candidate: A network with what it costs.
        """
        limits = {kind: limit for kind in COST_KINDS if (limit := self.limit(kind)) is not None}
        return max((candidate.cost(kind) / limit for kind, limit in limits.items()), default=0.0)

    def meets(self, candidate: Candidate) -> bool:
        """Whether a candidate costs no more than the limits, whatever its accuracy.

        Args:
            candidate: A network with what it costs.
        """
        return self.excess(candidate) <= 1

    def __str__(self) -> str:
        """The limits on cost as a sentence says them.

        >>> str(Budget(max_latency_ms=5, max_file_bytes=500_000))
        'at most 5 ms and 500 kB of file'
        >>> str(Budget(max_macs=50_000_000)), str(Budget())
        ('at most 50 M Mult-Adds', 'no limit')
        """
        limits = (
            (self.max_latency_ms, 1.0, "ms"),
            (self.max_file_bytes, 1e3, "kB of file"),
            (self.max_macs, 1e6, "M Mult-Adds"),
            (self.max_memory_bytes, 1e3, "kB of memory" if self.microcontroller else "kB of activations"),
            (self.max_flash_bytes, 1e3, "kB of flash"),
            (self.max_instructions, 1e6, "M instructions"),
        )
        parts = [f"{value / unit:.6g} {name}" for value, unit, name in limits if value is not None]
        return f"at most {' and '.join(parts)}" if parts else "no limit"


def affordable(candidates: Sequence[Chosen], budget: Budget) -> list[Chosen]:
    """Candidates that meet the limits of a budget, whatever accuracy it asks for.

    Raises:
        PlanningError: If there are none; the message names the nearest.
    """
    if not candidates:
        raise PlanningError("there is nothing to choose from")
    found = [candidate for candidate in candidates if budget.meets(candidate)]
    if not found:
        nearest = min(candidates, key=lambda one: (budget.excess(one), one.macs))
        raise PlanningError(f"nothing meets the budget; the nearest is {nearest}: {costs_in_words(nearest)}")
    return found


def costs_in_words(candidate: Candidate) -> str:
    """What a network costs, as a sentence says it."""
    macs, memory = f"{candidate.macs / 1e6:.1f} M Mult-Adds", f"{candidate.memory_bytes / 1e3:,.0f} kB"
    if candidate.instructions is not None and candidate.flash_bytes is not None:
        instructions = f"{candidate.instructions / 1e6:.1f} M instructions"
        return f"{instructions}, {candidate.flash_bytes / 1e3:,.0f} kB of flash, {memory} of RAM, {macs}"
    latency = "" if candidate.latency_ms is None else f"{candidate.latency_ms:.3g} ms, "
    return f"{latency}{candidate.file_bytes / 1e3:,.0f} kB, {macs}, {memory} of activations"
