"""Post-training quantization with calibration images, layer by layer.

The float Model and the int8 one that is being made run side by side over the calibration images. At each layer the
int8 side's own inputs are known, so its weights are rounded for those inputs, and each channel keeps the mean and the
standard deviation that it has in float. A layer reads other values than in float: what the layers before it rounded
and clipped. Its bias takes up the difference of the means, and its weights grow or shrink by a factor for each channel,
so that it varies as much as in float. Without the factor a little of the variation is lost at every layer, and over a
network's depth the logits lose several percent of their spread.

Nothing is left in float but what the contract says: a layer that cannot be quantized is an error.

Source of the first correction: Nagel et al. 2019, arXiv:1906.04721, section 4.2; the second is its counterpart for
second moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, Layer
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.equalize import absorb, equalize
from mobilenets.compression.filters import Rows, covariance, to_rows, windows
from mobilenets.compression.observation import observe
from mobilenets.compression.quality import LayerSqnr, layer_sqnr, signal_and_error
from mobilenets.compression.ranges import choose_ranges
from mobilenets.compression.rounding import WeightRounding
from mobilenets.compression.weights import bits_by_layer, integer_parameters, round_weights
from mobilenets.data.splitting import spread
from mobilenets.engine.output_ranges import with_output_ranges
from mobilenets.model.float_layers import float_layer
from mobilenets.model.folding import check_finite, fold, fold_input, refuse_int8, with_biases
from mobilenets.model.integer_layers import Arithmetic, integer_layer
from mobilenets.model.map_sums import Map
from mobilenets.model.model import Model, Tensor
from mobilenets.model.numpy_runtime import BATCH, input_map
from mobilenets.model.preprocessing import Pixels, check_pixels
from mobilenets.model.quantization import Quantization

LAYERWISE_IMAGES = 128
"""Images that the two Models run over side by side; ranges are calibrated on all."""
_LEAST_VARIANCE = 1e-10
"""Variance of a channel's results under which it is a constant and has no standard deviation to keep."""
_LARGEST_GAIN = 1.25
"""Most that a channel grows or shrinks by: a larger difference comes from chance, not from rounding."""


