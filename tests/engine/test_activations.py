"""Activations that no clamp carries, and products, on maps that are made in several tiles and by several threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    Multiply,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.engine.session import Session, instruction_sets
from mobilenets.model import reference
from mobilenets.model.model import Model

SETS = [name for name, supported in instruction_sets().items() if supported]
SAME = Padding(1, 1, 1, 1)


def network(activation: Activation, *, channels: int, side: int) -> Network:
    """Every kind of layer that carries an activation, each with this one, and both forms of a product."""
    after: dict[str, Any] = {"activation": activation, "bias": True}
    layers: list[Layer] = [
        Convolution("stem", (INPUT,), stride=2, padding=SAME, out_channels=channels, **after),
        DepthwiseConvolution("depthwise", ("stem",), padding=SAME, **after),
        PointwiseConvolution("pointwise", ("depthwise",), out_channels=channels, **after),
        Convolution("grouped", ("pointwise",), padding=SAME, out_channels=channels, groups=channels // 2, **after),
        Add("sum", ("stem", "grouped"), activation=activation),
        GlobalAveragePool("squeeze", ("sum",)),
        PointwiseConvolution("factors", ("squeeze",), out_channels=channels, **after),
        Multiply("scale", ("sum", "factors"), activation=activation),
        Multiply("product", ("scale", "stem"), activation=activation),
        GlobalAveragePool("pool", ("product",)),
        Linear("hidden", ("pool",), out_features=11, **after),
        Linear("classifier", ("hidden",), out_features=7, **after),
    ]
    return Network("activations", side, side + 1, tuple(layers), ("classifier", "product"))


def assert_answers(model: Model, threads: int) -> None:
    pixels = random_pixels(np.random.default_rng(1), model.network, 2)
    outputs = Session(model, threads).outputs(pixels)
    for name, expected in reference.run_reference(model, pixels).items():
        tolerance = 0 if model.quantization is not None else 2e-5 * np.abs(expected).max()
        assert np.abs(outputs[name] - expected).max() <= tolerance, name


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize(("channels", "side", "threads"), [(2, 9, 1), (6, 41, 2), (34, 62, 3), (64, 96, 1)])
def test_the_engine_gives_the_reference_s_answers(
    activation: Activation, channels: int, side: int, threads: int, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOBILENETS_ISA", isa)
    rng = np.random.default_rng(channels)
    described = network(activation, channels=channels, side=side)
    assert_answers(random_model(rng, described), threads)
    assert_answers(random_int8_model(rng, described), threads)


def test_an_activation_of_the_last_layer_is_computed_in_real_numbers() -> None:
    described = network(Activation.HARD_SWISH, channels=8, side=9)
    model = random_int8_model(np.random.default_rng(0), described)
    assert model.quantization is not None
    assert "classifier" not in model.quantization.pre_activations
    assert_answers(model, 1)
