"""The one training loop on every MobileNet family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import BatchNorm
from mobilenets.engine.session import Session
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.tasks.classification import Classification
from mobilenets.training.fit import fit
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.settings import Settings

SMALL = Settings(width=0.25, resolution=32, epochs=2, threads=1, recipe=replace(DEFAULT, batch=16))


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_h",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large_minimalistic",
        "mobilenet_v4_conv_small",
    ],
)
def test_every_family_is_trained_and_its_model_is_whole(colours: Path, tmp_path: Path, name: str) -> None:
    result = fit(colours, tmp_path / "run", replace(SMALL, architecture=name))
    assert result.model.network == CATALOG[name](width_multiplier=0.25, resolution=32, classes=3)
    assert all(np.isfinite(epoch.loss) for epoch in result.history)
    model = load(tmp_path / "run" / "model.safetensors")
    pixels = random_pixels(np.random.default_rng(0), model.network)
    (expected,) = reference.run_reference(model, pixels).values()
    np.testing.assert_allclose(Session(model).run(pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"])
def test_weights_of_another_framework_are_fine_tuned_for_new_classes(colours: Path, tmp_path: Path, name: str) -> None:
    network = CATALOG[name](width_multiplier=0.25, resolution=32, classes=9, batch_norm=BatchNorm(1e-5))
    model = random_model(np.random.default_rng(0), network)
    save(replace(model, task=Classification(tuple("abcdefghi"))), tmp_path / "weights.safetensors")
    result = fit(colours, None, replace(SMALL, width=None, weights=tmp_path / "weights.safetensors"))
    assert [layer for layer in result.model.network.layers if layer.name != "classifier"] == [
        layer for layer in network.layers if layer.name != "classifier"
    ]
    assert result.model.labels == ("blue", "green", "red")
