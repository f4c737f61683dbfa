"""Where every activation of a network lies in one static array.

Two activations may share bytes if they are never needed together. An output may even overlap the input that it is made
from, if that input has no other reader left: a kernel that makes pixel after pixel leaves the pixels behind it unread
for good, so the output can follow at a safe distance, and a depthwise or pointwise convolution takes hardly more room
than the larger of its two maps.

Source: Blacker et al. 2020, arXiv:2010.12369 (diagonal memory optimization).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mobilenets.architecture.layers import (
    INPUT,
    Add,
    Convolution,
    DepthwiseConvolution,
    Layer,
    MaxPool,
    Multiply,
    PointwiseConvolution,
    Shape,
)
from mobilenets.architecture.network import Network

PIXELS = "pixels"
"""The image in bytes, where a network reads it as normalized floats."""
ALIGNMENT = 8
"""Of the arena, and of what a kernel needs for itself: pointers and numbers of four bytes lie in it."""
TRIES = 400
"""Orders in which the activations are placed before the best plan is taken."""


@dataclass
class Buffer:
    """One activation.

    Attributes:
        name: Its name.
        size: Bytes.
        born: Step that writes it.
        dies: Last step that reads it.
        alignment: Its offset is a multiple of this.
        distances: For each input that it may overlap, by how many bytes it must begin before that input begins.
        scratch: Whether a kernel has it for itself while it runs.
    """

    name: str
    size: int
    born: int
    dies: int
    alignment: int = 1
    distances: Mapping[str, int] = field(default_factory=dict)
    scratch: bool = False


@dataclass(frozen=True)
class MemoryPlan:
    """Where the activations lie.

    Attributes:
        offsets: By buffer, bytes from the beginning of the array.
        size: Bytes of the array that holds them all.
        room: By buffer of scratch, the bytes that it may take, at least what it needs.
    """

    offsets: Mapping[str, int]
    size: int
    room: Mapping[str, int] = field(default_factory=dict)


def plan_memory(buffers: Sequence[Buffer]) -> MemoryPlan:
    """The smallest plan found: the same for every call.

    Trying orders is a heuristic; the lower bound, which most networks reach, is the largest room that any two
    activations that touch take by themselves.
    """
    shuffler = random.Random(2017)
    small = [buffer for buffer in buffers if buffer.scratch]  # placed last, where there is room left
    buffers = [buffer for buffer in buffers if not buffer.scratch]
    largest_first = sorted(buffers, key=lambda buffer: -buffer.size)
    orders = [list(buffers), list(reversed(buffers)), largest_first]
    beside = {
        one.name: [other for other in (*buffers, *small) if other is not one and _together(one, other)]
        for one in (*buffers, *small)
    }
    best: MemoryPlan | None = None
    least = least_arena([*buffers, *small])
    for attempt in range(TRIES):
        if best is not None and best.size <= least:
            break
        if attempt >= len(orders):
            # Large ones first, more or less: they are the hard ones to place.
            weights = {buffer.name: buffer.size * shuffler.uniform(0.2, 1) for buffer in buffers}
            order = sorted(buffers, key=lambda buffer: -weights[buffer.name])
        else:
            order = orders[attempt]
        found = _place([*order, *small], beside, best.size if best else None)
        if found is not None and (best is None or found.size < best.size):
            best = found
    return best or MemoryPlan({}, 0)


def least_arena(buffers: Sequence[Buffer], begin: int = 0) -> int:
    """What no plan is smaller than.

    Args:
        buffers: All of them.
        begin: Only what is needed from this step on counts.
    """
    return max((_least(step, buffers) for step in {one.born for one in buffers} if step >= begin), default=0)


def _least(step: int, buffers: Sequence[Buffer]) -> int:
    """What the buffers that are needed at a step take at least: its outputs hide the inputs that they may overlap."""
    together = [buffer for buffer in buffers if buffer.born <= step <= buffer.dies]
    made = [buffer for buffer in together if buffer.born == step and buffer.distances]
    overlapped = {name: distance for buffer in made for name, distance in buffer.distances.items()}
    hidden = [buffer for buffer in together if buffer.name in overlapped and buffer not in made]
    size = sum(buffer.size for buffer in together)
    if len(made) != 1 or not hidden:
        return size if not made else 0
    under = sum(buffer.size for buffer in hidden)
    shared = max(made[0].size, under + min(overlapped[buffer.name] for buffer in hidden))
    return size - made[0].size - under + shared


def with_room(plan: MemoryPlan, buffers: Sequence[Buffer]) -> MemoryPlan:
    """The plan with each kernel's own buffer where the most bytes are free while it runs."""
    offsets, room = dict(plan.offsets), {}
    for scratch in (buffer for buffer in buffers if buffer.scratch):
        others = (buffer for buffer in buffers if buffer is not scratch and _together(buffer, scratch))
        taken = sorted((offsets[other.name], offsets[other.name] + other.size) for other in others)
        begin, best = 0, (scratch.size, -plan.offsets[scratch.name])
        for low, high in [*taken, (plan.size, plan.size)]:
            if low - begin > best[0]:
                best = (low - begin, -begin)
            begin = max(begin, -(-high // scratch.alignment) * scratch.alignment)
        room[scratch.name], offsets[scratch.name] = best[0], -best[1]
    return MemoryPlan(offsets, plan.size, room)


def _place(order: Sequence[Buffer], beside: Mapping[str, Sequence[Buffer]], limit: int | None) -> MemoryPlan | None:
    """Give each buffer in turn the lowest offset that is free; None once the plan is no smaller than the limit."""
    offsets: dict[str, int] = {}
    size = 0
    for buffer in order:
        taken = sorted(
            _forbidden(buffer, other, offsets[other.name]) for other in beside[buffer.name] if other.name in offsets
        )
        offset = 0
        for low, high in taken:
            if low < offset < high:
                offset = -(-high // buffer.alignment) * buffer.alignment
        offsets[buffer.name] = offset
        size = max(size, offset + buffer.size)
        if limit is not None and size >= limit:
            return None
    return MemoryPlan(offsets, size)


def _together(one: Buffer, other: Buffer) -> bool:
    return one.born <= other.dies and other.born <= one.dies


def _forbidden(buffer: Buffer, other: Buffer, offset: int) -> tuple[int, int]:
    """Offsets of a buffer between these two, both exclusive, collide with another that lies at ``offset``."""
    if other.name in buffer.distances:
        return offset - buffer.distances[other.name], offset + other.size
    if buffer.name in other.distances:
        return offset - buffer.size, offset + other.distances[buffer.name]
    return offset - buffer.size, offset + other.size


def activation_buffers(
    network: Network, *, bytes_per_value: int, elsewhere: Collection[str] = (), scratch: Mapping[str, int] | None = None
) -> list[Buffer]:
    """Every activation of a network, the image first.

    Args:
        network: The network.
        bytes_per_value: 1 for int8; 4 for float32, whose image in bytes is normalized first.
        elsewhere: Layers whose results do not lie in the arena.
        scratch: Bytes that a layer's kernel needs for itself, by layer; they are the buffer :func:`scratch_of` names.
    """
    step = {layer.name: number for number, layer in enumerate(network.layers, start=1)}

    def dies(name: str) -> int:
        readers = [step[reader] for reader in network.consumers[name]]
        return len(step) + 1 if name in network.outputs else max(readers, default=step.get(name, 0))

    image = network.shapes[INPUT]
    buffers = [Buffer(INPUT, image.size * bytes_per_value, 0, dies(INPUT), bytes_per_value)]
    if bytes_per_value > 1:
        # Normalizing makes several bytes of each: the floats of a pixel may cover the bytes of pixels before it.
        normalize = PointwiseConvolution("normalize", (PIXELS,), out_channels=image.channels)
        distance = safe_distance(normalize, image, image, bytes_in=1, bytes_out=bytes_per_value)
        buffers[0].distances = {PIXELS: distance}
        buffers.append(Buffer(PIXELS, image.size, 0, 0))
    for name, size in (scratch or {}).items():
        buffers.append(Buffer(scratch_of(name), size, step[name], step[name], alignment=ALIGNMENT, scratch=True))
    for layer in network.layers:
        if layer.name in elsewhere:
            continue
        made, now = network.shapes[layer.name], step[layer.name]
        distances = {
            source: safe_distance(
                layer, network.shapes[source], made, bytes_in=bytes_per_value, bytes_out=bytes_per_value
            )
            for source in layer.inputs
            if dies(source) == now
        }
        size = made.size * bytes_per_value
        buffers.append(Buffer(layer.name, size, now, dies(layer.name), bytes_per_value, distances))
    return buffers


def scratch_of(layer: str) -> str:
    """Name of the buffer that a layer's kernel has for itself."""
    return f"{layer}: scratch"


def safe_distance(layer: Layer, source: Shape, made: Shape, *, bytes_in: int, bytes_out: int) -> int:
    """How far before its input a layer's output must begin, for it to overwrite only what is not read any more.

    Args:
        layer: A layer.
        source: Shape of one of its inputs.
        made: Shape of its output.
        bytes_in: Bytes per value of the input.
        bytes_out: Bytes per value of the output.

    Returns:
        Bytes; the whole output's size where nothing may overlap.
    """
    if isinstance(layer, Add | Multiply) and source == made and bytes_in == bytes_out:
        return 0
    if isinstance(layer, PointwiseConvolution):
        down, across, top, left = 1, 1, 0, 0
    elif isinstance(layer, Convolution | DepthwiseConvolution | MaxPool):
        (down, across), top, left = layer.strides, layer.padding.top, layer.padding.left
    else:
        return made.size * bytes_out
    rows = np.maximum(np.arange(made.height) * down - top, 0)
    columns = np.maximum(np.arange(made.width) * across - left, 0)
    first_read = (rows[:, None] * source.width + columns).ravel() * source.channels * bytes_in
    still_needed = np.minimum.accumulate(first_read[::-1])[::-1]
    written = np.arange(1, made.height * made.width + 1) * made.channels * bytes_out
    return max(0, int((written - still_needed).max()))
