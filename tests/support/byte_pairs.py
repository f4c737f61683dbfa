"""int8 Models whose last layer meets every pair of bytes that two maps can hold: 65,536 of them in one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.tasks.classification import Classification

Numbers = Sequence[TensorQuantization]
"""Scale and zero point of the first input, of the second, and of the result."""

LAYERS: dict[str, Callable[[Activation], Layer]] = {
    "sum": lambda activation: Add("joined", ("first", "second"), activation=activation),
    "sum_of_three": lambda activation: Add("joined", ("first", "second", "first"), activation=activation),
    "product": lambda activation: Multiply("joined", ("first", "second"), activation=activation),
    "concatenation": lambda _: Concatenate("joined", ("first", "second")),
}


def every_pair() -> npt.NDArray[np.uint8]:
    """An image of two channels, (1, 256, 256, 2): row and column."""
    return np.stack(np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2, indexing="ij"), axis=-1)[None]


def numbers(seed: int) -> list[Numbers]:
    """Scales and zero points: ordinary ones, and ones with which many results end halfway between two bytes."""
    rng = np.random.default_rng(seed)

    def made(scales: npt.NDArray[np.floating[Any]]) -> Numbers:
        points = [int(point) for point in rng.integers(0, 256, 3)]
        return [TensorQuantization(float(scale), point) for scale, point in zip(scales, points, strict=True)]

    ordinary = [made(np.exp(rng.normal(-4, 1, 3))) for _ in range(3)]
    powers = [made(2.0 ** rng.integers(-6, -1, 3)) for _ in range(2)]
    near = [made(rng.integers(1, 9, 3) / 100) for _ in range(3)]
    doubled = [made(np.array([0.0235, 0.0235, 0.047]))]
    rectified = [TensorQuantization(0.02), TensorQuantization(0.05), TensorQuantization(0.04)]
    return [*ordinary, *powers, *near, *doubled, rectified]


def pair_models(kind: str, activation: Activation, seed: int = 0) -> Iterator[Model]:
    """Models whose output ``joined`` joins ``first`` and ``second``, which are the two channels of the image.

    Args:
        kind: Of :data:`LAYERS`.
        activation: Of the layer; not for a concatenation.
        seed: For the scales and zero points, one Model for each.
    """
    take: dict[str, Any] = {"bias": True, "out_channels": 1}
    layers: list[Layer] = [PointwiseConvolution(name, (INPUT,), **take) for name in ("first", "second")]
    layers += [LAYERS[kind](activation), GlobalAveragePool("score", ("first",)), MaxPool("kept", ("joined",), 1)]
    network = Network("pairs", 256, 256, tuple(layers), ("score", "kept"), channels=2)
    for first, second, joined in numbers(seed):
        scales = {INPUT: TensorQuantization(1), "first": first, "second": second, "joined": joined, "kept": joined}
        before = {} if activation.is_clamp else {"joined": TensorQuantization(4 * joined.scale, 120)}
        parameters: dict[str, npt.NDArray[Any]] = {}
        for channel, name in enumerate(("first", "second")):
            # Sums are bytes less their zero point, and their multiplier is 1.
            parameters[f"{name}.weight"] = np.eye(2, dtype=np.int8)[channel].reshape(1, 2, 1, 1)
            parameters[f"{name}.weight_scale"] = np.array([scales[name].scale], np.float32)
            parameters[f"{name}.bias"] = np.array([-scales[name].zero_point], np.int32)
        quantization = Quantization(scales, pre_activations=before)
        yield Model(network, parameters, Classification(("score",)), Preprocessing(), quantization)


CASES = [
    *product(("sum", "sum_of_three", "product"), Activation),
    ("concatenation", Activation.NONE),
]
"""Every layer that joins maps, with every activation that it can have."""
