"""From a float Model to an int8 one: every layer, in order, each making up for what the ones before it lost.

The float Model and the int8 one that is being made walk side by side over the calibration pictures. At each layer the
int8 side's own inputs are known, so its weights are rounded for those inputs, and its bias takes up the difference of
the means. Nothing is left in float but what the contract says: a layer that cannot be quantised is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

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
from mobilenets.compression.calibrate import RangeMethod, choose_ranges, observe
from mobilenets.compression.equalize import absorb, equalize
from mobilenets.compression.fold import check_finite, fold, fold_input, refuse_int8, with_biases
from mobilenets.compression.rounding import nearest, reconstruct, weight_scales
from mobilenets.errors import CompressionError
from mobilenets.model.batched import (
    BATCH,
    Arithmetic,
    Map,
    check_pixels,
    float_layer,
    input_map,
    integer_layer,
    patches,
)
from mobilenets.model.model import Model, Tensor
from mobilenets.model.packing import round_up_to_bfloat16
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.progress import SILENT, Progress

Rows = npt.NDArray[np.float64]

MOST_WALKED = 128
"""Pictures that the two Models walk over side by side; ranges are calibrated on all."""
_SAMPLES = 16_384
"""Output pixels, per layer, whose inputs the covariance is taken of."""
_LARGEST_BIAS = {8: 1 << 22, 4: 30_000}
"""Units that a bias uses at most, by bits of the weights. Only channels of hardly any weight come near. At 8 bits
float32 sums stay exact; at 4 bits, where units are larger anyway, biases fit 16 bits, with room for a correction."""


class Rounding(StrEnum):
    """How weights become whole numbers."""

    NEAREST = "nearest"
    RECONSTRUCT = "reconstruct"
    """So that the layer's results keep: see :mod:`mobilenets.compression.rounding`."""


@dataclass(frozen=True)
class Options:
    """What is done on the way to int8. Each lever can be switched off.

    Attributes:
        ranges: How activation ranges are chosen.
        percentile: Share of values, in percent, that percentile ranges keep.
        equalize: Cross-layer equalisation of channels.
        absorb: Absorption of high biases.
        bias_correction: Measured correction of each layer's mean.
        rounding: How weights are rounded.
        weight_bits: 8 or 4.
    """

    ranges: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99
    equalize: bool = True
    absorb: bool = True
    bias_correction: bool = True
    rounding: Rounding = Rounding.RECONSTRUCT
    weight_bits: int = 8

    def __post_init__(self) -> None:
        if self.weight_bits not in (4, 8):
            raise CompressionError(f"weights take 8 or 4 bits, not {self.weight_bits!r}")


@dataclass(frozen=True)
class LayerNoise:
    """What int8 did to one layer's results.

    Attributes:
        name: The layer.
        kind: Its kind.
        snr_db: Signal over noise of its results on calibration pictures, with all layers before it int8 too, in dB.
        dead_channels: Output channels whose weights are all zero.
    """

    name: str
    kind: str
    snr_db: float
    dead_channels: int


@dataclass(frozen=True, eq=False)
class Quantized:
    """An int8 Model and how it came out.

    Attributes:
        model: The int8 Model.
        layers: Noise of each layer, in order.
        absorbed_channels: Channels whose constant part went into the next layers' biases.
    """

    model: Model
    layers: tuple[LayerNoise, ...]
    absorbed_channels: int = 0


@dataclass(frozen=True, eq=False)
class Ground:
    """A float Model made ready for int8, and its activations' numbers.

    Attributes:
        model: Folded, equalised as asked, reading pixels by the input's scale and zero point.
        unfolded: The same with its batch norms, which quantisation-aware training starts from.
        held: Scale and zero point of every activation that is held in bytes.
        absorbed_channels: Channels that were lowered.
    """

    model: Model
    unfolded: Model
    held: Mapping[str, TensorQuantization]
    absorbed_channels: int


def quantize(model: Model, pixels: Pixels, options: Options = Options(), *, progress: Progress = SILENT) -> Quantized:
    """Quantise a float Model after training.

    Args:
        model: float32, with batch norms or without.
        pixels: Calibration pictures, unlabelled: uint8 (N, height, width, 3).
        options: What is done on the way.
        progress: Told how far it is.

    Raises:
        CompressionError: If the Model is int8 already or broken, or the pictures say nothing.
        ModelError: If the pixels do not fit the network's input.
    """
    ground = prepare(model, pixels, options, progress=progress)
    return walk(model, ground, pixels, options, progress=progress)


def prepare(model: Model, pixels: Pixels, options: Options, *, progress: Progress = SILENT) -> Ground:
    """Fold, equalise and calibrate: everything that comes before the weights are rounded.

    Raises:
        CompressionError: As :func:`quantize`.
    """
    refuse_int8(model)
    check_finite(model)
    check_pixels(model.network, pixels)
    ready, input_held = fold_input(with_biases(model))
    seen = observe(ready, batches(pixels), total=len(pixels), progress=progress)
    absorbed = 0
    if options.absorb:
        ready, seen, absorbed = absorb(ready, seen)
    if options.equalize:
        ready, _ = equalize(ready, seen)
    if options.equalize or absorbed:
        seen = observe(ready, batches(pixels), total=len(pixels), progress=progress)
    folded = fold(ready)
    held = choose_ranges(folded.network, seen, input_held, method=options.ranges, percentile=options.percentile)
    return Ground(folded, ready, held, absorbed)


