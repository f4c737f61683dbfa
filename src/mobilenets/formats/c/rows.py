"""The first layers of a network a few rows of the image at a time, so that no large map is ever whole in memory.

The first maps of a network are its largest. A chain of convolutions at its beginning is computed in steps: some rows of
the image come in, every layer makes the rows that it can make of those before it, and a layer's input keeps only the
rows that are still to be read. No row is computed twice, as overlapping patches of a map would be (Lin et al. 2021,
arXiv:2110.15352, compute halos again): what is kept of every layer is one or two rows, far less than the halos of small
patches, and the image need not lie in memory either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mobilenets.architecture.layers import (
    INPUT,
    Convolution,
    DepthwiseConvolution,
    Layer,
    PointwiseConvolution,
    Shape,
)
from mobilenets.architecture.network import Network
from mobilenets.formats.c.kernels import kernel_of

MOST_STAGES = 12
"""Layers of a chain at most, as the kernel has room for."""
ROWS_AT_ONCE = (16, 8, 4, 2, 1)
"""Rows of the image that may come in at a time."""
CALL, MOVED = 400, 0.6
"""About how many instructions a call of a kernel takes beside its work, and a byte that is moved."""


@dataclass(frozen=True)
class RowPlan:
    """How a chain of layers is computed by rows.

    Attributes:
        layers: Its layers, by name.
        at_once: Rows of the image that come in at a time.
        bands: By layer, rows of its input that are kept at most.
        calls: By layer, how many rows each call makes, for every call.
        moved: Bytes that are moved within the bands, for one image.
    """

    layers: tuple[str, ...]
    at_once: int
    bands: tuple[int, ...]
    calls: tuple[tuple[int, ...], ...]
    moved: int


def chain_of(network: Network, weight_zeros: Collection[str] = ()) -> list[Layer]:
    """The layers at the beginning of an int8 network that can be computed by rows.

    Args:
        network: Without batch norms.
        weight_zeros: Layers whose weights have zero points.
    """
    found: list[Layer] = []
    before = INPUT
    for layer in network.layers[:MOST_STAGES]:
        if layer.inputs != (before,) or network.consumers[before] != (layer.name,) or layer.name in network.outputs:
            break
        if kernel_of(layer, weight_zeros=layer.name in weight_zeros) not in ("convolution", "depthwise"):
            break
        if not isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution):
            break  # a classifier reads everything at once
        if network.shapes[layer.name].height == 1 or window_of(layer)[0] < window_of(layer)[1]:
            break
        found.append(layer)
        before = layer.name
    return found


def window_of(layer: Layer) -> tuple[int, int, int]:
    """Rows of a layer's window, from one to the next, and how many of the first lie above the map."""
    if isinstance(layer, Convolution | DepthwiseConvolution):
        return layer.kernel, layer.strides[0], layer.padding.top
    return 1, 1, 0


def row_plan(network: Network, chain: Sequence[Layer], at_once: int) -> RowPlan:
    """What computing a chain by rows takes, by going through it as the kernel does.

    Args:
        network: The network.
        chain: Its first layers, of :func:`chain_of`.
        at_once: Rows of the image that come in at a time.
    """
    maps = [network.shapes[INPUT], *(network.shapes[layer.name] for layer in chain)]
    made, first = [0] * len(maps), [0] * len(maps)
    bands, moved = [0] * len(chain), 0
    calls: list[list[int]] = [[] for _ in chain]
    while made[0] < maps[0].height:
        made[0] = min(made[0] + at_once, maps[0].height)
        for stage, layer in enumerate(chain):
            bands[stage] = max(bands[stage], made[stage] - first[stage])
            kernel, stride, top = window_of(layer)
            ready = _ready(made[stage], maps[stage], maps[stage + 1], kernel, stride, top)
            if ready > made[stage + 1]:
                calls[stage].append(ready - made[stage + 1])
                made[stage + 1] = ready
            begin = min(made[stage + 1] * stride - top, made[stage])
            if begin > first[stage]:
                moved += (made[stage] - begin) * maps[stage].width * maps[stage].channels
                first[stage] = begin
    names = tuple(layer.name for layer in chain)
    return RowPlan(names, at_once, tuple(bands), tuple(map(tuple, calls)), moved)


def _ready(made: int, source: Shape, target: Shape, kernel: int, stride: int, top: int) -> int:
    """Rows of a map that can be made of so many of its input."""
    if made == source.height:
        return target.height
    return 0 if made + top < kernel else min((made + top - kernel) // stride + 1, target.height)


def extra_work(plan: RowPlan) -> float:
    """About how many instructions a plan adds to what the same layers take at once, to tell plans apart."""
    return CALL * sum(map(len, plan.calls)) + MOVED * plan.moved
