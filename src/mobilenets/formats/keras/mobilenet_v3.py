"""Weights of MobileNet V3 alone, as ``keras.applications`` names its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mobilenets.architecture.layers import BATCH_NORM_TENSORS
from mobilenets.errors import FormatError
from mobilenets.formats.checkpoint import model_of_checkpoint, recognize
from mobilenets.formats.keras.file import KerasFile
from mobilenets.formats.names import keras_v3_names
from mobilenets.formats.weights import ImportOptions
from mobilenets.model.model import Model, Tensor

DEPTHWISE_LAYERS = (11, 15)
"""Of the small and the large network."""

_NORM = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), BATCH_NORM_TENSORS, strict=True))
_NUMBERED_NORM = dict(zip("0123", BATCH_NORM_TENSORS, strict=True))
_PLAIN = {"kernel": "weight", "depthwise_kernel": "weight", "bias": "bias", "0": "weight", "1": "bias"}


def is_mobilenet_v3(file: KerasFile) -> bool:
    """Whether variables alone have as many depthwise layers as one of its networks."""
    layers = {_layer(path) for path in file.variables if "depthwise" in path}
    return sum(not _is_norm(layer) for layer in layers) in DEPTHWISE_LAYERS


def mobilenet_v3_of(file: KerasFile, options: ImportOptions) -> Model:
    """The Model of variables without a configuration.

    Args:
        file: What the file holds.
        options: What the variables do not say.

    Raises:
        FormatError: If the variables are not those of V3; one is named. A head of one's own is not recognized.
    """
    named = dict(_named(file))
    found = recognize({name: value for name, (_, value) in named.items()}, keras_v3_names(), "Keras")
    tensors = {ours: replace(tensor, source=named[tensor.source][0]) for ours, tensor in found.tensors.items()}
    return model_of_checkpoint(replace(found, tensors=tensors), options)


def _named(file: KerasFile) -> Iterator[tuple[str, tuple[str, Tensor]]]:
    """Variables by layer and kind, in PyTorch's layouts, each with its path."""
    for path, value in file.variables.items():
        layer, variable = _layer(path), path.rpartition("/")[2].removesuffix(":0")
        kinds = (_NUMBERED_NORM if file.archived else _NORM) if _is_norm(layer) else _PLAIN
        if variable not in kinds:
            raise FormatError(f"{path} is a variable that MobileNet V3 does not have")
        if value.ndim == 4:
            value = np.transpose(value, (2, 3, 0, 1) if "depthwise" in layer else (3, 2, 0, 1))
        yield f"{layer}.{kinds[variable]}", (path, value)


def _is_norm(layer: str) -> bool:
    return layer.endswith("_bn") or layer.startswith("batch_normalization")


def _layer(path: str) -> str:
    """The name of a variable's layer in the form that Keras 3 has.

    >>> _layer("expanded_conv_1/squeeze_excite/Conv_1/expanded_conv_1/squeeze_excite/Conv_1/kernel:0")
    'expanded_conv_1_squeeze_excite_conv_1'
    >>> _layer("Conv/BatchNorm/Conv/BatchNorm/gamma:0"), _layer("layers/conv2d_3/vars/0")
    ('conv_bn', 'conv2d_3')
    """
    parts = path.split("/")[:-1]
    if parts[-1:] == ["vars"]:
        return parts[-2]
    half = len(parts) // 2
    if parts[:half] == parts[half:]:
        parts = parts[half:]
    return "_".join(parts).replace("BatchNorm", "bn").replace("Conv", "conv").replace("Logits", "logits")
