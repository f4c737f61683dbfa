"""Model → ONNX: float32 as it is, int8 as pairs of QuantizeLinear and DequantizeLinear.

The graph keeps everything that a Model's tensors hold, batch norms included, under the Model's own names, so that it
can be read back exactly: a node is named ``<layer>/<operator>`` and an initializer like the Model's tensor. Runtimes
fuse what can be fused themselves. In int8 every activation passes through QuantizeLinear and DequantizeLinear with the
Model's scale and zero point; that is the form which ONNX Runtime and OpenVINO turn into their integer kernels. ONNX
Runtime then answers bit for bit as the Model does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
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
from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.description import describe
from mobilenets.formats.format import PROBABILITIES, SYMMETRIC, Options, option
from mobilenets.formats.verification import output_temperature
from mobilenets.model.activations import activate
from mobilenets.model.integer_weights import symmetric_weights
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import pixel_scale_and_offset
from mobilenets.model.quantization import (
    TensorQuantization,
    activation_table,
    requantization_multiplier,
    sum_multipliers,
)
from mobilenets.model.reference import sum_multiplier

OPSET = 17
IR_VERSION = 8
"""The version of the file format that came with opset 17: the oldest runtimes that know the operators can read it."""
BATCH = "batch"

_EXACT_FLOAT32 = 1 << 24

Array = npt.NDArray[Any]


def to_onnx(model: Model, path: str | Path, *, pixel_input: bool = True, probabilities: bool = False) -> None:
    """Write a Model as an ONNX file.

    Args:
        model: float32 or int8.
        path: Where to.
        pixel_input: Whether the graph reads uint8 images (N, height, width, 3) and normalizes them itself. If not, it
            reads what the network reads, float32 (N, 3, height, width), which only a float32 Model can.
        probabilities: Whether a classifier's file gives probabilities, ``softmax(logits / temperature)``.

    Raises:
        FormatError: If an int8 Model is asked to read anything but pixels, or no classifier to give probabilities.
        MissingDependencyError: If onnx is not installed.
        OSError: If the file cannot be written.
    """
    proto = onnx_graph(model, pixel_input=pixel_input, probabilities=probabilities)
    write_atomically(Path(path), proto.SerializeToString())


def onnx_graph(
    model: Model, *, pixel_input: bool = True, integer_units: bool = False, probabilities: bool = False
) -> Any:
    """Build the ``onnx.ModelProto`` that :func:`to_onnx` writes.

    Args:
        model: float32 or int8.
        pixel_input: As in :func:`to_onnx`.
        integer_units: Whether the weighted layers of an int8 Model compute in units of their sums instead of real
            numbers: every scale before a sum is 1, and a product with one multiplier per channel and a Round follow it.
            OpenVINO otherwise rounds three times where the Model rounds once, and answers differently; ONNX Runtime has
            no integer kernels for this form.
        probabilities: As in :func:`to_onnx`.

    Returns:
        A model whose outputs are (N, C) where a map is 1×1, else (N, C, H, W).

    Raises:
        FormatError: If an int8 Model is asked to read anything but pixels.
        MissingDependencyError: If onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("onnx", "formats") from None
    if model.quantization is not None and not pixel_input:
        raise FormatError("an int8 Model reads the bytes of pixels; it has no normalized float input to offer")
    network, helper = model.network, onnx.helper
    writer = _Writer(model, onnx, integer_units and model.quantization is not None)
    writer.read_input(pixel_input)
    for layer in network.layers:
        writer.write(layer)
    writer.finish(output_temperature(model) if probabilities else None)
    shape: list[Any] = [BATCH, network.height, network.width, network.channels]
    kind = onnx.TensorProto.UINT8
    if not pixel_input:
        shape, kind = [BATCH, network.channels, network.height, network.width], onnx.TensorProto.FLOAT
    outputs = []
    for name in network.outputs:
        made = network.shapes[name]
        sizes: list[Any] = [BATCH, made.channels] if made[1:] == (1, 1) else [BATCH, *made]
        outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes))
    graph = helper.make_graph(
        writer.nodes,
        network.name,
        [helper.make_tensor_value_info(INPUT, kind, shape)],
        outputs,
        initializer=list(writer.initializers.values()),
    )
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mobilenets",
    )
    helper.set_model_props(proto, describe(model))
    return proto


