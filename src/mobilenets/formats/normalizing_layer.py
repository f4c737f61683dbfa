"""Networks that quantize normalized pixels: a first layer that makes those bytes of an image's.

An int8 Model reads the bytes of pixels. A file that quantizes normalized floats, with a mean and a standard deviation
per channel and a range of its own, has other bytes there. A depthwise 1×1 convolution makes them: it holds the
normalization, and its result is the file's quantized input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, DepthwiseConvolution, Layer
from mobilenets.architecture.network import Network
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Preprocessing, normalization
from mobilenets.model.quantization import Quantization, TensorQuantization, requantization_multiplier

NAME = "normalize"
"""The layer's name."""
PIXELS = TensorQuantization(1 / 255)
"""What the bytes of pixels stand for: black is 0 and white is 1."""
UNSCALED = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def pixel_preprocessing(quantization: TensorQuantization) -> Preprocessing:
    """The normalization under which an input's bytes are the pixels themselves."""
    mean, std = quantization.zero_point / 255, 1 / (255 * quantization.scale)
    return Preprocessing(mean=(mean, mean, mean), std=(std, std, std))


def with_normalizing_layer(network: Network) -> Network:
    """The network with the layer between the image and those that read it."""
    first: Layer = DepthwiseConvolution(NAME, (INPUT,), 1, bias=True)
    layers = (
        replace(layer, inputs=tuple(NAME if source == INPUT else source for source in layer.inputs))
        for layer in network.layers
    )
    return replace(network, layers=(first, *layers))


def normalizing_parameters(
    preprocessing: Preprocessing, target: TensorQuantization, channels: int
) -> dict[str, Tensor]:
    """Parameters under which the layer makes of every pixel the byte of its normalized value.

    Args:
        preprocessing: Mean and standard deviation.
        target: Scale and zero point of normalized values.
        channels: Of the image.
    """
    mean, std = (values.astype(np.float64) for values in normalization(preprocessing, channels))
    pixels = np.arange(256, dtype=np.float32)[:, None]
    real = (pixels / 255 - mean.astype(np.float32)) / std.astype(np.float32)
    wanted = np.rint(real / np.float32(target.scale)) + target.zero_point
    chosen = [
        _line(wanted[:, channel].clip(0, 255), mean[channel], std[channel], target) for channel in range(channels)
    ]
    weight, scale, bias = (np.array(values) for values in zip(*chosen, strict=True))
    return {
        f"{NAME}.weight": weight.astype(np.int8).reshape(channels, 1, 1, 1),
        f"{NAME}.weight_scale": scale.astype(np.float32),
        f"{NAME}.bias": bias.astype(np.int32),
    }


def _line(wanted: npt.NDArray[Any], mean: float, std: float, target: TensorQuantization) -> tuple[int, np.float32, int]:
    """Weight, scale of the weight and bias that make of the pixels from 0 to 255 the bytes that are wanted.

    The bias can only be a multiple of the slope over the weight, so every weight has offsets of its own. Of all, the
    ones are taken that give the fewest other bytes: none, but for a few at ties.
    """
    weights = np.arange(1, 128)[:, None]
    scales = (1 / (weights * std)).astype(np.float32)
    biases = np.rint(-mean * 255 * weights).astype(np.int64) + np.arange(-1, 2)
    multipliers = requantization_multiplier(PIXELS.scale, scales, target.scale)
    sums = (weights[:, :, None] * np.arange(256) + biases[:, :, None]).astype(np.float32)
    made = np.rint(sums * multipliers[:, :, None]) + target.zero_point
    wrong = np.abs(made.clip(0, 255) - wanted).sum(axis=2)
    row, column = np.unravel_index(np.argmin(wrong[::-1]), wrong.shape)  # the largest weight of equally good ones
    row = len(weights) - 1 - row
    return int(weights[row, 0]), scales[row, 0], int(biases[row, column])


def inner_scaling(model: Model) -> Preprocessing | None:
    """The normalization that an int8 Model's first layer holds; None where it has no such layer."""
    if model.quantization is None or NAME not in model.network.shapes:
        return None
    weight, scale, bias = (model.parameters[f"{NAME}.{kind}"].ravel() for kind in ("weight", "weight_scale", "bias"))
    weight = weight.astype(np.float64)
    std = [float(f"{value:.4g}") for value in np.broadcast_to(1 / (weight * scale), 3)]
    mean = [float(f"{value:.3f}") for value in np.broadcast_to(-bias / (255 * weight), 3)]
    return Preprocessing(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


def with_inner_scaling(model: Model, preprocessing: Preprocessing) -> Model:
    """The Model with another normalization in its first layer."""
    if model.quantization is None:
        return model
    target = model.quantization.activations[NAME]
    changed = normalizing_parameters(preprocessing, target, model.network.channels)
    return model.with_parameters({**model.parameters, **changed})


def with_normalized_input(
    network: Network,
    parameters: Mapping[str, Tensor],
    quantization: Quantization,
    preprocessing: Preprocessing,
) -> tuple[Network, dict[str, Tensor], Quantization]:
    """A network, parameters and scales for normalized bytes as those for the bytes of pixels."""
    target = quantization.activations[INPUT]
    made: dict[str, npt.NDArray[np.generic]] = normalizing_parameters(preprocessing, target, network.channels)
    scales = {**quantization.activations, INPUT: PIXELS, NAME: target}
    return with_normalizing_layer(network), {**made, **parameters}, replace(quantization, activations=scales)
