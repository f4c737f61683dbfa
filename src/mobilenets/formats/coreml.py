"""Model → Core ML (``.mlpackage``), through coremltools' own builder and converter.

The package reads an RGB image of the network's size, normalizes it itself, and gives what Vision and Xcode show of a
classifier: a probability per label, and the likeliest label. Of a Model of another task it gives the network's outputs,
under their names. It can be written on any system; only macOS can run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import numpy as np

from mobilenets.architecture.layers import (
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
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.format import Options, option
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import pixel_scale_and_offset
from mobilenets.tasks.classification import Classification, class_count

IMAGE = "image"
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class CoreMLOptions(Options):
    """Options of :func:`to_coreml`."""

    half: bool = option(False, "Store float weights as float16", float32_only=True)


def write_coreml(model: Model, path: Path, options: CoreMLOptions) -> None:
    """:func:`to_coreml`, as the registry of formats calls it."""
    to_coreml(model, path, half=options.half)


def to_coreml(model: Model, path: str | Path, *, half: bool = False) -> None:
    """Write a Model as a Core ML package.

    Args:
        model: float32; a classifier must have one output.
        path: The ``.mlpackage`` folder.
        half: Store weights and compute in float16.

    Raises:
        FormatError: If the Model is int8, is a classifier with several outputs or one that is a map, or the path does
            not end in ``.mlpackage``.
        MissingDependencyError: If coremltools is not installed.
        OSError: If a file cannot be written.
    """
    path, network = Path(path), model.network
    if path.suffix != ".mlpackage":
        raise FormatError(f"Core ML packages end in .mlpackage, not {path.suffix or 'in nothing'!r}: {path.name}")
    if model.quantization is not None:
        raise FormatError("Core ML knows no int8 activations; export the float32 Model that this one came from")
    labels = model.task.labels
    if labels is not None and (len(network.outputs) != 1 or network.shapes[network.outputs[0]][1:] != (1, 1)):
        raise FormatError(f"Core ML export takes classifiers with one output; {network.name} has {network.outputs}")
    try:
        import coremltools
    except ImportError:
        raise MissingDependencyError("coremltools", "coreml") from None
    target = coremltools.target.iOS15
    package = coremltools.convert(
        _program(model, target),
        convert_to="mlprogram",
        inputs=[coremltools.ImageType(name=IMAGE, shape=(1, network.channels, network.height, network.width))],
        classifier_config=None if labels is None else coremltools.ClassifierConfig(list(distinct(labels))),
        compute_precision=coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32,
        minimum_deployment_target=target,
    )
    meaning = f": {model.task.description}" if labels is None else f" over {len(labels)} classes"
    package.short_description = f"{network.name}{meaning}, written by mobilenets"
    package.save(str(path))


def distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of which no two are equal, as the keys of Core ML's dictionary must be.

    ImageNet's name a bird and a machine crane. A label that was there before gets the number of its class.

    >>> distinct(("crane", "crow", "crane"))
    ('crane', 'crow', 'crane (2)')
    """
    seen: set[str] = set()
    result = []
    for number, label in enumerate(labels):
        own = label
        while own in seen or (own != label and own in labels):
            own = f"{own} ({number})"
        seen.add(own)
        result.append(own)
    return tuple(result)


def _program(model: Model, target: Any) -> Any:
    """The network in coremltools' intermediate language."""
    from coremltools.converters.mil import Builder

    network = model.network
    image = Builder.TensorSpec(shape=(1, network.channels, network.height, network.width))

    def program(image: Any) -> Any:
        scale, offset = pixel_scale_and_offset(model.preprocessing, network.channels)
        scale, offset = scale.reshape(1, -1, 1, 1), offset.reshape(1, -1, 1, 1)
        values = {INPUT: Builder.add(x=Builder.mul(x=image, y=scale), y=offset)}
        for layer in network.layers:
            values[layer.name] = _layer(Builder, model, layer, [values[name] for name in layer.inputs])
        if not isinstance(model.task, Classification):
            return tuple(_output(Builder, network, name, values[name]) for name in network.outputs)
        logits = Builder.reshape(x=values[network.outputs[0]], shape=[1, class_count(network)])
        if model.task.temperature != 1:
            logits = Builder.mul(x=logits, y=np.float32(1 / model.task.temperature))
        return Builder.softmax(x=logits, axis=1, name=PROBABILITIES)

    return Builder.program(input_specs=[image], opset_version=target)(program)


