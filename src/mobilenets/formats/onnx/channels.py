"""Which channels of the image the nodes of an ONNX graph take: Slice, Gather and Split."""

from __future__ import annotations

from collections.abc import Mapping

from mobilenets.errors import FormatError
from mobilenets.formats.onnx.file import Node
from mobilenets.formats.weights import NamedTensor

CHANNEL_AXES = (1, -3, 3, -1)
"""Axes that channels lie along, first or last: no image is 3 pixels high or wide."""
LARGEST_COUNT = 1 << 16
"""More channels than any image has: an end below it, negative, stands for the beginning."""


def onnx_channels(node: Node, constants: Mapping[str, NamedTensor]) -> slice | list[int]:
    """Which channels a Slice or a Gather takes.

    Raises:
        FormatError: If it takes something along another axis, or what it takes is computed.
    """
    if node.operator == "Gather":
        _check_axis(node, node.attributes.get("axis", 0))
        return _numbers(node, constants, 1, "indices")
    starts, ends = _numbers(node, constants, 1, "starts"), _numbers(node, constants, 2, "ends")
    axes = _numbers(node, constants, 3, "axes") or list(range(len(starts)))
    steps = _numbers(node, constants, 4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) == 1:
        raise FormatError(f"{node.name} (Slice) cuts along {len(axes)} axes; along one, channels are taken")
    _check_axis(node, axes[0])
    start, end, step = starts[0], ends[0], steps[0]
    if step == 0:
        raise FormatError(f"{node.name} (Slice) has a step of 0")
    # Behind the first channel there is none: a reversed slice ends before the number of the lowest there is.
    return slice(start, None if step < 0 and end < -LARGEST_COUNT else end, step)


def split_channels(node: Node, constants: Mapping[str, NamedTensor]) -> list[slice]:
    """Which channels each output of a Split has.

    Raises:
        FormatError: If it splits something along another axis.
    """
    _check_axis(node, node.attributes.get("axis", 0))
    sizes = _numbers(node, constants, 1, "split") or [1] * len(node.outputs)
    if len(sizes) != len(node.outputs) or min(sizes) < 1:
        raise FormatError(f"{node.name} (Split) makes {len(node.outputs)} tensors of {sizes} channels")
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def _check_axis(node: Node, axis: object) -> None:
    if axis not in CHANNEL_AXES:
        raise FormatError(f"{node.name} ({node.operator}) cuts the image along axis {axis}, which no Model does")


def _numbers(node: Node, constants: Mapping[str, NamedTensor], place: int, name: str) -> list[int]:
    """Integers that a node takes as a constant, or in older files as an attribute; none where it has neither."""
    written = node.attributes.get(name)
    if isinstance(written, list):
        return [int(value) for value in written]
    tensor = node.input(place)
    if not tensor:
        return []
    if tensor not in constants or constants[tensor].value.dtype.kind not in "iu":
        raise FormatError(f"{node.name} ({node.operator}) takes what the graph computes; constants are read")
    return [int(value) for value in constants[tensor].value.ravel()]
