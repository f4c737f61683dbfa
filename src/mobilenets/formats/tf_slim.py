"""TF-slim: checkpoints of ``mobilenet_v1``, read without TensorFlow.

Moving averages of the weights are taken where the checkpoint has them, because those are what was published and
measured. The networks pad as SAME, use ReLU6 and a batch norm ε of 1e-3, and have 1001 classes of which the first is
the background.

Source: tensorflow/models, research/slim/nets/mobilenet_v1.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mobilenets.architecture.layers import BATCH_NORM_TENSORS
from mobilenets.errors import FormatError
from mobilenets.formats.containers.tensor_bundle import read_tensor_bundle
from mobilenets.formats.keras.read import resolution_in_name
from mobilenets.formats.names import MOBILENET_V1
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import ImportOptions, NamedTensor, mobilenet_v1_from_tensors, unique
from mobilenets.model.model import Model, Tensor
from mobilenets.model.provenance import Imported

AVERAGE = "/ExponentialMovingAverage"
NAMES = MOBILENET_V1["tf-slim"]
_BATCH_NORM = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), BATCH_NORM_TENSORS, strict=True))
_TRAINING_ONLY = re.compile(
    r".*/(RMSProp(_1)?|Momentum|Adam(_1)?|\w*_quant/.*)|global_step|beta[12]_power|.*/(biased|local_step).*"
)
"""The state of optimizers, and the ranges that quantization-aware training keeps."""


def is_tf_slim(source: Source) -> bool:
    """Whether a source is a checkpoint: its prefix, one of its files, or a folder with its index."""
    return _index(source.path) is not None


def from_tf_slim(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read a checkpoint into a float32 Model.

    Args:
        source: The checkpoint's prefix (``mobilenet_v1_1.0_224.ckpt``), its ``.index`` file, or a folder of
            one.
        resolution: Input side in pixels, or (height, width); by default what the name says (``_224``), else 224.
        labels: Class names; checkpoints have none.

    Raises:
        FormatError: If a file is damaged or missing, or a tensor is not one of MobileNet V1; it is named.
    """
    path = source_of(source).path
    index = _index(path)
    if index is None:
        raise FormatError(f"{path} is no checkpoint: there is no .index file")
    tensors = read_tensor_bundle(index)
    chosen = _averages_first(tensors)
    return mobilenet_v1_from_tensors(
        unique(_translate(name, value) for name, value in chosen.items()),
        ImportOptions(
            resolution=resolution or resolution_in_name(index.name) or 224,
            labels=labels,
            imported=Imported("tf-slim", index.name, moving_averages=any(name.endswith(AVERAGE) for name in tensors)),
        ),
    )


def _index(path: Path) -> Path | None:
    """The index of a checkpoint."""
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        return found[0] if len(found) == 1 else None
    if path.suffix == ".index":
        return path
    prefix = path.name.partition(".data-")[0]
    index = path.with_name(f"{prefix}.index")
    return index if index.is_file() else None


def _averages_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own variables, each with its moving average's value where there is one."""
    names = [name for name in tensors if not name.endswith(AVERAGE) and not _TRAINING_ONLY.fullmatch(name)]
    return {name: tensors.get(f"{name}{AVERAGE}", tensors[name]) for name in names}


def _translate(name: str, value: Tensor) -> tuple[str, NamedTensor]:
    """This package's name for a tensor, and the tensor in PyTorch's layout."""
    layer, _, variable = name.rpartition("/")
    ours = NAMES.layer(layer)
    if ours is None:
        raise FormatError(f"{name} belongs to no layer of MobileNet V1")
    if ours.endswith(".batch_norm") and variable in _BATCH_NORM:
        return f"{ours}.{_BATCH_NORM[variable]}", NamedTensor(name, value)
    if ours.endswith(".batch_norm") or variable not in ("weights", "depthwise_weights", "biases"):
        raise FormatError(f"{name} is a variable that MobileNet V1 does not have")
    if variable == "biases":
        return f"{ours}.bias", NamedTensor(name, value)
    if value.ndim != 4:
        raise FormatError(f"{name} has shape {value.shape}; a convolution's weights have 4 axes")
    if ours == "classifier":
        if value.shape[:2] != (1, 1):
            raise FormatError(f"{name} has shape {value.shape}; (1, 1, in, out) was expected")
        return "classifier.weight", NamedTensor(name, value[0, 0].T)
    order = (2, 3, 0, 1) if variable == "depthwise_weights" else (3, 2, 0, 1)
    return f"{ours}.weight", NamedTensor(name, np.transpose(value, order))
