"""Keras: MobileNet V1 as ``keras.applications`` saves it, read without Keras.

- Weights-only HDF5, as published (``mobilenet_2_5_224_tf.h5`` and 31 more, with and without top), in either naming
  generation: ``conv1/kernel:0`` of Keras 1 and 2, ``conv1/kernel`` of Keras 3.
- Whole models in HDF5 (weights under ``model_weights``, and the configuration beside them).
- Keras 3 ``.weights.h5`` (``layers/conv2d_3/vars/0``) and ``.keras`` (a ZIP of one, and the configuration).

The base network inside a transfer-learning model with one new ``Dense`` head is recognized too.

Weights-only files have no configuration. Where there is one it is believed (sizes, padding, ε, activation, input
scaling), and a layer that MobileNet V1 does not have is refused by name, for weights alone would not show it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, Activation, Padding
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.containers.hdf5 import SIGNATURE, read_hdf5
from mobilenets.formats.names import MOBILENET_V1
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import ImportOptions, NamedTensor, mobilenet_v1_from_tensors, unique
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import RGB_CHANNELS, Preprocessing
from mobilenets.model.provenance import Imported

Value = TypeVar("Value")

_BATCH_NORM = {
    **dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), BATCH_NORM_TENSORS, strict=True)),
    **{str(number): name for number, name in enumerate(BATCH_NORM_TENSORS)},
}
_WEIGHT = {"kernel", "depthwise_kernel", "0"}
_BIAS = {"bias", "1"}
NAMES = MOBILENET_V1["keras"]
ROOT = "model_weights/"
"""Group of the weights in a whole model; its neighbours belong to the optimizer."""
OPTIMIZER = ("optimizer/", "optimizer_weights/")
ARCHIVED_WEIGHTS = "model.weights.h5"
"""Member of a ``.keras`` archive."""
_SILENT = {"InputLayer", "Dropout", "SpatialDropout2D", "GlobalAveragePooling2D", "Reshape", "Flatten", "Softmax"}
"""Kinds of layers that hold no weights and change nothing that this package would have to know."""
_CONTAINERS = {"Functional", "Model", "Sequential"}
DEEPEST = 8
"""Models within models beyond which a configuration is refused."""


def is_keras(source: Source) -> bool:
    """Whether a source is HDF5, or a ZIP archive of Keras 3."""
    return source.data.startswith(SIGNATURE) or (
        source.archive is not None and ARCHIVED_WEIGHTS in source.archive.names
    )


def from_keras(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read a Keras file into a float32 Model.

    Args:
        source: ``.h5``, ``.weights.h5`` or ``.keras``.
        resolution: Input side in pixels, or (height, width); by default what the file's configuration says, else what
            its name says (``_224_``), else 224.
        labels: Class names; Keras files have none.

    Raises:
        FormatError: If the file is damaged or is not MobileNet V1; the tensor or layer is named.
    """
    source = source_of(source)
    name = source.path.name
    weights, config_text = _read(source)
    config = read_config(config_text) if config_text is not None else KerasConfig()
    return mobilenet_v1_from_tensors(
        unique(_translate(tensor, value) for tensor, value in weights.items()),
        ImportOptions(
            resolution=resolution or config.resolution or resolution_in_name(name) or 224,
            epsilon=config.epsilon,
            activation=config.activation,
            paddings=_paddings(config),
            preprocessing=config.preprocessing or Preprocessing(),
            labels=labels,
            imported=Imported(
                "keras",
                name,
                configuration=config_text is not None,
                known={"input_scaling": "a Rescaling layer"} if config.preprocessing else {},
            ),
        ),
    )


def resolution_in_name(name: str) -> int | None:
    """The resolution that a published file's name ends in.

    >>> resolution_in_name("mobilenet_2_5_224_tf_no_top.h5"), resolution_in_name("weights.h5")
    (224, None)
    """
    found = re.search(r"_(128|160|192|224|256)(?=[_.])", name)
    return int(found.group(1)) if found else None


def _read(source: Source) -> tuple[dict[str, Tensor], str | bytes | None]:
    """All tensors by path, and the configuration's JSON where there is one."""
    data: bytes | memoryview = source.data
    config: str | bytes | None = None
    if source.archive is not None:
        config = bytes(source.archive.member("config.json"))
        data = source.archive.member(ARCHIVED_WEIGHTS)
    file = read_hdf5(data)
    if config is None:
        config = file.attributes.get("model_config")
    whole = {name.removeprefix(ROOT): value for name, value in file.datasets.items() if name.startswith(ROOT)}
    return {name: value for name, value in (whole or file.datasets).items() if not name.startswith(OPTIMIZER)}, config


