"""The nodes of an ONNX graph, appended one layer after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    BATCH_NORM_TENSORS,
    INPUT,
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.errors import FormatError
from mobilenets.formats.verification import Ending
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import pixel_scale_and_offset
from mobilenets.model.quantization import (
    TensorQuantization,
    requantization_multiplier,
)
from mobilenets.model.reference import sum_multiplier

OPSET = 17
"""Of the operators."""
_EXACT_FLOAT32 = 1 << 24

Array = npt.NDArray[Any]


@dataclass
class OnnxValue:
    """What stands for one activation in the graph.

    Attributes:
        source: Name of the layer that made it, or ``"input"``.
        tensor: Name of the tensor: uint8 where there is a quantization, else float32.
        flat: Whether it is (N, C) rather than (N, C, H, W).
        quantization: Scale and zero point of a uint8 tensor.
        pixels: Whether it is the graph's input in bytes, (N, H, W, C).
    """

    source: str
    tensor: str
    flat: bool = False
    quantization: TensorQuantization | None = None
    pixels: bool = False


@dataclass
class OnnxWriter:
    """Appends the nodes of one layer after the other."""

    model: Model
    onnx: Any
    integer_units: bool = False
    nodes: list[Any] = field(default_factory=list)
    initializers: dict[str, Any] = field(default_factory=dict)
    values: dict[str, OnnxValue] = field(default_factory=dict)

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Append a node that makes one tensor, both of them called ``name``."""
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, values: Array) -> str:
        """An initializer; written once, however often it is asked for."""
        if name not in self.initializers:
            # Scalars stay scalars, unlike with numpy.ascontiguousarray: ONNX Runtime adds and multiplies in integers
            # only where scales and zero points have no dimensions.
            self.initializers[name] = self.onnx.numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def parameter(self, layer: Layer, kind: str) -> str:
        """A tensor of the Model under its own name."""
        name = f"{layer.name}.{kind}"
        return self.constant(name, self.model.parameters[name])

    # Into the network, and out of it

    def read_input(self, pixel_input: bool) -> None:
        """From the graph's input to what the first layers read."""
        if not pixel_input:
            self.values[INPUT] = OnnxValue(INPUT, INPUT)
            return
        if self.model.quantization is not None:
            # OpenVINO computes the first convolution in integers only if DequantizeLinear stands before the Transpose.
            held = self.model.quantization.activations[INPUT]
            self.values[INPUT] = OnnxValue(INPUT, INPUT, quantization=held, pixels=True)
            return
        # Transposing bytes is four times cheaper than transposing floats.
        planes = self.node("Transpose", [INPUT], f"{INPUT}/Transpose", perm=[0, 3, 1, 2])
        scale, offset = pixel_scale_and_offset(self.model.preprocessing, self.model.network.channels)
        scale, offset = scale.reshape(1, -1, 1, 1), offset.reshape(1, -1, 1, 1)
        real = self.node("Cast", [planes], f"{INPUT}/Cast", to=self.onnx.TensorProto.FLOAT)
        scaled = self.node("Mul", [real, self.constant(f"{INPUT}.scale", scale)], f"{INPUT}/Mul")
        shifted = self.node("Add", [scaled, self.constant(f"{INPUT}.offset", offset)], f"{INPUT}/Add")
        self.values[INPUT] = OnnxValue(INPUT, shifted)

    def finish(self, ending: Ending | None) -> None:
        """Give each output its name and shape, as float32.

        Args:
            ending: How the first output becomes probabilities; None for logits.
        """
        network = self.model.network
        for name in network.outputs:
            value = self.values[name]
            tensor = self.real(value, f"{name}/output")
            if network.shapes[name][1:] == (1, 1) and not value.flat:
                tensor = self.node("Flatten", [tensor], f"{name}/output/Flatten")
            if ending is not None and ending.sigmoid and name == network.outputs[0]:
                tensor = self.node("Sigmoid", [tensor], f"{name}/output/Sigmoid")
            elif ending is not None and name == network.outputs[0]:
                divisor = self.constant("/temperature", np.array(ending.temperature, np.float32))
                tensor = self.node("Div", [tensor, divisor], f"{name}/output/Div")
                tensor = self.node("Softmax", [tensor], f"{name}/output/Softmax", axis=1)
            self.rename(tensor, name)

    def rename(self, old: str, new: str) -> None:
        """Call a tensor otherwise."""
        for node in self.nodes:
            node.output[:] = [new if name == old else name for name in node.output]
            node.input[:] = [new if name == old else name for name in node.input]

    # Between integers and reals

    def real(self, value: OnnxValue, name: str, *, unit: bool = False) -> str:
        """The value as a float32 tensor. Each reader gets its own DequantizeLinear, as runtimes' patterns want it.

        Args:
            value: What is read.
            name: Where it is read; the nodes are named after that.
            unit: Take 1 for its scale.
        """
        if value.quantization is None:
            return value.tensor
        scale, zero_point = self.scale(value.source, value.quantization)
        if unit:
            scale = self.constant("/one", np.array(1, np.float32))
        return self.node("DequantizeLinear", [value.tensor, scale, zero_point], f"{name}/DequantizeLinear")

    def scale(self, name: str, quantization: TensorQuantization) -> list[str]:
        """The scale and zero point of an activation, as initializers."""
        return [
            self.constant(f"{name}.scale", np.array(quantization.scale, np.float32)),
            self.constant(f"{name}.zero_point", np.array(quantization.zero_point, np.uint8)),
        ]

    def quantized(self, name: str, tensor: str, quantization: TensorQuantization) -> str:
        """A float32 tensor as bytes."""
        return self.node("QuantizeLinear", [tensor, *self.scale(name, quantization)], f"{name}/QuantizeLinear")

    def held(self, layer: Layer, tensor: str, *, flat: bool = False) -> None:
        """Take a float32 tensor as what a layer computes before its activation; in bytes where the Model holds it so.

        An activation that is no clamp reads bytes of its own, as the Model's table does.
        """
        name, quantization = layer.name, self.model.quantization
        target = quantization.activations.get(name) if quantization else None
        before = quantization.pre_activations.get(name) if quantization else None
        if before is not None:
            place = f"{name}/pre_activation"
            tensor = self.quantized(place, tensor, before)
            tensor = self.real(OnnxValue(place, tensor, flat, before), place)
        tensor = self.activate(layer, tensor)
        if target is not None:
            tensor = self.quantized(name, tensor, target)
            if not self.integer_units and layer.activation.is_clamp and target.clamp(layer.activation) != (0, 255):
                low, high = (np.array(bound, np.uint8) for bound in target.clamp(layer.activation))
                bounds = [self.constant(f"{name}.low", low), self.constant(f"{name}.high", high)]
                tensor = self.node("Clip", [tensor, *bounds], f"{name}/Clip")
        self.values[name] = OnnxValue(name, tensor, flat, target)

    def in_units(self, layer: Layer) -> bool:
        """Whether a layer's sums are in units of their own: see :func:`onnx_graph`, and :meth:`gives_sums`."""
        quantization = self.model.quantization
        if self.gives_sums(layer):
            return True
        if not self.integer_units or quantization is None or layer.name not in quantization.activations:
            return False
        return layer.has_weight and not isinstance(layer, Linear)

    def read(self, layer: Layer, number: int = 0, *, flat: bool = False) -> str:
        """One input of a layer as a float32 tensor, as a map or flat."""
        value = self.values[layer.inputs[number]]
        tensor, place = value.tensor, f"{layer.name}/input{number}"
        if value.pixels:
            tensor = self.real(value, place, unit=self.in_units(layer))
            tensor = self.node("Transpose", [tensor], f"{place}/Transpose", perm=[0, 3, 1, 2])
            return self.node("Flatten", [tensor], f"{place}/Flatten") if flat else tensor
        if flat and not value.flat:
            tensor = self.node("Flatten", [tensor], f"{place}/Flatten")
        elif value.flat and not flat:
            axes = self.constant("/map_axes", np.array([2, 3], np.int64))
            tensor = self.node("Unsqueeze", [tensor, axes], f"{place}/Unsqueeze")
        return self.real(OnnxValue(value.source, tensor, flat, value.quantization), place, unit=self.in_units(layer))

    # Layers

    def write(self, layer: Layer) -> None:
        """Append a layer."""
        name = layer.name
        match layer:
            case PointwiseConvolution() if self.is_real_vector(layer):
                tensor = self.product(layer)
            case PointwiseConvolution() if self.is_real_map(layer):
                tensor = self.product_of_pixels(layer)
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution():
                tensor = self.convolution(layer)
            case Linear():
                tensor = self.product(layer)
            case MaxPool():
                tensor = self.node("MaxPool", [self.read(layer)], f"{name}/MaxPool", **_window(layer))
            case GlobalAveragePool() if self.gives_sums(layer):
                axes = self.constant("/map_axes", np.array([2, 3], np.int64))
                tensor = self.scaled(layer, self.node("ReduceSum", [self.read(layer), axes], f"{name}/ReduceSum"))
            case GlobalAveragePool():
                tensor = self.node("GlobalAveragePool", [self.read(layer)], f"{name}/GlobalAveragePool")
            case Add():
                terms = [self.read(layer, number) for number in range(len(layer.inputs))]
                operator = "Add" if len(terms) == 2 else "Sum"
                tensor = self.node(operator, terms, f"{name}/{operator}")
            case Concatenate():
                parts = [self.read(layer, number) for number in range(len(layer.inputs))]
                tensor = self.node("Concat", parts, f"{name}/Concat", axis=1)
            case Multiply():
                tensor = self.node("Mul", [self.read(layer, 0), self.read(layer, 1)], f"{name}/Mul")
            case _:
                raise FormatError(f"{name} is of a kind that ONNX export does not know: {type(layer).__name__}")
        self.held(layer, tensor, flat=isinstance(layer, Linear) or self.is_real_vector(layer))

    def is_real_vector(self, layer: Layer) -> bool:
        """Whether a pointwise layer of an int8 Model makes real numbers of a 1×1 map.

        As a convolution ONNX Runtime would compute it in float32; as Gemm it does so in integers.
        """
        quantization, shape = self.model.quantization, self.model.network.shapes[layer.name]
        if quantization is None or layer.name in quantization.activations or shape[1:] != (1, 1):
            return False
        return isinstance(layer, PointwiseConvolution)

    def is_real_map(self, layer: Layer) -> bool:
        """Whether a pointwise layer of an int8 Model makes a map of real numbers, for ONNX Runtime: see above."""
        quantization = self.model.quantization
        is_real = quantization is not None and layer.name not in quantization.activations
        return is_real and isinstance(layer, PointwiseConvolution) and not self.integer_units

    def product_of_pixels(self, layer: PointwiseConvolution) -> str:
        """A pointwise convolution as the product of a matrix, a row a pixel, and a matrix."""
        name, value, made = layer.name, self.values[layer.inputs[0]], self.model.network.shapes[layer.name]
        rows = value.tensor
        if not value.pixels:
            rows = self.node("Transpose", [rows], f"{name}/rows/Transpose", perm=[0, 2, 3, 1])
        channels = self.model.network.input_shapes(layer)[0].channels
        shape = self.constant(f"{name}/rows/shape", np.array([-1, channels], np.int64))
        rows = self.node("Reshape", [rows, shape], f"{name}/rows/Reshape")
        real = self.real(OnnxValue(value.source, rows, True, value.quantization), f"{name}/input0")
        product = self.node("Gemm", [real, *self.weights(layer)], f"{name}/Gemm", transB=1)
        shape = self.constant(f"{name}/map/shape", np.array([-1, made.height, made.width, made.channels], np.int64))
        pixels = self.node("Reshape", [product, shape], f"{name}/map/Reshape")
        return self.node("Transpose", [pixels], f"{name}/map/Transpose", perm=[0, 3, 1, 2])

    def product(self, layer: Linear | PointwiseConvolution) -> str:
        """A product of a vector and a matrix."""
        inputs = [self.read(layer, flat=True), *self.weights(layer)]
        return self.node("Gemm", inputs, f"{layer.name}/Gemm", transB=1)

    def convolution(self, layer: Convolution | DepthwiseConvolution | PointwiseConvolution) -> str:
        """A convolution and its batch norm."""
        groups = 1
        if isinstance(layer, DepthwiseConvolution):
            groups = self.model.network.shapes[layer.name].channels
        elif isinstance(layer, Convolution):
            groups = layer.groups
        window = {"kernel_shape": [1, 1]} if isinstance(layer, PointwiseConvolution) else _window(layer)
        inputs = [self.read(layer), *self.weights(layer)]
        tensor = self.node("Conv", inputs, f"{layer.name}/Conv", group=groups, **window)
        if self.gives_sums(layer):
            return self.scaled(layer, tensor)
        if layer.batch_norm is None:
            return tensor
        return self.node(
            "BatchNormalization",
            [tensor, *(self.parameter(layer, f"batch_norm.{statistic}") for statistic in BATCH_NORM_TENSORS)],
            f"{layer.name}/BatchNormalization",
            epsilon=layer.batch_norm.epsilon,
        )

    def gives_sums(self, layer: Layer) -> bool:
        """Whether a layer gives its integer sums as float32, which :meth:`scaled` then multiplies.

        So do layers of an int8 Model whose result is real and which ONNX Runtime would compute in real numbers,
        rounding at every step. Integers below 2²⁴ are float32 without rounding.
        """
        quantization = self.model.quantization
        if quantization is None or layer.name in quantization.activations or self.integer_units:
            return False
        match layer:
            case GlobalAveragePool():
                shape = self.model.network.input_shapes(layer)[0]
                return 255 * shape.height * shape.width < _EXACT_FLOAT32
            case Convolution() | DepthwiseConvolution():
                weight = self.model.parameters[f"{layer.name}.weight"].astype(np.int64)
                weight = weight.reshape(len(weight), -1)
                zero_point = self.model.parameters.get(f"{layer.name}.weight_zero_point")
                if zero_point is not None:
                    weight = weight - zero_point.astype(np.int64)[:, None]
                bias = np.abs(self.model.parameters[f"{layer.name}.bias"].astype(np.int64))
                return bool((255 * np.abs(weight).sum(axis=1) + bias).max() < _EXACT_FLOAT32)
            case _:
                return False

    def scaled(self, layer: Layer, sums: str) -> str:
        """The sums of a layer as real numbers."""
        quantization, name, source = self.model.quantization, layer.name, layer.inputs[0]
        if quantization is None:
            raise FormatError(f"{name} has no scale")
        if isinstance(layer, GlobalAveragePool):
            multiplier = sum_multiplier(self.model, layer, quantization.activations[source], None)
            factor = self.constant(f"{name}.multiplier", multiplier.reshape(1, 1, 1))
        else:  # computed in the graph, so that the scales stay the Model's tensors
            scales = [self.parameter(layer, "weight_scale"), self.scale(source, quantization.activations[source])[0]]
            axes = self.constant("/channel_axes", np.array([1, 2], np.int64))
            factor = self.node("Mul", scales, f"{name}/multiplier/Mul")
            factor = self.node("Unsqueeze", [factor, axes], f"{name}/multiplier/Unsqueeze")
        return self.node("Mul", [sums, factor], f"{name}/scaled/Mul")

    def weights(self, layer: Convolution | DepthwiseConvolution | PointwiseConvolution | Linear) -> list[str]:
        """Weight and bias as float32 tensors; from integers through DequantizeLinear, one scale per channel."""
        if self.model.quantization is None:
            return [self.parameter(layer, kind) for kind in ("weight", "bias")[: 1 + layer.bias]]
        name, parameters = layer.name, self.model.parameters
        scale = parameters[f"{name}.weight_scale"]
        zero_point = parameters.get(f"{name}.weight_zero_point", np.zeros(len(scale), np.int8))
        if self.in_units(layer):
            weight_scale = bias_scale = self.constant(f"{name}.unit_scale", np.ones(len(scale), np.float32))
        else:
            source = self.model.quantization.activations[layer.inputs[0]]
            weight_scale = self.parameter(layer, "weight_scale")
            sums = requantization_multiplier(source.scale, scale, None)
            bias_scale = self.constant(f"{name}.bias_scale", sums)
        weight = self.parameter(layer, "weight")
        if self.is_real_vector(layer) or self.is_real_map(layer):
            weight = self.node("Flatten", [weight], f"{name}/weight/Flatten")
        weight_inputs = [
            weight,
            weight_scale,
            self.constant(f"{name}.weight_zero_point", zero_point),
        ]
        bias_inputs = [self.parameter(layer, "bias"), bias_scale]
        return [
            self.node("DequantizeLinear", weight_inputs, f"{name}/weight/DequantizeLinear", axis=0),
            self.node("DequantizeLinear", bias_inputs, f"{name}/bias/DequantizeLinear", axis=0),
        ]

    def activate(self, layer: Layer, tensor: str) -> str:
        """The activation function. Runtimes drop it again where the clamp of the following quantization does it.

        ONNX Runtime computes in integers under a Relu whose bytes begin at 0, but not under another or a Clip to six:
        there bytes are clipped instead, see :meth:`held`. OpenVINO takes a Clip, and computes in integers.
        """
        activation = layer.activation
        match activation:
            case Activation.NONE:
                return tensor
            case Activation.RELU | Activation.RELU6 if self.begins_above_zero(layer):
                return tensor
            case Activation.RELU:
                return self.node("Relu", [tensor], f"{layer.name}/Relu")
            case Activation.RELU6 if self.clips_bytes(layer):
                return self.node("Relu", [tensor], f"{layer.name}/Relu")
            case Activation.RELU6:
                zero, six = (np.array(bound, np.float32) for bound in (0, 6))
                bounds = [self.constant("/zero", zero), self.constant("/six", six)]
                return self.node("Clip", [tensor, *bounds], f"{layer.name}/Clip")
            case Activation.HARD_SIGMOID:
                return self.node("HardSigmoid", [tensor], f"{layer.name}/HardSigmoid", alpha=1 / 6, beta=0.5)
            case Activation.HARD_SWISH:
                return self.node("HardSwish", [tensor], f"{layer.name}/HardSwish")
            case _:
                assert_never(activation)

    def saturates_at_six(self, layer: Layer) -> bool:
        """Whether the bytes of a layer end at six by themselves."""
        quantization = self.model.quantization
        held = quantization.activations.get(layer.name) if quantization is not None else None
        return held is not None and held.clamp(Activation.RELU6)[1] == 255

    def clips_bytes(self, layer: Layer) -> bool:
        """Whether a ReLU6 is a Relu here, as bytes end at six or are clipped to it."""
        quantization = self.model.quantization
        is_held = quantization is not None and layer.name in quantization.activations
        return is_held and (not self.integer_units or self.saturates_at_six(layer))

    def begins_above_zero(self, layer: Layer) -> bool:
        """Whether bytes are clipped to the lowest one that a ReLU leaves, which is not 0."""
        quantization = self.model.quantization
        held = quantization.activations.get(layer.name) if quantization is not None else None
        return held is not None and held.zero_point > 0 and not self.integer_units


def _window(layer: Convolution | DepthwiseConvolution | MaxPool) -> dict[str, list[int]]:
    top, bottom, left, right = layer.padding
    return {
        "kernel_shape": [layer.kernel, layer.kernel],
        "strides": list(layer.strides),
        "pads": [top, left, bottom, right],
    }
