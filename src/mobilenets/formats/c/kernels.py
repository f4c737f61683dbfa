"""Which kernel of the C files computes a layer, and what memory it needs beside its maps."""

from __future__ import annotations

from typing import Literal, assert_never

from mobilenets.architecture.layers import (
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError

Weighted = Convolution | DepthwiseConvolution | PointwiseConvolution | Linear
Kernel = Literal[
    "convolution",
    "grouped",
    "depthwise",
    "depthwise_with_zeros",
    "average_pool",
    "max_pool",
    "add",
    "add_many",
    "multiply",
    "concatenate",
]
"""A kernel of an int8 file, by the name of its function."""

ROW = 8
"""A row of weights takes a multiple of so many bytes."""
VECTOR = 16
"""Bytes of a vector of Helium."""
POINTER = 8
"""Bytes of the longest pointer."""
PLANES = 512
"""Bytes of a strip of eight channels that Helium lays out for a depthwise convolution."""


def kernel_of(layer: Layer, *, weight_zeros: bool = False) -> Kernel:
    """The kernel that computes a layer of an int8 network.

    Args:
        layer: The layer.
        weight_zeros: Whether its weights have zero points.

    Raises:
        FormatError: If there is none.
    """
    match layer:
        case DepthwiseConvolution():
            return "depthwise_with_zeros" if weight_zeros else "depthwise"
        case Convolution():
            return "grouped" if layer.groups > 1 else "convolution"
        case PointwiseConvolution() | Linear():
            return "convolution"
        case GlobalAveragePool():
            return "average_pool"
        case MaxPool():
            return "max_pool"
        case Add():
            return "add" if len(layer.inputs) == 2 else "add_many"
        case Multiply():
            return "multiply"
        case Concatenate():
            return "concatenate"
        case _:
            raise FormatError(f"{layer.name} is of a kind that C export does not know: {type(layer).__name__}")


def scratch_bytes(network: Network, layer: Layer, kernel: Kernel) -> int:
    """Bytes that the kernel of an int8 layer needs for itself, on the processor where it needs the most."""
    match kernel:
        case "convolution":
            return convolution_scratch(patch_size(network, layer), network.shapes[layer.name].channels)
        case "depthwise":
            return depthwise_scratch(window_size(layer), network.shapes[layer.name].channels)
        case (
            "grouped"
            | "depthwise_with_zeros"
            | "average_pool"
            | "max_pool"
            | "add"
            | "add_many"
            | "multiply"
            | "concatenate"
        ):
            return 0
    assert_never(kernel)


def patch_size(network: Network, layer: Layer) -> int:
    """Values that one output value of a convolution of one group reads."""
    source = network.input_shapes(layer)[0]
    return source.size if isinstance(layer, Linear) else source.channels * window_size(layer)


def window_size(layer: Layer) -> int:
    """Input pixels that one output value of a channel reads."""
    return layer.kernel * layer.kernel if isinstance(layer, Convolution | DepthwiseConvolution | MaxPool) else 1


def row_bytes(count: int) -> int:
    """Bytes of a row of so many weights.

    >>> row_bytes(27), row_bytes(32)
    (32, 32)
    """
    return -(-count // ROW) * ROW


def convolution_scratch(count: int, channels: int) -> int:
    """Bytes that the product of matrices of an int8 convolution needs, of whichever processor.

    With instructions for signal processing two rows of weights and three patches, spread to 16 bits, and a patch as it
    is; three patches in whole vectors of 16 bytes and their sums, with vectors.
    """
    row = row_bytes(count)
    return max(10 * row + row, 3 * (-(-count // VECTOR) * VECTOR) + max(12 * (channels + channels % 2), row + VECTOR))


def threes_of_pixels(row: int, pixels: int, room: int) -> int:
    """How many threes of pixels instructions for signal processing work on at a time, in so many bytes."""
    return max(1, min(-(-pixels // 3), (room - 5 * row) // (6 * row)))


def depthwise_scratch(window: int, channels: int) -> int:
    """Bytes that an int8 depthwise convolution needs, of whichever processor.

    Pointers to a window, a pixel, and weights spread to 16 bits; with vectors, the planes of eight channels.
    """
    channels = -(-channels // ROW) * ROW
    return max(POINTER * window + channels + 2 * window * channels, PLANES if channels >= ROW else 0)