def batches(pixels: Pixels, size: int = BATCH) -> list[Pixels]:
    """Views of a few pictures each."""
    return [pixels[begin : begin + size] for begin in range(0, len(pixels), size)]


def walk(model: Model, ground: Ground, pixels: Pixels, options: Options, *, progress: Progress = SILENT) -> Quantized:
    """Quantise layer after layer, the float and the int8 Model side by side.

    Args:
        model: The float Model that all this is about.
        ground: From :func:`prepare`.
        pixels: Calibration pictures; at most :data:`MOST_WALKED` of them, evenly spread, are used.
        options: What is done on the way.
        progress: Told of every layer.
    """
    chosen = pixels[np.unique(np.linspace(0, len(pixels) - 1, MOST_WALKED).round().astype(int))]
    network = ground.model.network
    parts = batches(chosen)
    floats: dict[str, list[Map]] = {INPUT: [input_map(ground.model, part) for part in parts]}
    bytes_: dict[str, list[Map]] = {INPUT: [np.ascontiguousarray(part.transpose(1, 2, 0, 3)) for part in parts]}
    last_reader = {source: layer.name for layer in network.layers for source in layer.inputs}
    parameters: dict[str, Tensor] = {}
    noise: list[LayerNoise] = []
    with progress.task("quantising", len(network.layers), "layers") as task:
        for layer in network.layers:
            sources = tuple(ground.held[name] for name in layer.inputs)
            numbers = Arithmetic(sources, ground.held.get(layer.name))
            real_inputs = [floats[name] for name in layer.inputs]
            byte_inputs = [bytes_[name] for name in layer.inputs]
            if layer.has_weight:
                numbers = _quantize_layer(ground, layer, numbers, real_inputs[0], byte_inputs[0], options)
                parameters |= _tensors(layer, numbers)
            floats[layer.name] = [
                float_layer(layer, list(maps), ground.model.parameters) for maps in zip(*real_inputs, strict=True)
            ]
            bytes_[layer.name] = [integer_layer(layer, list(maps), numbers) for maps in zip(*byte_inputs, strict=True)]
            noise.append(_noise(layer, floats[layer.name], bytes_[layer.name], numbers))
            for name in set(layer.inputs):
                if last_reader[name] == layer.name:
                    del floats[name], bytes_[name]
            task.advance()
    weight_bits = {layer.name: options.weight_bits for layer in network.layers if layer.has_weight}
    quantization = Quantization(ground.held, {} if options.weight_bits == 8 else weight_bits)
    result = replace(model, network=network, parameters=parameters, quantization=quantization, slices={})
    return Quantized(result, tuple(noise), ground.absorbed_channels)


def integer_bias(bias: Rows, scale_in: float, scales: Rows) -> npt.NDArray[np.int32]:
    """Biases as int32 at input scale · weight scale."""
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(bias / (scale_in * scales)), limits.min, limits.max).astype(np.int32)


def settled_scales(scales: Rows, weight: Rows, bias: Rows, scale_in: float, bits: int) -> Rows:
    """The weight scales that the Model will hold: wide enough for each bias, and bfloat16, half the bytes in a file.

    Rounding up to a bfloat16 makes a grid coarser by 0.4 % in the mean. Where a channel has no weights, its scale is as
    fine as its bias allows.

    Args:
        scales: Where the weights alone would put them, (out,).
        weight: (out, …).
        bias: (out,).
        scale_in: Scale of the layer's input.
        bits: Of the weights.
    """
    needed = np.abs(bias) / (scale_in * _LARGEST_BIAS[bits])
    dead = ~weight.reshape(len(weight), -1).any(axis=1)
    scales = np.where(dead & (needed > 0), 0.0, scales)
    return round_up_to_bfloat16(np.maximum(scales, needed))


def _quantize_layer(
    ground: Ground, layer: Layer, numbers: Arithmetic, reals: list[Map], bytes_: list[Map], options: Options
) -> Arithmetic:
    source = numbers.sources[0]
    weight = ground.model.parameters[f"{layer.name}.weight"].astype(np.float64)
    bias = ground.model.parameters[f"{layer.name}.bias"].astype(np.float64)
    rows = _to_rows(layer, weight)
    groups, outputs, _ = rows.shape
    needs_inputs = options.bias_correction or options.rounding is Rounding.RECONSTRUCT
    held = _windows(layer, bytes_, source) if needs_inputs else None
    covariance = None
    if held is not None and options.rounding is Rounding.RECONSTRUCT:
        covariance = _covariance(held)
    variance = None if covariance is None else np.diagonal(covariance, axis1=1, axis2=2)
    scales = weight_scales(rows, options.weight_bits, variance)
    scales = settled_scales(scales.reshape(-1), weight, bias, source.scale, options.weight_bits)
    scales = scales.reshape(groups, outputs)
    if covariance is None:
        whole = nearest(rows, scales, options.weight_bits)
    else:
        whole = reconstruct(rows, scales, options.weight_bits, covariance)
    if held is not None and options.bias_correction:
        mean = _windows(layer, reals, None).mean(axis=1, dtype=np.float64)[:, :, None]
        held_mean = held.mean(axis=1, dtype=np.float64)[:, :, None]
        bias = bias + (rows @ mean - (whole * scales[:, :, None]) @ held_mean).reshape(-1)
    return replace(
        numbers,
        weight=_from_rows(layer, whole, weight.shape).astype(np.int8),
        weight_scale=scales.reshape(-1).astype(np.float32),
        bias=integer_bias(bias, source.scale, scales.reshape(-1)),
    )


