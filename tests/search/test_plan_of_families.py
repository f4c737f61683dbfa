"""Plans among the published networks of V2, V3 and V4."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mobilenets.cli.plan import command
from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import published_candidates, published_sizes
from mobilenets.search.plan import plan
from mobilenets.search.profile import DeviceProfile, Point


def profile(name: str, widths: tuple[float, ...], sides: tuple[int, ...]) -> DeviceProfile:
    """A machine whose latency is 1e-6 ms · α · resolution²."""
    points = tuple(
        Point(width, side, "float32", 1, 1e-6 * width * side**2, 1e-6 * width * side**2, 1000)
        for width in widths
        for side in sides
    )
    return DeviceProfile("a linear machine", "none", name, points)


def test_every_published_size_of_v2_is_a_candidate_with_its_best_weights() -> None:
    widths, sides = published_sizes("mobilenet_v2")
    assert (widths, sides) == ((0.35, 0.5, 0.75, 1.0, 1.3, 1.4), (96, 128, 160, 192, 224))
    found = published_candidates(profile("mobilenet_v2", widths, sides), precisions=("float32", "int8"), threads=1)
    figures = {(one.width_multiplier, one.resolution): (round(one.accuracy, 4), one.macs) for one in found}
    assert len(figures) == len(found) == 22
    assert figures[1.0, 224] == (0.7291, 300_774_272)  # timm's, above Keras's and torchvision's
    assert figures[0.35, 96] == (0.455, 11_934_128)


def test_sizes_outside_of_the_profile_are_left_out() -> None:
    found = published_candidates(
        profile("mobilenet_v4_conv_small", (0.5, 1.0), (224, 256)), precisions="float32", threads=1
    )
    assert {(one.width_multiplier, one.resolution) for one in found} == {(0.5, 224), (0.5, 256), (1.0, 224), (1.0, 256)}
    with pytest.raises(PlanningError, match="covers no size of mobilenet_v2 whose accuracy is published"):
        published_candidates(profile("mobilenet_v2", (0.9,), (300,)), precisions="float32", threads=1)


def test_the_best_within_a_budget_is_chosen() -> None:
    result = plan(Budget(max_macs=100_000_000), device=profile("mobilenet_v2", *published_sizes("mobilenet_v2")))
    assert (result.choice.width_multiplier, result.choice.resolution) == (0.5, 224)


def test_this_machine_is_measured_for_the_architecture_that_is_asked_for() -> None:
    result = plan(architecture="mobilenet_v3_small", precisions="float32", threads=1)
    assert [one.width_multiplier for one in sorted(result.candidates, key=lambda one: one.macs)] == [0.5, 0.75, 1.0]


def test_what_is_not_published_is_refused() -> None:
    with pytest.raises(PlanningError, match=r"no accuracies of vgg16 are published; there are those of mobilenet_v1, "):
        plan(architecture="vgg16")
    with pytest.raises(PlanningError, match="no accuracies of mobilenet_v2 in 8 bits are published"):
        plan(architecture="mobilenet_v2", precisions="int8")
    with pytest.raises(PlanningError, match="measured mobilenet_v2; mobilenet_v1 was asked for"):
        plan(architecture="mobilenet_v1", device=profile("mobilenet_v2", (1.0,), (224,)))


def test_the_command_plans_with_the_profile_of_a_family(tmp_path: Path) -> None:
    profile("mobilenet_v2", *published_sizes("mobilenet_v2")).save(tmp_path / "device.json")
    arguments = ["--device", str(tmp_path / "device.json"), "--max-macs", "100M", "--json"]
    answer = json.loads(CliRunner().invoke(command, arguments, catch_exceptions=False).output)
    assert answer["choice"]["width_multiplier"] == 0.5
    assert len(answer["candidates"]) == 22
