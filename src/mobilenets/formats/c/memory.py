"""What a C file takes of a device's memory, told from the network alone: the arena, and the arrays of constants."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from mobilenets.architecture.layers import INPUT, Concatenate, GlobalAveragePool, Layer
from mobilenets.architecture.network import Network
from mobilenets.formats.c.arena import (
    ALIGNMENT,
    Buffer,
    MemoryPlan,
    activation_buffers,
    least_arena,
    plan_memory,
    scratch_of,
    with_room,
)
from mobilenets.formats.c.kernels import VECTOR, kernel_of, patch_size, row_bytes, scratch_bytes, window_size
from mobilenets.formats.c.rows import ROWS_AT_ONCE, RowPlan, chain_of, extra_work, row_plan
from mobilenets.formats.format import Footprint
from mobilenets.model.folding import folded_network
from mobilenets.model.quantization import needed_pre_activations, real_outputs

STACK_BYTES = 1024
"""What the kernels take at most of the stack."""
ROWS = "rows"
"""The bands of layers that are computed by rows, as one buffer."""
MOST_TRIED = 4
"""Ways to compute by rows that are tried where none fits, the most promising by what they take at least."""
TABLE = 256
"""Bytes of a table that holds a byte for each byte."""


@dataclass(frozen=True)
class Memory:
    """Where the activations of a network lie.

    Attributes:
        plan: Their places.
        direct: Outputs that do not lie in the arena: nobody reads them, and they are floats already.
        scratch: By layer, the bytes that its kernel needs for itself.
        rows: How the first layers are computed by rows; None where they are computed whole.
    """

    plan: MemoryPlan
    direct: Collection[str]
    scratch: Mapping[str, int]
    rows: RowPlan | None = None

    def scratch_of(self, layer: str) -> str:
        """The buffer that a layer's kernel has for itself: layers that are computed by rows share one."""
        return scratch_of(ROWS if self.rows is not None and layer in self.rows.layers else layer)

    def room(self, layer: str) -> int:
        """Bytes that a layer's kernel may take for itself: at least what it needs."""
        return self.plan.room.get(self.scratch_of(layer), 0)


