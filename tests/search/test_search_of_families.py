"""A search among the subnets of V2, V3 and V4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mobilenets.architecture.catalog import CATALOG, Specification
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import TrainingError
from mobilenets.model.file import load
from mobilenets.model.subnet import extract_subnet
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import search_widths, widths_of_subnets
from mobilenets.search.profile import EIGHTHS, DeviceProfile, Point
from mobilenets.search.search import search
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.settings import Settings


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("mobilenet_v1", set()),
        ("mobilenet_v1_h", set()),
        ("mobilenet_v2", {0.25}),
        ("mobilenet_v3_small", {0.25, 0.5}),
        ("mobilenet_v3_large", {0.25, 0.375, 0.5}),
        ("mobilenet_v4_conv_small", set()),
        ("mobilenet_v4_conv_medium", set()),
    ],
)
def test_widths_at_which_there_are_other_shortcuts_are_not_searched(name: str, left_out: set[float]) -> None:
    widths = widths_of_subnets(Specification(name), search_widths(1.0))
    assert set(search_widths(1.0)) - set(widths) == left_out


def test_a_network_without_subnets_is_refused_at_once(tmp_path: Path) -> None:
    settings = Settings(architecture="squeezenet")
    with pytest.raises(TrainingError, match="squeezenet has none: its narrower networks are not the first channels"):
        search(tmp_path / "nothing", None, budget=Budget(max_latency_ms=1), settings=settings)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v4_conv_small"])
def test_a_budget_is_met_by_a_subnet(images: Path, tmp_path: Path, name: str) -> None:
    points = tuple(
        Point(width, side, "float32", 1, width * side, width * side, 3, name) for width in EIGHTHS for side in (32, 40)
    )
    settings = Settings(
        architecture=name,
        width=0.5,
        resolution=40,
        epochs=1,
        threads=1,
        recipe=replace(DEFAULT, batch=16),
        weights=None,
    )
    result = search(
        images,
        tmp_path,
        budget=Budget(max_latency_ms=17),
        settings=settings,
        precisions="float32",
        device=DeviceProfile("a linear machine", "none", points),
    )
    choice = result.search.choice
    assert choice.cost("latency_ms") <= 17
    network = result.model.network
    assert network == CATALOG[name](
        width_multiplier=choice.width_multiplier, resolution=choice.resolution, classes=len(result.model.labels)
    )
    supernet = load(tmp_path / "supernet.safetensors")
    found = {(one.width_multiplier, one.resolution): one.accuracy for one in result.search.candidates}
    assert len(found) > 1
    for place, accuracy in found.items():
        assert evaluate(Classifier(extract_subnet(supernet, *place)), result.dataset.validation).top1 == accuracy