@dataclass
class _Value:
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
class _Writer:
    """Appends the nodes of one layer after the other."""

    model: Model
    onnx: Any
    integer_units: bool = False
    nodes: list[Any] = field(default_factory=list)
    initializers: dict[str, Any] = field(default_factory=dict)
    values: dict[str, _Value] = field(default_factory=dict)

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
            self.values[INPUT] = _Value(INPUT, INPUT)
            return
        if self.model.quantization is not None:
            # OpenVINO computes the first convolution in integers only if DequantizeLinear stands before the Transpose.
            held = self.model.quantization.activations[INPUT]
            self.values[INPUT] = _Value(INPUT, INPUT, quantization=held, pixels=True)
            return
        # Transposing bytes is four times cheaper than transposing floats.
        planes = self.node("Transpose", [INPUT], f"{INPUT}/Transpose", perm=[0, 3, 1, 2])
        scale, offset = pixel_scale_and_offset(self.model.preprocessing, self.model.network.channels)
        scale, offset = scale.reshape(1, -1, 1, 1), offset.reshape(1, -1, 1, 1)
        real = self.node("Cast", [planes], f"{INPUT}/Cast", to=self.onnx.TensorProto.FLOAT)
        scaled = self.node("Mul", [real, self.constant(f"{INPUT}.scale", scale)], f"{INPUT}/Mul")
        shifted = self.node("Add", [scaled, self.constant(f"{INPUT}.offset", offset)], f"{INPUT}/Add")
        self.values[INPUT] = _Value(INPUT, shifted)

    def finish(self, temperature: float | None) -> None:
        """Give each output its name and shape, as float32.

        Args:
            temperature: What the first output is divided by before a softmax; None for no softmax.
        """
        network = self.model.network
        for name in network.outputs:
            value = self.values[name]
            tensor = self.real(value, f"{name}/output")
            if network.shapes[name][1:] == (1, 1) and not value.flat:
                tensor = self.node("Flatten", [tensor], f"{name}/output/Flatten")
            if temperature is not None and name == network.outputs[0]:
                divisor = self.constant("/temperature", np.array(temperature, np.float32))
                tensor = self.node("Div", [tensor, divisor], f"{name}/output/Div")
                tensor = self.node("Softmax", [tensor], f"{name}/output/Softmax", axis=1)
            self.rename(tensor, name)

    def rename(self, old: str, new: str) -> None:
        """Call a tensor otherwise."""
        for node in self.nodes:
            node.output[:] = [new if name == old else name for name in node.output]
            node.input[:] = [new if name == old else name for name in node.input]

    # Between integers and reals

    def real(self, value: _Value, name: str, *, unit: bool = False) -> str:
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

    def held(self, layer: Layer, tensor: str, *, flat: bool = False) -> None:
        """Take a float32 tensor as what a layer computes before its activation; in bytes where the Model holds it so.

        An activation that is no clamp reads bytes of its own, as the Model's table does.
        """
        name, quantization = layer.name, self.model.quantization
        target = quantization.activations.get(name) if quantization else None
        before = quantization.pre_activations.get(name) if quantization else None
        if self.integer_units and target is not None and (self.in_units(layer) or isinstance(layer, Add)):
            self.values[name] = _Value(name, self.bytes_of_openvino(layer, tensor, flat), flat, target)
            return
        if before is not None:
            place = f"{name}/pre_activation"
            tensor = self.quantized(place, tensor, before)
            tensor = self.real(_Value(place, tensor, flat, before), place)
        tensor = self.activate(layer, tensor)
        if target is not None:
            tensor = self.quantized(name, tensor, target)
            if not self.integer_units and layer.activation.is_clamp and target.clamp(layer.activation) != (0, 255):
                low, high = (np.array(bound, np.uint8) for bound in target.clamp(layer.activation))
                bounds = [self.constant(f"{name}.low", low), self.constant(f"{name}.high", high)]
                tensor = self.node("Clip", [tensor, *bounds], f"{name}/Clip")
        self.values[name] = _Value(name, tensor, flat, target)

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
        tensor = self.activate(layer, self.real(_Value(place, tensor, flat, before), place))
        factor = self.constant(f"{name}.table_factor", _table_factor(layer.activation, before, target))
        tensor = self.node("Mul", [tensor, factor], f"{name}/table/Mul")
        return self.bytes_of_steps(f"{name}/table", tensor, (low, low + 255), target.zero_point)

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
        return self.real(_Value(value.source, tensor, flat, value.quantization), place, unit=self.in_units(layer))

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
            case Add() if self.integer_units and len(layer.inputs) == 2:
                self.values[name] = self.sum_of_bytes(layer)
                return
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

    def sum_of_bytes(self, layer: Add) -> _Value:
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
        return _Value(name, tensor, quantization=self.held_as(layer)[1])

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
        real = self.real(_Value(value.source, rows, True, value.quantization), f"{name}/input0")
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


def _window(layer: Convolution | DepthwiseConvolution | MaxPool) -> dict[str, list[int]]:
    top, bottom, left, right = layer.padding
    return {
        "kernel_shape": [layer.kernel, layer.kernel],
        "strides": [layer.stride, layer.stride],
        "pads": [top, left, bottom, right],
    }


@dataclass(frozen=True)
class OnnxOptions(Options):
    """Options of :func:`write_onnx`."""

    normalized_input: bool = option(False, "Read normalized floats instead of pixels")
    symmetric_weights: bool = option(False, SYMMETRIC)
    probabilities: bool = option(False, PROBABILITIES)


def write_onnx(model: Model, path: Path, options: OnnxOptions) -> None:
    """:func:`to_onnx`, as the registry of formats calls it."""
    if options.symmetric_weights:
        model = symmetric_weights(model)
    to_onnx(model, path, pixel_input=not options.normalized_input, probabilities=options.probabilities)
