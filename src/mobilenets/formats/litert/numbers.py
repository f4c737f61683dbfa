"""The numbers of a quantized LiteRT graph as those of an int8 Model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mobilenets.architecture.layers import INPUT, Layer
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.formats.litert.file import TfliteTensor
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs


def quantized_parameters(
    network: Network,
    tensors: Mapping[str, NamedTensor],
    made: Mapping[str, TfliteTensor],
    before: Mapping[str, TfliteTensor],
    constants: Mapping[str, TfliteTensor],
    channel_scales: Mapping[str, Tensor],
    pixels: TensorQuantization | None = None,
) -> tuple[Network, dict[str, Tensor], Quantization]:
    """The parameters and scales of a quantized graph.

    Args:
        network: The network that was read.
        tensors: Its weights and biases by this package's names, as the file holds them.
        made: The last tensor of each layer, and of ``"input"``.
        before: The tensor that each activation function which is no clamp reads, by its layer.
        constants: The file's constants by name.
        channel_scales: Factors of the channels of layers that are computed in float32, by layer.
        pixels: Scale and zero point with which bytes of pixels are what the first layer reads, where the graph makes
            that of them.

    Returns:
        The network with a bias in every layer with weights, its parameters, and its scales.

    Raises:
        FormatError: If numbers are missing or are none that an int8 Model can hold; the tensor is named.
    """
    real = real_outputs(network)
    activations = {name: made[name].activation() for name in (INPUT, *network.shapes) if name not in real}
    pre_activations = {name: before[name].activation() for name in needed_pre_activations(network)}
    parameters: dict[str, Tensor] = {}
    layers = []
    for layer in network.layers:
        layers.append(replace(layer, bias=True) if layer.has_weight else layer)  # type: ignore[call-arg]
        if not layer.has_weight:
            continue
        weight = tensors[f"{layer.name}.weight"]
        channels = weight.value.shape[0]
        scale, zero_point = weight_scale(weight, constants[weight.source], channels)
        if layer.name in channel_scales:
            scale = _scaled(layer, scale, channel_scales[layer.name], is_real=layer.name in real)
        parameters[f"{layer.name}.weight_scale"] = scale
        value, shift = signed_weight(weight.value)
        parameters[f"{layer.name}.weight"] = np.ascontiguousarray(value)
        if (zero_point != shift).any():
            parameters[f"{layer.name}.weight_zero_point"] = (zero_point - shift).astype(np.int8)
        bias = tensors.get(f"{layer.name}.bias", NamedTensor("", np.zeros(channels, np.int32)))
        if bias.value.dtype == np.float32 and layer.name in real:
            bias = NamedTensor(bias.source, _integers(bias, activations[layer.inputs[0]].scale, scale))
        if bias.value.dtype != np.int32:
            raise FormatError(f"{bias.source} holds {bias.value.dtype}; the bias of an 8-bit layer holds int32")
        if bias.source in constants:
            _check_bias_scale(bias, constants[bias.source], activations[layer.inputs[0]].scale, scale)
        value = bias.value
        if pixels is not None and layer.inputs[0] == INPUT:
            units = np.rint(value * (activations[INPUT].scale / pixels.scale))
            value = units.clip(-(2**31), 2**31 - 1).astype(np.int32)
        parameters[f"{layer.name}.bias"] = np.ascontiguousarray(value)
    if pixels is not None:
        activations[INPUT] = pixels
    return (
        replace(network, layers=tuple(layers)),
        parameters,
        Quantization(activations, pre_activations=pre_activations, outputs=_outputs(real, made)),
    )


def _scaled(layer: Layer, scale: Tensor, factors: Tensor, *, is_real: bool) -> Tensor:
    """Scales of weights whose sums are multiplied by a constant for each channel."""
    if not is_real:
        raise FormatError(f"{layer.name} multiplies its channels in bytes, which no int8 Model does")
    scaled = (scale * factors).astype(np.float32)
    if not (np.isfinite(scaled).all() and scaled.min() > 0):
        raise FormatError(f"{layer.name} multiplies a channel by what is not a positive number")
    return scaled


def _outputs(real: set[str], made: Mapping[str, TfliteTensor]) -> dict[str, TensorQuantization]:
    """Scales and zero points that the file holds real outputs with, as far as it does."""
    return {name: made[name].activation() for name in sorted(real) if name in made and made[name].quantized}


def _integers(bias: NamedTensor, source: float, scales: Tensor) -> Tensor:
    """The bias of an output layer that is computed in float32, in units of input scale × weight scale."""
    units = np.rint(bias.value / (np.float64(source) * scales))
    if not (np.abs(units) < 2**31).all():
        raise FormatError(f"{bias.source} holds {np.abs(bias.value).max():g}, which no int32 of its scale can")
    return units.astype(np.int32)


def signed_weight(value: Tensor) -> tuple[Tensor, int]:
    """8-bit weights as int8, and what was taken from them for that: 128 from uint8."""
    if value.dtype == np.uint8:
        return (value ^ np.uint8(128)).view(np.int8), 128
    return value, 0


def weight_scale(weight: NamedTensor, tensor: TfliteTensor, channels: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point of a layer's weights, one per output channel."""
    if not tensor.quantized or tensor.scales.size not in (1, channels):
        raise FormatError(f"{weight.source} has {tensor.scales.size} scales; 8-bit weights have 1 or {channels}")
    if tensor.zero_points.size not in (1, tensor.scales.size):
        raise FormatError(f"{weight.source} has {tensor.zero_points.size} zero points for {tensor.scales.size} scales")
    if not (np.isfinite(tensor.scales).all() and tensor.scales.min() > 0):
        raise FormatError(f"{weight.source} has a scale that is not a positive number")
    low = 0 if tensor.dtype.kind == "u" else -128
    if tensor.zero_points.min() < low or tensor.zero_points.max() > low + 255:
        raise FormatError(f"{weight.source} has a zero point outside {low} to {low + 255}")
    scale = np.ascontiguousarray(np.broadcast_to(tensor.scales.astype(np.float32), (channels,)))
    return scale, np.broadcast_to(tensor.zero_points, (channels,))


def _check_bias_scale(bias: NamedTensor, tensor: TfliteTensor, source: float, scales: Tensor) -> None:
    """The bias must count in input scale × weight scale, as the sums do."""
    if tensor.scales.size not in (0, 1, scales.size):
        raise FormatError(f"{bias.source} has {tensor.scales.size} scales; the bias has 1 or {scales.size}")
    if tensor.scales.size and not np.allclose(tensor.scales, np.float64(source) * scales, rtol=1e-3, atol=0):
        raise FormatError(f"{bias.source} has a scale that is not its layer's input scale times its weights' scale")


def logits_quantization(network: Network, made: Mapping[str, TfliteTensor]) -> tuple[float, int] | None:
    """Scale and zero point of the first output in the file; None if its values are real."""
    tensor = made.get(network.outputs[0])
    if tensor is None or not tensor.quantized or tensor.scales.size != 1 or tensor.zero_points.size != 1:
        return None
    return float(tensor.scales[0]), int(tensor.zero_points[0])
