"""Timing several runtimes side by side, so that what the machine does meanwhile hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobilenets.benchmark.runtimes import Contestant
from mobilenets.engine.session import Logits
from mobilenets.engine.timing import Times, repeat
from mobilenets.model.preprocessing import Pixels

SLOT_SECONDS = 0.02
"""One contestant runs at least this long before the next has its turn."""
WARM_UP_RUNS = 3
"""Runs of every turn that are not counted: caches, clocks and sleeping threads belong to the contestant before."""

SPIN_SLICE_SECONDS = 0.005
LONGEST_SPIN_SLICES = 100

FLOAT_TOLERANCE = 1e-3
INTEGER_TOLERANCE = 0.1
"""Largest difference of two runtimes' logits, as a share of the logits' spread (the standard deviation over classes).

Runtimes round int8 results in ways of their own, which moves single bytes by one, and LiteRT's logits are bytes."""


@dataclass(frozen=True)
class Timing(Times):
    """Times of one contestant: none at all where it answers differently.

    Attributes:
        name: The contestant.
        difference: How far its logits lie from ours, as a share of their spread.
    """

    name: str
    difference: float

    @property
    def timed(self) -> bool:
        """Whether it answers as ours does; if not, it has no times."""
        return bool(self.seconds)


def race(contestants: Sequence[Contestant], pixels: Pixels, *, seconds: float, integer: bool) -> list[Timing]:
    """Check that all contestants give the same answers, then time those that do in turns.

    A contestant whose answers differ would be timed at other work. It is handed back without times, and the others go
    on: on processors without VNNI several runtimes compute int8 networks inexactly.

    Args:
        contestants: The engine's own first.
        pixels: uint8 (N, height, width, 3); one run is all of it.
        seconds: How long to go on, all contestants together.
        integer: Whether the Model is an int8 one, whose answers agree less closely.
    """
    inputs = [contestant.prepare(pixels) for contestant in contestants]
    answers = [np.array(contestant.run(given)) for contestant, given in zip(contestants, inputs, strict=True)]
    differences = [_difference(answer.reshape(answers[0].shape), answers[0]) for answer in answers]
    limit = INTEGER_TOLERANCE if integer else FLOAT_TOLERANCE
    times: list[list[float]] = [[] for _ in contestants]
    agreeing = [index for index, difference in enumerate(differences) if difference <= limit]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not all(times[index] for index in agreeing):
        for index in agreeing:
            times[index].extend(_turn(contestants[index], inputs[index]))
    return [
        Timing(tuple(mine), contestant.name, difference)
        for contestant, mine, difference in zip(contestants, times, differences, strict=True)
    ]


def _turn(contestant: Contestant, given: Pixels) -> list[float]:
    _wait_for_spinning_threads()
    return repeat(lambda: contestant.run(given), seconds=SLOT_SECONDS, warm_up=WARM_UP_RUNS)


def _wait_for_spinning_threads() -> None:
    """Some runtimes' threads spin on for a tenth of a second after a run; the next contestant must not pay for it."""
    for _ in range(LONGEST_SPIN_SLICES):
        before = time.process_time()
        time.sleep(SPIN_SLICE_SECONDS)
        if time.process_time() - before < SPIN_SLICE_SECONDS / 4:
            return


def _difference(logits: Logits, ours: Logits) -> float:
    spread = float(ours.std(axis=-1).mean()) or 1.0
    return float(np.abs(logits.astype(np.float64) - ours).max()) / spread