def memory_of(
    network: Network,
    *,
    integer: bool,
    weight_zeros: Collection[str] = (),
    rows: RowPlan | None = None,
) -> Memory:
    """Plan the arena of a network.

    Args:
        network: Without batch norms.
        integer: Whether it is int8.
        weight_zeros: Layers whose weights have zero points.
        rows: How the first layers are computed by rows, if they are.
    """
    buffers, direct, scratch = _buffers(network, integer, weight_zeros, rows)
    plan = plan_memory(buffers)
    whole = replace(plan, size=-(-plan.size // ALIGNMENT) * ALIGNMENT)
    return Memory(with_room(whole, buffers), direct, scratch, rows)


def _buffers(
    network: Network, integer: bool, weight_zeros: Collection[str], rows: RowPlan | None
) -> tuple[list[Buffer], Collection[str], dict[str, int]]:
    if not integer:
        direct = {name for name in network.outputs if not network.consumers[name]}
        return activation_buffers(network, bytes_per_value=4, elsewhere=direct), direct, {}
    direct = real_outputs(network)
    kernels = {layer.name: kernel_of(layer, weight_zeros=layer.name in weight_zeros) for layer in network.layers}
    needed = {layer.name: scratch_bytes(network, layer, kernels[layer.name]) for layer in network.layers}
    scratch = {name: size for name, size in needed.items() if size}
    buffers = activation_buffers(network, bytes_per_value=1, elsewhere=direct, scratch=scratch)
    return buffers if rows is None else _with_bands(network, buffers, rows, scratch), direct, scratch


def _with_bands(network: Network, buffers: Sequence[Buffer], rows: RowPlan, scratch: Mapping[str, int]) -> list[Buffer]:
    """Buffers of a network whose first layers are computed by rows: their bands in the place of their maps."""
    step, last = len(rows.layers), rows.layers[-1]
    gone = {INPUT, *rows.layers[:-1], *map(scratch_of, rows.layers)}
    kept = [replace(one, distances={}) if one.name == last else one for one in buffers if one.name not in gone]
    room = max(scratch[name] for name in rows.layers)
    bands = Buffer(ROWS, sum(band_sizes(network, rows)), step, step)
    return [bands, *kept, Buffer(scratch_of(ROWS), room, step, step, alignment=ALIGNMENT, scratch=True)]


def band_sizes(network: Network, rows: RowPlan) -> list[int]:
    """Bytes of every band, the image's first."""
    sources = [network.shapes[INPUT], *(network.shapes[name] for name in rows.layers[:-1])]
    return [count * source.width * source.channels for count, source in zip(rows.bands, sources, strict=True)]


def memory_within(network: Network, arena: int, *, weight_zeros: Collection[str] = ()) -> Memory:
    """Plan the arena of an int8 network in so many bytes: whole if that fits, else its first layers by rows.

    Of the ways that fit, the one that adds the least work is taken; where none fits, the one of the least memory.

    Args:
        network: Without batch norms.
        arena: Bytes.
        weight_zeros: Layers whose weights have zero points.
    """
    whole = memory_of(network, integer=True, weight_zeros=weight_zeros)
    if whole.plan.size <= arena:
        return whole
    fitting = list[Memory]()
    ways = _ways(network, weight_zeros, arena)
    for length in dict.fromkeys(len(rows.layers) for _, rows in ways):
        for least, rows in ways:  # many rows at once first: fewer are more work
            if len(rows.layers) == length and least <= arena:
                found = memory_of(network, integer=True, weight_zeros=weight_zeros, rows=rows)
                if found.plan.size <= arena:
                    fitting.append(found)
                    break
    if fitting or not ways:
        return min(fitting, key=_extra_work, default=whole)
    promising = sorted(ways, key=lambda way: way[0])[:MOST_TRIED]
    tried = [memory_of(network, integer=True, weight_zeros=weight_zeros, rows=rows) for _, rows in promising]
    return min(whole, *tried, key=lambda one: one.plan.size)


def _ways(network: Network, weight_zeros: Collection[str], arena: int) -> list[tuple[int, RowPlan]]:
    """Ways to compute the first layers by rows, with what each takes at least.

    Chains that leave layers behind them which take more than the arena are left out, unless all do.
    """
    chain = chain_of(network, weight_zeros)
    buffers = _buffers(network, True, weight_zeros, None)[0]
    behind = {length: least_arena(buffers, length + 1) for length in range(2, len(chain) + 1)}
    lengths = [length for length, least in behind.items() if least <= arena] or list(behind)
    plans = [row_plan(network, chain[:length], at_once) for length in lengths for at_once in ROWS_AT_ONCE]
    return [(least_arena(_buffers(network, True, weight_zeros, rows)[0]), rows) for rows in plans]


def _extra_work(memory: Memory) -> float:
    return 0.0 if memory.rows is None else extra_work(memory.rows)


@lru_cache(maxsize=4096)
def int8_memory(network: Network, ram: int | None = None) -> Memory:
    """The arena of an int8 network whose weights have no zero points.

    Args:
        network: With its batch norms, if it has any.
        ram: Bytes of a device's RAM, the stack included, that it should fit into; None for no limit.
    """
    folded = folded_network(network)
    if ram is None:
        return memory_of(folded, integer=True)
    return memory_within(folded, ram - STACK_BYTES)


def int8_footprint(network: Network) -> Footprint:
    """What the C file of a network will take in int8, before it has any weights.

    Args:
        network: With its batch norms, if it has any.

    Raises:
        FormatError: If C files know no kernel for one of its layers.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> int8_footprint(mobilenet_v1(width_multiplier=0.25, resolution=96, classes=2))
    Footprint(flash_bytes=230068, ram_bytes=37400, by_rows=0)
    """
    folded = folded_network(network)
    return Footprint(constant_bytes(folded), int8_memory(network).plan.size)


def constant_bytes(network: Network) -> int:
    """Bytes of the constant arrays of an int8 network whose weights have no zero points.

    Args:
        network: Without batch norms.
    """
    size = TABLE * len(needed_pre_activations(network))
    for layer in network.layers:
        if isinstance(layer, Concatenate):
            size += TABLE * len(layer.inputs)  # as every part has a scale of its own
        elif isinstance(layer, GlobalAveragePool):
            size += 4  # its multiplier
        elif layer.has_weight:
            size += _weight_bytes(network, layer)
    return size


def _weight_bytes(network: Network, layer: Layer) -> int:
    """Weights, biases and multipliers of a layer."""
    kernel, channels = kernel_of(layer), network.shapes[layer.name].channels
    if kernel == "convolution":
        row = row_bytes(patch_size(network, layer))
        weights = row * (channels + channels % 2) + -row % VECTOR
    elif kernel == "depthwise":
        weights = channels * window_size(layer)
    else:
        weights = math.prod(layer.weight_shape(network.input_shapes(layer)))
    return weights + 8 * channels
