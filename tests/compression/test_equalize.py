"""Equalization changes the use of bytes, not the answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.random_models import is_alive, random_model, random_network, random_pixels

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.equalize import LARGEST_GAIN, absorb, equalize, links
from mobilenets.compression.observation import observe
from mobilenets.model import reference
from mobilenets.model.folding import fold, with_biases
from mobilenets.model.model import Model


def answers_stay(before: Model, after: Model, pixels: np.ndarray) -> None:
    expected, changed = reference.run_reference(before, pixels), reference.run_reference(after, pixels)
    for name, value in expected.items():
        np.testing.assert_allclose(changed[name], value, rtol=1e-4, atol=1e-5 * max(np.abs(value).max(), 1))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), folded=st.booleans())
def test_the_equalized_model_answers_the_same_on_what_was_seen(seed: int, folded: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_model(rng, network)
    model = fold(model) if folded else with_biases(model)
    pixels = random_pixels(rng, network, 3)
    assume(is_alive(model, pixels))
    seen = observe(model, [pixels])
    answers_stay(model, equalize(model, seen)[0], pixels)
    answers_stay(model, absorb(model, seen)[0], pixels)


@pytest.mark.parametrize("activation", [Activation.RELU, Activation.RELU6])
def test_every_channel_that_a_depthwise_layer_reads_uses_the_whole_range(activation: Activation) -> None:
    rng = np.random.default_rng(0)
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4, activation=activation)
    model = fold(random_model(rng, network))
    pixels = random_pixels(rng, network, 4)
    seen = observe(model, [pixels])
    equal, gains = equalize(model, seen)
    after = observe(equal, [pixels])
    for name in ("stem", "block1.pointwise", "block5.pointwise"):
        alive = (seen[name].high > 0) & (gains[name] < LARGEST_GAIN)
        np.testing.assert_allclose(after[name].high[alive], seen[name].high.max(), rtol=1e-5)


def test_a_channel_that_meets_relu6s_clip_is_left_alone_and_no_other_reaches_it() -> None:
    rng = np.random.default_rng(0)
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4, activation=Activation.RELU6)
    model = fold(random_model(rng, network))
    loud = model.parameters["stem.bias"].copy()
    loud[3] = 9.0
    model = model.with_parameters({**model.parameters, "stem.bias": loud})
    pixels = random_pixels(rng, network, 4)
    seen = observe(model, [pixels])
    assert seen["stem"].high[3] == 6
    equal, gains = equalize(model, seen)
    assert gains["stem"][3] == 1
    assert (gains["stem"] * seen["stem"].high <= 6 * (1 + 1e-6)).all()
    answers_stay(model, equal, pixels)


def test_outputs_and_sums_are_no_links() -> None:
    for seed in range(30):
        network = random_network(np.random.default_rng(seed))
        for link in links(network):
            assert link.producer.name not in network.outputs
            assert all(reader.has_weight for reader in link.readers)


def test_what_a_channel_never_falls_below_moves_into_the_next_bias() -> None:
    rng = np.random.default_rng(0)
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4)
    model = fold(random_model(rng, network))
    high = model.parameters["block1.depthwise.bias"].copy()
    high[2] = 50.0
    model = model.with_parameters({**model.parameters, "block1.depthwise.bias": high})
    pixels = random_pixels(rng, network, 4)
    seen = observe(model, [pixels])
    lowered, lowered_seen, channels = absorb(model, seen)
    assert channels >= 1
    after = observe(lowered, [pixels])["block1.depthwise"]
    assert after.low[2] == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(lowered_seen["block1.depthwise"].high, after.high, rtol=1e-4, atol=1e-4)
    answers_stay(model, lowered, pixels)
    # Its readers are padded, and zeros around the map would no longer mean zero.
    assert seen["stem"] is lowered_seen["stem"]
