"""OpenVINO's files answer as the Model does, in real numbers and in units of sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.formats.openvino import run_openvino, to_openvino
from mobilenets.model import reference

pytest.importorskip("openvino")
pytest.importorskip("onnx")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("int8", "tolerance"), [(False, 1e-4), (True, 0.03)])
def test_openvino_agrees_on_random_networks(seed: int, int8: bool, tolerance: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_int8_model(rng, network) if int8 else random_model(rng, network)
    pixels = random_pixels(rng, network, 3)
    to_openvino(model, tmp_path / "model.xml")
    found = run_openvino(model, tmp_path / "model.xml", pixels)
    for name, values in reference.run_reference(model, pixels).items():
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance * np.abs(values).max())
