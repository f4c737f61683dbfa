"""Budgets: units, what meets one, and what is chosen."""

from __future__ import annotations

import pytest

from mobilenets.errors import PlanningError
from mobilenets.search.budget import (
    Budget,
    parse_accuracy,
    parse_bytes,
    parse_latency,
    parse_macs,
)
from mobilenets.search.candidates import Candidate
from mobilenets.search.frontier import choose, frontier, knee


def one(latency_ms: float, accuracy: float, *, size: int = 1000) -> Candidate:
    return Candidate(0.5, 128, "float32", accuracy, latency_ms, size, macs=10**6, memory_bytes=5000)


SLOW, MIDDLE, QUICK = one(8, 0.95), one(2, 0.93), one(1, 0.80)


def test_units_as_people_write_them() -> None:
    assert parse_latency("5 ms") == parse_latency("0.005s") == parse_latency("5000us") == 5
    assert parse_bytes("500kB") == parse_bytes("0.5 MB") == parse_bytes("500KB") == 500_000
    assert parse_bytes("1KiB") == 1024
    assert parse_macs("50M") == parse_macs("0.05G") == 50_000_000
    assert parse_accuracy("90%") == parse_accuracy(".9") == 0.9


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_latency, "5", "'5' has no unit; write a latency like 5ms"),
        (parse_latency, "5 parsecs", "unknown unit 'parsecs'"),
        (parse_latency, "5MS", "unknown unit 'MS'"),
        (parse_latency, "0ms", "must be above zero"),
        (parse_latency, "-3ms", "is not a latency"),
        (parse_bytes, "12", "has no unit"),
        (parse_bytes, "9e999kB", "must be above zero and finite"),
        (parse_bytes, "1e-9B", "a size must be at least 1, not '1e-9B'"),
        (parse_macs, "some", "is not a number of Mult-Adds"),
        (parse_accuracy, "90", "did you mean 90%"),
        (parse_accuracy, "101%", "'101%' is more$"),
        (parse_accuracy, "0%", "must be above zero"),
    ],
)
def test_other_units_are_refused_with_an_example(parse: object, text: str, message: str) -> None:
    with pytest.raises(PlanningError, match=message):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    "limits",
    [{"max_latency_ms": 0}, {"max_file_bytes": -1}, {"max_latency_ms": float("nan")}, {"min_accuracy": 90}],
)
def test_a_budget_that_makes_no_sense_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(PlanningError, match=next(iter(limits))):
        Budget(**limits)  # type: ignore[arg-type]


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
