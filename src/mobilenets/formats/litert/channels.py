"""Which channels of the image the operators of a LiteRT graph take: STRIDED_SLICE, REVERSE_V2 and GATHER."""

from __future__ import annotations

from mobilenets.errors import FormatError
from mobilenets.formats.litert.codes import Code
from mobilenets.formats.litert.file import TfliteFile, TfliteOperator, TfliteTensor

_LAST = 3
"""The axis of the channels of an image."""


def litert_channels(node: str, operator: TfliteOperator, file: TfliteFile) -> slice | list[int]:
    """Which channels of an image an operator takes.

    Args:
        node: Its name.
        operator: The operator, whose first input is the image.
        file: Whose it is.

    Raises:
        FormatError: If it takes something along another axis, or what it takes is computed.
    """
    source, made = file.tensor(operator.inputs[0]), file.tensor(operator.output)
    if len(source.shape) != _LAST + 1 or made.shape[1:_LAST] != source.shape[1:_LAST]:
        raise FormatError(f"{node} cuts a map of shape {source.shape} to {made.shape}; of an image, channels are taken")
    given = [_numbers(node, file.tensor(index)) for index in operator.inputs[1:]]
    if operator.code == Code.REVERSE_V2 and given and given[0] in ([_LAST], [-1]):
        return slice(None, None, -1)
    if operator.code == Code.STRIDED_SLICE and len(given) == 3 and len(set(map(len, given))) == 1 and given[0]:
        return _slice(operator, *(values[-1] for values in given), axis=len(given[0]) - 1)
    axis = operator.options.i32(0) if operator.options else 0
    if operator.code == Code.GATHER and given and axis in (_LAST, -1):
        return given[0]
    raise FormatError(f"{node} turns an image or takes parts of it, which no Model does")


def _slice(operator: TfliteOperator, begin: int, end: int, step: int, *, axis: int) -> slice | list[int]:
    """What is taken along the last axis; bits of masks leave a bound out, or take one channel and its axis away."""
    begins, ends, _, _, shrinks = (operator.options.i32(slot) if operator.options else 0 for slot in range(5))
    if shrinks >> axis & 1:
        return [begin]
    return slice(None if begins >> axis & 1 else begin, None if ends >> axis & 1 else end, step or 1)


def _numbers(node: str, tensor: TfliteTensor) -> list[int]:
    if not tensor.constant or tensor.dtype.kind not in "iu":
        raise FormatError(f"{node} takes what the graph computes; constants are read")
    return [int(value) for value in tensor.value().ravel()]
