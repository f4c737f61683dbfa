"""Keras: MobileNet V1 as ``keras.applications`` saves it, read without Keras.

- Weights-only HDF5, as published (``mobilenet_2_5_224_tf.h5`` and 31 more, with and without top), in either naming
  generation: ``conv1/kernel:0`` of Keras 1 and 2, ``conv1/kernel`` of Keras 3.
- Whole models in HDF5 (weights under ``model_weights``, and the configuration beside them).
- Keras 3 ``.weights.h5`` (``layers/conv2d_3/vars/0``) and ``.keras`` (a ZIP of one, and the configuration).

The base network inside a transfer-learning model with one new ``Dense`` head is recognised too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mobilenets.architecture.layers import Padding
from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import read_file
from mobilenets.formats.containers.hdf5 import read_hdf5
from mobilenets.formats.containers.zip_members import ZipMembers
from mobilenets.formats.keras_config import KerasConfig, read_config
from mobilenets.formats.weights import Found, Surroundings, mobilenet_v1_from_tensors, unique
from mobilenets.model.model import Model, Tensor

_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "0": "weight",
    "1": "bias",
    "2": "running_mean",
    "3": "running_var",
}
_WEIGHT = {"kernel", "depthwise_kernel", "0"}
_BIAS = {"bias", "1"}
_NAMED = re.compile(r"conv_(?P<kind>dw|pw)_(?P<block>[1-9]\d?)(?P<norm>_bn)?")
_NUMBERED = re.compile(r"(?P<kind>conv2d|depthwise_conv2d|batch_normalization|dense)(_(?P<number>[1-9]\d{0,2}))?")
BLOCKS = 13
ROOT = "model_weights/"
"""Group of the weights in a whole model; its neighbours belong to the optimizer."""
OPTIMIZER = ("optimizer/", "optimizer_weights/")


def from_keras(
    path: str | Path, *, resolution: int | tuple[int, int] | None = None, labels: tuple[str, ...] | None = None
) -> Model:
    """Read a Keras file into a float32 Model.

    Args:
        path: ``.h5``, ``.weights.h5`` or ``.keras``.
        resolution: Input side in pixels, or (height, width); by default what the file's configuration says, else what
            its name says (``_224_``), else 224.
        labels: Class names; Keras files have none.

    Raises:
        FormatError: If the file is damaged or is not MobileNet V1; the tensor or layer is named.
    """
    path = Path(path)
    weights, config_text = _read(path)
    config = read_config(config_text) if config_text is not None else KerasConfig()
    return mobilenet_v1_from_tensors(
        unique(_translate(tensor, value) for tensor, value in weights.items()),
        Surroundings(
            resolution=resolution or config.resolution or resolution_in_name(path.name) or 224,
            epsilon=config.epsilon,
            activation=config.activation,
            paddings=_paddings(config),
            preprocessing=config.preprocessing,
            labels=labels,
            provenance={"imported": {"from": "keras", "file": path.name, "configuration": config_text is not None}},
        ),
    )


def resolution_in_name(name: str) -> int | None:
    """The resolution that a published file's name ends in.

    >>> resolution_in_name("mobilenet_2_5_224_tf_no_top.h5"), resolution_in_name("weights.h5")
    (224, None)
    """
    found = re.search(r"_(128|160|192|224|256)(?=[_.])", name)
    return int(found.group(1)) if found else None


def _read(path: Path) -> tuple[dict[str, Tensor], str | bytes | None]:
    """All tensors by path, and the configuration's JSON where there is one."""
    data: bytes | memoryview = read_file(path)
    config: str | bytes | None = None
    if data[:2] == b"PK":
        archive = ZipMembers(bytes(data), "the .keras file")
        config = bytes(archive.member("config.json"))
        data = archive.member("model.weights.h5")
    file = read_hdf5(data)
    if config is None:
        config = file.attributes.get("model_config")
    whole = {name.removeprefix(ROOT): value for name, value in file.datasets.items() if name.startswith(ROOT)}
    return {name: value for name, value in (whole or file.datasets).items() if not name.startswith(OPTIMIZER)}, config


def _translate(tensor: str, value: Tensor) -> tuple[str, Found]:
    """This package's name for a tensor, and the tensor in PyTorch's layout."""
    parts = [part for part in tensor.split("/") if part != "vars"]
    layer, variable = (parts[-2] if len(parts) > 1 else ""), parts[-1].removesuffix(":0")
    ours, norm = _layer_name(layer, value)
    if ours is None:
        raise FormatError(f"{tensor} belongs to no layer of MobileNet V1")
    if norm and variable in _BATCH_NORM:
        return f"{ours}.batch_norm.{_BATCH_NORM[variable]}", Found(tensor, value)
    if not norm and variable in _WEIGHT:
        return f"{ours}.weight", Found(tensor, _kernel(tensor, ours, value))
    if not norm and variable in _BIAS:
        return f"{ours}.bias", Found(tensor, value)
    raise FormatError(f"{tensor} is a variable that MobileNet V1 does not have")


def _layer_name(layer: str, value: Tensor) -> tuple[str | None, bool]:
    """This package's name for a Keras layer, and whether it is that layer's batch norm."""
    if layer in ("conv1", "conv1_bn"):
        return "stem", layer.endswith("_bn")
    if layer in ("conv_preds", "predictions"):
        return "classifier", False
    if named := _NAMED.fullmatch(layer):
        kind = "depthwise" if named["kind"] == "dw" else "pointwise"
        return f"block{named['block']}.{kind}", named["norm"] is not None
    if numbered := _NUMBERED.fullmatch(layer):
        return _numbered(numbered["kind"], int(numbered["number"] or 0))
    # A head of any name, on top of a base network: a dense kernel has two axes and nothing else here does.
    return ("classifier" if value.ndim <= 2 else None), False


def _numbered(kind: str, number: int) -> tuple[str | None, bool]:
    """Keras 3 counts layers of each class in the order in which the model has them."""
    if kind == "dense":
        return "classifier", False
    if kind == "depthwise_conv2d":
        return f"block{number + 1}.depthwise", False
    if kind == "conv2d":
        if number == BLOCKS + 1:
            return "classifier", False
        return (f"block{number}.pointwise" if number else "stem"), False
    part = "depthwise" if number % 2 else "pointwise"
    return (f"block{(number + 1) // 2}.{part}" if number else "stem"), True


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
    probe = np.zeros((1, 1, 1, 1), np.float32)
    named = {_layer_name(layer, probe)[0]: padding for layer, padding in config.padding.items()}
    return {
        name: padding
        for name, padding in named.items()
        if name is not None and padding is not None and not name.endswith(("pointwise", "classifier"))
    }
