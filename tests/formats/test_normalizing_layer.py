"""A first layer that makes a file's normalized bytes of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.formats.normalizing_layer import NAME, PIXELS, normalizing_parameters
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import TensorQuantization, requantization_multiplier

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize("preprocessing", [IMAGENET, Preprocessing()], ids=["imagenet", "-1..1"])
@pytest.mark.parametrize(("scale", "zero_point"), [(0.01866, 114), (0.0141, 120), (0.0079, 128), (0.021, 7)])
def test_every_pixel_becomes_its_normalized_byte(preprocessing: Preprocessing, scale: float, zero_point: int) -> None:
    target = TensorQuantization(scale, zero_point)
    parameters = normalizing_parameters(preprocessing, target, 3)
    pixels = np.arange(256, dtype=np.uint8)
    image = np.stack([pixels] * 3, axis=-1)[None, None]
    real = preprocessing.normalize(image)[0, 0]
    wanted = np.clip(np.rint(real / np.float32(target.scale)) + zero_point, 0, 255)
    weight, bias = (parameters[f"{NAME}.{kind}"].reshape(-1).astype(np.int32) for kind in ("weight", "bias"))
    multiplier = requantization_multiplier(PIXELS.scale, parameters[f"{NAME}.weight_scale"], target.scale)
    sums = (pixels[:, None].astype(np.int32) * weight + bias).astype(np.float32)
    np.testing.assert_array_equal(np.clip(np.rint(sums * multiplier) + zero_point, 0, 255), wanted)
