"""Published networks at the sizes that a budget may take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.catalog import Specification
from mobilenets.engine.session import Session
from mobilenets.errors import PlanningError
from mobilenets.model.folding import fold
from mobilenets.search.budget import Budget
from mobilenets.search.contenders import (
    Contender,
    Pretrained,
    contenders_of,
    sensible_sides,
    too_large,
    with_prices,
    worth_trying,
)
from mobilenets.search.from_weights import priced
from mobilenets.search.profile import DeviceProfile, Point


def weights(name: str = "mobilenet_v1", width: float = 0.5, side: int = 64) -> Pretrained:
    model = random_model(np.random.default_rng(0), Specification(name, width, side).network(classes=7))
    return Pretrained(f"{name}-{width:g}", model)


def with_macs(contenders: list[Contender]) -> list[Contender]:
    return [with_prices(one, None, ("float32", "int8"), 1) for one in contenders]


def test_sides_follow_from_what_the_images_hold() -> None:
    assert max(sensible_sides(40)) == 64
    assert max(sensible_sides(128)) == 160
    assert max(sensible_sides(4000)) == 224
    assert sensible_sides(300, largest=50) == (50, 48, 32)  # what somebody has said is one of them
    assert min(sensible_sides(20)) == 32


def test_a_contender_is_the_network_of_the_weights_at_another_size() -> None:
    source = weights()
    found = contenders_of(source, (96, 48), classes=3)
    assert [(one.network.width_multiplier, one.network.height) for one in found] == [(0.5, 96), (0.5, 48)]
    assert {one.network.shapes[one.network.outputs[0]].channels for one in found} == {3}
    model = found[1].model()
    assert (model.network.height, model.labels) == (48, source.model.labels)  # with its own classes still
    np.testing.assert_array_equal(model.parameters["stem.weight"], source.model.parameters["stem.weight"])


def test_a_cut_contender_has_the_most_important_channels() -> None:
    source = weights()
    found = contenders_of(source, (64,), classes=3, cut=True)
    assert [one.network.width_multiplier for one in found] == [0.375, 0.25, 0.1875, 0.125]
    assert all(one.cut for one in found)
    half = found[1].model()
    whole = np.abs(source.model.parameters["classifier.weight"]).sum(axis=0)
    kept = np.abs(half.parameters["classifier.weight"]).sum(axis=0)
    assert kept.mean() > whole.mean()
    assert Session(half).run(random_pixels(np.random.default_rng(0), half.network)).shape == (2, 7)
    assert contenders_of(source, (64,), classes=3, cut=True, widest=0.2)[0].network.width_multiplier == 0.1875


def test_what_has_no_statistics_or_no_order_of_channels_is_not_cut() -> None:
    model = fold(weights().model)
    assert contenders_of(Pretrained("folded", model), (64,), classes=3, cut=True) == []
    assert contenders_of(weights("squeezenet", 1, 64), (64,), classes=3, cut=True) == []


def test_the_largest_sizes_within_the_budget_are_tried_and_none_close_to_them() -> None:
    contenders = with_macs(contenders_of(weights(), sensible_sides(128), classes=3))
    sides = {one.network.height: one.candidates[0].macs for one in contenders}
    tried = worth_trying(contenders, Budget(max_macs=sides[112]))
    assert [one.network.height for one in tried] == [112, 80]
    everything = worth_trying(contenders, Budget(min_accuracy=0.9))
    assert len(everything) == len(contenders)  # the quickest may be any
    assert too_large(contenders, Budget(max_macs=sides[112])) == {contenders[0].weights}
    assert too_large(contenders, Budget(max_macs=sides[160])) == set()


def machine(contenders: list[Contender]) -> DeviceProfile:
    """One that takes a millisecond for a million Mult-Adds, and a third of it in int8."""
    points = []
    for one in contenders:
        for candidate in one.candidates:
            spent = candidate.macs / 1e6 / (3 if candidate.precision == "int8" else 1)
            size = candidate.width_multiplier, candidate.resolution
            points.append(Point(*size, candidate.precision, 1, spent, spent, 3, one.network.name))
    return DeviceProfile("a machine of the tests", "none", tuple(points))


def prices(budget: Budget, measure: Callable[..., DeviceProfile | None], *, widest: float | None = None) -> list[str]:
    found = priced(
        [weights(), weights("mobilenet_v2", 1.0)],
        (64, 48),
        budget,
        classes=3,
        widest=widest,
        precisions=("float32", "int8"),
        threads=1,
        measure=measure,
    )
    return [one.name for one in found.contenders]


def test_a_network_is_cut_only_where_it_is_too_large_itself() -> None:
    assert prices(Budget(max_macs=10**9), lambda _: None) == [
        *("mobilenet_v1-0.5-0.5-64", "mobilenet_v1-0.5-0.5-48", "mobilenet_v2-1-1-64", "mobilenet_v2-1-1-48")
    ]
    small = prices(Budget(max_macs=13_000_000), lambda _: None)
    assert "mobilenet_v1-0.5-0.5-64" in small
    assert "mobilenet_v2-1-1-64" not in small
    assert "mobilenet_v2-1-0.5-64" in small
    assert "mobilenet_v1-0.5-0.25-64" not in small
    narrow = prices(Budget(max_macs=10**9), lambda _: None, widest=0.3)
    assert narrow
    assert all(float(name.split("-")[2]) <= 0.3 for name in narrow)


def test_latencies_are_those_of_the_device_and_what_it_does_not_cover_is_left_out() -> None:
    one = with_macs(contenders_of(weights(), (64, 48), classes=3))
    profile = machine(one)
    found = prices(Budget(max_latency_ms=3.0), lambda _: profile)
    assert found == ["mobilenet_v1-0.5-0.5-48"]  # in int8 only
    with pytest.raises(
        PlanningError, match=r"nothing meets the budget; the nearest is mobilenet_v1-0\.5 at 48 px, int8"
    ):
        prices(Budget(max_latency_ms=0.001), lambda _: profile)
    int8 = DeviceProfile("a machine of int8", "none", tuple(one for one in profile.points if one.precision == "int8"))
    with pytest.raises(PlanningError, match=r"a machine of int8 has no float32 with 1 thread\(s\), only int8"):
        prices(Budget(max_latency_ms=3.0), lambda _: int8)
