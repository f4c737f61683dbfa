"""Costs against counting one by one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from tests.support.strategies import networks

from mobilenets.architecture.cost import convolution_macs, cost, depthwise_separable_macs
from mobilenets.architecture.layers import (
    INPUT,
    Add,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    MaxPool,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import ArchitectureError


def windows(size: int, before: int, after: int, kernel: int, stride: int) -> int:
    """Places that a window takes as it slides over a padded line, counted by sliding it."""
    count, place = 0, -before
    while place + kernel <= size + after:
        count, place = count + 1, place + stride
    return count


def counted_macs(network: Network, layer: Layer) -> int:
    """Multiplications of one layer, counted output by output; zeros of the padding are multiplied too."""
    (shape, *_) = network.input_shapes(layer)
    if isinstance(layer, Linear):
        return sum(shape.channels * shape.height * shape.width for _ in range(layer.out_features))
    if isinstance(layer, PointwiseConvolution):
        return sum(shape.channels for _ in range(layer.out_channels * shape.height * shape.width))
    if not isinstance(layer, Convolution | DepthwiseConvolution):
        return 0
    count = 0
    top, bottom, left, right = layer.padding
    seen = shape.channels // layer.groups if isinstance(layer, Convolution) else 1
    made = layer.out_channels if isinstance(layer, Convolution) else shape.channels
    for _ in range(windows(shape.height, top, bottom, layer.kernel, layer.strides[0])):
        for _ in range(windows(shape.width, left, right, layer.kernel, layer.strides[1])):
            for _ in range(made):
                count += seen * layer.kernel * layer.kernel
    return count


def counted_peak(network: Network, bytes_per_value: int) -> int:
    """Most bytes alive at one step, by asking of every value at every step whether anybody still needs it."""
    peak = network.shapes[INPUT].size
    for step, layer in enumerate(network.layers):
        made = [INPUT, *(earlier.name for earlier in network.layers[:step])]
        alive = [
            name
            for name in made
            if name in network.outputs
            or any(name in later.inputs for later in network.layers[step:])
            or (name == INPUT and step == 0)
        ]
        peak = max(peak, sum(network.shapes[name].size for name in [*alive, layer.name]))
    return peak * bytes_per_value


@given(networks())
def test_macs_equal_a_count(network: Network) -> None:
    total = cost(network)
    for layer, figures in zip(network.layers, total.layers, strict=True):
        assert figures.macs == counted_macs(network, layer)
    assert total.macs == sum(layer.macs for layer in total.layers)


@given(networks())
def test_maps_are_as_large_as_a_window_finds_places(network: Network) -> None:
    for layer in network.layers:
        if isinstance(layer, Convolution | DepthwiseConvolution | MaxPool):
            (shape,) = network.input_shapes(layer)
            top, bottom, left, right = layer.padding
            assert network.shapes[layer.name][1:] == (
                windows(shape.height, top, bottom, layer.kernel, layer.strides[0]),
                windows(shape.width, left, right, layer.kernel, layer.strides[1]),
            )


@given(networks())
def test_parameters_are_all_tensors_but_the_running_statistics(network: Network) -> None:
    trained = {name: shape for name, shape in network.parameter_shapes().items() if ".running_" not in name}
    assert cost(network).parameters == sum(math.prod(shape) for shape in trained.values())


@given(networks())
def test_weight_bytes_are_those_of_the_folded_network(network: Network) -> None:
    for layer, figures in zip(network.layers, cost(network, bytes_per_weight=0.5).layers, strict=True):
        weights = math.prod(layer.weight_shape(network.input_shapes(layer))) if layer.has_weight else 0
        has_bias = layer.bias or layer.batch_norm is not None
        channels = layer.weight_shape(network.input_shapes(layer))[0] if has_bias else 0
        assert figures.weight_bytes == (weights + 1) // 2 + 4 * channels


@given(networks())
def test_peak_activation_memory_equals_a_count(network: Network) -> None:
    assert cost(network).peak_activation_bytes == counted_peak(network, 4)
    assert cost(network, bytes_per_activation=1).peak_activation_bytes == counted_peak(network, 1)


@given(networks())
def test_activation_bytes_are_the_outputs_sizes(network: Network) -> None:
    total = cost(network)
    assert total.activation_bytes == 4 * sum(network.shapes[layer.name].size for layer in network.layers)


@given(networks())
def test_kinds_add_up_to_the_whole(network: Network) -> None:
    total, kinds = cost(network), cost(network).by_kind()
    for figure in ("macs", "parameters", "weight_bytes", "activation_bytes"):
        assert sum(getattr(part, figure) for part in kinds.values()) == getattr(total, figure)
    assert max(part.peak_activation_bytes for part in kinds.values()) <= total.peak_activation_bytes


def test_a_chain_peaks_where_input_and_output_are_largest_together() -> None:
    # 32×112×112 in and 64×112×112 out, at block1.pointwise.
    assert cost(mobilenet_v1()).peak_activation_bytes == 4 * (32 + 64) * 112 * 112
    assert cost(mobilenet_v1(), bytes_per_activation=1).peak_activation_bytes == (32 + 64) * 112 * 112


def test_a_skip_keeps_its_activation_alive() -> None:
    layers = (
        PointwiseConvolution("a", (INPUT,), out_channels=2),
        PointwiseConvolution("b", ("a",), out_channels=5),
        PointwiseConvolution("c", ("b",), out_channels=2),
        Add("sum", ("a", "c")),
    )
    network = Network("skip", 4, 4, layers, ("sum",), channels=1)
    assert cost(network, bytes_per_activation=1).peak_activation_bytes == (2 + 5 + 2) * 16


def test_equations_of_the_paper() -> None:
    assert convolution_macs(14, 512, 512) == 462_422_016
    assert depthwise_separable_macs(14, 512, 512) == 52_283_392
    ratio = depthwise_separable_macs(14, 512, 512) / convolution_macs(14, 512, 512)
    assert ratio == pytest.approx(1 / 512 + 1 / 9)  # equation 5 over equation 2


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, -3)])
def test_sizes_that_are_not_positive_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ArchitectureError, match="sizes must be positive"):
        depthwise_separable_macs(*sizes)
