"""What a foreign graph cannot say about a Model, as JSON in its metadata: written, and read back.

Weights and scales are never here: they are read from a file's own tensors. A file without a description is still a
whole network; with one, the Model's labels, preprocessing and names come back too. A description is trusted no more
than any other part of a file: it is decoded as a Model file's metadata is, and the tensors must be those that its
network needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mobilenets.architecture.encoding import decode_network, encode_network
from mobilenets.architecture.network import Network
from mobilenets.errors import ArchitectureError, FormatError, ModelError
from mobilenets.formats.weights import NamedTensor, float32
from mobilenets.model.model import Model, Tensor, parameter_types
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization
from mobilenets.tasks.catalog import decode_task
from mobilenets.tasks.task import Task

FIELDS = ("preprocessing", "network", "quantization", "provenance")
"""What every description has. Beside it stands ``task``; files written before there were tasks have ``labels``."""


def describe(model: Model) -> dict[str, str]:
    """Task, preprocessing, network, activation scales and provenance, each as a JSON text; and labels, if any."""
    labels = {} if model.task.labels is None else {"labels": list(model.task.labels)}
    fields = {
        "task": model.task.encode(),
        **labels,
        "preprocessing": model.preprocessing.encode(),
        "network": encode_network(model.network),
        "quantization": model.quantization.encode() if model.quantization else None,
        "provenance": dict(model.provenance),
    }
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        for name, value in fields.items()
    }


class Description:
    """What a description says.

    Args:
        texts: JSON by field name.

    Raises:
        FormatError: If it cannot be decoded.
    """

    def __init__(self, texts: Mapping[str, Any]) -> None:
        try:
            data = {name: json.loads(texts[name]) for name in FIELDS}
            self.network: Network = decode_network(data["network"])
            self.preprocessing = Preprocessing.decode(data["preprocessing"])
            quantization = data["quantization"]
            self.quantization = None if quantization is None else Quantization.decode(quantization)
            self.task = decode_task(json.loads(texts["task"])) if "task" in texts else _labeled(texts["labels"])
        except (KeyError, TypeError, ValueError, RecursionError, ArchitectureError, ModelError) as error:
            raise FormatError(f"the description of the network is not readable: {error}") from None
        self.provenance = data["provenance"]
        if not isinstance(self.provenance, dict):
            raise FormatError("the description's provenance is not an object")

    def model(self, tensors: Mapping[str, NamedTensor]) -> Model:
        """The Model, from tensors under its own names.

        Raises:
            FormatError: If a tensor is missing or does not fit.
        """
        parameters: dict[str, Tensor] = {}
        try:
            for name, (dtype, shape) in parameter_types(self.network, self.quantization).items():
                found = tensors.get(name)
                optional = name.endswith(".weight_zero_point")
                if found is None or (optional and not found.value.any()):
                    if optional:
                        continue
                    raise FormatError(f"the file has no tensor {name}")
                value = float32(found) if dtype == np.float32 else found.value
                if value.dtype != dtype or value.shape != shape:
                    raise FormatError(f"{found.source} is {value.dtype} {value.shape}; it must be {dtype} {shape}")
                parameters[name] = np.ascontiguousarray(value)
            return Model(
                network=self.network,
                parameters=parameters,
                task=self.task,
                preprocessing=self.preprocessing,
                quantization=self.quantization,
                provenance=self.provenance,
            )
        except (ModelError, ArchitectureError) as error:
            raise FormatError(str(error)) from None


def _labeled(text: Any) -> Task:
    """The task of a description that has labels only."""
    return decode_task({"kind": "classification", "labels": json.loads(text)})
