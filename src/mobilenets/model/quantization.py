"""What the integers of an int8 Model mean.

Activations are uint8, affine per tensor: ``real = scale · (q − zero_point)``. Weights are int8 and symmetric per
output channel, ``real = weight_scale[c] · q`` with q in [−127, 127] ([−7, 7] at 4 bits); networks that were published
with asymmetric weights carry a weight zero point too. Biases are int32 at input scale · weight scale. An activation
function that is no clamp is a table of 256 bytes, read by a byte that has a scale and zero point of its own. What is
computed with all of them is defined by :mod:`mobilenets.model.reference`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, Layer, MaxPool
from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.fused import multiply_add

Multipliers = npt.NDArray[np.float32]

ARITHMETIC = "float32"
"""How multipliers are computed: every step rounded to float32. Files state it, because it was another once."""

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
            raise ModelError(f"an activation's zero point must be in 0 to 255, not {self.zero_point!r:.40}")

    @staticmethod
    def spanning(low: float, high: float) -> TensorQuantization:
        """Scale and zero point whose 256 levels span a range that is widened to include zero.

        Raises:
            ModelError: If the range is too wide, or is none.

        >>> TensorQuantization.spanning(0.0, 6.0).zero_point, TensorQuantization.spanning(-1.0, 1.0).zero_point
        (0, 128)
        """
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / 255, SMALLEST_SCALE)
        return TensorQuantization(scale, int(np.clip(np.rint(-low / scale), 0, 255)))

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest real number that a byte can hold."""
        return -self.zero_point * self.scale, (255 - self.zero_point) * self.scale

    def clamp(self, activation: Activation) -> tuple[int, int]:
        """Lowest and highest byte that an activation function leaves.

        Raises:
            ModelError: If the activation is no clamp; :func:`activation_table` is for those.
        """
        match activation:
            case Activation.NONE:
                return 0, 255
            case Activation.RELU:
                return self.zero_point, 255
            case Activation.RELU6:
                return self.zero_point, min(255, self.zero_point + round(6 / self.scale))
            case Activation.HARD_SIGMOID | Activation.HARD_SWISH:
                raise ModelError(f"{activation} is not a clamp; int8 layers apply it by a table")
            case _:
                assert_never(activation)


def activation_table(
    activation: Activation, pre_activation: TensorQuantization, output: TensorQuantization
) -> npt.NDArray[np.uint8]:
    """The bytes that an activation function which is no clamp makes of every byte.

    Args:
        activation: ``HARD_SIGMOID`` or ``HARD_SWISH``.
        pre_activation: Scale and zero point of the bytes that the table is read by.
        output: Scale and zero point of the bytes that it holds.

    Returns:
        uint8 (256,): ``clamp(rint(f((q − zero_point) · scale) / output scale) + output zero point, 0, 255)`` for q
        from 0 to 255, every step in float32.

    Raises:
        ModelError: If the activation is a clamp.
    """
    if activation.is_clamp:
        raise ModelError(f"{activation} is a clamp, for which an int8 layer needs no table")
    steps = np.arange(256, dtype=np.float32) - np.float32(pre_activation.zero_point)
    real = activate(steps * np.float32(pre_activation.scale), activation)
    rounded = np.rint(real / np.float32(output.scale)) + np.float32(output.zero_point)
    return np.clip(rounded, 0, 255).astype(np.uint8)


@record(frozen=True)
class Quantization:
    """Numbers of an int8 Model that are not tensors.

    Attributes:
        activations: Scale and zero point by the name of the layer that makes the activation, and of ``"input"``.
            Layers named by :func:`real_outputs` have none: they give float32.
        weight_bits: By layer name, the bits its weights use, where that is not 8.
        pre_activations: Scale and zero point of what the activation function reads, by the name of every layer whose
            result is quantized and whose activation is no clamp.
        outputs: Scale and zero point with which a runtime that knows integers only holds a real output, by the name
            of its layer, where they are known. The engine does not use them: its outputs are float32.
    """

    activations: Mapping[str, TensorQuantization]
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    pre_activations: Mapping[str, TensorQuantization] = field(default_factory=dict)
    outputs: Mapping[str, TensorQuantization] = field(default_factory=dict)

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
        _check_names(set(self.activations), needed, f"quantized activations of {network.name}")
        tabled = needed_pre_activations(network)
        _check_names(set(self.pre_activations), tabled, f"quantized pre-activations of {network.name}")
        for name in sorted(set(self.outputs) - real):
            raise ModelError(f"{name!r} does not belong in the real outputs of {network.name}")
        for name, bits in self.weight_bits.items():
            if name not in needed | real or not network[name].has_weight or bits not in (4, 8):
                raise ModelError(
                    f"weight_bits says {bits!r:.40} for {name!r:.80}; it takes 4 or 8 for layers with weights"
                )
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
        """JSON-ready values, and the :data:`ARITHMETIC` that they are made for."""
        encoded: dict[str, Any] = {
            "arithmetic": ARITHMETIC,
            "activations": _encoded(self.activations),
            "weight_bits": dict(self.weight_bits),
        }
        if self.pre_activations:
            encoded["pre_activations"] = _encoded(self.pre_activations)
        if self.outputs:
            encoded["outputs"] = _encoded(self.outputs)
        return encoded

    @staticmethod
    def decode(data: object) -> Quantization:
        """What :meth:`encode` wrote, or what was written before it stated the arithmetic.

        Raises:
            ModelError: If a field is missing, unknown or out of range.
        """
        optional = {"arithmetic", "pre_activations", "outputs"}
        if not isinstance(data, dict) or set(data) - optional != {"activations", "weight_bits"}:
            raise ModelError(
                "quantization must hold activations and weight_bits, may hold arithmetic, pre_activations and outputs, "
                "and nothing else"
            )
        if data.get("arithmetic", ARITHMETIC) != ARITHMETIC:
            raise ModelError(f"quantization: the arithmetic is {data['arithmetic']!r:.40}; known is {ARITHMETIC!r}")
        weight_bits = data["weight_bits"]
        if not isinstance(weight_bits, dict):
            raise ModelError("quantization: weight_bits must be an object")
        if not all(type(bits) is int for bits in weight_bits.values()):
            raise ModelError("quantization: weight_bits must be integers")
        return Quantization(
            activations=_decoded("activations", data["activations"]),
            weight_bits=weight_bits,
            pre_activations=_decoded("pre_activations", data.get("pre_activations", {})),
            outputs=_decoded("outputs", data.get("outputs", {})),
        )


