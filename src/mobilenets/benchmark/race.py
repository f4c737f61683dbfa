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
from mobilenets.tasks.logits import best_class, top1

SLOT_SECONDS = 0.02
"""One contestant runs at least this long before the next has its turn."""
WARM_UP_RUNS = 3
"""Runs of every turn that are not counted: caches, clocks and sleeping threads belong to the contestant before."""

SPIN_SLICE_SECONDS = 0.005
LONGEST_SPIN_SLICES = 100

FLOAT_TOLERANCE = 1e-3
"""Largest difference of two runtimes' logits, as a share of their spread (the standard deviation over classes)."""
INTEGER_TOLERANCE = 0.1
"""Largest root mean square of the difference, as such a share, of the same int8 model in another runtime.

Runtimes round int8 results in ways of their own, which moves single bytes by one. In a deep network one such byte may
move a single logit far, so the largest difference would say little."""
OWN_TOLERANCE = 0.5
"""Largest root mean square of the difference, as such a share, of a model that a peer's own quantizer made.

Its numbers are others, so its answers are; a model that is as good keeps well below."""


@dataclass(frozen=True)
class Timing(Times):
    """Times of one contestant: none at all where it answers differently.

    Attributes:
        name: The runtime.
        difference: How far its logits lie from ours, as a share of their spread: at most in float32, and as a root
            mean square in int8.
        own: Whether the runtime's own quantizer made the model.
        agreement: Share of the images that were compared to which it gives the class that ours gives.
    """

    name: str
    difference: float
    own: bool = False
    agreement: float = 1.0

    @property
    def timed(self) -> bool:
        """Whether it answers as ours does; if not, it has no times."""
        return bool(self.seconds)

    @property
    def label(self) -> str:
        """The runtime, and whose model it ran."""
        return f"{self.name} (own)" if self.own else self.name


def fastest_peers(timings: Sequence[Timing]) -> list[Timing]:
    """Of every peer the variant with the least time: what ours, the first, is to be compared with.

    Args:
        timings: Of one race, ours first.

    Returns:
        One Timing a runtime, in the order of the race; none of those that were not timed.
    """
    fastest: dict[str, Timing] = {}
    for timing in timings[1:]:
        if timing.timed and (timing.name not in fastest or timing.minimum < fastest[timing.name].minimum):
            fastest[timing.name] = timing
    return list(fastest.values())


def race(
    contestants: Sequence[Contestant],
    pixels: Pixels,
    *,
    seconds: float,
    integer: bool,
    images: Pixels | None = None,
    float_tolerance: float = FLOAT_TOLERANCE,
    own_tolerance: float = OWN_TOLERANCE,
) -> list[Timing]:
    """Check that all contestants give the same answers, then time those that do in turns.

    A contestant whose answers differ would be timed at other work. It is handed back without times, and the others go
    on: on processors without VNNI several runtimes compute int8 networks inexactly.

    Args:
        contestants: The engine's own first.
        pixels: uint8 (N, height, width, 3); one run is all of it.
        seconds: How long to go on, all contestants together.
        integer: Whether the Model is an int8 one, whose answers agree less closely.
        images: What answers are compared on, in runs of the size of ``pixels``; by default the pixels.
        float_tolerance: In place of :data:`FLOAT_TOLERANCE`.
        own_tolerance: In place of :data:`OWN_TOLERANCE`.
    """
    compared = pixels if images is None else images[: len(images) // len(pixels) * len(pixels)]
    answers = [_answers(contestant, compared, len(pixels)) for contestant in contestants]
    answers = [answer.reshape(answers[0].shape) for answer in answers]
    differences = [
        _difference(answer, answers[0], largest=not (integer or contestant.own))
        for contestant, answer in zip(contestants, answers, strict=True)
    ]
    inputs = [contestant.prepare(pixels) for contestant in contestants]
    limit = INTEGER_TOLERANCE if integer else float_tolerance
    times: list[list[float]] = [[] for _ in contestants]
    agreeing = [
        index
        for index, (contestant, difference) in enumerate(zip(contestants, differences, strict=True))
        if difference <= (own_tolerance if contestant.own else limit)
    ]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not all(times[index] for index in agreeing):
        for index in agreeing:
            times[index].extend(_turn(contestants[index], inputs[index]))
    return [
        Timing(tuple(mine), contestant.name, difference, contestant.own, _agreement(answer, answers[0]))
        for contestant, mine, difference, answer in zip(contestants, times, differences, answers, strict=True)
    ]


def _answers(contestant: Contestant, images: Pixels, size: int) -> Logits:
    runs = [images[begin : begin + size] for begin in range(0, len(images), size)]
    return np.concatenate([np.array(contestant.logits(contestant.run(contestant.prepare(run)))) for run in runs])


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


def _difference(logits: Logits, ours: Logits, *, largest: bool) -> float:
    spread = float(ours.std(axis=-1).mean()) or 1.0
    difference = logits.astype(np.float64) - ours
    return float(np.abs(difference).max() if largest else np.sqrt(np.mean(difference**2))) / spread


def _agreement(logits: Logits, ours: Logits) -> float:
    return top1(logits, best_class(ours)).value
