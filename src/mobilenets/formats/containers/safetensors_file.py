"""Any safetensors file as arrays, half precisions included.

Source: the format's description in the safetensors repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes
from mobilenets.model.model import Tensor

LARGEST_HEADER = 1 << 20
"""Bytes of header beyond which a file is refused; a MobileNet's takes some 20,000."""

_TYPES = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8", "BOOL": "u1"} | {
    f"{sign.upper()}{8 * size}": f"<{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)
}


def read_safetensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the metadata. bfloat16 becomes float32; all else are views of the file.

    Raises:
        FormatError: If the file is damaged or holds a type that no network of this kind uses.
    """
    file = Bytes(data, "the safetensors file")
    size = int.from_bytes(file.take(0, 8), "little")
    if size > min(LARGEST_HEADER, len(data) - 8):
        raise file.error(0, f"a header of {size} bytes")
    try:
        header = json.loads(bytes(file.take(8, size)))
        metadata = header.pop("__metadata__", None) or {}
        if not all(isinstance(text, str) for text in metadata.values()):
            raise TypeError("metadata must be text")
        entries = [(name, _entry(name, entry)) for name, entry in header.items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise file.error(8, f"the header is not readable: {error!r:.200}") from None
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, (kind, shape, begin, end) in entries:
        total += end - begin
        if total > len(data):
            raise file.error(8, f"{name} overlaps another tensor")
        tensors[name] = decoded(name, kind, shape, file.take(8 + size + begin, end - begin))
    return tensors, dict(metadata)


def decoded(name: str, kind: str, shape: tuple[int, ...], raw: memoryview) -> Tensor:
    """A tensor from its bytes, of a type named as safetensors does.

    Raises:
        FormatError: If the bytes are not as many as the shape needs.
    """
    dtype = np.dtype(_TYPES[kind])
    needed = int(dtype.itemsize)
    for extent in shape:
        needed *= extent
    if needed != len(raw):
        raise FormatError(f"{name} has {len(raw)} bytes; its shape {shape} needs {needed}")
    values: Tensor = np.frombuffer(raw, dtype).reshape(shape)
    if kind == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values


def _entry(name: str, entry: Mapping[str, Any]) -> tuple[str, tuple[int, ...], int, int]:
    kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if isinstance(kind, str) and kind.startswith(("F8", "F4", "F6")):
        raise FormatError(f"{name} holds {kind:.12}, which is not read; convert the weights to float32 and save again")
    if kind not in _TYPES:
        raise ValueError(f"{name} holds {kind}")
    if len(shape) > 8 or not all(type(number) is int and number >= 0 for number in (*shape, begin, end)) or end < begin:
        raise ValueError(f"{name} has shape {shape} at {begin} to {end}")
    return kind, shape, begin, end
