"""The reference operators, against loops that spell the definition out and against figures worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import ModelError
from mobilenets.model import reference
from mobilenets.model.activations import activate
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.tasks.classification import Classification, numbered_labels

Array = npt.NDArray[Any]
AS_IT_IS = Preprocessing(mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))


def loops(values: Array, weight: Array, layer: Convolution | DepthwiseConvolution) -> Array:
    """A grouped convolution, one multiplication at a time."""
    groups = values.shape[1] if isinstance(layer, DepthwiseConvolution) else layer.groups
    top, bottom, left, right = layer.padding
    count, channels, height, width = values.shape
    rows = (height + top + bottom - layer.kernel) // layer.stride + 1
    columns = (width + left + right - layer.kernel) // layer.stride + 1
    result = np.zeros((count, len(weight), rows, columns))
    share_in, share_out = channels // groups, len(weight) // groups
    for index in np.ndindex(*result.shape):
        image, out, row, column = index
        for inner, y, x in np.ndindex(*weight.shape[1:]):
            source_y, source_x = row * layer.stride + y - top, column * layer.stride + x - left
            if 0 <= source_y < height and 0 <= source_x < width:
                pixel = values[image, out // share_out * share_in + inner, source_y, source_x]
                result[index] += pixel * weight[out, inner, y, x]
    return result


@pytest.mark.parametrize(
    "layer",
    [
        Convolution("c", (INPUT,), kernel=3, stride=2, padding=Padding(0, 1, 0, 1), out_channels=5),
        Convolution("c", (INPUT,), kernel=3, stride=1, padding=Padding(1, 1, 1, 1), out_channels=4, groups=2),
        Convolution("c", (INPUT,), kernel=5, stride=3, padding=Padding(2, 1, 0, 4), out_channels=1),
        Convolution("c", (INPUT,), kernel=1, stride=2, out_channels=3),
        DepthwiseConvolution("c", (INPUT,), kernel=3, stride=1, padding=Padding(1, 1, 1, 1)),
        DepthwiseConvolution("c", (INPUT,), kernel=3, stride=2, padding=Padding(1, 0, 0, 2)),
    ],
)
def test_convolutions_equal_loops(layer: Convolution | DepthwiseConvolution) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2, 4, 7, 6))
    network = Network("n", 7, 6, (layer,), ("c",), channels=4)
    weight = rng.standard_normal(layer.weight_shape(network.input_shapes(layer)))
    result = reference.weighted_sum(layer, values, weight, 0)
    np.testing.assert_allclose(result, loops(values, weight, layer), rtol=1e-12, atol=1e-12)
    assert result.shape[1:] == network.shapes["c"]


def one_layer(layer: Layer, tensors: dict[str, Any], size: tuple[int, int] = (2, 2)) -> Model:
    network = Network("n", *size, (layer,), (layer.name,))
    if network.shapes[layer.name][1:] != (1, 1):  # a classifier gives no map first
        layers = (layer, GlobalAveragePool("average", (layer.name,)))
        network = replace(network, layers=layers, outputs=("average", layer.name))
    parameters = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
    return Model(network, parameters, Classification.numbered(network), AS_IT_IS)


PIXELS = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)  # red 0 3 6 9, green 1 4 7 10, blue 2 5 8 11


def test_normalization_is_on_the_scale_where_white_is_one() -> None:
    network = Network("n", 1, 1, (GlobalAveragePool("p", (INPUT,)),), ("p",))
    preprocessing = Preprocessing(mean=(0.5, 0.25, 0), std=(0.5, 0.25, 2))
    model = Model(network, {}, Classification(numbered_labels(3)), preprocessing)
    assert reference.run_reference(model, np.full((1, 1, 1, 3), 255, np.uint8))["p"].tolist() == [[1, 3, 0.5]]


def test_pools() -> None:
    average = one_layer(GlobalAveragePool("p", (INPUT,)), {})
    assert reference.run_reference(average, PIXELS)["p"].tolist() == [[4.5, 5.5, 6.5]]
    largest = one_layer(MaxPool("p", (INPUT,), kernel=2, stride=2), {})
    assert reference.run_reference(largest, PIXELS)["p"].tolist() == [[9, 10, 11]]


def test_padding_never_wins_a_max_pool() -> None:
    layer = MaxPool("p", (INPUT,), kernel=2, stride=1, padding=Padding(1, 0, 1, 0))
    model = one_layer(layer, {})
    negative = Model(model.network, {}, model.task, Preprocessing(mean=(1, 1, 1), std=(1, 1, 1)))
    assert reference.run_reference(negative, np.zeros((1, 2, 2, 3), np.uint8))["p"].max() == -1


def test_batch_norm_bias_and_relu6() -> None:
    layer = PointwiseConvolution(
        "p", (INPUT,), out_channels=2, activation=Activation.RELU6, batch_norm=BatchNorm(1.0), bias=True
    )
    model = one_layer(
        layer,
        {
            "p.weight": np.array([[1, 1, 1], [-1, 0, 0]]).reshape(2, 3, 1, 1),
            "p.bias": [1, 0],
            "p.batch_norm.weight": [2, 3],
            "p.batch_norm.bias": [-1, 0.5],
            "p.batch_norm.running_mean": [4, 0],
            "p.batch_norm.running_var": [3, 0],
        },
        size=(1, 2),
    )
    # first channel (3 + 1 - 4) / 2 * 2 - 1 = -1 and (12 + 1 - 4) - 1 = 8; second 0.5 and -9 + 0.5
    result = reference.run_reference(model, PIXELS[:, :1])["p"]
    assert result.tolist() == [[[[0, 6]], [[0.5, 0]]]]


def test_linear_flattens_channel_row_column() -> None:
    weight = np.zeros((1, 12))
    weight[0, 5] = 1  # the green channel's second pixel
    model = one_layer(Linear("l", (INPUT,), out_features=1), {"l.weight": weight, "l.bias": [0.5]})
    assert reference.run_reference(model, PIXELS)["l"].tolist() == [[4.5]]


def test_sums_and_concatenations() -> None:
    layers = (
        MaxPool("m", (INPUT,), kernel=1),
        Add("a", (INPUT, "m", "m"), activation=Activation.RELU6),
        Concatenate("c", ("a", INPUT)),
    )
    network = Network("n", 1, 1, layers, ("c", "a"))
    model = Model(network, {}, Classification(numbered_labels(6)), AS_IT_IS)
    outputs = reference.run_reference(model, np.array([[[[0, 1, 9]]]], np.uint8))
    assert outputs["c"].tolist() == [[0, 3, 6, 0, 1, 9]]
    assert outputs["a"].tolist() == [[0, 3, 6]]


def test_hard_sigmoid_and_hard_swish_are_the_functions_of_the_paper() -> None:
    """min(max(0, x + 3), 6) / 6 and x times that, arXiv:1905.02244, section 5.2."""
    values = np.array([-5, -3, -1.5, 0, 1, 3, 100])
    sigmoid = np.array([0, 0, 0.25, 0.5, 4 / 6, 1, 1])
    np.testing.assert_allclose(activate(values, Activation.HARD_SIGMOID), sigmoid, rtol=1e-15)
    np.testing.assert_allclose(activate(values, Activation.HARD_SWISH), values * sigmoid, rtol=1e-15)


@pytest.mark.parametrize("activation", Activation)
def test_activations_may_write_over_their_values(activation: Activation) -> None:
    values = np.linspace(-8, 8, 33, dtype=np.float32)
    expected = activate(values, activation)
    assert expected.dtype == np.float32
    assert activate(values, activation, overwrite=True) is values
    np.testing.assert_array_equal(values, expected)


def test_products_of_maps_and_of_one_value_per_channel() -> None:
    layers = (
        GlobalAveragePool("g", (INPUT,)),
        Multiply("channels", (INPUT, "g")),
        Multiply("pixels", (INPUT, "channels"), activation=Activation.RELU6),
    )
    network = Network("n", 2, 2, layers, ("g", "channels", "pixels"))
    outputs = reference.run_reference(Model(network, {}, Classification(numbered_labels(3)), AS_IT_IS), PIXELS)
    assert outputs["channels"][0, 0].tolist() == [[0, 3 * 4.5], [6 * 4.5, 9 * 4.5]]
    assert outputs["pixels"][0, 1].tolist() == [[5.5, 6], [6, 6]]


# Integers -------------------------------------------------------------------------------------------------------------


def int8_model(
    layers: tuple[Layer, ...], tensors: dict[str, Array], scales: dict[str, tuple[float, int]], outputs: tuple[str, ...]
) -> Model:
    network = Network("n", 1, 1, layers, outputs)
    activations = {name: TensorQuantization(scale, zero_point) for name, (scale, zero_point) in scales.items()}
    return Model(network, tensors, Classification.numbered(network), AS_IT_IS, Quantization(activations))


def pixel(red: int, green: int, blue: int) -> Array:
    return np.array([[[[red, green, blue]]]], np.uint8)


def pointwise(bias: list[int], zero_point: list[int] | None = None) -> dict[str, Array]:
    tensors: dict[str, Array] = {
        "p.weight": np.array([[1, 2, -3], [0, 0, 127]], np.int8).reshape(2, 3, 1, 1),
        "p.weight_scale": np.array([0.5, 0.25], np.float32),
        "p.bias": np.array(bias, np.int32),
    }
    if zero_point is not None:
        tensors["p.weight_zero_point"] = np.array(zero_point, np.int8)
    return tensors


def test_an_integer_layer_is_what_the_definition_says() -> None:
    layers = (
        PointwiseConvolution("p", (INPUT,), out_channels=2, bias=True, activation=Activation.RELU6),
        MaxPool("m", ("p",), kernel=1),
    )
    scales = {INPUT: (2.0, 10), "p": (0.5, 3), "m": (0.5, 3)}
    model = int8_model(layers, pointwise([5, -1000]), scales, ("m",))
    # acc = [1·(12−10) + 2·(9−10) − 3·(8−10) + 5, 127·(8−10) − 1000] = [11, −1254]; multipliers [2, 1]
    # → 11·2 + 3 = 25, which ReLU6 stops at 3 + 6/0.5 = 15; and 0 + 3 at the low end.
    values = reference.activations(model, pixel(12, 9, 8))
    assert values["p"].ravel().tolist() == [15, 3]
    assert reference.run_reference(model, pixel(12, 9, 8))["m"].tolist() == [[6.0, 0.0]]


def test_logits_come_out_as_float32() -> None:
    layer = PointwiseConvolution("p", (INPUT,), out_channels=2, bias=True)
    model = int8_model((layer,), pointwise([5, -1000]), {INPUT: (2.0, 10)}, ("p",))
    result = reference.run_reference(model, pixel(12, 9, 8))["p"]
    assert result.dtype == np.float32
    assert result.tolist() == [[11.0, -627.0]]


def test_weights_may_have_a_zero_point() -> None:
    layer = PointwiseConvolution("p", (INPUT,), out_channels=2, bias=True)
    model = int8_model((layer,), pointwise([0, 0], [1, -1]), {INPUT: (2.0, 0)}, ("p",))
    # weights are [0, 1, −4] and [1, 1, 128]
    assert reference.run_reference(model, pixel(1, 2, 3))["p"].tolist() == [[-10.0, 0.5 * 387]]


def test_halves_go_to_the_even_neighbour() -> None:
    layers = (Add("a", (INPUT, INPUT)),)
    model = int8_model(layers, {}, {INPUT: (1.0, 0), "a": (4.0, 0)}, ("a",))
    # 2·q/4 for q = 1, 3, 5 is 0.5, 1.5, 2.5
    assert reference.activations(model, pixel(1, 3, 5))["a"].ravel().tolist() == [0, 2, 2]


def test_a_sum_of_two_is_rounded_with_its_zero_point() -> None:
    layers = (MaxPool("m", (INPUT,), kernel=1), Add("a", (INPUT, "m"), activation=Activation.RELU))
    model = int8_model(layers, {}, {INPUT: (1.0, 2), "m": (1.0, 2), "a": (4.0, 11)}, ("a",))
    # 2·(q − 2)/4 + 11 for q = 3, 5, 255: 11.5 and 12.5 go to the even 12; 137.5 goes to 138
    assert reference.activations(model, pixel(3, 5, 255))["a"].ravel().tolist() == [12, 12, 138]
    assert reference.activations(model, pixel(1, 0, 2))["a"].ravel().tolist() == [11, 11, 11]


def test_a_sum_of_three_is_rounded_before_its_zero_point() -> None:
    layers = (Add("a", (INPUT, INPUT, INPUT)),)
    model = int8_model(layers, {}, {INPUT: (1.0, 2), "a": (2.0, 11)}, ("a",))
    # 3·(q − 2)/2 for q = 3, 5, 1: 1.5, 4.5 and −1.5 go to 2, 4 and −2
    assert reference.activations(model, pixel(3, 5, 1))["a"].ravel().tolist() == [13, 15, 9]


def test_concatenation_brings_inputs_to_one_scale() -> None:
    layers = (
        Add("a", (INPUT, INPUT)),
        Concatenate("c", (INPUT, "a")),
    )
    model = int8_model(layers, {}, {INPUT: (1.0, 0), "a": (1.0, 0), "c": (2.0, 1)}, ("c",))
    # the sum of 200 and 200 stops at 255, and 127.5 goes to the even 128
    assert reference.activations(model, pixel(2, 4, 200))["c"].ravel().tolist() == [2, 3, 101, 3, 5, 129]


def test_an_integer_average_is_rounded_once() -> None:
    network = Network("n", 2, 2, (GlobalAveragePool("g", (INPUT,)), MaxPool("m", ("g",), kernel=1)), ("m",))
    scale = TensorQuantization(1.0, 0)
    quantization = Quantization({INPUT: scale, "g": scale, "m": scale})
    model = Model(network, {}, Classification(numbered_labels(3)), AS_IT_IS, quantization)
    # means 4.5, 5.5, 6.5 go to the even neighbours
    assert reference.activations(model, PIXELS)["g"].ravel().tolist() == [4, 6, 6]


def test_an_integer_product_is_rounded_once() -> None:
    layers = (
        MaxPool("m", (INPUT,), kernel=1),
        Multiply("a", (INPUT, "m"), activation=Activation.RELU),
    )
    model = int8_model(layers, {}, {INPUT: (0.5, 4), "m": (0.5, 4), "a": (2.0, 11)}, ("a",))
    # (q − 4)² · 0.25 / 2 + 11 for q = 2, 6, 200: 11.5 goes to the even 12, and 4802 stops at 255
    assert reference.activations(model, pixel(2, 6, 200))["a"].ravel().tolist() == [12, 12, 255]
    assert reference.activations(model, pixel(4, 10, 0))["a"].ravel().tolist() == [11, 16, 13]


def test_an_activation_that_is_no_clamp_is_a_table_read_by_its_own_byte() -> None:
    layers = (
        PointwiseConvolution("p", (INPUT,), out_channels=2, bias=True, activation=Activation.HARD_SWISH),
        MaxPool("m", ("p",), kernel=1),
    )
    scales = {INPUT: TensorQuantization(2.0, 10), "p": TensorQuantization(0.25, 2), "m": TensorQuantization(0.25, 2)}
    network = Network("n", 1, 1, layers, ("m",))
    before = TensorQuantization(0.5, 100)
    quantization = Quantization(scales, pre_activations={"p": before})
    model = Model(network, pointwise([-11, -1000]), Classification(numbered_labels(2)), AS_IT_IS, quantization)
    # sums −5 and −1254 (see above), of 1 and 0.5: pre-activation bytes 100 − 10 and 0; for red 14 and 16, 100 − 6, − 2
    bytes_of = {red: reference.activations(model, pixel(red, 9, 8))["p"].ravel().tolist() for red in (12, 14, 16)}
    # hard-swish(−5) = 0, (−3) = 0, (−1) = −1/3, which is −1.33 steps below the zero point of 2
    assert bytes_of == {12: [2, 2], 14: [2, 2], 16: [1, 2]}


def test_real_outputs_take_their_activation_in_float32() -> None:
    layer = PointwiseConvolution("p", (INPUT,), out_channels=2, bias=True, activation=Activation.HARD_SIGMOID)
    model = int8_model((layer,), pointwise([-10, 254]), {INPUT: (2.0, 10)}, ("p",))
    # sums −4 + 0 = −4 and 0, times 1 and 0.5
    result = reference.run_reference(model, pixel(12, 9, 8))["p"]
    assert result.dtype == np.float32
    assert result.tolist() == [[0.0, 0.5]]


@pytest.mark.parametrize("pixels", [PIXELS[0], PIXELS[..., :2], PIXELS.astype(np.float32)])
def test_other_pixels_are_refused(pixels: Array) -> None:
    with pytest.raises(ModelError, match="needs uint8"):
        reference.run_reference(one_layer(GlobalAveragePool("p", (INPUT,)), {}), pixels)
