"""Timing side by side: whoever answers differently is not timed, and stops nobody else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tests.support.random_models import random_network

from mobilenets.benchmark.race import fastest_peers, race
from mobilenets.benchmark.runtimes import Contestant
from mobilenets.engine.timing import random_pixels
from mobilenets.model.preprocessing import Pixels


class Fixed(Contestant):
    """Answers the same whatever it is given."""

    def __init__(self, name: str, *logits: float) -> None:
        self.name = name
        self._logits = np.array([logits], np.float32)
        self.runs = 0

    def run(self, prepared: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        self.runs += 1
        return [self._logits]


def pixels() -> Pixels:
    return random_pixels(random_network(np.random.default_rng(0)))


def test_a_contestant_that_answers_differently_is_not_timed_and_the_others_are() -> None:
    ours, wrong, peer = Fixed("ours", 1, 2, 3), Fixed("wrong", 1, 2, 4), Fixed("peer", 1, 2, 3.0001)
    timings = race([ours, wrong, peer], pixels(), seconds=0, integer=False)
    assert [timing.name for timing in timings] == ["ours", "wrong", "peer"]
    assert [timing.timed for timing in timings] == [True, False, True]
    assert wrong.runs == 1
    assert timings[1].seconds == ()
    assert timings[1].difference > 1
    assert all(0 < t.minimum <= t.median <= t.p90 for t in timings if t.timed)


def test_answers_that_are_no_numbers_differ() -> None:
    timings = race([Fixed("ours", 1, 2), Fixed("broken", float("nan"), 2)], pixels(), seconds=0, integer=True)
    assert not timings[1].timed


def test_one_byte_that_rounds_otherwise_is_no_other_answer() -> None:
    ours = [*np.linspace(-1, 1, 200)]
    moved = [ours[0] + 0.12, *ours[1:]]
    for integer, timed in ((True, True), (False, False)):
        timings = race([Fixed("ours", *ours), Fixed("peer", *moved)], pixels(), seconds=0, integer=integer)
        assert timings[1].timed == timed
        assert timings[1].difference < 0.02 if integer else timings[1].difference > 0.2


def test_a_model_of_a_peers_own_quantizer_may_differ_more_and_the_faster_one_counts() -> None:
    ours, export, own = Fixed("ours", 1, 2, 3), Fixed("peer", 1, 2, 3), Fixed("peer", 1, 2.2, 3)
    own.own = True
    timings = race([ours, export, own], pixels(), seconds=0, integer=True)
    assert all(timing.timed for timing in timings)
    assert [timing.label for timing in timings] == ["ours", "peer", "peer (own)"]
    assert 0 < timings[2].difference < 0.2 / np.std([1, 2, 3])
    assert fastest_peers(timings) == [min(timings[1:], key=lambda timing: timing.minimum)]


def test_agreement_is_the_share_of_equal_classes() -> None:
    other = Fixed("peer", 3, 2, 1)
    other.own = True
    timings = race([Fixed("ours", 1, 2, 3), other], pixels(), seconds=0, integer=True)
    assert timings[1].agreement == 0
    assert not timings[1].timed
