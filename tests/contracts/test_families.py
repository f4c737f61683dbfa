"""Every MobileNet family through quantization and training: nothing of V2 to V4 is left out on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.engine.session import Session
from mobilenets.model import reference
from mobilenets.model.file import load, save

FAMILIES = [
    name
    for name in CATALOG
    if name.startswith("mobilenet_") and not name.endswith(("_full_convolution", "_large", "_large_minimalistic"))
]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("bits", [8, 4])
def test_an_int8_model_answers_with_the_references_bits(name: str, bits: int, tmp_path: Path) -> None:
    network = CATALOG[name](width_multiplier=0.25, resolution=64, classes=9)
    model = random_model(np.random.default_rng(0), network)
    pixels = random_pixels(np.random.default_rng(1), network, 6)
    quantized = quantize_with_images(model, pixels, QuantizationConfig(weight_bits=bits)).model
    save(quantized, tmp_path / "int8.safetensors")
    (expected,) = reference.run_reference(quantized, pixels[:2]).values()
    found = Session(load(tmp_path / "int8.safetensors")).run(pixels[:2])
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(found, axis=1).min() > 0
