"""The weights of a TensorFlow.js model: shards of bytes beside ``model.json``, as floats or quantized."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.base.arguments import is_integer, is_number
from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import LARGEST_FILE, read_file
from mobilenets.model.model import Tensor

_TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "u1"}
"""Types of stored numbers, as little-endian NumPy types."""
_MOST_DIMENSIONS = 8
LARGEST_NUMBER = 1e30
"""Of a scale and of a least value."""


def read_weights(manifest: Any, folder: Path) -> dict[str, Tensor]:
    """All tensors of a ``weightsManifest``, as float32.

    Args:
        manifest: A list of groups, each with ``paths`` of shards and ``weights``.
        folder: Where the shards lie.

    Raises:
        FormatError: If a shard is missing, lies elsewhere or has other bytes than the manifest says, or a tensor is
            stored in a way that is not known.
    """
    if not isinstance(manifest, list):
        raise FormatError("the file has no weightsManifest, so it does not say where its weights are")
    found: dict[str, Tensor] = {}
    for group in manifest:
        if not isinstance(group, Mapping):
            raise FormatError("a group of the weightsManifest is not readable")
        paths, entries = group.get("paths", []), group.get("weights", [])
        if not isinstance(paths, list) or not isinstance(entries, list):
            raise FormatError("a group of the weightsManifest lists no paths or no weights")
        content = b"".join(read_file(_shard(path, folder)) for path in paths)
        begin = 0
        for entry in entries:
            name, value, begin = _tensor(entry, content, begin)
            found[name] = value
        if begin != len(content):
            raise FormatError(f"the shards hold {len(content)} bytes; the weightsManifest says {begin}")
    return found


def _shard(path: Any, folder: Path) -> Path:
    """A shard beside ``model.json``."""
    if not isinstance(path, str) or Path(path).name != path or path in ("", ".", ".."):
        raise FormatError(f"the shard {path!r:.80} does not lie beside model.json")
    return folder / path


def _tensor(entry: Any, content: bytes, begin: int) -> tuple[str, Tensor, int]:
    """One tensor with its name, and where the next begins."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise FormatError("an entry of the weightsManifest has no name")
    name, shape, quantization = entry["name"], entry.get("shape"), entry.get("quantization") or {}
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMENSIONS
        or not all(is_integer(size) and 0 <= size < LARGEST_FILE for size in shape)
    ):
        raise FormatError(f"{name} has shape {shape!r:.80} in the weightsManifest")
    if not isinstance(quantization, Mapping):
        raise FormatError(f"{name} is quantized as {quantization!r:.40}")
    kind = quantization.get("dtype", entry.get("dtype"))
    if not isinstance(kind, str) or kind not in _TYPES:
        raise FormatError(f"{name} is stored as {kind!r:.40}; known are {', '.join(_TYPES)}")
    stored = np.dtype(_TYPES[kind])
    end = begin + math.prod(shape) * stored.itemsize
    if end > len(content):
        raise FormatError(f"the shards end within {name}")
    values = np.frombuffer(content[begin:end], stored).reshape(shape)
    if "scale" in quantization:
        scale, least = quantization["scale"], quantization.get("min", 0)
        if not all(is_number(number) and abs(number) <= LARGEST_NUMBER for number in (scale, least)):
            raise FormatError(f"{name} is quantized with scale {scale!r:.40} and min {least!r:.40}")
        # In float64, as JavaScript computes it, and rounded once.
        with np.errstate(over="ignore"):
            values = values * float(scale) + float(least)
    return name, values.astype(np.float32), end
