"""What the integers of an int8 Model mean.

Activations are uint8, affine per tensor: ``real = scale · (q − zero_point)``. Weights are int8 and symmetric per
output channel, ``real = weight_scale[c] · q`` with q in [−127, 127] ([−7, 7] at 4 bits); networks that were published
with asymmetric weights carry a weight zero point too. Biases are int32 at input scale · weight scale. What is computed
with them is defined by :mod:`mobilenets.model.reference`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, Layer, MaxPool
from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.errors import ModelError

SMALLEST_SCALE = 1e-12
LARGEST_SCALE = 1e12
"""Bounds on scales, so that no product or quotient of three of them leaves float32, whatever a file says."""


@record(frozen=True)
class TensorQuantization:
    """Scale and zero point of one uint8 activation: ``real = scale · (q − zero_point)``."""

    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not SMALLEST_SCALE <= self.scale <= LARGEST_SCALE:
            raise ModelError(
                f"an activation's scale must be from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}, not {self.scale!r:.40}"
            )
        # Scales are float32 on every machine that runs the model, so they are float32 from the start.
        object.__setattr__(self, "scale", float(np.float32(self.scale)))
        if not 0 <= self.zero_point <= 255:
            raise ModelError(f"an activation's zero point must be in 0 to 255, not {self.zero_point!r}")

    def clamp(self, activation: Activation) -> tuple[int, int]:
        """Lowest and highest byte that an activation function leaves."""
        low = 0 if activation is Activation.NONE else self.zero_point
        if activation is Activation.RELU6:
            return low, min(255, self.zero_point + round(6 / self.scale))
        return low, 255


@record(frozen=True)
class Quantization:
    """Numbers of an int8 Model that are not tensors.

    Attributes:
        activations: Scale and zero point by the name of the layer that makes the activation, and of ``"input"``.
            Layers named by :func:`real_outputs` have none: they give float32.
        weight_bits: By layer name, the bits its weights use, where that is not 8.
    """

    activations: Mapping[str, TensorQuantization]
    weight_bits: Mapping[str, int] = field(default_factory=dict)

    def bits(self, layer: str) -> int:
        """Bits per weight of a layer: 8, or 4."""
        return self.weight_bits.get(layer, 8)

    def check(self, network: Network) -> None:
        """Raise if these numbers do not belong to the network.

        Raises:
            ModelError: If an activation lacks its scale, a name is unknown, a pool changes its input's scale, or a
                layer's batch norm is not folded.
        """
        real = real_outputs(network)
        needed = {INPUT, *(layer.name for layer in network.layers)} - real
        for name in needed ^ set(self.activations):
            wrong = "is missing from" if name in needed else "does not belong in"
            raise ModelError(f"{name!r} {wrong} the quantised activations of {network.name}")
        for name, bits in self.weight_bits.items():
            if name not in needed | real or not network[name].has_weight or bits not in (4, 8):
                raise ModelError(f"weight_bits says {bits!r} for {name!r}; it takes 4 or 8 for layers with weights")
        for layer in network.layers:
            self._check_layer(layer)

    def _check_layer(self, layer: Layer) -> None:
        if layer.batch_norm is not None:
            raise ModelError(f"{layer.name} has a batch norm; an int8 network has them folded away")
        if layer.has_weight and not layer.bias:
            raise ModelError(f"{layer.name} has no bias; every layer of an int8 network has one")
        if isinstance(layer, MaxPool) and layer.name in self.activations:
            before, after = self.activations[layer.inputs[0]], self.activations[layer.name]
            if before != after:
                raise ModelError(
                    f"{layer.name} (max pool) must keep its input's scale {before}, not change it to {after}"
                )

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "activations": {
                # The shortest decimal that is read as the same float32.
                name: [float(str(np.float32(value.scale))), value.zero_point]
                for name, value in self.activations.items()
            },
            "weight_bits": dict(self.weight_bits),
        }

    @staticmethod
    def decode(data: object) -> Quantization:
        """What :meth:`encode` wrote.

        Raises:
            ModelError: If a field is missing, unknown or out of range.
        """
        if not isinstance(data, dict) or set(data) != {"activations", "weight_bits"}:
            raise ModelError("quantization must hold exactly activations and weight_bits")
        activations, weight_bits = data["activations"], data["weight_bits"]
        if not isinstance(activations, dict) or not isinstance(weight_bits, dict):
            raise ModelError("quantization: activations and weight_bits must be objects")
        if not all(type(bits) is int for bits in weight_bits.values()):
            raise ModelError("quantization: weight_bits must be whole numbers")
        return Quantization(
            activations={name: _tensor_quantization(name, value) for name, value in activations.items()},
            weight_bits=weight_bits,
        )


def _tensor_quantization(name: str, value: object) -> TensorQuantization:
    if not isinstance(value, list) or len(value) != 2:
        raise ModelError(f"quantization of {name!r} must be [scale, zero_point]")
    scale, zero_point = value
    if type(zero_point) is not int or type(scale) not in (int, float):
        raise ModelError(f"quantization of {name!r} must be a number and a whole number, not {value!r:.60}")
    return TensorQuantization(float(scale), zero_point)


def real_outputs(network: Network) -> set[str]:
    """Layers of an int8 network whose results are float32: outputs that compute and that no layer reads.

    An output that another layer reads, or that only moves bytes (a max pool, a sum, a concatenation), is held as
    uint8 like any activation, and is turned into float32 as it leaves.
    """
    return {
        name
        for name in network.outputs
        if not network.consumers[name] and (network[name].has_weight or isinstance(network[name], GlobalAveragePool))
    }
