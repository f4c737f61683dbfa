"""What a Keras file holds: variables by path, the model's configuration, and what it was compiled with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mobilenets.errors import FormatError
from mobilenets.formats.containers.hdf5 import SIGNATURE, read_hdf5
from mobilenets.formats.containers.zip_members import ZipMembers
from mobilenets.formats.keras.config import KerasCall, snake_case
from mobilenets.formats.source import Source
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor

ROOT = "model_weights/"
"""Group of the weights in a whole model; its neighbors belong to the optimizer."""
ARCHIVED_WEIGHTS = "model.weights.h5"
"""Member of a ``.keras`` archive."""
ARCHIVED_CONFIG = "config.json"
_TRAINING = ("optimizer/", "optimizer_weights/", "metrics/", "_metrics/", "loss/", "_loss_tracker/", "top_level_model/")
"""Groups that hold the state of training: the optimizer's, and sums of losses and metrics."""
_COUNTED = {"seed_generator", "random_generator"}
"""Layers in which augmentation keeps the state of its random numbers."""


@dataclass(frozen=True)
class KerasFile:
    """Contents of a file.

    Attributes:
        variables: Variables of layers by path, without those of training.
        config: JSON of the model's configuration; None in a file of weights alone.
        loss: What the model was compiled to minimize, in snake case; empty where the file does not say.
        version: Of the Keras that wrote the file, such as ``2.15.0``; empty where the file does not say.
        archived: Whether variables lie in a tree of classes (``layers/conv2d_3/vars/0``), not under layers' names.
        layers: Names of layers, and of groups within them, also of layers without variables.
    """

    variables: Mapping[str, Tensor]
    config: str | bytes | None
    loss: str
    version: str
    archived: bool
    layers: frozenset[str] = frozenset()

    @property
    def of_keras_3(self) -> bool:
        """Whether Keras 3 or later wrote the file."""
        return not self.version.startswith(("1.", "2."))

    def of(self, call: KerasCall) -> dict[str, NamedTensor]:
        """Variables of a layer by their last name: ``kernel``, or ``0`` where they are numbered.

        Raises:
            FormatError: If several layers share the name, and the file does not tell them apart.
        """
        if self.archived:
            return {
                path.rpartition("/")[2]: NamedTensor(path, value)
                for place in (f"{call.place}/vars/",)
                for path, value in self.variables.items()
                if path.startswith(place)
            }
        return self._named(call)

    def _named(self, call: KerasCall) -> dict[str, NamedTensor]:
        """Variables under a layer's name, and under that of the outermost model or layer, as HDF5 files group them."""
        outermost = (*call.models, call.name)[0]
        found: dict[str, list[str]] = {}
        for path in self.variables:
            group, _, variable = path.rpartition("/")
            if not path.startswith(f"{outermost}/"):
                continue
            if group == call.name or group.endswith(f"/{call.name}"):
                found.setdefault(variable.partition(":")[0], []).append(path)
        return {variable: self._one(call, paths) for variable, paths in found.items()}

    def _one(self, call: KerasCall, paths: list[str]) -> NamedTensor:
        """The one of several paths that names the models that the layer lies in."""
        if len(paths) > 1:
            models = call.models[1:]
            paths = [path for path in paths if all(f"/{name}/" in path for name in models)] or paths
        if len(paths) != 1:
            raise FormatError(f"{' and '.join(paths[:2])} are both variables of a layer {call.name!r}")
        return NamedTensor(paths[0], self.variables[paths[0]])


def is_keras(source: Source) -> bool:
    """Whether a source is HDF5, or a ZIP archive of Keras 3."""
    return source.data.startswith(SIGNATURE) or (
        source.archive is not None and ARCHIVED_WEIGHTS in source.archive.names
    )


def read_keras(source: Source) -> KerasFile:
    """Read a file's variables and texts.

    Raises:
        FormatError: If it is damaged, or holds no variables.
    """
    data: bytes | memoryview = source.data
    config: str | bytes | None = None
    loss = version = ""
    if source.archive is not None:
        config = bytes(source.archive.member(ARCHIVED_CONFIG))
        data = source.archive.member(ARCHIVED_WEIGHTS)
        loss = _loss(config, "compile_config")
        version = _version(source.archive)
    file = read_hdf5(data)
    if config is None:
        config = file.attributes.get("model_config")
        loss = _loss(file.attributes.get("training_config", ""))
        version = file.attributes.get("keras_version", "")
    whole = {name.removeprefix(ROOT): value for name, value in file.datasets.items() if name.startswith(ROOT)}
    variables = {_slashed(name): value for name, value in (whole or file.datasets).items()}
    variables = {name: value for name, value in variables.items() if not _is_of_training(name)}
    if not variables:
        raise FormatError(
            f"{source.path.name} holds no weights"
            + ("; a configuration alone is not a network: save the whole model" if config is not None else "")
        )
    layers = frozenset(_slashed(path).rpartition("/")[2] for path in file.groups)
    archived = any("/vars/" in name for name in variables)
    return KerasFile(variables, config, loss, version, archived, layers)


def _slashed(name: str) -> str:
    """A path as Keras 3 writes it. The first archives of Keras 2 join with backslashes what they made on Windows."""
    name = name.replace("\\", "/")
    return name.replace("_layer_checkpoint_dependencies/", "layers/")


def _is_of_training(name: str) -> bool:
    return name.startswith(_TRAINING) or not _COUNTED.isdisjoint(name.split("/"))


def _loss(text: str | bytes, key: str | None = None) -> str:
    """Name of the loss that a model was compiled with, as ``binary_crossentropy``; empty where there is none."""
    try:
        content = json.loads(text)
        content = content[key] if key else content
        loss = content["loss"]
        name = loss["class_name"] if isinstance(loss, Mapping) else loss
        return snake_case(name) if isinstance(name, str) else ""
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""


def _version(archive: ZipMembers) -> str:
    """Version of the Keras that wrote an archive."""
    if "metadata.json" not in archive.names:
        return ""
    try:
        return str(json.loads(bytes(archive.member("metadata.json")))["keras_version"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
