"""What the sizes of a search cost, before any of them has an accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mobilenets.architecture.network import Network
from mobilenets.search.budget import Budget, Candidate, choose, frontier
from mobilenets.search.profile import DeviceProfile
from mobilenets.search.published import candidate

PROVENANCE_BYTES = 3500
"""What a Model file spends on how the Model came to be: about 2.8 kB, and some more for long labels and paths."""


@dataclass(frozen=True)
class Costs:
    """What networks cost.

    Attributes:
        candidates: Every network in every precision, with an accuracy of 0.
    """

    candidates: tuple[Candidate, ...]

    @staticmethod
    def of(networks: Sequence[Network], profile: DeviceProfile, *, precisions: Sequence[str], threads: int) -> Costs:
        """Costs of classifiers, with the latencies of a device.

        Args:
            networks: MobileNet V1 in some sizes.
            profile: Latencies of the device.
            precisions: ``float32``, ``int8`` or both.
            threads: Threads that share one image.

        Raises:
            PlanningError: If the profile does not cover them.
        """

        def one(network: Network, precision: str) -> Candidate:
            width, side, classes = network.width_multiplier, network.height, network.classes
            latency_ms = profile.latency_ms(width, side, precision, threads, classes)
            bare = candidate(network, precision, accuracy=0.0, latency_ms=latency_ms)
            return replace(bare, file_bytes=bare.file_bytes + PROVENANCE_BYTES)

        return Costs(tuple(one(network, precision) for network in networks for precision in precisions))

    def at(self, width: float, side: int, precision: str) -> Candidate:
        """The network of that width, resolution and precision."""
        wanted = (width, side, precision)
        return next(one for one in self.candidates if (one.width_multiplier, one.resolution, one.precision) == wanted)

    def within(self, budget: Budget) -> list[Candidate]:
        """Those that meet the limits of a budget, whatever accuracy it asks for.

        Raises:
            PlanningError: If none does; the message names the nearest.
        """
        choose(self.candidates, replace(budget, min_accuracy=None))
        return [one for one in self.candidates if budget.meets(one)]


def limits(budget: Budget) -> str:
    """The limits of a budget as a sentence says them.

    >>> limits(Budget(max_latency_ms=5, max_file_bytes=500_000))
    'at most 5 ms and 500 kB of file'
    >>> limits(Budget(max_macs=50_000_000)), limits(Budget())
    ('at most 50 M Mult-Adds', 'no limit')
    """
    parts = [
        f"{value:.6g} {unit}"
        for value, unit in (
            (budget.max_latency_ms, "ms"),
            (_scaled(budget.max_file_bytes, 1e3), "kB of file"),
            (_scaled(budget.max_macs, 1e6), "M Mult-Adds"),
            (_scaled(budget.max_memory_bytes, 1e3), "kB of activations"),
        )
        if value is not None
    ]
    return f"at most {' and '.join(parts)}" if parts else "no limit"


def knee_reason(candidates: Sequence[Candidate], choice: Candidate) -> str:
    """What is to be said of the knee of some candidates."""
    if choice == frontier(candidates)[-1]:
        return "the most accurate: the curve has no knee past which time buys little"
    return "the knee of the curve: past it, time buys little"


def reason(budget: Budget, candidates: Sequence[Candidate], choice: Candidate) -> str:
    """Why :func:`~mobilenets.search.budget.choose` took one of some candidates, in one sentence."""
    count = sum(budget.meets(one) for one in candidates)
    if budget.empty:
        return f"no budget was given, and of {count} networks it is {knee_reason(candidates, choice)}"
    if budget.min_accuracy is not None:
        limited = "" if limits(budget) == "no limit" else f" with {limits(budget)}"
        return f"of {count} networks{limited} it is the quickest that reaches {100 * budget.min_accuracy:.1f} %"
    return f"of {count} networks with {limits(budget)} it is the most accurate on the validation images"


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit
