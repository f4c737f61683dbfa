"""The Model: a Network with its parameters, its task and its preprocessing.

Every part of this package makes, improves or reads one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Layer
from mobilenets.architecture.multipliers import check_resolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_width
from mobilenets.base.arguments import check_fields
from mobilenets.base.records import record
from mobilenets.base.text import GAP, size
from mobilenets.errors import ModelError
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import LARGEST_SCALE, Quantization
from mobilenets.tasks.task import Task

Tensor = npt.NDArray[Any]

MOST_SUBNETS = 4096
"""Statistics of more subnets than that are refused: a hostile file wants memory."""


@record(frozen=True, eq=False)
class Model:
    """A network that can answer.

    Attributes:
        network: The layers.
        parameters: Tensors by name, ``<layer>.weight`` and so on; see :func:`parameter_types`.
        task: What the outputs mean, such as :class:`~mobilenets.tasks.classification.Classification`.
        preprocessing: How images become input.
        quantization: What the integers mean, for an int8 Model; None for a float32 one.
        provenance: How the Model came to be: recipe, data fingerprint, seed, metrics, versions. JSON values only.
        subnets: Of a supernet, the batch-norm statistics of its subnets by (α, resolution):
            float32 (2, channels), means and then variances, of all layers with batch norm in order.

    Raises:
        ModelError: If a tensor is missing, unknown, or not of the type and shape that the network needs, or the network
            cannot do the task.

    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> parameters = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> model = Model(network, parameters, Classification(("cat", "dog")))
    >>> model
    Model(mobilenet_v1, width 0.25, 32×32, float32, 876 kB, image classifier over 2 classes)
    >>> model.parameters["block1.depthwise.weight"].shape
    (8, 1, 3, 3)
    >>> Model(network, parameters, Classification(("cat", "dog", "bird")))
    Traceback (most recent call last):
    ...
    mobilenets.errors.ModelError: 3 labels for a network of 2 classes
    """

    network: Network
    parameters: Mapping[str, Tensor]
    task: Task
    preprocessing: Preprocessing = Preprocessing()
    quantization: Quantization | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    subnets: Mapping[tuple[float, int], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        self.task.check(self.network)
        if self.quantization is not None:
            self.quantization.check(self.network)
        needed = parameter_types(self.network, self.quantization)
        for name, (dtype, shape) in needed.items():
            tensor = self.parameters.get(name)
            if tensor is None:
                if name.endswith(".weight_zero_point"):
                    continue
                raise ModelError(f"{name} is missing; the network needs it with shape {shape}")
            if tensor.shape != shape:
                raise ModelError(f"{name} has shape {tensor.shape}; the network needs {shape}")
            if tensor.dtype != dtype:
                raise ModelError(f"{name} holds {tensor.dtype}; the model needs {dtype}")
            # Written so that NaN fails: a scale that is no number would reach native code as a multiplier.
            if name.endswith(".weight_scale") and not np.all((tensor >= 0) & (tensor <= LARGEST_SCALE)):
                raise ModelError(f"{name} holds scales that are not in 0 to {LARGEST_SCALE:g}")
        unknown = set(self.parameters) - set(needed)
        if unknown:
            raise ModelError(f"{min(unknown)} belongs to no layer of {self.network.name}")
        if self.subnets:
            _check_subnets(self)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class of a classifier, in the order of the logits.

        Raises:
            ModelError: If the task is another one.
        """
        if self.task.labels is None:
            raise ModelError(f"only a classifier has labels; this Model's task is {self.task.kind}")
        return self.task.labels

    @property
    def summary(self) -> str:
        """What it is, in a line: ``mobilenet_v1, width 0.25, 32×32, int8, 240 kB, image classifier over 3 classes``."""
        taken = size(self.parameter_bytes).replace(GAP, " ")
        features = f"{self.network.shapes[self.network.outputs[0]].channels:,} features"
        gives = features if self.network.gives_features else self.task.description
        return f"{self.network.summary}, {self.precision}, {taken}, {gives}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    @property
    def precision(self) -> str:
        """``"float32"`` or ``"int8"``."""
        return "float32" if self.quantization is None else "int8"

    @cached_property
    def parameter_bytes(self) -> int:
        """Bytes of all tensors, in memory."""
        return sum(tensor.nbytes for tensor in self.parameters.values())

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Model:
        """The same Model with other parameters, and so without statistics of subnets.

        Args:
            parameters: Tensors by name, all of them.

        Raises:
            ModelError: If one is missing, unknown, or of another type or shape.
        """
        return replace(self, parameters=parameters, subnets={})


def parameter_types(
    network: Network, quantization: Quantization | None = None
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Type and shape of every tensor of a Model, by name.

    A float32 Model holds what :meth:`Network.parameter_shapes` lists. An int8 Model holds, for every layer with
    weights, ``weight`` (int8), ``weight_scale`` (float32, one per output channel), ``bias`` (int32), and, only where
    the weights are asymmetric, ``weight_zero_point`` (int8, one per output channel).
    """
    if quantization is None:
        return {name: (np.dtype(np.float32), shape) for name, shape in network.parameter_shapes().items()}
    return dict(_integer_types(network))


def _integer_types(network: Network) -> Iterator[tuple[str, tuple[np.dtype[Any], tuple[int, ...]]]]:
    for layer in network.layers:
        if layer.has_weight:
            shape = layer.weight_shape(network.input_shapes(layer))
            yield f"{layer.name}.weight", (np.dtype(np.int8), shape)
            yield f"{layer.name}.weight_scale", (np.dtype(np.float32), shape[:1])
            yield f"{layer.name}.weight_zero_point", (np.dtype(np.int8), shape[:1])
            yield f"{layer.name}.bias", (np.dtype(np.int32), shape[:1])


def broken_tensor(parameters: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds a NaN or an infinity; None where all hold numbers.

    An activation may make numbers of them again, so that a broken network answers as if nothing were wrong.

    >>> broken_tensor({"a.weight": np.ones(3, np.float32), "a.bias": np.array([0, np.nan], np.float32)})
    'a.bias'
    """
    for name, tensor in parameters.items():
        if tensor.dtype.kind == "f" and tensor.size and not np.isfinite([tensor.min(), tensor.max()]).all():
            return name
    return None


def normalized_layers(network: Network) -> tuple[Layer, ...]:
    """The layers of a network that have a batch norm, in order."""
    return tuple(layer for layer in network.layers if layer.batch_norm is not None)


def _check_subnets(model: Model) -> None:
    """Raise if the statistics of a Model's subnets do not belong to its network."""
    if model.quantization is not None:
        raise ModelError("an int8 Model has no subnets: its scales hold for its own width only")
    if len(model.subnets) > MOST_SUBNETS:
        raise ModelError(f"statistics of {len(model.subnets)} subnets; at most {MOST_SUBNETS} are read")

    @cache
    def channels(width: float) -> int:
        network = with_width(model.network, width)
        return sum(network.shapes[layer.name].channels for layer in normalized_layers(network))

    for (width, resolution), statistics in model.subnets.items():
        check_resolution(resolution)
        shape = (2, channels(width))
        if statistics.shape != shape or statistics.dtype != np.float32:
            raise ModelError(
                f"statistics of subnet {width:g}-{resolution} are {statistics.dtype} {statistics.shape}; "
                f"the network needs float32 {shape}"
            )
        if not (np.isfinite(statistics).all() and (statistics[1] >= 0).all()):
            raise ModelError(f"statistics of subnet {width:g}-{resolution} have a negative variance, NaN or infinity")
