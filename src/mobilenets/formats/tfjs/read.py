"""A TensorFlow.js model → Model.

Of a layers model, ``model.json`` holds the configuration of a Keras model and a manifest of the shards beside it, so it
is read as a Keras file is. Teachable Machine's ``metadata.json`` names the classes. Graph models hold TensorFlow's
operators instead (:mod:`mobilenets.formats.tfjs.graph_model`). Weights may be quantized to one or two bytes, or to
float16; they become float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import read_file
from mobilenets.formats.keras.config import KerasCall, snake_case
from mobilenets.formats.keras.file import KerasFile
from mobilenets.formats.keras.read import keras_model
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.tfjs.face_detector import MANIFEST, face_detector
from mobilenets.formats.tfjs.graph_model import graph_model
from mobilenets.formats.tfjs.weights import read_weights
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Model

MODEL = "model.json"
METADATA = "metadata.json"
"""What Teachable Machine writes beside a model: its labels."""


@dataclass(frozen=True)
class TfjsFile(KerasFile):
    """A layers model. Its variables lie under their layers' names, whatever models the layers lie in."""

    def of(self, call: KerasCall) -> dict[str, NamedTensor]:
        """Variables of a layer by their last name.

        Raises:
            FormatError: If several layers share the name, and the file does not tell them apart.
        """
        found: dict[str, list[str]] = {}
        for path in self.variables:
            group, _, variable = path.rpartition("/")
            if group == call.name or group.endswith(f"/{call.name}"):
                found.setdefault(variable, []).append(path)
        return {variable: self._one(call, paths) for variable, paths in found.items()}


def is_tfjs(source: Source) -> bool:
    """Whether a source is the JSON of a TensorFlow.js model, or a folder that holds one."""
    path = _model_file(source)
    if path is None:
        return False
    data = (source.data if path == source.path else read_file(path)).lstrip()
    if data[:1] == b"[":
        return b'"weights"' in data and b'"paths"' in data
    return data[:1] == b"{" and b'"modelTopology"' in data


def from_tfjs(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read a TensorFlow.js model into a float32 Model.

    Args:
        source: ``model.json``, or the manifest of face-api's detector, with its shards beside it; or the folder that
            holds it.
        resolution: Input side in pixels, or (height, width), where the file leaves it open.
        labels: Class names; by default those of ``metadata.json``, where there is one.

    Raises:
        FormatError: If the file is damaged, a shard is missing, or it holds a layer or an operator that this package
            does not have; it is named.
    """
    source = source_of(source)
    path = _model_file(source)
    if path is None:
        raise FormatError(f"{source.path} is no {MODEL} and holds none")
    content = _json(path)
    if isinstance(content, list):
        return face_detector(content, path, resolution=resolution, labels=labels)
    topology = content.get("modelTopology")
    if not isinstance(topology, Mapping):
        raise FormatError(f"{path.name} has no modelTopology: it holds weights and no network")
    if content.get("format") == "graph-model" or "node" in topology:
        return graph_model(content, path, resolution=resolution, labels=labels)
    configuration = topology.get("model_config", topology)
    variables = read_weights(content.get("weightsManifest"), path.parent)
    version = str(topology.get("keras_version", ""))
    file = TfjsFile(variables, json.dumps(configuration), _loss(topology), version, archived=False)
    names = labels or _labels(path.with_name(METADATA))
    return keras_model(file, source.path.name, "tfjs", resolution=resolution, labels=names)


def _model_file(source: Source) -> Path | None:
    """The JSON of a model: the source itself, or what a folder holds under its name."""
    path = source.path
    if path.is_dir():
        return next((path / name for name in (MODEL, MANIFEST) if (path / name).is_file()), None)
    return path if path.suffix == ".json" or source.data[:1] in (b"{", b"[") else None


def _json(path: Path) -> Mapping[str, Any] | list[Any]:
    try:
        content = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is not readable as JSON: {error!s:.100}") from None
    if not isinstance(content, Mapping | list):
        raise FormatError(f"{path.name} holds no JSON object")
    return content


def _loss(topology: Mapping[str, Any]) -> str:
    """Name of the loss that a model was compiled with; empty where the file does not say."""
    training = topology.get("training_config")
    loss = training.get("loss") if isinstance(training, Mapping) else None
    return snake_case(loss) if isinstance(loss, str) else ""


def _labels(path: Path) -> tuple[str, ...] | None:
    """The labels of Teachable Machine's metadata, where there are any."""
    if not path.is_file():
        return None
    content = _json(path)
    labels = content.get("labels") if isinstance(content, Mapping) else None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        return None
    return tuple(labels)
