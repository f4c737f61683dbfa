"""The Model: a Network with its parameters, its task and its preprocessing.

Every part of this package makes, improves or reads one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.errors import ModelError
from mobilenets.model import subnet as slicing
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.model.quantization import LARGEST_SCALE, Quantization
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Task

Tensor = npt.NDArray[Any]


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
        slices: Of a Model that was trained to be sliced, the batch-norm statistics of its slices by (α, resolution):
            float32 (2, channels), means and then variances, of all layers with batch norm in order.

    Raises:
        ModelError: If a tensor is missing, unknown, or not of the type and shape that the network needs, or the network
            cannot do the task.
    """

    network: Network
    parameters: Mapping[str, Tensor]
    task: Task
    preprocessing: Preprocessing = Preprocessing()
    quantization: Quantization | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    slices: Mapping[tuple[float, int], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
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
        if self.slices:
            slicing.check_slices(self)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class of a classifier, in the order of the logits.

        Raises:
            ModelError: If the task is another one.
        """
        if not isinstance(self.task, Classification):
            raise ModelError(f"only a classifier has labels; this Model's task is {self.task.kind}")
        return self.task.labels

    @property
    def precision(self) -> str:
        """``"float32"`` or ``"int8"``."""
        return "float32" if self.quantization is None else "int8"

    @cached_property
    def parameter_bytes(self) -> int:
        """Bytes of all tensors, as held in memory."""
        return sum(tensor.nbytes for tensor in self.parameters.values())

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Model:
        """The same Model with other parameters, which nobody has statistics of slices of."""
        return replace(self, parameters=parameters, slices={})

    def slice(self, width_multiplier: float, resolution: int, *, pixels: Pixels | None = None) -> Model:
        """An ordinary Model of a smaller width and resolution, with the first channels of every layer of this one.

        What comes out is as good as this Model was trained to be at that width (``mobilenets fit`` with a budget trains
        one so and writes it as ``shared.safetensors``). Its batch-norm statistics are those that were measured when
        training ended, where (α, resolution) is among :attr:`slices`; for any other they are measured on the pixels.

        Args:
            width_multiplier: α, from the smallest that was trained to this Model's own.
            resolution: Side of the square input, in pixels.
            pixels: uint8 (N, resolution, resolution, 3), some hundred training images prepared as for evaluation.

        Raises:
            ModelError: If the Model is int8, the width is below the smallest that was trained, or neither statistics
                nor pixels are there.
            ArchitectureError: If the network cannot have that width or resolution.
        """
        return slicing.slice_of(self, width_multiplier, resolution, pixels)


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
