"""From a float Model to an int8 one: every layer, in order, each making up for what the ones before it lost.

The float Model and the int8 one that is being made walk side by side over the calibration images. At each layer the
int8 side's own inputs are known, so its weights are rounded for those inputs, and each channel keeps the deviation and
the mean that it has in float. Nothing is left in float but what the contract says: a layer that cannot be quantised is
an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, Layer
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.correction import deviation_gain, mean_shift
from mobilenets.compression.equalize import absorb, equalize
from mobilenets.compression.filters import Rows, covariance, from_rows, to_rows, windows
from mobilenets.compression.ranges import RangeMethod, choose_ranges, observe
from mobilenets.compression.rounding import nearest, reconstruct, weight_scales
from mobilenets.compression.sqnr import LayerNoise, layer_noise, powers
from mobilenets.data.sampling import spread
from mobilenets.errors import CompressionError
from mobilenets.model.folding import check_finite, fold, fold_input, refuse_int8, with_biases
from mobilenets.model.model import Model, Tensor
from mobilenets.model.numpy_runtime import BATCH, Arithmetic, Map, float_layer, input_map, integer_layer
from mobilenets.model.packing import round_up_to_bfloat16
from mobilenets.model.preprocessing import Pixels, check_pixels
from mobilenets.model.quantization import Quantization, TensorQuantization

MOST_WALKED = 128
"""Images that the two Models walk over side by side; ranges are calibrated on all."""
SPARED = 0.02
"""Share of the weights before the outputs, those of the smallest layers, that keep 8 bits in a 4-bit Model."""
_LARGEST_BIAS = 1 << 22
"""Units that a bias uses at most, for channels of hardly any weight: fine enough, and float32 sums stay exact."""
_SHORT_BIAS = 30_000
"""Units under which a layer's biases are held in 16 bits in the file, with room for a correction."""
_WIDENED = 0.01
"""Share of a layer's channels whose grid may be made coarser, by two at most, for the biases of all to be short."""


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
        bias_correction: Measured correction of each channel's mean.
        deviation_correction: Measured correction of each channel's deviation.
        rounding: How weights are rounded.
        weight_bits: 8 or 4; see :func:`bits_by_layer`.
    """

    ranges: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99
    equalize: bool = True
    absorb: bool = True
    bias_correction: bool = True
    deviation_correction: bool = True
    rounding: Rounding = Rounding.RECONSTRUCT
    weight_bits: int = 8

    def __post_init__(self) -> None:
        if self.weight_bits not in (4, 8):
            raise CompressionError(f"weights take 8 or 4 bits, not {self.weight_bits!r}")


@dataclass(frozen=True, eq=False)
class Quantized:
    """An int8 Model and how it came out.

    Attributes:
        model: The int8 Model.
        real: The folded float Model, equalised as asked, whose layers those of the int8 Model stand for.
        layers: Noise of each layer on calibration images, in order; empty where there were none.
        absorbed_channels: Channels whose constant part went into the next layers' biases.
    """

    model: Model
    real: Model
    layers: tuple[LayerNoise, ...] = ()
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


@dataclass(frozen=True, eq=False)
class RoundedWeights:
    """The weights of a layer, real and whole.

    Attributes:
        layer: The layer.
        rows: Real weights, float64 (groups, out, in), see :func:`mobilenets.compression.filters.to_rows`.
        whole: The same rounded, in steps of their scales.
        scales: float64 (groups, out).
        bias: Real biases, (out,).
        shape: Of the weights as a Model holds them.
    """

    layer: Layer
    rows: Rows
    whole: Rows
    scales: Rows
    bias: Rows
    shape: tuple[int, ...]

    @property
    def real(self) -> Rows:
        """What the whole weights stand for, (groups, out, in)."""
        return self.whole * self.scales[:, :, None]

    def arithmetic(self, numbers: Arithmetic, correction: Rows | float = 0.0) -> Arithmetic:
        """The layer's numbers, with a correction added to its biases, (out,)."""
        scales = self.scales.reshape(-1)
        return replace(
            numbers,
            weight=from_rows(self.layer, self.whole, self.shape).astype(np.int8),
            weight_scale=scales.astype(np.float32),
            bias=integer_bias(self.bias + correction, numbers.sources[0].scale, scales),
        )


