"""From the calls of a Keras model and their variables to a network of this package.

A layer without a counterpart is refused by name. Augmentation and dropout are nothing at inference. What scales and
shifts channels (``Rescaling``, ``Normalization``, a batch norm behind a pool, ``x / 127.5 - 1``) is the preprocessing
where it applies to the image, and otherwise goes into the weights of the next layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, Linear, MaxPool, Padding
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.errors import FormatError
from mobilenets.formats.graph import NO_PADDING, Graph, Step, Value
from mobilenets.formats.keras.channels import CHANNEL_OPERATORS, keras_channels
from mobilenets.formats.keras.config import KerasCall, KerasConfiguration, KerasTensor
from mobilenets.formats.keras.file import KerasFile
from mobilenets.formats.keras.kernels import (
    LayerVariables,
    convolution_kernel,
    dense_kernel,
    depthwise_kernel,
    square,
)
from mobilenets.formats.keras.signal import ChannelAffine, Factors, Signal
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS

_UNCHANGED = {
    *("Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization"),
    *("Identity", "identity", "Cast", "cast", "CastToFloat32", "stop_gradient", "StopGradient", "InputLayer"),
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"),
    *("RandomHeight", "RandomWidth", "RandomShear", "RandomHue", "RandomSaturation", "RandomColorJitter"),
    *("RandomColorDegeneration", "RandomPosterization", "RandomSharpness", "RandomGrayscale", "RandomInvert"),
    *("RandomErasing", "RandomGaussianBlur", "RandomPerspective", "RandomElasticTransform", "RandomApply"),
    *("RandAugment", "AugMix", "CutMix", "MixUp", "Solarization"),
}
"""Layers that do nothing at inference."""
_RESHAPED = {"Flatten", "Reshape", "reshape", "Squeeze", "ExpandDims", "squeeze", "expand_dims"}
_OPERATORS = {
    **dict.fromkeys(("TrueDivide", "Divide", "math.truediv", "math.divide", "__operators__.truediv", "RealDiv"), "/"),
    **dict.fromkeys(("Subtract", "math.subtract", "__operators__.sub", "__operators__.rsub", "Sub"), "-"),
    **dict.fromkeys(("Multiply", "math.multiply", "__operators__.mul", "__operators__.rmul", "Mul"), "*"),
    **dict.fromkeys(("Add", "math.add", "__operators__.add", "__operators__.radd", "AddV2"), "+"),
}
_ACTIVATIONS: dict[str | None, Activation] = {
    **dict.fromkeys(("relu", "Relu", "nn.relu"), Activation.RELU),
    **dict.fromkeys(("relu6", "Relu6", "nn.relu6"), Activation.RELU6),
    **dict.fromkeys(("hard_swish", "hard_silu", "HardSwish", "HardSilu"), Activation.HARD_SWISH),
    **dict.fromkeys(("hard_sigmoid", "HardSigmoid"), Activation.HARD_SIGMOID),
    **dict.fromkeys(("linear", None), Activation.NONE),
}
_ENDINGS = {
    **dict.fromkeys(("softmax", "Softmax", "nn.softmax"), "softmax"),
    **dict.fromkeys(("sigmoid", "Sigmoid", "nn.sigmoid", "math.sigmoid"), "sigmoid"),
}
_SMALLEST_DEVIATION = 1e-7
"""What Keras divides by at least in a Normalization layer."""


@dataclass
class KerasNetwork:
    """Builds the network of a model, call by call.

    Args:
        file: Its variables.
        configuration: Its calls.
        size: Input (height, width).
        channels: Input channels.

    Attributes:
        graph: The network so far.
        image: What the model does to pixels from 0 to 255 before its first layer; None while no layer reads them.
    """

    file: KerasFile
    configuration: KerasConfiguration
    size: tuple[int, int]
    channels: int
    graph: Graph = field(init=False)
    image: ChannelAffine | None = None

    def __post_init__(self) -> None:
        self.graph = Graph(height=self.size[0], width=self.size[1], channels=self.channels)
        self._signals = {self.configuration.input: Signal(Value(INPUT))}
        self._count_readers()
        for call in self.configuration.calls:
            self._signals[call.output] = replace(self._read(call), maker=call.name)

    def _count_readers(self) -> None:
        """Count who reads each tensor, where layers that change nothing do not count but their readers do."""
        self._origin: dict[KerasTensor, KerasTensor] = {}
        readers: list[KerasTensor] = []
        for call in self.configuration.calls:
            origins = [self._origin.get(tensor, tensor) for tensor in call.tensors]
            if call.kind in _UNCHANGED | _RESHAPED and len(origins) == 1:
                self._origin[call.output] = origins[0]
            else:
                readers += origins
        readers += [self._origin.get(tensor, tensor) for tensor, _ in self.configuration.outputs]
        self._readers = Counter(readers)

    def _reader_count(self, call: KerasCall) -> int:
        """How many layers read what a call reads."""
        return self._readers[self._origin.get(call.tensors[0], call.tensors[0])]

    def output(self) -> Signal:
        """What leaves the model: a layer that nothing waits for.

        Raises:
            FormatError: If several tensors leave it.
        """
        outputs = self.configuration.outputs
        if len(outputs) != 1:
            names = ", ".join(repr(name) for _, name in outputs)
            raise FormatError(
                f"the Keras model has {len(outputs)} outputs ({names}); a classifier has one. Save the part that "
                f"classifies: keras.Model(model.input, model.get_layer({outputs[0][1]!r}).output)"
            )
        signal = self._signals[outputs[0][0]]
        if signal.value.layer == INPUT:
            raise FormatError("the Keras model does nothing to its image: it has no layers with weights")
        return replace(signal, value=Value(self._plain(signal, "the output")), affine=None)

    # Signals -------------------------------------------------------------------------------------------------------

    def _source(self, call: KerasCall) -> Signal:
        """The one tensor that a layer reads; nothing but reshaping follows a softmax or sigmoid."""
        tensors = call.tensors
        if len(tensors) != 1:
            raise FormatError(f"layer {call.name!r} ({call.kind}) reads {len(tensors)} tensors; one was expected")
        return self._open(self._signals[tensors[0]], call)

    def _open(self, signal: Signal, call: KerasCall) -> Signal:
        if signal.ending:
            raise FormatError(
                f"layer {call.name!r} ({call.kind}) reads the {signal.ending} of {signal.maker!r}; networks here end "
                "in a softmax or sigmoid, and have none within"
            )
        return signal

    def _plain(self, signal: Signal, node: str) -> str:
        """The layer of a signal, made anew where an affine function still waits."""
        if signal.value.layer == INPUT:
            self._note_image(signal)
        elif signal.affine is not None:
            return self._written_out(signal, node)
        return self.graph.plain(signal.value, node)

    def _note_image(self, signal: Signal) -> None:
        """Remember what is done to the image before a layer reads it."""
        affine = signal.affine or ChannelAffine.nothing(self.channels)
        if self.image is not None and not self.image.same_as(affine):
            raise FormatError("two layers read the image scaled differently, which no Model does")
        self.image = affine

    def _written_out(self, signal: Signal, node: str) -> str:
        """A layer for an affine function that no weights take in, or for an activation of its own."""
        shape = self.graph.shape(signal.value.layer)
        affine = signal.affine or ChannelAffine.nothing(shape.channels)
        kernel = affine.scale.astype(np.float32).reshape(-1, 1, 1, 1)
        name = self.graph.convolution(
            f"{signal.maker or node}_affine",
            signal.value,
            NamedTensor(f"the scale of {signal.maker!r}", kernel),
            stride=1,
            padding=NO_PADDING,
            groups=shape.channels,
        )
        self.graph.bias(name, NamedTensor(f"the shift of {signal.maker!r}", affine.shift.astype(np.float32)))
        return name

    def _with_affine(self, signal: Signal, call: KerasCall, scale: Any, shift: Any) -> Signal:
        channels = self.graph.shape(signal.value.layer).channels
        if signal.value.padding != NO_PADDING or signal.value.step is not Step.NONE:
            raise FormatError(f"layer {call.name!r} ({call.kind}) scales what another has padded, which no Model does")
        if signal.flat and self.graph.shape(signal.value.layer).size != channels:
            raise FormatError(f"layer {call.name!r} ({call.kind}) scales each number of a flattened map")
        try:
            factors = np.broadcast_to(np.asarray(scale, np.float64).reshape(-1), channels)
            shifts = np.broadcast_to(np.asarray(shift, np.float64).reshape(-1), channels)
        except ValueError:
            raise FormatError(
                f"layer {call.name!r} ({call.kind}) has {np.size(scale)} factors and {np.size(shift)} shifts for "
                f"{channels} channels"
            ) from None
        if not (np.isfinite(factors).all() and np.isfinite(shifts).all()):
            raise FormatError(f"layer {call.name!r} ({call.kind}) scales by a NaN or an infinity")
        if signal.value.layer == INPUT:
            factors, shifts = (self.graph.of_image(call.name, signal.value, values) for values in (factors, shifts))
        affine = signal.affine or ChannelAffine.nothing(channels)
        return replace(signal, affine=affine.then(factors, shifts))

    # Layers --------------------------------------------------------------------------------------------------------

    def _read(self, call: KerasCall) -> Signal:
        kind = call.kind
        if kind in _OPERATORS:
            return self._operator(call, _OPERATORS[kind])
        if kind in _UNCHANGED:
            return self._signals[call.tensors[0]] if call.tensors else Signal(Value(INPUT))
        match kind:
            case _ if kind in _RESHAPED:
                return self._reshaped(call)
            case "Conv2D" | "DepthwiseConv2D" | "SeparableConv2D":
                return self._convolution(call)
            case "Dense":
                return self._dense(call)
            case "BatchNormalization":
                return self._batch_norm(call)
            case "Rescaling":
                return self._with_affine(self._source(call), call, call.config["scale"], call.config.get("offset", 0.0))
            case "Normalization":
                return self._normalization(call)
            case "ZeroPadding2D":
                return self._zero_padding(call)
            case "ReLU":
                return self._relu(call)
            case "Activation":
                return self._activated(self._source(call), call, call.config["activation"])
            case "GlobalAveragePooling2D" | "Mean" | "math.reduce_mean" | "reduce_mean":
                return self._global_average(call)
            case "GlobalMaxPooling2D" | "MaxPooling2D" | "AveragePooling2D":
                return self._pool(call)
            case "Concatenate" | "concat" | "Stack" | "stack":
                return self._concatenated(call)
            case _ if kind in CHANNEL_OPERATORS:
                source = self._source(call)
                return replace(source, value=self.graph.reordered(call.name, source.value, keras_channels(call)))
            case "Repeat" | "repeat" | "image.grayscale_to_rgb":
                return self._repeated(call)
            case "nn.bias_add" if "bias" in call.keywords:
                return self._with_affine(self._source(call), call, 1.0, call.keywords["bias"])
            case "Resizing" | "CenterCrop" | "RandomCrop":
                return self._resized(call)
            case _ if kind in _ENDINGS or kind in _ACTIVATIONS:
                return self._activated(self._source(call), call, kind)
            case "Lambda":
                raise FormatError(
                    f"layer {call.name!r} is a Lambda: Python code of its author, which is not run. Build the model "
                    "anew with a layer in its place (keras.layers.Rescaling scales pixels), load its weights, and save"
                )
            case _:
                raise FormatError(f"layer {call.name!r} is a {kind}, which this package does not have")

    def _operator(self, call: KerasCall, operator: str) -> Signal:
        """A sum or product of tensors, or arithmetic with constants."""
        signals = [self._open(self._signals[tensor], call) for tensor in call.tensors]
        if len(signals) == 1 and len(call.constants) == 1:
            return self._with_constant(call, operator, signals[0], call.constants[0])
        if call.constants or len(signals) < 2 or operator in "-/":
            raise FormatError(f"layer {call.name!r} ({call.kind}) combines what it reads as no Model does")
        if operator == "+":
            return Signal(Value(self.graph.add(call.name, [self._value(signal, call) for signal in signals])))
        if len(signals) != 2:
            raise FormatError(f"layer {call.name!r} multiplies {len(signals)} tensors; two are read")
        first, second = (self._value(signal, call) for signal in signals)
        return Signal(self.graph.multiply(call.name, first, second))

    def _value(self, signal: Signal, call: KerasCall) -> Value:
        """The graph's value for a signal, with nothing waiting."""
        if signal.value.layer == INPUT or signal.affine is not None:
            return Value(self._plain(signal, call.name))
        return signal.value

    def _with_constant(self, call: KerasCall, operator: str, signal: Signal, constant: Any) -> Signal:
        try:
            number = np.asarray(constant, np.float64)
        except (ValueError, TypeError):
            raise FormatError(f"layer {call.name!r} ({call.kind}) takes {constant!r:.60}, not numbers") from None
        first = not isinstance(call.arguments[0], KerasTensor) or "__operators__.r" in call.kind
        node, readers = call.name, self._reader_count(call)
        if signal.value.layer != INPUT and signal.affine is None and number.size == 1:
            amount = float(number.reshape(-1)[0])
            if operator == "+" and amount == 3:
                return Signal(self.graph.shifted(node, signal.value, amount, readers=readers))
            if signal.value.step is not Step.NONE and operator in "*/":
                factor = amount if operator == "*" else 1 / (amount or np.inf)
                return Signal(self.graph.scaled(node, signal.value, factor, readers=signal.value.readers))
        with np.errstate(divide="ignore"):
            match operator, first:
                case ("/", False):
                    return self._with_affine(signal, call, 1 / number, 0.0)
                case ("*", _):
                    return self._with_affine(signal, call, number, 0.0)
                case ("+", _):
                    return self._with_affine(signal, call, 1.0, number)
                case ("-", False):
                    return self._with_affine(signal, call, 1.0, -number)
                case ("-", True):
                    return self._with_affine(signal, call, -1.0, number)
        raise FormatError(f"layer {call.name!r} ({call.kind}) divides by what it reads, which no Model does")

    def _reshaped(self, call: KerasCall) -> Signal:
        """A map as a vector, or what has one pixel in another shape."""
        if len(call.tensors) != 1:
            raise FormatError(f"layer {call.name!r} ({call.kind}) reads {len(call.tensors)} tensors")
        signal = self._signals[call.tensors[0]]
        shape = self.graph.shape(signal.value.layer)
        target = call.config.get("target_shape") or call.keywords.get("shape") or call.keywords.get("newshape")
        if shape.size == shape.channels:
            return signal
        if call.kind == "Flatten" or (isinstance(target, list) and len(target) == 1 and target[0] in (-1, shape.size)):
            return replace(signal, flat=True)
        if isinstance(target, list) and target == [shape.height, shape.width, shape.channels] and not signal.flat:
            return signal
        raise FormatError(f"layer {call.name!r} ({call.kind}) makes {target} of a map of {shape}, which no Model does")

    def _convolution(self, call: KerasCall) -> Signal:
        config, source = call.config, self._source(call)
        for key, expected in (("data_format", "channels_last"), ("dilation_rate", 1)):
            if config.get(key) not in (None, expected, [expected, expected]):
                raise FormatError(f"layer {call.name!r} has {key} {config[key]!r}; {expected!r} is read")
        if source.flat:
            raise FormatError(f"layer {call.name!r} ({call.kind}) reads a flattened map")
        variables = LayerVariables(call, self.file.of(call))
        match call.kind:
            case "Conv2D":
                kernel = convolution_kernel(variables.need(0, "kernel"))
                name = self._window(call, source, kernel, groups=int(config.get("groups", 1)))
                bias = variables.bias()
            case "DepthwiseConv2D":
                kernel = depthwise_kernel(variables.need(0, "depthwise_kernel", "kernel"))
                name = self._window(call, source, kernel, groups=self.graph.shape(source.value.layer).channels)
                bias = variables.bias()
            case _:
                kernel = depthwise_kernel(variables.need(0, "depthwise_kernel"))
                name = self._window(call, source, kernel, groups=self.graph.shape(source.value.layer).channels)
                mixing = convolution_kernel(variables.need(1, "pointwise_kernel"))
                name = self.graph.convolution(
                    f"{call.name}_pointwise", Value(name), mixing, stride=1, padding=NO_PADDING
                )
                bias = variables.bias(2)
        if bias is not None:
            self._add_bias(name, bias)
        return self._activated(Signal(Value(name), maker=call.name), call, config.get("activation"))

    def _window(self, call: KerasCall, source: Signal, kernel: NamedTensor, *, groups: int) -> str:
        """A convolution; what waits before it goes into its kernel where nothing is padded."""
        stride = square(call.config, "strides", call.name)
        value, affine = source.value, source.affine
        shape = self.graph.shape(value.layer)
        side = kernel.value.shape[2]
        padding = NO_PADDING
        if call.config["padding"] == "same":
            before = value.padding
            rows = PaddingPolicy.SAME.amounts(shape.height + before.top + before.bottom, side, stride)
            columns = PaddingPolicy.SAME.amounts(shape.width + before.left + before.right, side, stride)
            padding = Padding(*rows, *columns)
        elif call.config["padding"] != "valid":
            raise FormatError(f"layer {call.name!r} pads by {call.config['padding']!r}; 'same' and 'valid' are read")
        if value.layer == INPUT:
            self._note_image(source)
            affine = None
        bare = padding == NO_PADDING and value.padding == NO_PADDING
        if affine is not None and not (bare and groups == 1):
            value, affine = Value(self._written_out(source, call.name), value.padding), None
        pointwise = (side, stride, groups, shape.size) == (1, 1, 1, shape.channels) and bare
        if pointwise and value.layer != INPUT and isinstance(self.graph.layers[value.layer], GlobalAveragePool):
            matrix = replace(kernel, value=kernel.value[:, :, 0, 0])
            name = self.graph.linear(call.name, value, matrix)
        else:
            name = self.graph.convolution(call.name, value, kernel, stride=stride, padding=padding, groups=groups)
        if affine is not None:
            self._fold(name, affine)
        return name

    def _fold(self, name: str, affine: ChannelAffine) -> None:
        """Take what waits before a layer into its weights and bias."""
        found = self.graph.tensors[f"{name}.weight"]
        weight = found.value.astype(np.float64)
        per_channel = weight.reshape(len(weight), len(affine.scale), -1)
        self.graph.tensors[f"{name}.weight"] = replace(
            found, value=(per_channel * affine.scale[:, None]).reshape(weight.shape).astype(np.float32)
        )
        shift = (per_channel * affine.shift[:, None]).sum(axis=(1, 2))
        self._add_bias(name, NamedTensor(found.source, shift.astype(np.float32)))

    def _add_bias(self, name: str, bias: NamedTensor) -> None:
        before = self.graph.tensors.get(f"{name}.bias")
        if before is not None:
            bias = replace(bias, value=(bias.value.astype(np.float64) + before.value).astype(np.float32))
        self.graph.bias(name, bias)

    def _dense(self, call: KerasCall) -> Signal:
        source = self._source(call)
        variables = LayerVariables(call, self.file.of(call))
        shape = self.graph.shape(source.value.layer)
        single = shape.size == shape.channels
        kernel = dense_kernel(variables.need(0, "kernel"), shape, flat=source.flat)
        value, affine = source.value, source.affine
        if value.layer == INPUT:
            value, affine = Value(self._plain(source, call.name)), None
        if single or source.flat:
            name = self.graph.linear(call.name, value, kernel)
        else:  # on the last axis of a map: at each of its pixels
            weight = replace(kernel, value=kernel.value[:, :, None, None])
            name = self.graph.convolution(call.name, value, weight, stride=1, padding=NO_PADDING)
        if affine is not None:
            self._fold(name, affine)
        bias = variables.bias()
        if bias is not None:
            self._add_bias(name, bias)
        return self._activated(Signal(Value(name), maker=call.name), call, call.config.get("activation"))

    def _batch_norm(self, call: KerasCall) -> Signal:
        source, config = self._source(call), call.config
        statistics = LayerVariables(call, self.file.of(call)).statistics()
        epsilon = float(config["epsilon"])
        layer = self.graph.layers.get(source.value.layer)
        takes = source.affine is None and source.value == Value(source.value.layer) and self._reader_count(call) == 1
        takes = takes and layer is not None and layer.has_weight and layer.activation is Activation.NONE
        if layer is not None and takes and not isinstance(layer, Linear) and layer.batch_norm is None:
            self.graph.batch_norm(layer.name, epsilon, statistics)
            return source
        gamma, beta, mean, variance = (part.value.astype(np.float64) for part in statistics.values())
        factor = gamma / np.sqrt(variance + epsilon)
        if isinstance(layer, Linear) and takes:
            self._scale_outputs(layer.name, factor, beta - mean * factor)
            return source
        return self._with_affine(source, call, factor, beta - mean * factor)

    def _scale_outputs(self, name: str, factor: Factors, shift: Factors) -> None:
        """Take an affine function behind a fully connected layer into its weights."""
        weight = self.graph.tensors[f"{name}.weight"]
        if len(factor) != len(weight.value):
            raise FormatError(f"{weight.source} makes {len(weight.value)} numbers; its batch norm has {len(factor)}")
        self.graph.tensors[f"{name}.weight"] = replace(
            weight, value=(weight.value * factor[:, None]).astype(np.float32)
        )
        bias = self.graph.tensors.get(f"{name}.bias")
        value = shift if bias is None else bias.value * factor + shift
        self.graph.bias(name, NamedTensor(bias.source if bias else weight.source, value.astype(np.float32)))

    def _normalization(self, call: KerasCall) -> Signal:
        source, config = self._source(call), call.config
        variables = LayerVariables(call, self.file.of(call))
        mean, variance = config.get("mean"), config.get("variance")
        if mean is None or variance is None:
            mean, variance = variables.need(0, "mean").value, variables.need(1, "variance").value
        if config.get("axis", -1) not in (-1, 3, [-1], [3]) or config.get("invert"):
            raise FormatError(f"layer {call.name!r} does not normalize its channels (axis {config.get('axis')!r})")
        with np.errstate(invalid="ignore"):  # a NaN is refused below
            deviation = np.maximum(np.sqrt(np.asarray(variance, np.float64)), _SMALLEST_DEVIATION)
        return self._with_affine(source, call, 1 / deviation, -np.asarray(mean, np.float64) / deviation)

    def _zero_padding(self, call: KerasCall) -> Signal:
        source = self._source(call)
        (top, bottom), (left, right) = call.config["padding"]
        if source.flat or min(top, bottom, left, right) < 0 or max(top, bottom, left, right) > 64:
            raise FormatError(f"layer {call.name!r} pads by {call.config['padding']!r}")
        if source.affine is not None and source.value.layer != INPUT:
            source = replace(source, value=Value(self._written_out(source, call.name)), affine=None)
        before = source.value.padding
        padding = Padding(before.top + top, before.bottom + bottom, before.left + left, before.right + right)
        return replace(source, value=replace(source.value, padding=padding))

    # Activations ---------------------------------------------------------------------------------------------------

    def _relu(self, call: KerasCall) -> Signal:
        source, config = self._source(call), call.config
        limit = config.get("max_value")
        limit = None if limit is None else float(np.asarray(limit).reshape(-1)[0])
        if config.get("negative_slope") or config.get("threshold"):
            raise FormatError(f"layer {call.name!r} is a leaky or thresholded ReLU, which this package does not have")
        if source.value.step is not Step.NONE:
            return Signal(self.graph.clipped(call.name, source.value, 0, limit))
        if limit not in (None, 6):
            raise FormatError(f"layer {call.name!r} clips at {limit:g}; ReLU clips at 6 or not at all here")
        return self._with_activation(source, call, Activation.RELU if limit is None else Activation.RELU6)

    def _activated(self, source: Signal, call: KerasCall, written: Any) -> Signal:
        """A signal with the activation function that a layer names."""
        name = written.get("config", written.get("class_name")) if isinstance(written, Mapping) else written
        if isinstance(name, Mapping):
            name = written.get("class_name")
        if not isinstance(name, str | None):
            raise FormatError(f"layer {call.name!r} has an activation {name!r:.60}")
        if name in _ENDINGS:
            return replace(source, ending=_ENDINGS[name])
        if name not in _ACTIVATIONS:
            raise FormatError(f"layer {call.name!r} has activation {name!r}, which this package does not have")
        activation = _ACTIVATIONS[name]
        if activation is Activation.HARD_SIGMOID and not self.file.of_keras_3:
            raise FormatError(
                f"layer {call.name!r} is the hard sigmoid of Keras 2, which has another slope than everyone's"
            )
        return self._with_activation(source, call, activation)

    def _with_activation(self, source: Signal, call: KerasCall, activation: Activation) -> Signal:
        if activation is Activation.NONE:
            return source
        layer = self.graph.layers.get(source.value.layer)
        own = call.kind not in ("ReLU", "Activation") and call.kind not in _ACTIVATIONS
        free = layer is not None and layer.activation is Activation.NONE and _takes(layer)
        if not free or source.affine is not None or not (own or self._reader_count(call) == 1):
            source = Signal(Value(self._written_out(source, call.name)), flat=source.flat)
        self.graph.activate(call.name, source.value.layer, activation)
        return replace(source, affine=None)

    # Pools and the like --------------------------------------------------------------------------------------------

    def _global_average(self, call: KerasCall) -> Signal:
        source = self._source(call)
        if call.kind != "GlobalAveragePooling2D":
            axes = call.config.get("axis", call.keywords.get("axis", call.constants[0] if call.constants else None))
            if not isinstance(axes, list) or sorted(axes) not in ([1, 2], [-3, -2]):
                raise FormatError(f"layer {call.name!r} averages along axes {axes!r}; rows and columns are averaged")
        return self._averaged(source, call)

    def _averaged(self, source: Signal, call: KerasCall) -> Signal:
        """The mean of a map; what waits before it may as well be done behind it."""
        if source.value.layer == INPUT:
            return Signal(Value(self.graph.average(call.name, Value(self._plain(source, call.name)))))
        return Signal(Value(self.graph.average(call.name, source.value)), source.affine)

    def _pool(self, call: KerasCall) -> Signal:
        source = self._source(call)
        if source.flat:
            raise FormatError(f"layer {call.name!r} ({call.kind}) reads a flattened map")
        shape = self.graph.shape(source.value.layer)
        if call.kind == "GlobalMaxPooling2D":
            return self._global_maximum(call, source)
        side = square(call.config, "pool_size", call.name)
        stride = square(call.config, "strides", call.name) if call.config.get("strides") is not None else side
        padding = NO_PADDING
        if call.config.get("padding", "valid") == "same":
            rows, columns = (PaddingPolicy.SAME.amounts(size, side, stride) for size in shape[1:])
            padding = Padding(*rows, *columns)
        if call.kind == "AveragePooling2D":
            if (side, side) == shape[1:] and padding == NO_PADDING:
                return self._averaged(source, call)
            return self._partial_average(call, source, side, stride, padding)
        value = Value(self._plain(source, call.name))
        return Signal(Value(self.graph.max_pool(call.name, value, kernel=side, stride=stride, padding=padding)))

    def _global_maximum(self, call: KerasCall, source: Signal) -> Signal:
        """The largest value of a map: one window over all of it, and over the rest where it is not square."""
        layer = self._plain(source, call.name)
        for _ in range(16):
            shape = self.graph.shape(layer)
            if (shape.height, shape.width) == (1, 1):
                return Signal(Value(layer))
            side = min(shape.height, shape.width) if min(shape.height, shape.width) > 1 else 2
            below, beside = side - min(side, shape.height), side - min(side, shape.width)
            layer = self.graph.max_pool(
                call.name, Value(layer), kernel=side, stride=1, padding=Padding(0, below, 0, beside)
            )
        raise FormatError(f"layer {call.name!r} takes the largest value of a map of {shape}, far from square")

    def _partial_average(self, call: KerasCall, source: Signal, side: int, stride: int, padding: Padding) -> Signal:
        """Averages of windows: a depthwise convolution whose weights are all the same."""
        if padding != NO_PADDING or source.value.padding != NO_PADDING:
            raise FormatError(f"layer {call.name!r} averages windows that reach over the border, which no Model does")
        value = Value(self._plain(source, call.name))
        channels = self.graph.shape(value.layer).channels
        kernel = NamedTensor(call.name, np.full((channels, 1, side, side), 1 / side**2, np.float32))
        name = self.graph.convolution(call.name, value, kernel, stride=stride, padding=NO_PADDING, groups=channels)
        return Signal(Value(name))

    def _concatenated(self, call: KerasCall) -> Signal:
        signals = [self._open(self._signals[tensor], call) for tensor in call.tensors]
        axis = call.config.get("axis", call.keywords.get("axis", -1))
        if any(signal.flat for signal in signals) or axis not in (-1, 3):
            raise FormatError(f"layer {call.name!r} joins along axis {axis!r}; channels of maps are joined")
        if (image := self.graph.joined_image([signal.value for signal in signals])) is not None:
            affines = [signal.affine or ChannelAffine.nothing(self.channels) for signal in signals]
            if not all(affine.same_as(affines[0]) for affine in affines):
                raise FormatError(f"layer {call.name!r} joins channels of the image that are scaled each by itself")
            return replace(signals[0], value=image)
        if call.kind.lower() == "stack":
            raise FormatError(f"layer {call.name!r} makes a new axis, which no Model has")
        return Signal(Value(self.graph.concatenate(call.name, [self._value(signal, call) for signal in signals])))

    def _repeated(self, call: KerasCall) -> Signal:
        """A grey image as one of several equal channels."""
        source = self._source(call)
        repeats = call.config.get("repeats", call.keywords.get("repeats", RGB_CHANNELS))
        axis = call.config.get("axis", call.keywords.get("axis", -1))
        grey = self.graph.shape(source.value.layer).channels == GREY_CHANNELS
        if not grey or axis not in (-1, 3) or repeats != RGB_CHANNELS:
            raise FormatError(
                f"layer {call.name!r} ({call.kind}) repeats a map; only a grey image becomes one of color"
            )
        return Signal(Value(self.graph.concatenate(call.name, [self._value(source, call)] * RGB_CHANNELS)))

    def _resized(self, call: KerasCall) -> Signal:
        """Resizing of the image, which is the preprocessing's."""
        source = self._source(call)
        size = (call.config.get("height"), call.config.get("width"))
        if source.value.layer != INPUT or source.value.padding != NO_PADDING or size != self.size:
            raise FormatError(
                f"layer {call.name!r} ({call.kind}) makes {size[0]}×{size[1]} of a map; only the image itself is "
                "resized, before anything else"
            )
        return source


def _takes(layer: Any) -> bool:
    """Whether a layer can have an activation function."""
    return not isinstance(layer, GlobalAveragePool | MaxPool) and layer.kind != "concatenate"
