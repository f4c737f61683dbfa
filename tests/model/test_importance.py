"""Channels sorted by importance: the same function, and a better narrower network."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import ModelError
from mobilenets.model.importance import channel_groups, channel_importance, with_sorted_channels
from mobilenets.model.subnet import cut_subnet


@pytest.mark.parametrize(
    "name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small", "vgg16"]
)
def test_sorted_channels_compute_the_same_function(name: str) -> None:
    rng = np.random.default_rng(0)
    side = 224 if name == "vgg16" else 48
    model = random_model(rng, Specification(name, 0.25, side).network(classes=5))
    pixels = random_pixels(rng, model.network)
    ordered = with_sorted_channels(model)
    assert ordered.network == model.network
    assert any(not np.array_equal(ordered.parameters[one], model.parameters[one]) for one in model.parameters)
    expected = Session(model).run(pixels)
    np.testing.assert_allclose(Session(ordered).run(pixels), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_first_channels_are_the_most_important() -> None:
    model = with_sorted_channels(random_model(np.random.default_rng(1), mobilenet_v1(width_multiplier=0.25, classes=5)))
    for members in set(channel_groups(model.network).values()):
        if not members & {"input", *model.network.outputs}:
            importance = channel_importance(model, members)
            assert (np.diff(importance) <= 1e-9).all()


def test_a_narrower_network_keeps_the_channels_that_answer() -> None:
    """Half of the channels of every layer, drawn at random, say nothing: they are those that are cut."""
    rng = np.random.default_rng(2)
    model = random_model(rng, mobilenet_v1(width_multiplier=0.5, resolution=32, classes=5))
    parameters = {name: np.array(value) for name, value in model.parameters.items()}
    for members in set(channel_groups(model.network).values()):
        if members & {"input", *model.network.outputs}:
            continue
        channels = model.network.shapes[next(iter(members))].channels
        silent = rng.permutation(channels)[: channels // 2]
        for name in members:
            for tensor in ("weight", "bias"):
                if f"{name}.batch_norm.{tensor}" in parameters:
                    parameters[f"{name}.batch_norm.{tensor}"][silent] = 0
    model = model.with_parameters(parameters)
    pixels = random_pixels(rng, model.network)
    narrow = cut_subnet(with_sorted_channels(model), width_multiplier=0.25)
    expected = Session(model).run(pixels)
    np.testing.assert_allclose(Session(narrow).run(pixels), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    cut = cut_subnet(model, width_multiplier=0.25)  # its first channels are any
    assert np.abs(Session(cut).run(pixels) - expected).max() > 0.05 * np.abs(expected).max()


def test_what_has_no_order_of_channels_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="joins maps, whose channels have no order"):
        with_sorted_channels(random_model(rng, Specification("squeezenet", 1, 64).network(classes=3)))
    with pytest.raises(ModelError, match="the Model is int8"):
        with_sorted_channels(random_int8_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)))