def quantize(model: Model, pixels: Pixels, options: Options = Options(), *, progress: Progress = SILENT) -> Quantized:
    """Quantise a float Model after training.

    Args:
        model: float32, with batch norms or without.
        pixels: Calibration images, unlabelled: uint8 (N, height, width, 3).
        options: What is done on the way.
        progress: Told how far it is.

    Raises:
        CompressionError: If the Model is int8 already or broken, or the images say nothing.
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
    """Views of a few images each."""
    return [pixels[begin : begin + size] for begin in range(0, len(pixels), size)]


def walk(model: Model, ground: Ground, pixels: Pixels, options: Options, *, progress: Progress = SILENT) -> Quantized:
    """Quantise layer after layer, the float and the int8 Model side by side.

    Args:
        model: The float Model that all this is about.
        ground: From :func:`prepare`.
        pixels: Calibration images; at most :data:`MOST_WALKED` of them, evenly spread, are used.
        options: What is done on the way.
        progress: Told of every layer.
    """
    chosen = pixels[spread(len(pixels), MOST_WALKED)]
    network = ground.model.network
    parts = batches(chosen)
    floats: dict[str, list[Map]] = {INPUT: [input_map(ground.model, part) for part in parts]}
    bytes_: dict[str, list[Map]] = {INPUT: [np.ascontiguousarray(part.transpose(1, 2, 0, 3)) for part in parts]}
    bits = bits_by_layer(network, options.weight_bits)
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
                numbers = _quantize_layer(
                    ground, layer, numbers, real_inputs[0], byte_inputs[0], options, bits[layer.name]
                )
                parameters |= parameters_of(layer, numbers)
            floats[layer.name] = [
                float_layer(layer, list(maps), ground.model.parameters) for maps in zip(*real_inputs, strict=True)
            ]
            bytes_[layer.name] = [integer_layer(layer, list(maps), numbers) for maps in zip(*byte_inputs, strict=True)]
            pairs = zip(floats[layer.name], bytes_[layer.name], strict=True)
            parts_of_noise = [powers(real, held, numbers.target) for real, held in pairs]
            noise.append(layer_noise(layer, parts_of_noise, numbers.weight))
            for name in set(layer.inputs):
                if last_reader[name] == layer.name:
                    del floats[name], bytes_[name]
            task.advance()
    result = assemble(model, network, parameters, ground.held, options)
    return Quantized(result, ground.model, tuple(noise), ground.absorbed_channels)


def assemble(
    model: Model,
    network: Network,
    parameters: Mapping[str, Tensor],
    held: Mapping[str, TensorQuantization],
    options: Options,
) -> Model:
    """The int8 Model of some integer tensors: labels, preprocessing and provenance are the float one's."""
    few = {name: bits for name, bits in bits_by_layer(network, options.weight_bits).items() if bits != 8}
    quantization = Quantization(held, few)
    return replace(model, network=network, parameters=parameters, quantization=quantization, slices={})


def bits_by_layer(network: Network, weight_bits: int) -> dict[str, int]:
    """Bits of the weights of every layer that has some.

    Where 4 are asked for, the smallest layers keep 8, as many as hold :data:`SPARED` of all weights together, those
    of output layers aside, so that the number of classes has no say: a layer's noise does not shrink with its size,
    and a MobileNet's first layers and most depthwise ones are hardly any bytes.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> bits = bits_by_layer(mobilenet_v1(), 4)
    >>> [name for name, of_layer in bits.items() if of_layer == 4][:3]
    ['block3.pointwise', 'block4.pointwise', 'block5.pointwise']
    """
    sizes = {
        layer.name: math.prod(layer.weight_shape(network.input_shapes(layer)))
        for layer in network.layers
        if layer.has_weight
    }
    bits = dict.fromkeys(sizes, weight_bits)
    inner = [name for name in sizes if name not in network.outputs]
    room = SPARED * sum(sizes[name] for name in inner)
    for name in sorted(inner, key=lambda name: sizes[name]):
        room -= sizes[name]
        if room < 0:
            break
        bits[name] = 8
    return bits


