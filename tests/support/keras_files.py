"""Writes files as Keras does, of MobileNet V1 with a head of one's own, so that tests have files of every kind."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.foreign import KERAS, channels_last, parts
from tests.support.tfjs_files import stored_weights

from mobilenets.architecture.layers import DepthwiseConvolution
from mobilenets.formats.keras.config import snake_case
from mobilenets.model.model import Model, Tensor

_NAMES = {"DepthwiseConv2D": {"kernel": "depthwise_kernel"}}
"""Names of variables in Keras 2 that are others than in Keras 3."""


@dataclass(frozen=True)
class KerasLayer:
    """A layer as a configuration lists it.

    Attributes:
        kind: Its class.
        name: Its name.
        config: Its settings.
        variables: Its variables by name, in the order of their numbers.
        arguments: Constants behind the tensor that an operator reads.
    """

    kind: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Tensor] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class KerasNested:
    """A model within the model: Functional, or Sequential."""

    name: str
    layers: tuple[KerasLayer, ...]
    kind: str = "Functional"


Part = KerasLayer | KerasNested


def dense(name: str, kernel: Tensor, bias: Tensor | None = None, activation: Any = "linear") -> KerasLayer:
    """A fully connected layer; kernel (in, out)."""
    variables = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    config = {"units": kernel.shape[1], "activation": activation, "use_bias": bias is not None}
    return KerasLayer("Dense", name, config, variables)


def batch_norm(name: str, statistics: Sequence[Tensor], epsilon: float = 1e-3, **config: Any) -> KerasLayer:
    """A batch norm with γ, β, mean and variance."""
    names = [KERAS[ours] for ours in ("weight", "bias", "running_mean", "running_var")]
    return KerasLayer(
        "BatchNormalization",
        name,
        {"epsilon": epsilon, "axis": -1, "scale": True, "center": True, **config},
        dict(zip(names, statistics, strict=True)),
    )


def convolution(name: str, kernel: Tensor, *, stride: int = 1, padding: str = "same", **config: Any) -> KerasLayer:
    """A convolution without a bias; kernel (height, width, in, out)."""
    common = {"strides": [stride, stride], "padding": padding, "data_format": "channels_last", "use_bias": False}
    return KerasLayer("Conv2D", name, {**common, "activation": "linear", **config}, {"kernel": kernel})


def base_layers(model: Model, relu: float | None = 6.0) -> tuple[KerasLayer, ...]:
    """The layers of MobileNet V1 up to its last map, as ``keras.applications`` builds them."""
    layers: list[KerasLayer] = []
    for layer in model.network.layers:
        kind, block, _, _ = parts(f"{layer.name}.weight")
        if kind not in ("stem", "depthwise", "pointwise"):
            continue
        name = "conv1" if kind == "stem" else f"conv_{kind[0]}w_{block}"
        kernel = channels_last(kind, model.parameters[f"{layer.name}.weight"])
        stride = getattr(layer, "stride", 1)
        padding = getattr(layer, "padding", None)
        if stride == 2 and padding is not None:
            zeros = [[padding.top, padding.bottom], [padding.left, padding.right]]
            layers.append(KerasLayer("ZeroPadding2D", f"{name}_pad", {"padding": zeros}))
        window = convolution(name, kernel, stride=stride, padding="valid" if stride == 2 else "same")
        if isinstance(layer, DepthwiseConvolution):
            window = KerasLayer("DepthwiseConv2D", name, window.config, window.variables)
        statistics = [model.parameters[tensor] for tensor in layer.batch_norm_names]
        epsilon = layer.batch_norm.epsilon if layer.batch_norm is not None else 1e-3
        layers += [window, batch_norm(f"{name}_bn", statistics, epsilon)]
        layers.append(KerasLayer("ReLU", f"{name}_relu", {"max_value": relu, "negative_slope": 0.0, "threshold": 0.0}))
    return tuple(layers)


def write_keras(path: Path, model: Sequence[Part], shape: Sequence[int | None], **compiled: Any) -> Path:
    """Write a model in the form that the suffix asks for: ``.keras`` of Keras 3, ``.h5`` of Keras 2, ``.weights.h5``.

    Args:
        path: Where to.
        model: Its parts, which read each other in order.
        shape: (height, width, channels) of the image.
        compiled: What it was compiled with: ``loss``.
    """
    if path.name.endswith(".weights.h5"):
        return _write_hdf5(path, {**_archived(model, ""), **_TRAINING})
    if path.suffix == ".h5":
        attributes = {"model_config": json.dumps(_functional(model, shape, 2)), "keras_version": "2.15.0"}
        if compiled:
            attributes["training_config"] = json.dumps(compiled)
        tensors = {f"model_weights/{name}": value for name, value in _named(model).items()}
        return _write_hdf5(path, {**tensors, "optimizer_weights/Adam/iterations:0": np.int64(3)}, **attributes)
    weights = _write_hdf5(path.with_suffix(".tmp.h5"), {**_archived(model, ""), **_TRAINING})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        archive.writestr("config.json", json.dumps({**_functional(model, shape, 3), "compile_config": compiled}))
        archive.write(weights, "model.weights.h5")
    weights.unlink()
    return path


def write_tfjs(folder: Path, model: Sequence[Part], shape: Sequence[int | None], stored: str = "float32") -> Path:
    """Write a layers model of TensorFlow.js: ``model.json`` and two shards.

    Args:
        folder: Where to.
        model: Its parts, which read each other in order.
        shape: (height, width, channels) of the image.
        stored: Type of the stored numbers; weights of ``uint8`` and ``uint16`` have a scale and a least value each.
    """
    folder.mkdir(exist_ok=True)
    tensors = {"/".join(path.split("/")[1:]).removesuffix(":0"): value for path, value in _named(model).items()}
    manifest = stored_weights(folder, tensors, stored)
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": _functional(model, shape, 2)}
    said = {"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(said))
    return folder / "model.json"


_TRAINING = {
    "metrics/mean/vars/0": np.float32(1),
    "optimizer/vars/0": np.int64(3),
    "optimizer/vars/1": np.zeros((3, 3), np.float32),
}
"""What a compiled and fitted model saves beside its layers."""


def _write_hdf5(path: Path, tensors: dict[str, Any], **attributes: str) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            if value is None:
                file.create_group(name)
            else:
                file.create_dataset(name, data=value)
        file.attrs.update(attributes)
    return path


def _archived(model: Sequence[Part], place: str) -> dict[str, Tensor | None]:
    """Variables by path in an archive: classes, numbered. None is the empty group of a layer without variables."""
    count: Counter[str] = Counter()
    tensors: dict[str, Tensor | None] = {}
    for part in model:
        name = snake_case(part.kind)
        number = count[name]
        count[name] += 1
        path = f"{place}layers/{name}{f'_{number}' if number else ''}"
        if isinstance(part, KerasNested):
            tensors |= _archived(part.layers, f"{path}/")
        else:
            tensors |= {f"{path}/vars/{index}": value for index, value in enumerate(part.variables.values())}
            if not part.variables:
                tensors[f"{path}/vars"] = None
    return tensors


def _named(model: Sequence[Part], outer: str = "") -> dict[str, Tensor]:
    """Variables by path in an HDF5 file of Keras 2: names of layers."""
    tensors: dict[str, Tensor] = {}
    for part in model:
        if isinstance(part, KerasNested):
            tensors |= _named(part.layers, part.name)
            continue
        for name, value in part.variables.items():
            theirs = _NAMES.get(part.kind, {}).get(name, name)
            tensors[f"{outer or part.name}/{part.name}/{theirs}:0"] = value
    return tensors


def _functional(
    model: Sequence[Part], shape: Sequence[int | None], version: int, name: str = "model"
) -> dict[str, Any]:
    """The configuration of a functional model."""
    batch = [None, *shape]
    image = {"class_name": "InputLayer", "config": {"name": f"{name}_input"}, "name": f"{name}_input"}
    image["config"]["batch_input_shape" if version == 2 else "batch_shape"] = batch  # type: ignore[index]
    layers, before = [{**image, "inbound_nodes": []}], f"{name}_input"
    for part in model:
        if isinstance(part, KerasNested):
            layer = _nested(part, batch, version)
        else:
            layer = {"class_name": part.kind, "config": {"name": part.name, **part.config}}
        constants = part.arguments if isinstance(part, KerasLayer) else ()
        layers.append({**layer, "name": part.name, "inbound_nodes": [_call(before, constants, version)]})
        before = part.name
    ends = [[f"{name}_input", 0, 0]], [[before, 0, 0]]
    if version == 3:
        ends = ends[0][0], ends[1][0]  # type: ignore[assignment]
    return {
        "class_name": "Functional",
        "config": {"name": name, "layers": layers, "input_layers": ends[0], "output_layers": ends[1]},
    }


def _nested(part: KerasNested, batch: list[Any], version: int) -> dict[str, Any]:
    if part.kind == "Functional":
        return _functional(part.layers, batch[1:], version, part.name)
    layers = [{"class_name": layer.kind, "config": {"name": layer.name, **layer.config}} for layer in part.layers]
    return {"class_name": "Sequential", "config": {"name": part.name, "layers": layers}}


def _call(before: str, constants: tuple[Any, ...], version: int) -> Any:
    """How a call of a layer is written."""
    if version == 3:
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
        return {"args": [tensor, *constants], "kwargs": {}}
    if constants:
        return [before, 0, 0, {"y": constants[0], "name": None}]
    return [[before, 0, 0, {}]]
