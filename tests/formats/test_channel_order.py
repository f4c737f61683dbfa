"""Channels of an image in another order: what a graph takes, joins and scales, as exchanged weights."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.errors import FormatError
from mobilenets.formats.channel_order import exchanged, joined, of_image, selected
from mobilenets.formats.weights import NamedTensor

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_exchanged_weights_give_the_same_sums(order: tuple[int, ...]) -> None:
    weight, image = RNG.normal(size=(4, 3, 1, 1)), RNG.normal(size=3)
    made = exchanged(NamedTensor("w", weight), order, 3, 1, "conv").value
    np.testing.assert_allclose(made[..., 0, 0] @ image, weight[..., 0, 0] @ image[list(order)])


def test_numbers_of_reordered_channels_are_those_of_the_image() -> None:
    image, values = RNG.normal(size=3), RNG.normal(size=3)
    order = (1, 2, 0)
    scaled = image[list(order)] * values
    np.testing.assert_allclose((image * of_image(values, order, 3, "mul"))[list(order)], scaled)


def test_reversing_twice_is_the_image_as_it_is() -> None:
    backwards = selected((), 3, slice(None, None, -1), "flip")
    assert backwards == (2, 1, 0)
    assert selected(backwards, 3, slice(None, None, -1), "flip") == ()
    assert joined([(2,), (1,), (0,)], 3) == (2, 1, 0)
    assert joined([(0,), (0,), (0,)], 1) is None


@pytest.mark.parametrize("which", [3, [0, -4], [], "red", [0.5, None], slice(3, 3)])
def test_channels_that_are_none_are_refused(which: object) -> None:
    with pytest.raises(FormatError, match="flip takes channels"):
        selected((), 3, which, "flip")


def test_a_depthwise_layer_over_reversed_channels_is_refused() -> None:
    with pytest.raises(FormatError, match="each by itself in another order"):
        exchanged(NamedTensor("w", np.ones((3, 1, 3, 3))), (2, 1, 0), 3, 3, "depthwise")