@dataclass(frozen=True, eq=False)
class Quantized:
    """An int8 Model and how it came out.

    Attributes:
        model: The int8 Model.
        float_model: The folded float32 Model, equalized as configured, whose layers those of the int8 Model stand for.
        layers: SQNR of each layer on calibration images, in order; empty where there were none.
        absorbed_channels: Channels whose constant part went into the next layers' biases.
        epoch: Epoch of quantization-aware training that was kept, from 1; 0 where none was better than the start, and
            None where nothing was trained.
    """

    model: Model
    float_model: Model
    layers: tuple[LayerSqnr, ...] = ()
    absorbed_channels: int = 0
    epoch: int | None = None


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A float Model made ready for int8, and the scales and zero points of its activations.

    Attributes:
        model: float32, folded, equalized as configured, reading pixels by the input's scale and zero point.
        unfolded: The same with its batch norms, which quantization-aware training starts from.
        quantization: Scale and zero point of every activation, and of every pre-activation that a table reads.
        absorbed_channels: Channels whose constant part went into the next layers' biases.
    """

    model: Model
    unfolded: Model
    quantization: Quantization
    absorbed_channels: int


def quantize_with_images(
    model: Model,
    pixels: Pixels,
    config: QuantizationConfig = QuantizationConfig(),
    *,
    progress: Progress = SILENT,
) -> Quantized:
    """Quantize a float32 Model with calibration images, without training.

    Args:
        model: float32, with batch norms or without.
        pixels: Calibration images, unlabeled: uint8 (N, height, width, 3).
        config: What is done on the way.
        progress: Receives progress updates.

    Raises:
        CompressionError: If the Model is int8 already or broken, or the images cannot calibrate it.
        ModelError: If the pixels do not fit the network's input.
    """
    calibrated = calibrate_ranges(model, pixels, config, progress=progress)
    return quantize_layers(model, calibrated, pixels, config, progress=progress)


def calibrate_ranges(
    model: Model, pixels: Pixels, config: QuantizationConfig, *, progress: Progress = SILENT
) -> Calibrated:
    """Fold, equalize and observe: everything that comes before the weights are rounded.

    Args:
        model: float32, with batch norms or without.
        pixels: Calibration images, uint8 (N, height, width, 3).
        config: What is done on the way.
        progress: Receives progress updates.

    Raises:
        CompressionError: As :func:`quantize_with_images`.
    """
    refuse_int8(model)
    check_finite(model)
    check_pixels(model.network, pixels)
    ready, input_quantization = fold_input(with_biases(model))
    seen = observe(ready, _batches(pixels), total=len(pixels), progress=progress)
    absorbed = 0
    if config.absorb:
        ready, seen, absorbed = absorb(ready, seen)
    if config.equalize:
        ready, _ = equalize(ready, seen)
    if config.equalize or absorbed:
        seen = observe(ready, _batches(pixels), total=len(pixels), progress=progress)
    folded = fold(ready)
    quantization = choose_ranges(
        folded.network, seen, input_quantization, method=config.ranges, percentile=config.percentile
    )
    return Calibrated(folded, ready, quantization, absorbed)


def quantize_layers(
    model: Model,
    calibrated: Calibrated,
    pixels: Pixels,
    config: QuantizationConfig,
    *,
    progress: Progress = SILENT,
) -> Quantized:
    """Quantize one layer after another, the float and the int8 Model side by side.

    Args:
        model: The float32 Model that ``calibrated`` was made from.
        calibrated: From :func:`calibrate`.
        pixels: Calibration images; at most :data:`LAYERWISE_IMAGES` of them, evenly spread, are used.
        config: What is done on the way.
        progress: Receives progress updates.
    """
    network = calibrated.model.network
    parts = _batches(pixels[spread(len(pixels), LAYERWISE_IMAGES)])
    reals: dict[str, list[Map]] = {INPUT: [input_map(calibrated.model, part) for part in parts]}
    integers: dict[str, list[Map]] = {INPUT: [np.ascontiguousarray(part.transpose(1, 2, 0, 3)) for part in parts]}
    bits = bits_by_layer(network, config.weight_bits)
    last_reader = {source: layer.name for layer in network.layers for source in layer.inputs}
    parameters: dict[str, Tensor] = {}
    found: list[LayerSqnr] = []
    with progress.task("quantizing", len(network.layers), "layers") as task:
        for layer in network.layers:
            numbers = without_weights(calibrated.quantization, layer)
            real_inputs = [reals[name] for name in layer.inputs]
            integer_inputs = [integers[name] for name in layer.inputs]
            if layer.has_weight:
                numbers = _quantized_layer(
                    calibrated.model, layer, numbers, real_inputs[0], integer_inputs[0], config, bits[layer.name]
                )
                parameters |= integer_parameters(layer, numbers)
            reals[layer.name] = [
                float_layer(layer, list(maps), calibrated.model.parameters) for maps in zip(*real_inputs, strict=True)
            ]
            integers[layer.name] = [
                integer_layer(layer, list(maps), numbers) for maps in zip(*integer_inputs, strict=True)
            ]
            pairs = zip(reals[layer.name], integers[layer.name], strict=True)
            powers = [signal_and_error(real, result, numbers.target) for real, result in pairs]
            found.append(layer_sqnr(layer, powers, numbers.weight))
            for name in set(layer.inputs):
                if last_reader[name] == layer.name:
                    del reals[name], integers[name]
            task.advance()
    made = assemble(model, network, parameters, calibrated.quantization, config)
    result = with_output_ranges(made, pixels)
    return Quantized(result, calibrated.model, tuple(found), calibrated.absorbed_channels)


def assemble(
    model: Model,
    network: Network,
    parameters: Mapping[str, Tensor],
    quantization: Quantization,
    config: QuantizationConfig,
) -> Model:
    """Make the int8 Model of integer tensors; task, preprocessing and provenance are those of the float one.

    Args:
        model: The float32 Model.
        network: Its folded network.
        parameters: Integer tensors of every layer with weights.
        quantization: Scale and zero point of every activation and pre-activation.
        config: What says how many bits weights have.
    """
    few = {name: bits for name, bits in bits_by_layer(network, config.weight_bits).items() if bits != 8}
    quantization = replace(quantization, weight_bits=few)
    return replace(model, network=network, parameters=parameters, quantization=quantization, subnets={})


def without_weights(quantization: Quantization, layer: Layer) -> Arithmetic:
    """Scales and zero points of one layer's inputs, result and pre-activation."""
    scales = quantization.activations
    sources = tuple(scales[name] for name in layer.inputs)
    return Arithmetic(sources, scales.get(layer.name), pre_activation=quantization.pre_activations.get(layer.name))


