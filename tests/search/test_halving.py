"""Successive halving: which networks are worth a dearer look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilenets.search.budget import Budget
from mobilenets.search.contenders import Started
from mobilenets.search.halving import expected, network_of, shortlist


def started(
    weights: str, head: float, tuned: float | None = None, *, precision: str = "float32", ms: float = 1.0
) -> Started:
    return Started(0.5, 96, precision, head, ms, 1000, 10**6, 1000, "mobilenet_v1", weights, False, head, tuned)


def test_few_validation_images_are_outvoted_by_the_heads_and_many_are_not() -> None:
    better, worse = started("better", 0.80, 0.80), started("worse", 0.75, 0.90)
    few = expected([better, worse], 12, 10_000)
    assert few[0].accuracy > few[1].accuracy  # of twelve images, a tenth is one: chance
    many = expected([better, worse], 3000, 10_000)
    assert many[0].accuracy < many[1].accuracy


def test_a_training_that_has_failed_is_believed_even_by_few_images() -> None:
    failed, other = started("failed", 0.85, 4 / 12), started("other", 0.8)
    found = expected([failed, other], 12, 10_000)
    assert found[0].accuracy < found[1].accuracy


def test_where_heads_cannot_tell_networks_apart_the_larger_one_is_expected_to_be_better() -> None:
    small, large = started("small", 0.81), replace(started("large", 0.80), macs=16 * 10**6)
    few = expected([small, large], 12, 60)
    assert few[0].accuracy < few[1].accuracy
    many = expected([small, large], 12, 10_000)
    assert many[0].accuracy > many[1].accuracy
    cut = expected([started("whole", 0.8), replace(started("cut", 0.8), cut=True)], 12, 60)
    assert cut[0].accuracy > cut[1].accuracy


def test_what_was_not_fine_tuned_is_expected_to_gain_as_much_as_what_was() -> None:
    tuned, not_yet = started("a", 0.70, 0.80), started("b", 0.60)
    assert expected([tuned, not_yet], 500, 10_000)[1].accuracy == pytest.approx(0.70, abs=0.002)
    same = expected([tuned, not_yet, started("b", 0.60, precision="int8")], 500, 10_000)
    assert 0 < same[1].accuracy - same[2].accuracy < 0.01  # int8 is taken to lose a little


def test_a_shortlist_has_one_of_each_network_the_most_promising_first() -> None:
    candidates = [
        started("a", 0.9),
        started("a", 0.9, precision="int8", ms=0.3),
        started("b", 0.8),
        started("c", 0.95, ms=9.0),
        started("d", 0.7),
    ]
    found = shortlist(candidates, Budget(max_latency_ms=2), 2)
    assert [network_of(one)[0] for one in found] == ["a", "b"]
    assert found[0].precision == "int8"  # as accurate, and quicker
    assert [one.weights for one in shortlist(candidates, Budget(max_latency_ms=2), 9)] == ["a", "b", "d"]
    assert shortlist(candidates, Budget(max_latency_ms=0.1), 2) == []


def test_the_quickest_that_reaches_the_accuracy_comes_first_and_else_the_most_accurate() -> None:
    candidates = [started("slow", 0.95, ms=3.0), started("quick", 0.9, ms=1.0), started("poor", 0.5, ms=0.5)]
    goal = shortlist(candidates, Budget(min_accuracy=0.85), 3)
    assert [one.weights for one in goal] == ["quick", "slow", "poor"]
    beyond = shortlist(candidates, Budget(min_accuracy=0.99), 1)
    assert beyond[0].weights == "slow"


def test_names_of_networks_say_weights_size_and_precision() -> None:
    one = started("keras:0.5-160", 0.9, precision="int8")
    assert str(one) == "keras:0.5-160 at 96 px, int8"
    assert replace(one, cut=True, width_multiplier=0.25).label == "keras:0.5-160 cut to α 0.25, 96 px"
    assert [one.stage, replace(one, tuned_top1=0.9).stage, replace(one, head_top1=None).stage] == [
        *("head", "tuned", "size")
    ]