def integer_bias(bias: Rows, scale_in: float, scales: Rows) -> npt.NDArray[np.int32]:
    """Biases as int32 at input scale · weight scale."""
    limits = np.iinfo(np.int32)
    return np.clip(np.rint(bias / (scale_in * scales)), limits.min, limits.max).astype(np.int32)


def settled_scales(scales: Rows, weight: Rows, bias: Rows, scale_in: float, bits: int) -> Rows:
    """The weight scales that the Model will hold: wide enough for each bias, and bfloat16, half the bytes in a file.

    Rounding up to a bfloat16 makes a grid coarser by 0.4 % in the mean. Where a channel has no weights, its scale is as
    fine as its bias allows. Biases of 4-bit layers, whose units are large, are short; those of 8-bit layers are where
    that costs one channel in a hundred a bit at most.

    Args:
        scales: Where the weights alone would put them, (out,).
        weight: (out, …).
        bias: (out,).
        scale_in: Scale of the layer's input.
        bits: Of the weights.
    """
    short = np.abs(bias) / (scale_in * _SHORT_BIAS)
    coarser = short > scales
    cheap = coarser.mean() <= _WIDENED and bool((short <= 2 * scales).all())
    needed = short if bits == 4 or cheap else np.abs(bias) / (scale_in * _LARGEST_BIAS)
    dead = ~weight.reshape(len(weight), -1).any(axis=1)
    scales = np.where(dead & (needed > 0), 0.0, scales)
    return round_up_to_bfloat16(np.maximum(scales, needed))


def round_weights(
    model: Model,
    layer: Layer,
    source: TensorQuantization,
    bits: int,
    products: Rows | None = None,
    gain: Rows | float = 1.0,
) -> RoundedWeights:
    """Choose a layer's scales and round its weights.

    Args:
        model: float32, folded.
        layer: With weights.
        source: Scale and zero point of its input.
        bits: Of its weights.
        products: Covariance of the inputs, (groups, in, in); None rounds to the nearest.
        gain: Factor on the weights of each channel before they are rounded, (groups, out).
    """
    weight = model.parameters[f"{layer.name}.weight"].astype(np.float64)
    bias = model.parameters[f"{layer.name}.bias"].astype(np.float64)
    rows = to_rows(layer, weight)
    target = rows * np.broadcast_to(gain, rows.shape[:2])[:, :, None]
    variance = None if products is None else np.diagonal(products, axis1=1, axis2=2)
    scales = weight_scales(target, bits, variance)
    channels = target.reshape(len(weight), -1)
    scales = settled_scales(scales.reshape(-1), channels, bias, source.scale, bits).reshape(scales.shape)
    whole = nearest(target, scales, bits) if products is None else reconstruct(target, scales, bits, products)
    return RoundedWeights(layer, rows, whole, scales, bias, weight.shape)


def _quantize_layer(
    ground: Ground, layer: Layer, numbers: Arithmetic, reals: list[Map], bytes_: list[Map], options: Options, bits: int
) -> Arithmetic:
    source, reconstructs = numbers.sources[0], options.rounding is Rounding.RECONSTRUCT
    if not (options.bias_correction or options.deviation_correction or reconstructs):
        return round_weights(ground.model, layer, source, bits).arithmetic(numbers)
    real, held = windows(layer, reals, None), windows(layer, bytes_, source)
    products = covariance(held) if options.deviation_correction or reconstructs else None
    gain: Rows | float = 1.0
    if options.deviation_correction and products is not None:
        rows = to_rows(layer, ground.model.parameters[f"{layer.name}.weight"].astype(np.float64))
        gain = deviation_gain(rows, covariance(real), products)
    rounded = round_weights(ground.model, layer, source, bits, products if reconstructs else None, gain)
    if not options.bias_correction:
        return rounded.arithmetic(numbers)
    return rounded.arithmetic(numbers, mean_shift(rounded.rows, rounded.real, real, held))


def parameters_of(layer: Layer, numbers: Arithmetic) -> dict[str, Tensor]:
    """Tensors of an int8 Model for one layer with weights."""
    named = {"weight": numbers.weight, "weight_scale": numbers.weight_scale, "bias": numbers.bias}
    return {f"{layer.name}.{kind}": tensor for kind, tensor in named.items() if tensor is not None}