def _check_names(given: set[str], needed: set[str], where: str) -> None:
    for name in sorted(needed ^ given):
        wrong = "is missing from" if name in needed else "does not belong in"
        raise ModelError(f"{name!r} {wrong} the {where}")


def _encoded(scales: Mapping[str, TensorQuantization]) -> dict[str, list[float | int]]:
    # The shortest decimal that is read as the same float32.
    return {name: [float(str(np.float32(value.scale))), value.zero_point] for name, value in scales.items()}


def _decoded(field_name: str, data: object) -> dict[str, TensorQuantization]:
    if not isinstance(data, dict):
        raise ModelError(f"quantization: {field_name} must be an object")
    return {name: _tensor_quantization(name, value) for name, value in data.items()}


# Multipliers. Every step is rounded to float32, in the order that ONNX Runtime's kernels take them; an export can then
# answer bit for bit as the Model does. Nobody else computes them. Sources: onnxruntime 1.32, mlas/lib/qladd_avx2.cpp,
# qlmul.cpp, qlinear_concat.cc; tests/formats/onnx/test_exact.py runs its kernels over every pair of bytes.


def requantization_multiplier(source: float, weight: npt.ArrayLike, target: float | None) -> Multipliers:
    """Multiplier of a weighted layer's int32 sums: ``source · weight``, then ``/ target``.

    Args:
        source: Scale of the layer's input.
        weight: Scale of its weights, one per output channel.
        target: Scale of its output; None where the output is real.

    Returns:
        float32, (C,).
    """
    unit = np.float32(source) * np.asarray(weight, np.float32)
    return np.atleast_1d(unit if target is None else unit / np.float32(target))


def average_multiplier(source: float, pixels: int, target: float | None) -> Multipliers:
    """Multiplier of a global average pool's int32 sums: ``source / (target · pixels)``.

    Args:
        source: Scale of the pool's input.
        pixels: Height · width of the map that it averages.
        target: Scale of its output; None where the output is real.

    Returns:
        float32, (1,).
    """
    divisor = np.float32(pixels) if target is None else np.float32(target) * np.float32(pixels)
    return np.atleast_1d(np.float32(source) / divisor)


def sum_multipliers(sources: Sequence[TensorQuantization], target: TensorQuantization) -> tuple[np.float32, ...]:
    """Multipliers of the two bytes that Add sums, and the constant that holds all three zero points.

    The sum is ``fma(q₀, m₀, fma(q₁, m₁, constant))``; ``fma`` rounds once
    (:func:`~mobilenets.model.fused.multiply_add`).

    Args:
        sources: Scale and zero point of both inputs.
        target: Scale and zero point of the sum.

    Returns:
        Three: ``m₀ = first / target``, ``m₁ = second / target`` and ``zero_point − fma(m₀, z₀, m₁ · z₁)``.
    """
    first, second = sources
    scale = np.float32(target.scale)
    multipliers = np.float32(first.scale) / scale, np.float32(second.scale) / scale
    shift = multiply_add(np.float32(first.zero_point), multipliers[0], multipliers[1] * np.float32(second.zero_point))
    return *multipliers, np.float32(target.zero_point) - np.float32(shift)


def rescaling_table(source: TensorQuantization, target: TensorQuantization) -> npt.NDArray[np.uint8]:
    """The bytes that Concatenate makes of every byte of one input.

    Args:
        source: Scale and zero point of the input.
        target: Scale and zero point of the concatenation.

    Returns:
        uint8 (256,): ``clamp(rint((q − zero_point) · scale / target scale) + target zero point, 0, 255)`` for q from 0
        to 255, every step in float32.
    """
    real = (np.arange(256, dtype=np.float32) - np.float32(source.zero_point)) * np.float32(source.scale)
    rounded = np.rint(real / np.float32(target.scale)) + np.float32(target.zero_point)
    table: npt.NDArray[np.uint8] = np.clip(rounded, 0, 255).astype(np.uint8)
    return table


def product_multiplier(first: float, second: float, target: float) -> np.float32:
    """Multiplier of the int32 products of Multiply: ``first · second``, then ``/ target``."""
    return np.float32(first) * np.float32(second) / np.float32(target)


def _tensor_quantization(name: str, value: object) -> TensorQuantization:
    if not isinstance(value, list) or len(value) != 2:
        raise ModelError(f"quantization of {name!r} must be [scale, zero_point]")
    scale, zero_point = value
    if type(zero_point) is not int or type(scale) not in (int, float):
        raise ModelError(f"quantization of {name!r} must be a number and an integer, not {value!r:.60}")
    return TensorQuantization(scale, zero_point)  # as it came: not every integer has a float


def needed_pre_activations(network: Network) -> set[str]:
    """Layers of an int8 network that apply their activation by a table: it is no clamp, and the result is quantized."""
    real = real_outputs(network)
    return {layer.name for layer in network.layers if not layer.activation.is_clamp and layer.name not in real}


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
