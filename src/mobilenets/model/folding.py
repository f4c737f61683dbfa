"""Fold batch norms into the weights before them, and the normalization of pixels into the first layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import CompressionError, ModelError
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import normalization
from mobilenets.model.quantization import TensorQuantization

Factors = npt.NDArray[np.float64]

LARGEST_PARAMETER = 1e15
"""What a weight, a bias or a statistic may be at most: a product of two of them, summed, is still a float32."""


def fold(model: Model) -> Model:
    """The same function without batch norms: each becomes a factor on its layer's weights, and a bias.

    Every layer with weights has a bias afterwards, as an int8 Model needs.

    Args:
        model: A float32 Model, folded already or not.

    Raises:
        CompressionError: If the Model is int8, or a tensor holds a NaN, an infinity or a negative variance.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 14.
    """
    refuse_int8(model)
    check_finite(model)
    parameters: dict[str, Tensor] = {}
    for layer in model.network.layers:
        if not layer.has_weight:
            continue
        weight, bias = folded_parameters(model, layer)
        parameters[f"{layer.name}.weight"] = weight.astype(np.float32)
        parameters[f"{layer.name}.bias"] = bias.astype(np.float32)
    return replace(model, network=folded_network(model.network), parameters=parameters, subnets={})


def with_biases(model: Model) -> Model:
    """The same Model, in which every layer with weights and without batch norm has a bias, of zeros if need be."""
    parameters = dict(model.parameters)
    layers: list[Layer] = []
    for layer in model.network.layers:
        if layer.has_weight and not layer.bias and layer.batch_norm is None:
            layer = _without_batch_norm(layer)
            parameters[f"{layer.name}.bias"] = np.zeros(len(parameters[f"{layer.name}.weight"]), np.float32)
        layers.append(layer)
    return replace(model, network=replace(model.network, layers=tuple(layers)), parameters=parameters)


def folded_network(network: Network) -> Network:
    """The network with biases in the place of batch norms."""
    return replace(network, layers=tuple(_without_batch_norm(layer) for layer in network.layers))


def folded_parameters(model: Model, layer: Layer) -> tuple[Factors, Factors]:
    """A layer's weight and bias with its batch norm in them, float64."""
    weight = model.parameters[f"{layer.name}.weight"].astype(np.float64)
    bias = np.zeros(len(weight))
    if layer.bias:
        bias = model.parameters[f"{layer.name}.bias"].astype(np.float64)
    if layer.batch_norm is None:
        return weight, bias
    factor, shift = factor_and_shift(layer, model.parameters, bias)
    return weight * along(factor, weight, axis=0), shift


def factor_and_shift(
    layer: Layer, parameters: Mapping[str, Tensor], bias: Factors | float = 0.0
) -> tuple[Factors, Factors]:
    """What a layer's batch norm does to its sums of products: it makes ``sum · factor + shift`` of them.

    Args:
        layer: A layer with a batch norm.
        parameters: Tensors of the Model.
        bias: Per channel, what is still to be added to the sums.

    Returns:
        float64 (channels,), twice.

    Raises:
        ModelError: If the layer has no batch norm.
    """
    if layer.batch_norm is None:
        raise ModelError(f"{layer.name} ({layer.kind}) has no batch norm")
    gamma, beta, mean, variance = (parameters[name].astype(np.float64) for name in layer.batch_norm_names)
    factor, shift = affine(gamma, beta, mean, variance, layer.batch_norm.epsilon, bias)
    return factor, shift


def affine(gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float, bias: Any = 0.0) -> tuple[Any, Any]:
    """A batch norm as a factor and a shift: ``γ · (sum + bias − μ) / √(σ² + ε) + β = sum · factor + shift``.

    Takes NumPy arrays or PyTorch tensors, whose gradients then flow, and gives the same.
    """
    factor = gamma / (variance + epsilon) ** 0.5
    return factor, (bias - mean) * factor + beta


