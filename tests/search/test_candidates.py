"""What sizes cost before they have an accuracy, and how a choice is explained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.search.test_profile import quadratic_profile

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget, affordable
from mobilenets.search.candidates import Candidate, find_candidate, predicted_candidates
from mobilenets.search.frontier import explain

NETWORKS = [mobilenet_v1(width_multiplier=width, resolution=side) for width in (0.25, 0.5) for side in (128, 160)]


def predicted() -> tuple[Candidate, ...]:
    return predicted_candidates(NETWORKS, quadratic_profile(), precisions=("float32", "int8"), threads=1)


def test_every_size_has_its_cost_in_every_precision() -> None:
    found = predicted()
    assert len(found) == 8
    one = find_candidate(found, 0.5, 160, "int8")
    assert one.macs == 76_524_800
    assert one.latency_ms == pytest.approx(1e-4 * 80**2 / 3)
    assert one.accuracy == 0
    assert one.file_bytes < find_candidate(found, 0.5, 160, "float32").file_bytes / 3


def test_what_is_within_a_budget_does_not_depend_on_the_accuracy_to_reach() -> None:
    within = affordable(predicted(), Budget(max_latency_ms=0.12, min_accuracy=0.99))
    # 1e-4 · (α · side)² ms, and a third of that in int8
    assert {(one.width_multiplier, one.resolution, one.precision) for one in within} == {
        (0.25, 128, "float32"),
        (0.25, 128, "int8"),
        (0.25, 160, "int8"),
    }
    with pytest.raises(PlanningError, match=r"nothing meets the budget; the nearest is α 0\.25 at 128 px, int8"):
        affordable(predicted(), Budget(max_latency_ms=0.01))


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
        "of 1 networks with at most 2 ms it is the most accurate on the validation images"
    )
    assert explain([one], Budget(min_accuracy=0.9), one) == "of 1 networks it is the quickest that reaches 90.0 %"
    assert explain([one], Budget(max_macs=2_000_000, min_accuracy=0.9), one) == (
        "of 1 networks with at most 2 M Mult-Adds it is the quickest that reaches 90.0 %"
    )