def deviation_gain(rows: Rows, real: Rows, quantized: Rows) -> Rows:
    """Factor on each channel's weights with which its results keep the standard deviation that they have in float.

    Args:
        rows: The float weights, (groups, out, in).
        real: Covariance of the layer's inputs in float, (groups, in, in).
        quantized: The same of the inputs that the int8 layers before it make.

    Returns:
        (groups, out); 1 for a channel that hardly varies on either side.
    """
    wanted, found = (((rows @ products) * rows).sum(axis=2) for products in (real, quantized))
    varies = (wanted > _LEAST_VARIANCE) & (found > _LEAST_VARIANCE)
    ratio = np.sqrt(np.where(varies, wanted, 1.0) / np.where(varies, found, 1.0))
    gain: Rows = ratio.clip(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    return gain


def mean_shift(rows: Rows, rounded: Rows, real: npt.NDArray[np.float32], quantized: npt.NDArray[np.float32]) -> Rows:
    """What each bias must grow by for its channel to keep the mean that it has in float, (out,).

    Args:
        rows: The float weights, (groups, out, in).
        rounded: What the integer weights stand for, (groups, out, in).
        real: Inputs of the layer's filters in float, (groups, samples, in).
        quantized: The same of the int8 Model, at the same pixels.
    """
    before, after = (seen.mean(axis=1, dtype=np.float64)[:, :, None] for seen in (real, quantized))
    shift: Rows = (rows @ before - rounded @ after).reshape(-1)
    return shift


def _quantized_layer(
    model: Model,
    layer: Layer,
    numbers: Arithmetic,
    reals: list[Map],
    integers: list[Map],
    config: QuantizationConfig,
    bits: int,
) -> Arithmetic:
    source, reconstructs = numbers.sources[0], config.rounding is WeightRounding.RECONSTRUCT
    if not (config.bias_correction or config.deviation_correction or reconstructs):
        return round_weights(model, layer, source, bits).arithmetic(numbers)
    real, quantized = windows(layer, reals, None), windows(layer, integers, source)
    products = covariance(quantized) if config.deviation_correction or reconstructs else None
    gain: Rows | float = 1.0
    if config.deviation_correction and products is not None:
        rows = to_rows(layer, model.parameters[f"{layer.name}.weight"].astype(np.float64))
        gain = deviation_gain(rows, covariance(real), products)
    rounded = round_weights(model, layer, source, bits, products if reconstructs else None, gain)
    if not config.bias_correction:
        return rounded.arithmetic(numbers)
    return rounded.arithmetic(numbers, mean_shift(rounded.rows, rounded.real, real, quantized))


def _batches(pixels: Pixels) -> list[Pixels]:
    """Views of a few images each."""
    return [pixels[begin : begin + BATCH] for begin in range(0, len(pixels), BATCH)]
