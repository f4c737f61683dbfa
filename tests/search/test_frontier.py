"""The frontier, its knee, what is chosen within a budget, and how that is explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.frontier import choose, explain, frontier, knee


def one(latency_ms: float, accuracy: float, *, size: int = 1000) -> Candidate:
    return Candidate(0.5, 128, "float32", accuracy, latency_ms, size, macs=10**6, memory_bytes=5000)


SLOW, MIDDLE, QUICK = one(8, 0.95), one(2, 0.93), one(1, 0.80)


def test_the_most_accurate_that_meets_the_budget_is_chosen() -> None:
    everything = [SLOW, MIDDLE, QUICK]
    assert choose(everything, Budget(max_latency_ms=3)) is MIDDLE
    assert choose(everything, Budget(max_latency_ms=8)) is SLOW
    assert choose(everything, Budget(max_file_bytes=1000)) is SLOW
    assert choose([one(2, 0.9), QUICK, one(1.5, 0.9)], Budget(max_latency_ms=3)).latency_ms == 1.5


def test_with_an_accuracy_to_reach_the_quickest_is_chosen() -> None:
    assert choose([SLOW, MIDDLE, QUICK], Budget(min_accuracy=0.9)) is MIDDLE
    with pytest.raises(PlanningError, match=r"nothing within the budget reaches 99.0 %; the best is .* with 95.0 %"):
        choose([SLOW, MIDDLE, QUICK], Budget(min_accuracy=0.99))


def test_a_budget_that_nothing_meets_names_the_nearest() -> None:
    with pytest.raises(PlanningError, match=r"nothing meets the budget; the nearest is .*: 1 ms, 1 kB, 1.0 M"):
        choose([SLOW, MIDDLE, QUICK], Budget(max_latency_ms=0.5))
    with pytest.raises(PlanningError, match="nothing to choose from"):
        choose([], Budget())


def test_without_a_budget_the_knee_is_chosen() -> None:
    assert Budget().empty
    assert choose([SLOW, MIDDLE, QUICK], Budget()) is MIDDLE
    assert knee([QUICK]) is QUICK
    straight = [one(1, 0.5), one(2, 0.625), one(4, 0.75)]
    assert knee(straight) == straight[-1], "where more time keeps buying accuracy there is no reason to stop"
    assert knee(straight[:2]) == straight[1]


def test_the_frontier_leaves_out_what_is_beaten() -> None:
    beaten = one(3, 0.9)
    assert frontier([SLOW, beaten, QUICK, MIDDLE]) == [QUICK, MIDDLE, SLOW]


def test_a_choice_is_explained_by_the_budget() -> None:
    one = Candidate(0.5, 64, "int8", 0.9, 1.0, 1000, 10**6, 1000)
    quicker, slower = replace(one, latency_ms=0.1, accuracy=0.5), replace(one, latency_ms=10, accuracy=0.91)
    assert explain([quicker, one, slower], Budget(), one) == (
        "no budget was given, and of 3 networks it is the knee of the curve: past it, time buys little"
    )
    assert explain([quicker, one], Budget(), one) == (
        "no budget was given, and of 2 networks it is the most accurate: the curve has no knee past which time buys "
        "little"
    )
    assert explain([one], Budget(max_latency_ms=2), one) == (
        "of 1 network with at most 2 ms it is the most accurate on the validation images"
    )
    assert explain([one], Budget(min_accuracy=0.9), one) == "of 1 network it is the quickest that reaches 90.0 %"
    assert explain([one], Budget(max_macs=2_000_000, min_accuracy=0.9), one) == (
        "of 1 network with at most 2 M Mult-Adds it is the quickest that reaches 90.0 %"
    )