def _output(builder: Any, network: Network, name: str, value: Any) -> Any:
    """An output under its name: (1, C) where the map is 1×1, else (1, C, H, W)."""
    shape = network.shapes[name]
    return builder.reshape(x=value, shape=[1, shape.channels] if shape[1:] == (1, 1) else [1, *shape], name=name)


def _layer(builder: Any, model: Model, layer: Layer, inputs: list[Any]) -> Any:
    """One layer; every value is a map (1, C, H, W)."""
    match layer:
        case Convolution() | DepthwiseConvolution() | PointwiseConvolution():
            result = _convolution(builder, model, layer, inputs[0])
        case Linear():
            shape = model.network.input_shapes(layer)[0]
            flat = builder.reshape(x=inputs[0], shape=[1, shape.size])
            result = builder.linear(x=flat, **_weights(model, layer))
            result = builder.reshape(x=result, shape=[1, layer.out_features, 1, 1])
        case MaxPool():
            window = {"kernel_sizes": [layer.kernel] * 2, "strides": list(layer.strides)}
            result = builder.max_pool(x=inputs[0], **window, pad_type="custom", pad=list(layer.padding))
        case GlobalAveragePool():
            result = builder.reduce_mean(x=inputs[0], axes=[2, 3], keep_dims=True)
        case Add():
            result = inputs[0]
            for other in inputs[1:]:
                result = builder.add(x=result, y=other)
        case Multiply():
            result = builder.mul(x=inputs[0], y=inputs[1])
        case Concatenate():
            result = builder.concat(values=inputs, axis=1)
        case _:
            raise FormatError(f"{layer.name} is of a kind that Core ML export does not know: {type(layer).__name__}")
    return _activated(builder, layer.activation, result)


def _activated(builder: Any, activation: Activation, value: Any) -> Any:
    match activation:
        case Activation.NONE:
            return value
        case Activation.RELU:
            return builder.relu(x=value)
        case Activation.RELU6:
            return builder.relu6(x=value)
        case Activation.HARD_SIGMOID:
            return builder.sigmoid_hard(x=value, alpha=np.float32(1 / 6), beta=np.float32(0.5))
        case Activation.HARD_SWISH:
            return builder.mul(x=value, y=builder.sigmoid_hard(x=value, alpha=np.float32(1 / 6), beta=np.float32(0.5)))
        case _:
            assert_never(activation)


def _convolution(
    builder: Any, model: Model, layer: Convolution | DepthwiseConvolution | PointwiseConvolution, source: Any
) -> Any:
    settings: dict[str, Any] = {}
    if not isinstance(layer, PointwiseConvolution):
        settings = {"strides": list(layer.strides), "pad_type": "custom", "pad": list(layer.padding)}
    if isinstance(layer, DepthwiseConvolution):
        settings["groups"] = model.network.shapes[layer.name].channels
    elif isinstance(layer, Convolution):
        settings["groups"] = layer.groups
    result = builder.conv(x=source, **_weights(model, layer), **settings)
    if layer.batch_norm is None:
        return result
    words = ("gamma", "beta", "mean", "variance")
    statistics = {
        word: np.asarray(model.parameters[name]) for word, name in zip(words, layer.batch_norm_names, strict=True)
    }
    return builder.batch_norm(x=result, **statistics, epsilon=np.float32(layer.batch_norm.epsilon))


def _weights(model: Model, layer: Any) -> dict[str, Any]:
    parameters = {"weight": np.asarray(model.parameters[f"{layer.name}.weight"])}
    if layer.bias:
        parameters["bias"] = np.asarray(model.parameters[f"{layer.name}.bias"])
    return parameters