def _translate(tensor: str, value: Tensor) -> tuple[str, NamedTensor]:
    """This package's name for a tensor, and the tensor in PyTorch's layout."""
    parts = [part for part in tensor.split("/") if part != "vars"]
    layer, variable = (parts[-2] if len(parts) > 1 else ""), parts[-1].removesuffix(":0")
    ours = NAMES.layer(layer)
    if ours is None and value.ndim <= 2:
        # A head of any name, on top of a base network: a dense kernel has two axes and nothing else here does.
        ours = "classifier"
    if ours is None:
        raise FormatError(f"{tensor} belongs to no layer of MobileNet V1")
    norm = ours.endswith(".batch_norm")
    if norm and variable in _BATCH_NORM:
        return f"{ours}.{_BATCH_NORM[variable]}", NamedTensor(tensor, value)
    if not norm and variable in _WEIGHT:
        return f"{ours}.weight", NamedTensor(tensor, _kernel(tensor, ours, value))
    if not norm and variable in _BIAS:
        return f"{ours}.bias", NamedTensor(tensor, value)
    raise FormatError(f"{tensor} is a variable that MobileNet V1 does not have")


def _kernel(tensor: str, layer: str, value: Tensor) -> Tensor:
    """From Keras's (height, width, in, out) to PyTorch's (out, in, height, width)."""
    if layer == "classifier":
        if value.ndim == 4 and value.shape[:2] == (1, 1):
            value = value[0, 0]
        if value.ndim != 2:
            raise FormatError(f"{tensor} has shape {value.shape}; a classifier has (in, out) or (1, 1, in, out)")
        return value.T
    if value.ndim != 4:
        raise FormatError(f"{tensor} has shape {value.shape}; a convolution's kernel has 4 axes")
    return np.transpose(value, (2, 3, 0, 1) if layer.endswith("depthwise") else (3, 2, 0, 1))


def _paddings(config: KerasConfig) -> Mapping[str, Padding]:
    """Explicit paddings of the configuration, by this package's layer names."""
    named = {NAMES.layer(layer): padding for layer, padding in config.padding.items()}
    return {
        name: padding
        for name, padding in named.items()
        if name is not None and padding is not None and not name.endswith(("pointwise", "classifier"))
    }


# The configuration


@dataclass(frozen=True)
class KerasConfig:
    """What was found in a configuration.

    Attributes:
        resolution: Input (height, width), or None where it is left open.
        epsilon: Of every batch norm.
        activation: After every layer but the last.
        padding: By the name of the Keras layer that it applies to; None where Keras's ``same`` applies.
        preprocessing: From a ``Rescaling`` layer; None where there is none.
    """

    resolution: tuple[int, int] | None = None
    epsilon: float = 1e-3
    activation: Activation = Activation.RELU6
    padding: Mapping[str, Padding | None] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None


def read_config(text: str | bytes) -> KerasConfig:
    """Read the JSON of a model configuration.

    Raises:
        FormatError: If it is not such JSON, or describes a layer that MobileNet V1 does not have.
    """
    try:
        layers = list(_layers(json.loads(text), 0))
        return _configured(layers)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"the Keras model configuration is not readable: {error!r:.200}") from None


