"""Writers of what TensorFlow.js stores: manifests of weights with their shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.formats.names import SSD_MOBILENET_V1
from mobilenets.formats.tfjs.face_detector import ACROSS_FIRST, ANCHORS, FACE, LOGITS, MANIFEST, SIZE
from mobilenets.model.model import Model, Tensor
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead

SHARDS = ("group1-shard1of2.bin", "group1-shard2of2.bin")


def stored_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    stored: str = "float32",
    *,
    names: tuple[str, ...] = SHARDS,
    whole: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Write two shards beside each other.

    Args:
        folder: Where to.
        tensors: By their names in the manifest.
        stored: Type of the stored numbers; weights of ``uint8`` and ``uint16`` have a scale and a least value each.
            Integers stay what they are.
        names: Of the shards.
        whole: Names of tensors that stay float32.

    Returns:
        The manifest.
    """
    entries, content = [], b""
    for name, value in tensors.items():
        real, quantized = value.dtype.kind == "f", name not in whole
        entry: dict[str, Any] = {"name": name, "dtype": "float32" if real else "int32", "shape": list(value.shape)}
        if real and quantized and stored.startswith("uint"):
            low, high = float(value.min()), float(value.max())
            scale = (high - low) / np.iinfo(stored).max or 1.0
            entry["quantization"] = {"dtype": stored, "scale": scale, "min": low, "original_dtype": "float32"}
            content += np.rint((value - low) / scale).astype(stored).tobytes()
        else:
            if real and quantized and stored == "float16":
                entry["quantization"] = {"dtype": stored, "original_dtype": "float32"}
            content += value.astype(
                ("<f2" if stored == "float16" and quantized else "<f4") if real else "<i4"
            ).tobytes()
        entries.append(entry)
    half = len(content) // 2 + 1  # within a tensor, as shards are cut
    for name, part in zip(names, (content[:half], content[half:]), strict=True):
        (folder / name).write_bytes(part)
    return [{"paths": list(names), "weights": entries}]


def write_face_detector(folder: Path, model: Model, stored: str = "float32") -> Path:
    """Write a detector of faces as face-api's packages store theirs.

    Args:
        folder: Where to.
        model: SSD on MobileNet V1 with one class; its batch norms but those of depthwise layers are folded.
        stored: Type of the stored numbers.
    """
    assert isinstance(model.task, Detection)
    assert isinstance(model.task.head, AnchorHead)
    anchors = model.task.head.anchors
    corners = np.concatenate([anchors[:, 1::-1] - anchors[:, :1:-1] / 2, anchors[:, 1::-1] + anchors[:, :1:-1] / 2], 1)
    side = np.array([model.network.height, model.network.width], np.int32)
    tensors: dict[str, Tensor] = {SIZE: side, ANCHORS: corners[None], "concat_1/axis": np.array(1, np.int32)}
    for name, value in model.parameters.items():
        path, change = _published(name)
        tensors[path] = change(value)
    folder.mkdir(exist_ok=True)
    manifest = stored_weights(folder, tensors, stored, whole=(ANCHORS,))
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder / MANIFEST


def _published(name: str) -> tuple[str, Any]:
    """The packages' name of a tensor, and what makes theirs of its value."""
    layer, _, variable = name.rpartition(".")
    theirs = _layers()[layer]
    if layer.endswith(".batch_norm"):
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        return f"{theirs}/{names[variable]}", lambda value: value
    if variable == "bias":
        kind = "biases" if "BoxPredictor" in theirs else "convolution_bn_offset"
    else:
        kind = "depthwise_weights" if layer.endswith(".depthwise") else "weights"

    def change(value: Tensor) -> Tensor:
        if layer.endswith(".boxes"):
            value = value.reshape(-1, 4, *value.shape[1:])[:, ACROSS_FIRST].reshape(value.shape)
        elif layer.endswith(".logits"):
            others = np.full((len(value), LOGITS, *value.shape[1:]), 7, np.float32)
            others[:, FACE] = value
            value = others.reshape(-1, *value.shape[1:])
        return (
            value if value.ndim == 1 else value.transpose(2, 3, 0, 1) if "dep" in kind else value.transpose(2, 3, 1, 0)
        )

    return f"{theirs}/{kind}", change


def _layers() -> dict[str, str]:
    """The packages' name of every layer and batch norm by this package's."""
    rows = SSD_MOBILENET_V1.rows
    return {
        ours.format(block=block): theirs.format(block=block) for theirs, ours in rows.items() for block in range(1, 14)
    }
