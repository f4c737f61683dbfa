"""What sizes cost before they have an accuracy."""

from __future__ import annotations

import pytest
from tests.support.profiles import quadratic_profile

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget, affordable
from mobilenets.search.candidates import Candidate, find_candidate, predicted_candidates

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
