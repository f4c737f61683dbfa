"""A search within a budget: what it is for, and what it considered and decided, as metrics.json keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.profile import PRECISIONS, DeviceProfile


@dataclass(frozen=True)
class Goal:
    """What a person wants to spend, and where.

    Attributes:
        budget: Limits, and the accuracy to reach; if empty, the knee of the curve is taken.
        precisions: ``float32``, ``int8`` or both, whichever is better.
        threads: Threads that share one image when the Model is used.
        device: The machine that it is used on; None for this one, which is then measured.
    """

    budget: Budget = field(default_factory=Budget)
    precisions: tuple[str, ...] = PRECISIONS
    threads: int = 1
    device: DeviceProfile | None = None


@dataclass(frozen=True)
class Device:
    """Where the latencies of a search hold.

    Attributes:
        name: What the machine calls its processor.
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
class Latency:
    """What one image takes through a finished Model, on the machine at hand.

    Attributes:
        median_ms: Median time.
        minimum_ms: Shortest time seen.
        predicted_ms: What the search had taken it for.
        threads: Threads that shared the image.
    """

    median_ms: float
    minimum_ms: float
    predicted_ms: float
    threads: int


@dataclass(frozen=True)
class Search:
    """How a network was chosen.

    Attributes:
        budget: What it may cost and must reach.
        device: Where the latencies hold.
        candidates: Everything that was evaluated: slices of the shared network, in every precision that was allowed,
            with their accuracy on the validation images before any of them was specialised.
        choice: The one that was taken; one of the candidates.
        reason: Why, in one sentence.
        validation_images: How many images those accuracies come from.
        widest: α of the shared network.
        largest: Largest resolution of the shared network, in pixels.
    """

    budget: Budget
    device: Device
    candidates: tuple[Candidate, ...]
    choice: Candidate
    reason: str
    validation_images: int
    widest: float
    largest: int
    latency: Latency | None = field(default=None)
    """Of the finished Model; None where the latencies are another machine's."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values, which :meth:`from_json` reads back."""
        return {**asdict(self), "candidates": [asdict(one) for one in self.candidates]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Search:
        """Read what :meth:`to_json` gave.

        Raises:
            PlanningError: If fields are missing or unknown.
        """
        try:
            plain = {one.name: data[one.name] for one in fields(Search)}
            plain |= {
                "budget": Budget(**data["budget"]),
                "device": Device(**data["device"]),
                "candidates": tuple(Candidate(**one) for one in data["candidates"]),
                "choice": Candidate(**data["choice"]),
                "latency": None if data["latency"] is None else Latency(**data["latency"]),
            }
            return Search(**plain)
        except (KeyError, TypeError) as error:
            raise PlanningError(f"this is not the record of a search: {error}") from None