def _layers(model: Any, depth: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, name and configuration of every layer, models within models written out."""
    if depth > DEEPEST:
        raise FormatError(f"the Keras model configuration nests models more than {DEEPEST} deep")
    for layer in model["config"]["layers"]:
        if layer["class_name"] in _CONTAINERS:
            yield from _layers(layer, depth + 1)
        else:
            yield str(layer["class_name"]), str(layer["config"].get("name", "")), layer["config"]


def _configured(layers: list[tuple[str, str, dict[str, Any]]]) -> KerasConfig:
    resolution: tuple[int, int] | None = None
    epsilons: dict[float, str] = {}
    activations: dict[Activation, str] = {}
    padding: dict[str, Padding | None] = {}
    preprocessing: Preprocessing | None = None
    pending: Padding | None = None
    for kind, name, config in layers:
        if kind == "InputLayer" and resolution is None:
            resolution = _input_size(config)
        elif kind == "ZeroPadding2D":
            (top, bottom), (left, right) = config["padding"]
            pending = Padding(int(top), int(bottom), int(left), int(right))
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            _check_convolution(name, config)
            padding[name] = pending or (Padding() if config["padding"] == "valid" else None)
            pending = None
        elif kind == "BatchNormalization":
            epsilons.setdefault(float(config["epsilon"]), name)
        elif kind in ("ReLU", "Activation"):
            activation = _activation(kind, name, config)
            if activation is not None:
                activations.setdefault(activation, name)
        elif kind == "Rescaling":
            preprocessing = _rescaling(name, config)
        elif kind == "Dense":
            _final_activation(name, config.get("activation"))
        elif kind not in _SILENT and not kind.startswith("Random"):
            raise FormatError(f"layer {name!r} is a {kind}, which MobileNet V1 does not have")
    return KerasConfig(
        resolution=resolution,
        epsilon=_the_only("batch norm epsilon", epsilons, 1e-3),
        activation=_the_only("activation", activations, Activation.RELU6),
        padding=padding,
        preprocessing=preprocessing,
    )


def _input_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if shape is None or len(shape) != 4 or shape[1] is None or shape[2] is None:
        return None
    if shape[3] != RGB_CHANNELS:
        raise FormatError(f"the Keras model's input is {shape}; this package reads RGB in channels-last order")
    return int(shape[1]), int(shape[2])


def _check_convolution(name: str, config: Mapping[str, Any]) -> None:
    expected = {"data_format": "channels_last", "dilation_rate": [1, 1], "activation": "linear"}
    if config.get("depth_multiplier", 1) != 1:
        raise FormatError(f"layer {name!r} has depth_multiplier {config['depth_multiplier']!r}; MobileNet V1 has 1")
    if config.get("groups", 1) != 1:
        raise FormatError(f"layer {name!r} has {config['groups']!r} groups; MobileNet V1 has 1")
    for field_name, value in expected.items():
        if config.get(field_name, value) != value:
            raise FormatError(f"layer {name!r} has {field_name} {config[field_name]!r}; MobileNet V1 has {value!r}")
    strided = name == "conv1" or name in (f"conv_dw_{number}" for number in (2, 4, 6, 12))
    stride = [2, 2] if strided else [1, 1]
    if name.startswith(("conv1", "conv_")) and list(config["strides"]) != stride:
        raise FormatError(f"layer {name!r} has strides {config['strides']!r}; MobileNet V1 has {stride}")


def _activation(kind: str, name: str, config: Mapping[str, Any]) -> Activation | None:
    if kind == "ReLU":
        if config.get("negative_slope") or config.get("threshold"):
            raise FormatError(f"layer {name!r} is a leaky or thresholded ReLU, which this package does not have")
        if config.get("max_value") is None:
            return Activation.RELU
        if float(config["max_value"]) == 6:
            return Activation.RELU6
        raise FormatError(f"layer {name!r} clips at {config['max_value']!r}; MobileNet V1 clips at 6 or not at all")
    if config["activation"] in ("relu", "relu6"):
        return Activation(config["activation"])
    _final_activation(name, config["activation"])
    return None


def _final_activation(name: str, activation: object) -> None:
    """Softmax and nothing are the same to a Model, which gives logits."""
    if activation not in ("softmax", "linear", None):
        raise FormatError(f"layer {name!r} has activation {activation!r}; a classifier may end in softmax or linear")


def _rescaling(name: str, config: Mapping[str, Any]) -> Preprocessing:
    scale, offset = config["scale"], config.get("offset", 0.0)
    scales = [float(value) for value in (scale if isinstance(scale, list) else [scale] * 3)]
    offsets = [float(value) for value in (offset if isinstance(offset, list) else [offset] * 3)]
    if len(scales) != 3 or len(offsets) != 3 or min(scales) <= 0:
        raise FormatError(f"layer {name!r} rescales by {scale!r}; three positive numbers were expected")
    red, green, blue = (round(1 / (255 * value), 9) for value in scales)
    mean_red, mean_green, mean_blue = (
        round(-shift / (255 * value), 9) for shift, value in zip(offsets, scales, strict=True)
    )
    try:
        return Preprocessing(mean=(mean_red, mean_green, mean_blue), std=(red, green, blue))
    except ModelError as error:
        raise FormatError(f"layer {name!r}: {error}") from None


def _the_only(what: str, found: Mapping[Value, str], otherwise: Value) -> Value:
    if len(found) > 1:
        pairs = ", ".join(f"{value} in {name!r}" for value, name in found.items())
        raise FormatError(f"the layers disagree on their {what}: {pairs}")
    return next(iter(found), otherwise)
