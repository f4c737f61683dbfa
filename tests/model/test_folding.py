"""Folding changes no answer, and refuses what cannot be folded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.layers import INPUT, BatchNorm, Convolution, GlobalAveragePool, Linear, MaxPool, Padding
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import CompressionError
from mobilenets.model import reference
from mobilenets.model.folding import fold, fold_input
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.tasks.classification import Classification


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_folded_model_answers_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network)
    folded = fold(model)
    assert all(layer.batch_norm is None for layer in folded.network.layers)
    assert all(layer.bias for layer in folded.network.layers if layer.has_weight)
    before, after = reference.run_reference(model, pixels), reference.run_reference(folded, pixels)
    for name, expected in before.items():
        np.testing.assert_allclose(after[name], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_batch_norm_folded_by_hand() -> None:
    layer = Convolution("only", (INPUT,), kernel=1, out_channels=1, batch_norm=BatchNorm(epsilon=1e-3))
    network = Network("tiny", 1, 1, (layer,), ("only",))
    values = {"weight": 2.0, "bias": 7.0, "running_mean": 5.0, "running_var": 3.999}
    parameters = {f"only.batch_norm.{name}": np.array([value], np.float32) for name, value in values.items()}
    parameters["only.weight"] = np.array([1, 3, 4], np.float32).reshape(1, 3, 1, 1)
    folded = fold(Model(network, parameters, Classification(("0",))))
    # factor = 2 / √(3.999 + 0.001) = 1; bias = 7 − 5 · 1
    np.testing.assert_allclose(folded.parameters["only.weight"].ravel(), [1, 3, 4], rtol=1e-6)
    np.testing.assert_allclose(folded.parameters["only.bias"], [2.0], rtol=1e-6)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_pixels_normalization_goes_into_the_first_layer(batch_norm: bool) -> None:
    """Exactly, away from the border; there, zeros now stand for a whole pixel value."""
    rng = np.random.default_rng(1)
    layers = (
        Convolution(
            "stem", (INPUT,), out_channels=8, batch_norm=BatchNorm() if batch_norm else None, bias=not batch_norm
        ),
        GlobalAveragePool("pool", ("stem",)),
        Linear("classifier", ("pool",), out_features=5),
    )
    small = Network("small", 9, 9, layers, ("classifier",))
    model = random_model(rng, small, Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
    pixels = random_pixels(rng, small)
    folded, held = fold_input(model)
    assert held.zero_point == round(255 * (0.485 + 0.456 + 0.406) / 3)
    before, after = (
        reference.run_reference(model, pixels)["classifier"],
        reference.run_reference(folded, pixels)["classifier"],
    )
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_a_pool_that_reads_the_image_has_no_weights_to_fold_into() -> None:
    layers = (MaxPool("pool", (INPUT,), kernel=2, stride=2), Linear("classifier", ("pool",), out_features=2))
    network = Network("pooled", 4, 4, layers, ("classifier",))
    model = random_model(np.random.default_rng(0), network)
    with pytest.raises(CompressionError, match=r"pool .max pool. reads the image and has no weights"):
        fold_input(model)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stem.weight", np.nan, "stem.weight holds 1 NaN or infinite values of 216"),
        ("stem.batch_norm.bias", np.inf, "stem.batch_norm.bias holds 1 NaN or infinite"),
        ("stem.batch_norm.running_var", -1.0, "negative variance -1.0"),
        ("stem.weight", 3e38, r"stem.weight holds 3e\+38; parameters beyond 1e\+15 overflow"),
    ],
)
def test_a_broken_model_is_refused_by_the_tensors_name(name: str, value: float, message: str) -> None:
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=5))
    tensor = model.parameters[name].copy()
    tensor.flat[0] = value
    with pytest.raises(CompressionError, match=message):
        fold(model.with_parameters({**model.parameters, name: tensor}))


def test_an_int8_model_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CompressionError, match="int8 already"):
        fold(random_int8_model(rng, random_network(rng)))


def test_padding_stays_where_it_was() -> None:
    layer = Convolution("only", (INPUT,), padding=Padding(0, 1, 2, 1), out_channels=4, bias=False)
    network = Network("padded", 8, 8, (layer, GlobalAveragePool("pool", ("only",))), ("pool",))
    folded = fold(random_model(np.random.default_rng(0), network))
    assert folded.network["only"].padding == Padding(0, 1, 2, 1)  # type: ignore[attr-defined]
    assert not folded.parameters["only.bias"].any()
