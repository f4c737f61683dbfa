"""Sizes as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

BYTE_UNITS: Mapping[str, float] = MappingProxyType(
    {"b": 1, "k": 1e3, "m": 1e6, "g": 1e9, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
)
"""Bytes of each unit. kB, or k, is 1,000 and KiB is 1,024 of them."""
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*")


def size_in_bytes(text: str) -> int | None:
    """Read a size, in bytes; None where the text is none, or nothing.

    >>> size_in_bytes("24kB"), size_in_bytes("2 KiB"), size_in_bytes("4096B"), size_in_bytes("many")
    (24000, 2048, 4096, None)
    """
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in BYTE_UNITS:
        return None
    return int(float(match[1]) * BYTE_UNITS[match[2].lower()]) or None
