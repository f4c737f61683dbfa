"""``fit`` starts from imported weights: Keras's, and an official uint8 network's once its integers are real numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import shared

from mobilenets.data.augmentation import UNDISTORTED
from mobilenets.formats.importing import import_model
from mobilenets.model.integer_weights import dequantize
from mobilenets.training.fit import fit
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.settings import Settings


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_224.h5", "mobilenet_v1_0.25_128_quant.tflite"])
def test_imported_weights_start_a_fit(colours: Path, name: str) -> None:
    start = dequantize(import_model(shared(f"weights/{name}")))
    recipe = replace(DEFAULT, batch=8, learning_rate=0.005, mixup=0.0, cutmix=0.0, augmentation=UNDISTORTED)
    result = fit(colours, None, Settings(weights=start, epochs=3, threads=1, recipe=recipe))
    assert result.model.labels == ("blue", "green", "red")
    assert np.isfinite([epoch.loss for epoch in result.history]).all()
    assert result.evaluation.primary.value > 1 / 3  # better than chance, on six images
