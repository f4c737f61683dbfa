"""What the numbers of an int8 Model may be, and the tables of activations that are no clamps."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.architecture.layers import INPUT, Activation, Add, Linear
from mobilenets.architecture.network import Network
from mobilenets.errors import ModelError
from mobilenets.model.quantization import (
    Quantization,
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    requantization_multiplier,
    rescaling_table,
    sum_multipliers,
)

SCALE = TensorQuantization(0.5, 3)
SWISH = Network(
    "n", 2, 2, (Add("a", (INPUT, INPUT), activation=Activation.HARD_SWISH), Linear("l", ("a",), out_features=2)), ("l",)
)
SWISH_SCALES = {INPUT: SCALE, "a": SCALE}


def test_clamps_are_bytes_and_other_activations_have_none() -> None:
    assert SCALE.clamp(Activation.NONE) == (0, 255)
    assert SCALE.clamp(Activation.RELU) == (3, 255)
    assert SCALE.clamp(Activation.RELU6) == (3, 15)
    for activation in (Activation.HARD_SIGMOID, Activation.HARD_SWISH):
        with pytest.raises(ModelError, match="is not a clamp"):
            SCALE.clamp(activation)


def test_a_table_holds_the_activation_of_every_byte() -> None:
    before, after = TensorQuantization(1 / 16, 128), TensorQuantization(1 / 32, 12)
    table = activation_table(Activation.HARD_SWISH, before, after)
    assert table.dtype == np.uint8
    assert table.shape == (256,)
    real = (np.arange(256) - 128) / 16
    exact = real * np.clip(real + 3, 0, 6) / 6 * 32 + 12
    assert np.abs(table - np.clip(exact, 0, 255)).max() <= 0.5
    assert table[[0, 128, 255]].tolist() == [12, 12, 255]
    with pytest.raises(ModelError, match="needs no table"):
        activation_table(Activation.RELU6, before, after)


def test_multipliers_are_rounded_to_float32_at_every_step() -> None:
    first, second, target = np.float32(0.1), np.float32(0.3), np.float32(0.7)
    assert requantization_multiplier(0.1, [0.3, 0.6], 0.7)[0] == (first * second) / target
    assert requantization_multiplier(0.1, [0.3], None).tolist() == [first * second]
    assert average_multiplier(0.1, 49, 0.7).tolist() == [first / (target * np.float32(49))]
    assert average_multiplier(0.1, 49, None).tolist() == [first / np.float32(49)]
    assert product_multiplier(0.1, 0.3, 0.7) == (first * second) / target


def test_the_constant_of_a_sum_holds_three_zero_points() -> None:
    first, second, target = (TensorQuantization(scale, point) for scale, point in ((0.1, 3), (0.3, 200), (0.7, 11)))
    of_first, of_second, constant = sum_multipliers((first, second), target)
    assert (of_first, of_second) == (np.float32(0.1) / np.float32(0.7), np.float32(0.3) / np.float32(0.7))
    assert constant == pytest.approx(11 - (0.1 * 3 + 0.3 * 200) / 0.7, rel=1e-6)
    zeros = sum_multipliers((TensorQuantization(0.1), TensorQuantization(0.3)), TensorQuantization(0.7))
    assert [float(each) for each in zeros] == [of_first, of_second, 0]


def test_a_rescaling_table_holds_every_byte_at_another_scale() -> None:
    source, target = TensorQuantization(0.5, 10), TensorQuantization(1.0, 3)
    table = rescaling_table(source, target)
    assert table.dtype == np.uint8
    # −5, −0.5, 0, 0.5 and 1.5 steps go to the even neighbor; then the zero point is added, and bytes begin at 0
    assert table[[0, 9, 10, 11, 13, 255]].tolist() == [0, 3, 3, 3, 5, 125]
    assert rescaling_table(source, source).tolist() == list(range(256))


def test_layers_with_a_table_need_a_pre_activation() -> None:
    Quantization(SWISH_SCALES, pre_activations={"a": SCALE}).check(SWISH)
    with pytest.raises(ModelError, match="'a' is missing from the quantized pre-activations"):
        Quantization(SWISH_SCALES).check(SWISH)
    with pytest.raises(ModelError, match="'l' does not belong in the quantized pre-activations"):
        Quantization(SWISH_SCALES, pre_activations={"a": SCALE, "l": SCALE}).check(SWISH)


def test_pre_activations_are_written_only_where_there_are_any() -> None:
    without = Quantization({INPUT: SCALE})
    assert "pre_activations" not in without.encode()
    assert Quantization.decode(without.encode()) == without
    quantization = Quantization(SWISH_SCALES, pre_activations={"a": TensorQuantization(0.1, 7)})
    assert Quantization.decode(quantization.encode()) == quantization


@pytest.mark.parametrize(
    "wrong", [[], None, {"a": 1}, {"a": [1, 2, 3]}, {"a": [1.0, 256]}, {"a": [0, 0]}, {"a": ["1", 0]}, {"a": [1, True]}]
)
def test_hostile_pre_activations_are_refused(wrong: object) -> None:
    with pytest.raises(ModelError):
        Quantization.decode({"activations": {}, "weight_bits": {}, "pre_activations": wrong})


@pytest.mark.parametrize("field", ["activations", "pre_activations"])
@pytest.mark.parametrize("scale", [10**400, -(10**400), 0, 1e-30])
def test_a_scale_out_of_range_is_refused(field: str, scale: float) -> None:
    data = {"activations": {}, "weight_bits": {}, field: {INPUT: [scale, 0]}}
    with pytest.raises(ModelError, match="an activation's scale must be from 1e-12 to 1e\\+12, not ") as caught:
        Quantization.decode(data)
    assert len(str(caught.value)) < 120
