"""A plan never lets a layer overwrite what is still to be read, and takes no more room than it says."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.random_models import random_network

from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import Activation, DepthwiseConvolution, Padding, PointwiseConvolution, Shape
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.formats.c.arena import Buffer, activation_buffers, plan_memory, safe_distance


def test_activations_that_live_at_the_same_time_lie_apart() -> None:
    shuffler = np.random.default_rng(0)
    for _ in range(50):
        births = np.sort(shuffler.integers(0, 10, 12))
        buffers = [
            Buffer(str(i), int(shuffler.integers(1, 100)), int(born), int(born + shuffler.integers(0, 5)), alignment=4)
            for i, born in enumerate(births)
        ]
        found = plan_memory(buffers)
        for one in buffers:
            assert found.offsets[one.name] % 4 == 0
            assert found.offsets[one.name] + one.size <= found.size
            for other in buffers:
                if one is not other and one.born <= other.dies and other.born <= one.dies:
                    first, second = sorted((one, other), key=lambda buffer: found.offsets[buffer.name])
                    assert found.offsets[first.name] + first.size <= found.offsets[second.name]


def test_an_output_may_follow_its_input_at_the_safe_distance() -> None:
    found = plan_memory([Buffer("in", 100, 0, 1), Buffer("out", 60, 1, 1, distances={"in": 8})])
    assert found.size == 108
    assert found.offsets["out"] + 8 <= found.offsets["in"]


def test_distances_by_hand() -> None:
    # 8 channels become 16, pixel for pixel: the last pixel is read at 3 · 8 and its output ends at 4 · 16.
    pointwise = PointwiseConvolution("p", ("input",), out_channels=16)
    assert safe_distance(pointwise, Shape(8, 2, 2), Shape(16, 2, 2), bytes_in=1, bytes_out=1) == 40
    # 3×3 with a border of 1: the last pixel of the second row still reads from the row and column before it.
    depthwise = DepthwiseConvolution("d", ("input",), padding=Padding(1, 1, 1, 1), activation=Activation.RELU)
    assert safe_distance(depthwise, Shape(1, 4, 4), Shape(1, 4, 4), bytes_in=1, bytes_out=1) == 6


@pytest.mark.parametrize(("width", "resolution"), [(0.25, 96), (0.25, 128), (0.5, 160), (1.0, 224)])
def test_mobilenet_needs_well_below_its_peak_of_activations(width: float, resolution: int) -> None:
    network = mobilenet_v1(width_multiplier=width, resolution=resolution, classes=2)
    peak = cost(network, bytes_per_activation=1).peak_activation_bytes
    assert plan_memory(activation_buffers(network, bytes_per_value=1)).size < 0.85 * peak


@pytest.mark.parametrize("bytes_per_value", [1, 4])
def test_no_network_needs_more_than_its_peak_of_activations(bytes_per_value: int) -> None:
    for seed in range(60):
        network = random_network(np.random.default_rng(seed))
        peak = cost(network, bytes_per_activation=bytes_per_value).peak_activation_bytes
        assert plan_memory(activation_buffers(network, bytes_per_value=bytes_per_value)).size <= peak