def _tensors(layer: Layer, numbers: Arithmetic) -> dict[str, Tensor]:
    named = {"weight": numbers.weight, "weight_scale": numbers.weight_scale, "bias": numbers.bias}
    return {f"{layer.name}.{kind}": tensor for kind, tensor in named.items() if tensor is not None}


# What a layer's filters meet ------------------------------------------------------------------------------------------


def _windows(layer: Layer, maps: list[Map], source: TensorQuantization | None) -> npt.NDArray[np.float32]:
    """Inputs of the layer's filters at a sample of output pixels, float32 (groups, samples, in).

    Bytes become the real numbers that they stand for. The same pixels are sampled whatever the maps hold.
    """
    parts = []
    for values in maps:
        real: Map = values.astype(np.float32)
        if source is not None:
            real = (real - np.float32(source.zero_point)) * np.float32(source.scale)
        match layer:
            case Convolution() | DepthwiseConvolution():
                window, channels = layer.kernel * layer.kernel, real.shape[3]
                seen = _sample(patches(layer, real), len(maps)).reshape(-1, window, channels)
                groups = channels if isinstance(layer, DepthwiseConvolution) else layer.groups
                # (samples, K·K, groups, share) → (groups, samples, K·K · share)
                split = seen.reshape(len(seen), window, groups, channels // groups).transpose(2, 0, 1, 3)
                parts.append(split.reshape(groups, len(seen), -1))
            case Linear():
                flat = real.transpose(2, 3, 0, 1).reshape(real.shape[2], -1)
                parts.append(flat[None])
            case _:
                parts.append(_sample(real, len(maps))[None])
    return np.concatenate(parts, axis=1)


def _sample(values: Map, parts: int) -> Map:
    flat = values.reshape(-1, values.shape[-1])
    # An odd stride, so that the sample walks over all columns and pictures.
    stride = max(1, len(flat) * parts // _SAMPLES) | 1
    return flat[::stride]


def _covariance(windows: npt.NDArray[np.float32]) -> Rows:
    centred = windows - windows.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    products: Rows = (centred.transpose(0, 2, 1) @ centred).astype(np.float64)
    products /= windows.shape[1]
    return products


def _to_rows(layer: Layer, weight: Rows) -> Rows:
    """Weights as (groups, out, in), with ``in`` in the order of :func:`_windows`."""
    match layer:
        case DepthwiseConvolution():
            return weight.reshape(len(weight), 1, -1)
        case Convolution():
            last = weight.transpose(0, 2, 3, 1)
            rows: Rows = last.reshape(layer.groups, len(weight) // layer.groups, -1)
            return rows
        case PointwiseConvolution() | Linear():
            return weight.reshape(1, len(weight), -1)
    raise CompressionError(f"{layer.name} ({layer.kind}) has weights of a kind that cannot be quantised")


def _from_rows(layer: Layer, rows: Rows, shape: tuple[int, ...]) -> Rows:
    """Undo :func:`_to_rows`."""
    if isinstance(layer, Convolution):
        out, share, height, width = shape
        rows = np.ascontiguousarray(rows.reshape(out, height, width, share).transpose(0, 3, 1, 2))
    return rows.reshape(shape)


def _noise(layer: Layer, reals: Sequence[Map], bytes_: Sequence[Map], numbers: Arithmetic) -> LayerNoise:
    signal = error = 0.0
    for real, held in zip(reals, bytes_, strict=True):
        value: Map = held
        if numbers.target is not None:
            value = (held.astype(np.float32) - np.float32(numbers.target.zero_point)) * np.float32(numbers.target.scale)
        signal += float(np.square(real, dtype=np.float64).sum())
        error += float(np.square(value - real, dtype=np.float64).sum())
    dead = 0
    if numbers.weight is not None:
        dead = int(np.count_nonzero(~numbers.weight.reshape(len(numbers.weight), -1).any(axis=1)))
    return LayerNoise(layer.name, layer.kind, decibels(signal, error), dead)


def decibels(signal: float, error: float) -> float:
    """Signal over error power in dB; 200 at most, which stands for no error at all.

    >>> decibels(100.0, 1.0), decibels(1.0, 0.0)
    (20.0, 200.0)
    """
    if error <= 0 or signal <= 0:
        return 200.0 if error <= 0 else -200.0
    return round(min(10 * float(np.log10(signal / error)), 200.0), 2)