def fold_input(model: Model) -> tuple[Model, TensorQuantization]:
    """Make the pixel byte itself the first quantized activation.

    The bytes stand for ``scale · (byte − zero_point)`` with one scale and one integer zero point for all channels. What
    is left of the Model's own per-channel mean and standard deviation goes into the layers that read the image.

    Args:
        model: float32, folded or not.

    Returns:
        A Model that computes the same from pixels normalized by that scale and zero point (at the border, where zeros
        are padded, up to the rounding of the zero point), and the two numbers.

    Raises:
        CompressionError: If a layer without weights reads the image and the channels are normalized differently.
    """
    preprocessing, channels = model.preprocessing, model.network.channels
    mean, std = (255 * values for values in normalization(preprocessing, channels))
    numbers = TensorQuantization(float(np.exp(-np.log(std).mean())), int(np.clip(np.rint(mean.mean()), 0, 255)))
    factor = 1 / (std * numbers.scale)
    offset = (numbers.zero_point - mean) / std
    parameters = dict(model.parameters)
    for name in model.network.consumers[INPUT]:
        layer = model.network[name]
        if not layer.has_weight:
            if not np.allclose(factor, 1, rtol=1e-6):
                raise CompressionError(
                    f"{name} ({layer.kind}) reads the image and has no weights to fold the channels' different "
                    f"standard deviations {preprocessing.std} into"
                )
            continue
        _fold_normalization(model, layer, factor, offset, parameters)
    grey = numbers.zero_point / 255
    same = replace(preprocessing, mean=(grey,) * 3, std=(1 / (255 * numbers.scale),) * 3)
    return replace(model, parameters=parameters, preprocessing=same), numbers


def _fold_normalization(
    model: Model, layer: Layer, factor: Factors, offset: Factors, parameters: dict[str, Tensor]
) -> None:
    weight = parameters[f"{layer.name}.weight"].astype(np.float64)
    match layer:
        case Linear():  # reads the image flattened, channel by channel
            pixels = model.network.height * model.network.width
            per_input, per_offset = np.repeat(factor, pixels), np.repeat(offset, pixels)
            bias = weight @ per_offset
            weight = weight * per_input
        case DepthwiseConvolution():
            bias = weight.sum(axis=(1, 2, 3)) * offset
            weight = weight * along(factor, weight, axis=0)
        case Convolution() | PointwiseConvolution():
            groups = layer.groups if isinstance(layer, Convolution) else 1
            group_of = np.repeat(np.arange(groups), len(weight) // groups)
            shares, offsets = factor.reshape(groups, -1)[group_of], offset.reshape(groups, -1)[group_of]
            bias = (weight.sum(axis=(2, 3)) * offsets).sum(axis=1)
            weight = weight * shares[:, :, None, None]
        case _:
            raise CompressionError(f"{layer.name} ({layer.kind}) is of a kind that normalization is not folded into")
    parameters[f"{layer.name}.weight"] = weight.astype(np.float32)
    shift_sums(layer, bias, parameters)


def shift_sums(layer: Layer, amount: Factors, parameters: dict[str, Tensor]) -> None:
    """Add a constant to each output channel's sum, before its batch norm.

    It goes into the bias, or where there is none is taken from the running mean.
    """
    name, sign = f"{layer.name}.bias", 1
    if not layer.bias:
        if layer.batch_norm is None:
            raise CompressionError(
                f"{layer.name} has neither bias nor batch norm to put a constant into; fold it first"
            )
        name, sign = layer.batch_norm_names[2], -1
    parameters[name] = (parameters[name] + sign * amount).astype(np.float32)


def along(vector: Factors, tensor: npt.NDArray[Any], *, axis: int) -> Factors:
    """The vector, shaped to be broadcast along one axis of a tensor."""
    shape = [1] * tensor.ndim
    shape[axis] = -1
    return vector.reshape(shape)


def refuse_int8(model: Model) -> None:
    """Raise if a Model is not a float one.

    Raises:
        CompressionError: If it is int8.
    """
    if model.quantization is not None:
        raise CompressionError("the Model is int8 already; compression starts from the float32 Model it was made from")


def check_finite(model: Model) -> None:
    """Raise if a parameter is not a number.

    Raises:
        CompressionError: Naming the first tensor that holds a NaN, an infinity, a negative variance, or a number so
            large that products of a few of them are none any more.
    """
    variances = {layer.batch_norm_names[-1] for layer in model.network.layers if layer.batch_norm is not None}
    for name, tensor in model.parameters.items():
        wrong = int(np.count_nonzero(~np.isfinite(tensor)))
        if wrong:
            raise CompressionError(f"{name} holds {wrong} NaN or infinite values of {tensor.size}; the Model is broken")
        largest = float(np.abs(tensor).max(initial=0))
        if largest > LARGEST_PARAMETER:
            raise CompressionError(
                f"{name} holds {largest:g}; parameters beyond {LARGEST_PARAMETER:g} overflow when they are multiplied"
            )
        if name in variances and tensor.min(initial=0) < 0:
            raise CompressionError(f"{name} holds the negative variance {tensor.min()}; the Model is broken")


def _without_batch_norm(layer: Layer) -> Layer:
    if not layer.has_weight:
        return layer
    changes: dict[str, Any] = {"bias": True}
    if layer.batch_norm is not None:
        changes["batch_norm"] = None
    return replace(layer, **changes)
