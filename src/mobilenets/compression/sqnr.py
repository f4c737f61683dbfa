"""What whole numbers did to each layer's results: signal over noise, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mobilenets.architecture.layers import INPUT, Layer
from mobilenets.model.model import Model
from mobilenets.model.numpy_runtime import BATCH, Map, layers
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import TensorQuantization


@dataclass(frozen=True)
class LayerNoise:
    """What int8 did to one layer's results.

    Attributes:
        name: The layer.
        kind: Its kind.
        snr_db: Signal over noise of its results on calibration images, with all layers before it int8 too, in dB.
        dead_channels: Output channels whose weights are all zero.
    """

    name: str
    kind: str
    snr_db: float
    dead_channels: int


def measure_noise(real: Model, held: Model, pixels: Pixels) -> tuple[LayerNoise, ...]:
    """The noise of every layer of an int8 Model.

    Args:
        real: The folded float Model whose layers those of ``held`` stand for, equalised as it is.
        held: int8.
        pixels: uint8 (N, height, width, 3).
    """
    activations = held.quantization.activations if held.quantization else {}
    found: dict[str, list[tuple[float, float]]] = {layer.name: [] for layer in held.network.layers}
    for begin in range(0, len(pixels), BATCH):
        some = pixels[begin : begin + BATCH]
        for (name, value), (_, byte) in zip(layers(real, some), layers(held, some), strict=True):
            if name != INPUT:
                found[name].append(powers(value, byte, activations.get(name)))
    return tuple(
        layer_noise(layer, found[layer.name], held.parameters.get(f"{layer.name}.weight"))
        for layer in held.network.layers
    )


def powers(real: Map, held: Map, target: TensorQuantization | None) -> tuple[float, float]:
    """Sums of squares of a layer's real results, and of what its bytes are off by.

    Args:
        real: float32.
        held: uint8; float32 where ``target`` is None.
        target: What the bytes mean.
    """
    value: Map = held
    if target is not None:
        value = (held.astype(np.float32) - np.float32(target.zero_point)) * np.float32(target.scale)
    return float(np.square(real, dtype=np.float64).sum()), float(np.square(value - real, dtype=np.float64).sum())


def layer_noise(layer: Layer, parts: Iterable[tuple[float, float]], weight: Map | None) -> LayerNoise:
    """Noise of a layer from the :func:`powers` of its batches and its whole weights."""
    signal, error = (sum(values) for values in zip(*parts, strict=True))
    dead = 0 if weight is None else int(np.count_nonzero(~weight.reshape(len(weight), -1).any(axis=1)))
    return LayerNoise(layer.name, layer.kind, decibels(signal, error), dead)


def decibels(signal: float, error: float) -> float:
    """Signal over error power in dB; 200 at most, which stands for no error at all.

    >>> decibels(100.0, 1.0), decibels(1.0, 0.0)
    (20.0, 200.0)
    """
    if error <= 0 or signal <= 0:
        return 200.0 if error <= 0 else -200.0
    return round(min(10 * float(np.log10(signal / error)), 200.0), 2)
