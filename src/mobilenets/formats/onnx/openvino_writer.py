"""The form of an int8 Model's graph in which OpenVINO answers with the Model's numbers.

OpenVINO multiplies each sum by the scales of the input and the weights, adds the bias in float32, and divides by the
scale of the result, zero point included: it rounds where the Model does not, and between a convolution and a sum it
does not round where the Model does. Here sums are in units of their own, and what follows them is spelled out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Activation, Add, Layer
from mobilenets.errors import FormatError
from mobilenets.formats.onnx.writer import Array, OnnxValue, OnnxWriter
from mobilenets.model.activations import activate
from mobilenets.model.quantization import TensorQuantization, activation_table, sum_multipliers
from mobilenets.model.reference import sum_multiplier


@dataclass
class OpenVINOWriter(OnnxWriter):
    """Appends the nodes of one layer after the other."""

    integer_units: bool = True

    def write(self, layer: Layer) -> None:
        """Append a layer."""
        if isinstance(layer, Add) and len(layer.inputs) == 2:
            self.values[layer.name] = self.sum_of_bytes(layer)
        else:
            super().write(layer)

    def held(self, layer: Layer, tensor: str, *, flat: bool = False) -> None:
        """Take a float32 tensor as what a layer computes before its activation, in bytes as the Model rounds them."""
        target = self.model.quantization.activations.get(layer.name) if self.model.quantization else None
        if target is None or not (self.in_units(layer) or isinstance(layer, Add)):
            super().held(layer, tensor, flat=flat)
            return
        self.values[layer.name] = OnnxValue(layer.name, self.bytes_of_openvino(layer, tensor, flat), flat, target)

    def rounded(self, layer: Layer, tensor: str, factor: Array, target: TensorQuantization) -> str:
        """Real numbers times a factor as bytes, rounded before the zero point is added, for OpenVINO.

        Its QuantizeLinear adds the zero point first, which rounds near ties otherwise, and between a convolution and
        a sum it does not round at all. Fused into the layer before, these nodes take no time.

        Args:
            layer: Whose bytes they are.
            tensor: (N, C, H, W) in float32.
            factor: float32, (C, 1, 1) or a scalar.
            target: The zero point of the bytes; its scale is in the factor.
        """
        name, zero_point = layer.name, target.zero_point
        tensor = self.node("Mul", [tensor, self.constant(f"{name}.multiplier", factor)], f"{name}/rounded/Mul")
        low, high = target.clamp(layer.activation) if layer.activation.is_clamp else (0, 255)
        return self.bytes_of_steps(name, tensor, (low - zero_point, high - zero_point), zero_point)

    def bytes_of_steps(self, name: str, tensor: str, bounds: tuple[int, int], zero_point: int) -> str:
        """Real numbers in steps of a byte, rounded, within bounds, plus a zero point."""
        tensor = self.node("Round", [tensor], f"{name}/Round")
        if bounds != (-zero_point, 255 - zero_point):
            words = zip(("low", "high"), bounds, strict=True)
            limits = [self.constant(f"{name}.{word}", np.array(bound, np.float32)) for word, bound in words]
            tensor = self.node("Clip", [tensor, *limits], f"{name}/Clip")
        scale = self.constant("/one", np.array(1, np.float32))
        point = self.constant(f"{name}.rounded_zero_point", np.array(zero_point, np.uint8))
        return self.node("QuantizeLinear", [tensor, scale, point], f"{name}/rounded/QuantizeLinear")

    def requantized(self, layer: Layer, tensor: str, target: TensorQuantization) -> str:
        """Sums in units of their own as bytes."""
        if self.model.quantization is None:
            raise FormatError(f"{layer.name} has no scale")
        source = self.model.quantization.activations[layer.inputs[0]]
        factor = sum_multiplier(self.model, layer, source, target).astype(np.float32)
        if layer.activation in (Activation.RELU, Activation.RELU6):
            tensor = self.node("Relu", [tensor], f"{layer.name}/Relu")
        else:  # Changes nothing, but keeps OpenVINO from multiplying the bias before it is added.
            tensor = self.node("LeakyRelu", [tensor], f"{layer.name}/LeakyRelu", alpha=1.0)
        return self.rounded(layer, tensor, factor.reshape(-1, 1, 1), target)

    def bytes_of_openvino(self, layer: Layer, tensor: str, flat: bool) -> str:
        """The bytes of a convolution or a sum, as OpenVINO rounds them as the Model does."""
        first, _ = self.held_as(layer)
        if isinstance(layer, Add):
            tensor = self.rounded(layer, tensor, np.array(1 / np.float32(first.scale), np.float32), first)
        else:
            tensor = self.requantized(layer, tensor, first)
        return self.tabled(layer, tensor, flat)

    def held_as(self, layer: Layer) -> tuple[TensorQuantization, TensorQuantization]:
        """How a layer of an int8 Model holds what it computes before its activation function, and its result."""
        quantization = self.model.quantization
        if quantization is None or layer.name not in quantization.activations:
            raise FormatError(f"{layer.name} has no scale")
        target = quantization.activations[layer.name]
        return quantization.pre_activations.get(layer.name, target), target

    def tabled(self, layer: Layer, tensor: str, flat: bool = False) -> str:
        """Bytes after an activation function that is no clamp, as OpenVINO gives those of the Model's table."""
        name, (before, target) = layer.name, self.held_as(layer)
        if layer.activation.is_clamp:
            return tensor
        place, low = f"{name}/pre_activation", -target.zero_point
        tensor = self.activate(layer, self.real(OnnxValue(place, tensor, flat, before), place))
        factor = self.constant(f"{name}.table_factor", _table_factor(layer.activation, before, target))
        tensor = self.node("Mul", [tensor, factor], f"{name}/table/Mul")
        return self.bytes_of_steps(f"{name}/table", tensor, (low, low + 255), target.zero_point)

    def sum_of_bytes(self, layer: Add) -> OnnxValue:
        """A sum of two maps in steps of its result, zero points and all in one constant, as the Model computes it.

        A sum of real numbers, divided by the scale afterwards, is rounded otherwise near ties.
        """
        name, (target, _) = layer.name, self.held_as(layer)
        activations = self.model.quantization.activations if self.model.quantization else {}
        sources = [activations[source] for source in layer.inputs]
        *factors, constant = sum_multipliers(sources, target)
        zero = self.constant("/zero_byte", np.array(0, np.uint8))
        terms = []
        for number, factor in enumerate(factors):
            step = self.constant(f"{name}.multiplier{number}", np.array(factor, np.float32))
            inputs = [self.values[layer.inputs[number]].tensor, step, zero]
            terms.append(self.node("DequantizeLinear", inputs, f"{name}/input{number}/DequantizeLinear"))
        tensor = self.node("Add", terms, f"{name}/Add")
        shift = self.constant(f"{name}.constant", np.array(constant, np.float32))
        tensor = self.node("Add", [tensor, shift], f"{name}/constant/Add")
        bounds = target.clamp(layer.activation) if layer.activation.is_clamp else (0, 255)
        tensor = self.tabled(layer, self.bytes_of_steps(name, tensor, bounds, 0))
        return OnnxValue(name, tensor, quantization=self.held_as(layer)[1])


def _table_factor(
    activation: Activation, before: TensorQuantization, target: TensorQuantization
) -> npt.NDArray[np.float32]:
    """What an activation function's result is multiplied by so that it rounds to the bytes of the Model's table.

    The Model divides by a scale. A product with its reciprocal rounds otherwise at ties, such as half of 255 steps, the
    hard-sigmoid of 0; of the reciprocal's neighbours, this is the one that keeps furthest from them.
    """
    steps = np.arange(256, dtype=np.float32) - np.float32(before.zero_point)
    real = activate(steps * np.float32(before.scale), activation).astype(np.float64)
    expected = activation_table(activation, before, target).astype(np.float64) - target.zero_point
    found = np.float32(0)
    ends = expected == -target.zero_point, expected == 255 - target.zero_point
    reciprocal, widest = 1 / float(np.float32(target.scale)), -np.inf
    for step in range(-16, 17):
        factor = np.float32(reciprocal * (1 + step * 2.0**-23))
        distance = real * float(factor) - expected
        inside = np.where(ends[0], np.maximum(distance, 0), np.where(ends[1], np.minimum(distance, 0), distance))
        if (margin := 0.5 - np.abs(inside).max()) > widest:
            found, widest = factor, margin
    return np.array(found, np.float32)
