"""How much there is to do in a kernel of the int8 C files, counted in the passes of its loops.

A processor's instructions are, to a few per cent, a sum of these counts, each times a factor that is found by counting
instructions in an emulator. Layers of the same kind differ in shape only, so few factors describe all networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from mobilenets.architecture.layers import DepthwiseConvolution, Layer, MaxPool
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.formats.c.kernels import VECTOR, kernel_of, patch_size, row_bytes, threes_of_pixels, window_size
from mobilenets.formats.c.memory import Memory
from mobilenets.model.quantization import needed_pre_activations, real_outputs


class KernelSet(StrEnum):
    """Which of the kernels a compiler takes."""

    VECTORS = "vectors"
    SIGNAL_PROCESSING = "signal processing"
    PLAIN = "plain"


@dataclass(frozen=True)
class Work:
    """What a kernel does for a layer.

    Attributes:
        kernel: Of which there are factors: the name of a function, and of depthwise convolutions the way that is taken.
        counts: Passes of its loops, by name.
    """

    kernel: str
    counts: Mapping[str, float]


def work_of(network: Network, layer: Layer, memory: Memory, kernels: KernelSet, *, rows: int | None = None) -> Work:
    """The work of one layer of an int8 network.

    Args:
        network: Without batch norms; its weights have no zero points.
        layer: One of its layers.
        memory: Where its activations lie, which decides the way that a depthwise convolution takes.
        kernels: Which kernels the compiler takes.
        rows: How many rows of its map a call makes; None for all.

    Raises:
        FormatError: If the layer is of a kind that no instructions have been counted of.
    """
    made, kernel = network.shapes[layer.name], kernel_of(layer)
    tabled = layer.name in needed_pre_activations(network)
    match kernel:
        case "convolution":
            return Work(kernel, _convolution(network, layer, memory, kernels, rows, tabled=tabled))
        case "depthwise":
            assert isinstance(layer, DepthwiseConvolution)
            return _depthwise(network, layer, memory, kernels, rows, tabled=tabled)
        case "average_pool":
            source = network.input_shapes(layer)[0]
            return Work(kernel, {"call": 1, "channels": source.channels, "values": source.size})
        case "max_pool":
            assert isinstance(layer, MaxPool)
            return Work(kernel, {"call": 1, "values": made.size, "products": made.size * window_size(layer)})
        case "add" | "multiply":
            return Work(kernel, {"call": 1, "values": made.size, "tabled": made.size * tabled})
        case "concatenate":
            return Work(kernel, {"call": len(layer.inputs), "values": made.size})
        case "grouped" | "depthwise_with_zeros" | "add_many":
            raise FormatError(f"{layer.name} is of a kind that instructions are not known of: {kernel}")
    assert_never(kernel)


def _convolution(
    network: Network, layer: Layer, memory: Memory, kernels: KernelSet, rows: int | None, *, tabled: bool
) -> dict[str, float]:
    made, count = network.shapes[layer.name], patch_size(network, layer)
    pixels, channels, row = (rows or made.height) * made.width, made.channels, row_bytes(count)
    real = layer.name in real_outputs(network)
    gathered = pixels if window_size(layer) > 1 else 0
    counts: dict[str, float] = {"call": 1, "pixels": pixels, "values": pixels * row}
    counts |= {"gathered": gathered, "gathered values": gathered * count}
    threes, pairs = -(-pixels // 3), -(-channels // 2)
    match kernels:
        case KernelSet.SIGNAL_PROCESSING:
            at_once = threes_of_pixels(row, pixels, memory.room(layer.name))
            rounds = -(-threes // at_once)
            slow = pixels if tabled or real else pixels % 3 + (pixels if channels % 2 else 0) / channels
            counts |= {"rounds": rounds * pairs, "spread weights": rounds * pairs * row}
            counts |= {"sums": threes * pairs, "products": threes * pairs * row, "bounded": slow * channels}
        case KernelSet.VECTORS:
            vectors = -(-count // VECTOR)
            single, double, more = vectors == 1, vectors == 2, vectors > 2
            counts |= {"vectors": pixels * vectors, "threes": threes, "short sums": threes * pairs * single}
            counts |= {"middle sums": threes * pairs * double, "sums": threes * pairs * more}
            counts |= {"products": threes * pairs * vectors * more}
            rest = 0 if real or tabled else channels // 16 * 16
            counts |= {"sixteens": pixels * (rest // 16), "finished sixteens": threes * (rest // 16)}
            fours = 0 if real else (channels - rest) // 4
            counts |= {"fours": pixels * fours, "bounded": pixels * (channels - rest - 4 * fours)}
        case KernelSet.PLAIN:
            fours = -(-pixels // 4)
            counts |= {"sums": fours * channels, "products": fours * channels * row, "results": pixels * channels}
            counts |= {"tabled": pixels * channels * tabled}
        case _:
            assert_never(kernels)
    return counts


STRIPS = {KernelSet.SIGNAL_PROCESSING: (4, 18), KernelSet.VECTORS: (8, 20)}
"""Channels that a depthwise convolution lays out at a time, and columns of the map."""


def _depthwise(
    network: Network,
    layer: DepthwiseConvolution,
    memory: Memory,
    kernels: KernelSet,
    rows: int | None,
    *,
    tabled: bool,
) -> Work:
    made, source = network.shapes[layer.name], network.input_shapes(layer)[0]
    height, channels, window = rows or made.height, made.channels, window_size(layer)
    pixels = height * made.width
    if kernels in STRIPS:
        group, columns = STRIPS[kernels]
        groups = channels // group
        laid_out = _by_threes(layer, made.width, source.width) and (rows is not None or _apart(network, layer, memory))
        if laid_out and not (tabled and kernels is KernelSet.VECTORS):
            most = columns - 2 if layer.strides[1] == 1 else (columns - 1) // 2
            strips = groups * height * -(-made.width // most)
            wide = groups * height * ((made.width - 1) * layer.strides[1] + 3)
            rest = channels - groups * group
            counts = {"call": 1, "groups": groups, "strips": strips, "columns": wide + 2 * strips}
            counts |= {"values": groups * pixels, "bounded": groups * pixels * tabled}
            counts |= {"rest": pixels * (rest > 0), "rest values": pixels * rest}
            return Work("depthwise by strips", counts)
        rest = channels - groups * group
        counts = {"call": 1, "pixels": pixels, "taps": pixels * window, "values": pixels * groups}
        counts |= {"products": pixels * groups * window, "weights": groups * window}
        counts |= {"rest values": pixels * rest, "rest products": pixels * rest * window}
        return Work("depthwise by pixels", counts)
    counts = {"call": 1, "pixels": pixels, "taps": pixels * window, "values": pixels * channels}
    counts |= {"products": pixels * channels * window, "tabled": pixels * channels * tabled}
    return Work("depthwise by pixels", counts)


def _by_threes(layer: DepthwiseConvolution, width: int, source_width: int) -> bool:
    """Whether windows are 3 by 3 and every one has a column on the map, as the kernel asks too."""
    last = (width - 1) * layer.strides[1] - layer.padding.left
    return layer.kernel == 3 and layer.strides[1] < 3 and layer.padding.left < 3 and last < source_width


def _apart(network: Network, layer: Layer, memory: Memory) -> bool:
    """Whether channels may be made one after the other, as the kernel asks too."""
    made, source = network.shapes[layer.name], network.input_shapes(layer)[0]
    if layer.name in memory.direct:
        return False
    begin, end = memory.plan.offsets[layer.inputs[0]], memory.plan.offsets[layer.name]
    return end + made.size <= begin or begin + source.size <= end or (begin - end) % made.channels == 0
