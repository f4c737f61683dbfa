"""The record of a search: what it considered and chose, as ``metrics.json`` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.contenders import Started


@dataclass(frozen=True)
class LatencySource:
    """Where the latencies of a search hold.

    Attributes:
        name: Name of the processor.
        engine: The instruction set that the engine used.
        threads: Threads that shared one image.
        measured_here: Whether they were measured by this run, on this machine, and not read from a profile.
        interpolation_error: Median relative error of latencies between measured points; None where all were measured.
    """

    name: str
    engine: str
    threads: int
    measured_here: bool
    interpolation_error: float | None = None


@dataclass(frozen=True)
class MeasuredLatency:
    """Latency of one image through a finished Model, on this machine.

    Attributes:
        median_ms: Median time.
        minimum_ms: Minimum time.
        predicted_ms: Latency that the search had predicted.
        threads: Threads that shared the image.
    """

    median_ms: float
    minimum_ms: float
    predicted_ms: float
    threads: int


@dataclass(frozen=True)
class SearchRecord:
    """How a network was chosen.

    Attributes:
        budget: What it may cost and must reach.
        device: Where the latencies hold; None where they took no part in the choice, and were not measured.
        candidates: Everything that was evaluated, in every precision that was allowed: subnets of the supernet, with
            their accuracy on the validation images before any of them was fine-tuned; or networks that begin from
            published weights (:class:`~mobilenets.search.contenders.Started`), with what the last thing that was tried
            of each got.
        choice: The candidate that was chosen.
        reason: Why, in one sentence.
        validation_images: How many images those accuracies come from.
        widest: α of the supernet, or the largest that was considered.
        largest: Largest resolution of the supernet, or of all that were considered, in pixels.
    """

    budget: Budget
    device: LatencySource | None
    candidates: tuple[Candidate, ...]
    choice: Candidate
    reason: str
    validation_images: int
    widest: float
    largest: int
    latency: MeasuredLatency | None = field(default=None)
    """Of the finished Model; None where the latencies are another machine's, or took no part in the choice."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values, which :meth:`from_json` reads back."""
        return {**asdict(self), "candidates": [asdict(one) for one in self.candidates]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> SearchRecord:
        """Read what :meth:`to_json` gave.

        Raises:
            PlanningError: If fields are missing or unknown.
        """
        try:
            plain = {one.name: data[one.name] for one in fields(SearchRecord)}
            plain |= {
                "budget": Budget(**data["budget"]),
                "device": None if data["device"] is None else LatencySource(**data["device"]),
                "candidates": tuple(_candidate(one) for one in data["candidates"]),
                "choice": _candidate(data["choice"]),
                "latency": None if data["latency"] is None else MeasuredLatency(**data["latency"]),
            }
            return SearchRecord(**plain)
        except (KeyError, TypeError) as error:
            raise PlanningError(f"this is not the record of a search: {error}") from None


def _candidate(data: Mapping[str, Any]) -> Candidate:
    return Started(**data) if "weights" in data else Candidate(**data)
