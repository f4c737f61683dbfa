"""The pixels of a canvas become the input that Python makes of the same pixels, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tests.support.random_models import random_int8_model
from tests.support.web import run_in_node

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode

SIZES = (
    (640, 480),
    (33, 41),
    (7, 5),
    (300, 1100),
    (1400, 260),
    (1999, 1501),
    (64, 64),
    (2400, 900),
    (31, 1500),
    (1, 1),
)
"""Larger and smaller than the input, up to where images are first reduced by whole factors, in either direction."""


def test_every_way_of_preprocessing_is_pythons(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    network = mobilenet_v1(width_multiplier=0.25, resolution=48, classes=2)
    smooth = [rng.integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), np.uint8) for width, height in SIZES]
    images = [
        np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
        if number % 2
        else rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        for number, (small, size) in enumerate(zip(smooth, SIZES, strict=True))
    ]
    ways = [
        Preprocessing(fit=fit, interpolation=interpolation, channels=channels, crop_fraction=fraction, mean=(0.4,) * 3)
        for interpolation in Interpolation
        for fit in ResizeMode
        for channels in (3, 1)
        for fraction in ((0.875, 1.0) if fit is ResizeMode.CROP else (1.0,))
    ]
    models = [
        replace(
            random_int8_model(rng, replace(network, channels=way.channels, height=40 + 8 * (number % 3))),
            preprocessing=way,
        )
        for number, way in enumerate(ways)
    ]
    for run, model in zip(run_in_node(tmp_path, [(model, None, images) for model in models]), models, strict=True):
        for image, found in zip(images, run.inputs, strict=True):
            expected = model.preprocessing.apply(Image.fromarray(image), model.network.height, model.network.width)
            np.testing.assert_array_equal(found, expected, err_msg=f"{model.preprocessing} of {image.shape}")
