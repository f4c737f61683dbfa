"""How far measured times can be trusted: what other processes took of the processors meanwhile.

A run of one thread that keeps its processor uses as much processor time as time passes. One that another process
interrupts takes longer than the network needs, and says so by using less; it is not counted. Where hardly any run was
left alone, the processor time that the runs used is counted instead, which leaves out the interruptions. Runs of
several threads cannot be told apart so: of those it is only known how much of the processors others used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mobilenets.base.processors import affine_processors, other_processes_seconds
from mobilenets.base.text import plural

UNDISTURBED_SHARE = 0.95
"""Processor time of an undisturbed run, as a share of the time that passed."""
CLOCK_SECONDS = 20e-6
"""What the two clocks may differ by."""
LEAST_RUNS = 5
"""Undisturbed runs that a network needs for its times to be theirs."""
CROWDED_BY = 0.25
"""Processors that all processes together may use beyond those that there are, as clocks and counters are coarse."""


UNTRUSTED_BY = 0.5
"""The same, from where on times of several threads say nothing of a network."""


@dataclass(frozen=True)
class Steadiness:
    """What was in the way of a measurement.

    Attributes:
        runs: How many were timed.
        disturbed: Those of them that another process interrupted, which are not counted; 0 where that is not known.
        by_processor_time: Networks whose times are processor time, as hardly any run was left alone.
        others: Processors that other processes used meanwhile, on average; None where that is not known.
        processors: Processors that this process may use.
        threads: Threads of the runs.
    """

    runs: int
    disturbed: int
    by_processor_time: int
    others: float | None
    processors: int
    threads: int

    @property
    def crowded(self) -> bool:
        """Whether there were more threads at work than processors."""
        return self._excess > CROWDED_BY

    @property
    def _excess(self) -> float:
        """Processors that were wanted beyond those that there are."""
        return 0.0 if self.others is None else self.others + self.threads - self.processors

    @property
    def trusted(self) -> bool:
        """Whether the times are those of the networks: undisturbed, or without what disturbed them."""
        return self.threads == 1 or self._excess <= UNTRUSTED_BY

    @property
    def steady(self) -> bool:
        """Whether next to nothing was in the way."""
        return not self.crowded and self.disturbed <= self.runs / 10 and not self.by_processor_time

    @property
    def warning(self) -> str | None:
        """What was in the way, and what was made of it; None where the machine was steady."""
        if self.steady:
            return None
        others = "" if self.others is None else f" (they used {self.others:.1f} of {self.processors} processors)"
        begun = f"other processes were in the way{others}"
        if not self.trusted:
            return f"{begun}: latencies on {self.threads} threads are not to be trusted; measure again when it is idle"
        if not self.disturbed:
            return f"{begun}: latencies may be too high; measure again when it is idle"
        made = f"{self.disturbed:,} of {self.runs:,} runs were interrupted and are not counted"
        if self.by_processor_time:
            made += f", and {plural(self.by_processor_time, 'network')} by processor time alone"
        return f"{begun}: {made}; measure again when it is idle for times without doubt"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**vars(self), "trusted": self.trusted, "steady": self.steady}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Steadiness:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If a value is no number.
        """
        others = data["others"]
        return Steadiness(
            runs=int(data["runs"]),
            disturbed=int(data["disturbed"]),
            by_processor_time=int(data["by_processor_time"]),
            others=None if others is None else float(others),
            processors=int(data["processors"]),
            threads=int(data["threads"]),
        )


@dataclass
class RunTimes:
    """Times of repeated runs of one thing.

    Attributes:
        passed: Seconds that every run took.
        used: Seconds of processor time that the calling thread used in each; None where other threads work too.
    """

    passed: list[float] = field(default_factory=list)
    used: list[float] | None = None

    def repeat(self, run: Callable[[], object], *, seconds: float, warm_up: int = 1) -> None:
        """Time repeated runs, one after the other; at least one is counted."""
        for _ in range(warm_up):
            run()
        end = time.perf_counter() + seconds
        while True:
            used, begin = time.thread_time(), time.perf_counter()
            run()
            now, used_now = time.perf_counter(), time.thread_time()
            self.passed.append(now - begin)
            if self.used is not None:
                self.used.append(used_now - used)
            if now >= end:
                return

    @property
    def undisturbed(self) -> list[float]:
        """Seconds of the runs that nothing interrupted; of all where that is not known."""
        if self.used is None:
            return self.passed
        return [
            passed
            for passed, used in zip(self.passed, self.used, strict=True)
            if used >= UNDISTURBED_SHARE * passed - CLOCK_SECONDS
        ]

    @property
    def enough(self) -> bool:
        """Whether there are undisturbed runs to go by."""
        return len(self.undisturbed) >= min(LEAST_RUNS, len(self.passed))

    @property
    def trusted(self) -> list[float]:
        """Seconds of the undisturbed runs; where there are too few, the processor time of all."""
        if self.enough or self.used is None:
            return self.undisturbed
        return self.used


class Surroundings:
    """What other processes use while something is measured: begun when it is made."""

    def __init__(self) -> None:
        self._begun, self._others = time.perf_counter(), other_processes_seconds()

    def steadiness(self, times: Sequence[RunTimes], threads: int) -> Steadiness:
        """What was in the way of some runs.

        Args:
            times: The runs of each network.
            threads: Threads of each.
        """
        passed, others = time.perf_counter() - self._begun, other_processes_seconds()
        known = self._others is not None and others is not None and passed > 0
        runs = sum(len(one.passed) for one in times)
        return Steadiness(
            runs=runs,
            disturbed=runs - sum(len(one.undisturbed) for one in times),
            by_processor_time=sum(not one.enough for one in times),
            others=max(0.0, (others or 0.0) - (self._others or 0.0)) / passed if known else None,
            processors=len(affine_processors()),
            threads=threads,
        )
