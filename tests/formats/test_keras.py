"""Keras files become Models that answer as Keras answered."""

from __future__ import annotations

import numpy as np
from tests.conftest import shared

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.formats.keras import from_keras
from mobilenets.model import reference


def test_published_quarter_width_network_gives_keras_logits() -> None:
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    golden = np.load(shared("weights/golden.npz"))
    expected = golden["keras_0.25_224_logits"]
    (logits,) = reference.run_reference(model, golden["pixels_224"][:4]).values()
    largest = np.abs(expected).max(axis=1, keepdims=True)
    assert np.abs((logits - expected[:4]) / largest[:4]).max() < 1e-4


def test_published_file_says_everything_about_its_network() -> None:
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    assert model.network == mobilenet_v1(width_multiplier=0.25, resolution=224, activation=Activation.RELU6)
    assert model.preprocessing.mean == model.preprocessing.std == (0.5, 0.5, 0.5)
    assert len(model.labels) == 1000
