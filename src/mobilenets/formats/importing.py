"""Any source of weights → Model: finds the file, recognises its format, and reads it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobilenets.architecture.layers import Activation
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import read_file
from mobilenets.formats.containers.hdf5 import SIGNATURE as HDF5
from mobilenets.formats.containers.safetensors_file import read_safetensors
from mobilenets.formats.download import fetch, fetch_from_hub
from mobilenets.formats.imagenet import imagenet_labels
from mobilenets.formats.keras import from_keras
from mobilenets.formats.litert.file import IDENTIFIER as TFLITE
from mobilenets.formats.litert.read import from_tflite
from mobilenets.formats.onnx import read as onnx_format
from mobilenets.formats.published import published_source
from mobilenets.formats.pytorch import from_pytorch
from mobilenets.formats.tf_slim import from_tf_slim, is_tf_slim
from mobilenets.formats.timm import CONFIG_FILE, WEIGHTS_FILES, from_timm, is_timm
from mobilenets.formats.torch_checkpoint import is_torch_checkpoint, read_torch_checkpoint
from mobilenets.model.file import FORMAT, load
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification, class_count

Resolution = int | tuple[int, int]
_HUB = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")


def import_model(
    source: str | Path,
    *,
    resolution: Resolution | None = None,
    labels: tuple[str, ...] | None = None,
    progress: Progress = SILENT,
) -> Model:
    """Read published or foreign weights into a Model.

    Args:
        source: A file or folder; ``https://…``; ``hub:owner/name`` or ``hub:owner/name@revision``; or a published
            network by its short name (see :func:`~mobilenets.formats.published.published_source`).
        resolution: Input side in pixels, or (height, width), where the source leaves it open.
        labels: Class names. By default those in the source; else ImageNet's for 1,000 or 1,001 classes; else numbers.
        progress: Told of downloads.

    Raises:
        FormatError: If the source cannot be reached, recognised or read.
        ModelFileError: If it is a Model file of this package, and a damaged one.
    """
    path, origin = _find(str(source), progress)
    model = _read(path, resolution, labels)
    if labels is None and isinstance(model.task, Classification) and model.task.is_numbered:
        names = imagenet_labels(len(model.labels))
        model = replace(model, task=Classification(names)) if names else model
    imported = dict(model.provenance.get("imported", {})) | {"source": origin}
    if path.is_file():
        imported["sha256"] = hashlib.sha256(read_file(path)).hexdigest()
    return replace(model, provenance={**model.provenance, "imported": imported})


def _find(source: str, progress: Progress) -> tuple[Path, str]:
    """A local path, and what to remember of where it came from."""
    address = source if Path(source).exists() else published_source(source)
    if hub := _HUB.fullmatch(address):
        folder = fetch_from_hub(hub["repository"], revision=hub["revision"])
        return folder, f"hub:{hub['repository']}@{folder.name}"
    if address.startswith("hub:"):
        raise FormatError(f"{address!r} is not of the form hub:owner/name or hub:owner/name@revision")
    if "://" in address:
        return fetch(address, progress=progress), address
    return Path(address), Path(address).name


def _read(path: Path, resolution: Resolution | None, labels: tuple[str, ...] | None) -> Model:
    """Recognise the format by content, not by name."""
    if is_tf_slim(path):
        return from_tf_slim(path, resolution=resolution, labels=labels)
    if path.is_dir():
        if any((path / name).is_file() for name in WEIGHTS_FILES):
            return _read_weights(path, resolution, labels)
        raise FormatError(f"{path} holds no weights: neither {', '.join(WEIGHTS_FILES)} nor a checkpoint's .index")
    data = read_file(path)
    if data.startswith(HDF5) or (data[:2] == b"PK" and b"model.weights.h5" in data):
        return from_keras(path, resolution=resolution, labels=labels)
    if data[4:8] == TFLITE:
        return _fixed(from_tflite(path, labels=labels), resolution)
    if is_torch_checkpoint(data) or data[8:9] == b"{":
        return _read_weights(path, resolution, labels)
    if data[:1] == b"\x08" or path.suffix.lower() == ".onnx":
        return _fixed(onnx_format.from_onnx(path, labels=labels), resolution)
    raise FormatError(
        f"{path} is of no format that is read: Keras (.h5, .keras), TF-slim (.index), timm or PyTorch "
        "(.safetensors, .bin, .pth), LiteRT (.tflite), ONNX"
    )


def _read_weights(path: Path, resolution: Resolution | None, labels: tuple[str, ...] | None) -> Model:
    """A file or folder of tensors as PyTorch names them, or a Model file of this package."""
    file = path if path.is_file() else next(path / name for name in WEIGHTS_FILES if (path / name).is_file())
    data = read_file(file)
    if is_torch_checkpoint(data):
        names: dict[str, Any] = dict(read_torch_checkpoint(data))
    else:
        names, metadata = read_safetensors(data)
        if metadata.get("format") == FORMAT:
            return _fixed(load(file), resolution)
    reader: Callable[..., Model] = from_timm if is_timm(names) or (file.parent / CONFIG_FILE).exists() else from_pytorch
    return reader(path, resolution=resolution, labels=labels)


def _fixed(model: Model, resolution: Resolution | None) -> Model:
    """A Model whose file fixes the resolution."""
    size = model.network.height, model.network.width
    if resolution is not None and resolution not in (size, size[0] if size[0] == size[1] else None):
        raise FormatError(f"the file is of a network for {size[0]}×{size[1]} pixels; {resolution} was asked for")
    return model


def recognition(model: Model) -> dict[str, Any]:
    """What was recognised in an imported Model, for people: every field is a short text or a number."""
    network, imported = model.network, model.provenance.get("imported", {})
    epsilons = sorted({norm.epsilon for layer in network.layers if (norm := layer.batch_norm)})
    activations = sorted({layer.activation for layer in network.layers} - {Activation.NONE})
    preprocessing = model.preprocessing
    numbered = isinstance(model.task, Classification) and model.task.is_numbered
    return {
        "family": str(imported.get("from", "mobilenets")),
        "network": network.name,
        "width_multiplier": network.width_multiplier,
        "resolution": f"{network.height}×{network.width}",
        "classes": class_count(network),
        "output": network.outputs[0],
        "padding": str(network.padding_policy),
        "batch_norm": ", ".join(f"ε {epsilon:g}" for epsilon in epsilons) or "folded",
        "activation": ", ".join(activations) or "none",
        "input_scaling": f"(pixel / 255 − {_short(preprocessing.mean)}) / {_short(preprocessing.std)}",
        "labels": "numbered" if numbered else f"{model.labels[0]!r} to {model.labels[-1]!r}",
        "precision": model.precision,
    }


def _short(values: tuple[float, ...]) -> str:
    return f"{values[0]:.4g}" if len(set(values)) == 1 else f"({', '.join(f'{value:.4g}' for value in values)})"


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names from a text file, one a line.

    Raises:
        FormatError: If the file is not UTF-8 text.
    """
    try:
        return tuple(read_file(path).decode("utf-8-sig").splitlines())
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text; one label a line was expected") from None
