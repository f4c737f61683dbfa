"""Plans over the published networks of every family, on a machine whose latencies are known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.profiles import published_profile, quadratic_profile
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import PlanningError
from mobilenets.formats.known_weights import known_weights
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import CostKind, PublishedCandidate, published_networks
from mobilenets.search.plan import PlanResult, plan, weights_within
from mobilenets.search.profile import DeviceProfile


@pytest.fixture(scope="module")
def device() -> DeviceProfile:
    return published_profile()


def published(result: PlanResult) -> list[PublishedCandidate]:
    return [one for one in result.candidates if isinstance(one, PublishedCandidate)]


def test_every_published_network_is_a_candidate_in_both_precisions(device: DeviceProfile) -> None:
    found = published(plan(device=device))
    sizes = {(one.architecture, one.width_multiplier, one.resolution) for one in found}
    assert sizes == {(one.name, one.width_multiplier, one.resolution) for one in published_networks()}
    assert len(found) == 2 * len(sizes)
    assert {one.architecture.split("_")[1] for one in found} == {"v1", "v2", "v3", "v4"}


def test_a_network_has_the_accuracy_of_its_best_weights(device: DeviceProfile) -> None:
    found = {
        (one.architecture, one.resolution, one.precision): one
        for one in published(plan(device=device))
        if one.width_multiplier == 1
    }
    best = found["mobilenet_v4_conv_small", 224, "float32"]
    assert best.weights == "timm:mobilenetv4_conv_small.e2400_r224"
    assert best.accuracy == pytest.approx(0.73756)
    in_int8 = found["mobilenet_v4_conv_small", 224, "int8"]
    assert in_int8.float32_accuracy
    assert in_int8.accuracy == best.accuracy
    printed = found["mobilenet_v1", 192, "int8"]
    assert (printed.weights, printed.float32_accuracy) == ("keras:1.0-192", False)
    assert printed.accuracy == pytest.approx(0.69)
    for one in found.values():
        assert known_weights(one.weights), "the name is taken by every command"


def test_a_budget_is_spent_over_all_families(device: DeviceProfile) -> None:
    chosen = plan(Budget(max_latency_ms=1), device=device).choice
    assert isinstance(chosen, PublishedCandidate)
    assert (chosen.architecture, chosen.precision) == ("mobilenet_v3_large", "int8")
    small = plan(Budget(max_latency_ms=1), family="mobilenet_v1", device=device).choice
    assert isinstance(small, PublishedCandidate)
    assert small.architecture.startswith("mobilenet_v1")
    assert small.accuracy < chosen.accuracy
    with pytest.raises(PlanningError, match="family called 'mobilenet_v5'; known are mobilenet_v1, "):
        plan(family="mobilenet_v5", device=device)


def test_the_head_of_few_classes_is_smaller(device: DeviceProfile) -> None:
    """1,000 classes of V4's 1,280 features are 1.3 MB in int8 that 5 do not need."""
    many = published(plan(device=device, family="mobilenet_v4_conv_small", precisions="int8"))
    few = published(plan(device=device, family="mobilenet_v4_conv_small", precisions="int8", classes=5))
    for one, other in zip(many, few, strict=True):
        assert one.file_bytes - other.file_bytes == pytest.approx(995 * (1280 + 8), rel=0.01)
        assert other.cost("latency_ms") < one.cost("latency_ms")
    limit = Budget(max_file_bytes=min(one.file_bytes for one in few) + 1000)
    assert plan(limit, device=device, family="mobilenet_v4_conv_small", classes=5).choice in few
    with pytest.raises(PlanningError, match="nothing meets the budget; the nearest is timm:mobilenetv4_conv_small_050"):
        plan(limit, device=device, family="mobilenet_v4_conv_small")


def test_a_profile_of_v1_alone_still_plans_and_says_how_much_it_lacks() -> None:
    result = plan(device=quadratic_profile())
    assert {one.architecture for one in published(result)} == {"mobilenet_v1"}
    assert len(result.candidates) == 32
    assert result.left_out == 2 * len(published_networks()) - 32
    assert result.to_json()["not_in_profile"] == result.left_out
    with pytest.raises(PlanningError, match="measured mobilenet_v1; mobilenet_v2 is of another architecture"):
        plan(device=quadratic_profile(), family="mobilenet_v2")


def test_what_no_machine_can_do_is_said_as_a_bound_and_not_as_a_measurement() -> None:
    with pytest.raises(PlanningError, match=r"nearest is mobilenet_v\d.* at least 0\.0\d+ ms on any processor"):
        plan(Budget(max_latency_ms=0.001))
    with pytest.raises(PlanningError, match="nothing meets the budget; the nearest is ") as raised:
        plan(Budget(max_latency_ms=100, max_file_bytes=1000))
    assert " ms" not in str(raised.value)


def test_a_model_that_is_no_supernet_is_said_before_its_images_are_looked_for() -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_model(np.random.default_rng(0), network)
    with pytest.raises(PlanningError, match=r"no supernet; mobilenets fit with weights='none' and a budget"):
        plan(supernet=model, data="nowhere")


@pytest.mark.parametrize(
    ("budget", "by"),
    [
        (Budget(max_memory_bytes=300_000), "memory_bytes"),
        (Budget(max_file_bytes=1_000_000), "file_bytes"),
        (Budget(max_macs=50_000_000), "macs"),
        (Budget(max_macs=50_000_000, max_file_bytes=1_000_000), "file_bytes"),
    ],
)
def test_limits_that_are_computed_need_no_latency(budget: Budget, by: CostKind) -> None:
    result = plan(budget)
    assert {one.latency_ms for one in result.candidates} == {None}
    assert (result.device, result.steadiness, result.compared_by) == (None, None, by)
    assert len(result.candidates) == 2 * len(published_networks())
    assert result.choice in result.frontier
    assert result.choice.accuracy == max(one.accuracy for one in result.candidates if budget.meets(one))
    assert budget.meets(result.choice)


def test_weights_within_a_budget(device: DeviceProfile) -> None:
    quick = weights_within(Budget(max_latency_ms=0.1), device=device)
    assert {one.family for one in quick} >= {"mobilenet_v1", "mobilenet_v2"}
    assert all(one.specification.network().height <= 224 for one in quick)
    limit = Budget(max_macs=60_000_000)
    light = weights_within(limit)
    assert {one.name for one in light} >= {"keras:0.25-224", "timm:mobilenetv3_small_100.lamb_in1k"}
    good = weights_within(Budget(max_macs=60_000_000, min_accuracy=0.65))
    assert good
    assert all(one.top1 >= 65 for one in good)
