"""Files damaged where their formats keep their structure: what ``fuzz_readers.py`` tries every reader with."""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Callable

import numpy as np

STRUCTURE_BLOCK = 8
"""Bytes that are taken for structure or for numbers together."""
LARGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, 2**63 - 1, 2**64 - 1)

Damage = Callable[[bytes, np.random.Generator], bytes]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One damage, or a few."""
    data, places = bytearray(content), structure(content)
    for _ in range(int(rng.geometric(0.5))):
        if len(data) < 16:
            break
        at = min(place(places, len(data), rng), len(data) - 1)
        match int(rng.integers(0, 9)):
            case 0 | 1:
                data[at] = int(rng.integers(0, 256))
            case 2:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 3 | 4:
                width = int(rng.choice([1, 2, 4, 8]))
                value = int(rng.choice(np.array(LARGE, np.uint64)))
                data[at : at + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
            case 5:
                del data[at : at + int(rng.integers(1, 64))]
            case 6:
                start = min(place(places, len(data), rng), len(data) - 1)
                data[at:at] = data[start : start + int(rng.integers(1, 64))]
            case 7:
                start, size = min(place(places, len(data), rng), len(data) - 1), int(rng.choice([1, 2, 4, 8, 40]))
                data[at : at + size] = data[start : start + size]
            case _:
                if rng.random() < 0.2:
                    del data[at:]
    return bytes(data)


_STRUCTURE: dict[bytes, np.ndarray] = {}


def structure(content: bytes) -> np.ndarray:
    """Offsets of blocks that hold a zero byte or nothing but text: what random float32 numbers hardly ever do."""
    key = content[:4096] + len(content).to_bytes(8, "little")
    if key not in _STRUCTURE:
        if len(_STRUCTURE) > 64:
            _STRUCTURE.clear()
        blocks = np.frombuffer(content[: len(content) // STRUCTURE_BLOCK * STRUCTURE_BLOCK], np.uint8)
        blocks = blocks.reshape(-1, STRUCTURE_BLOCK)
        text = ((blocks >= 32) & (blocks < 127)).all(axis=1)
        _STRUCTURE[key] = np.flatnonzero((blocks == 0).any(axis=1) | text) * STRUCTURE_BLOCK
    return _STRUCTURE[key]


def place(places: np.ndarray, size: int, rng: np.random.Generator) -> int:
    """An offset: mostly within structure, sometimes near an end or anywhere."""
    if len(places) and rng.random() < 0.7:
        return int(rng.choice(places)) + int(rng.integers(0, STRUCTURE_BLOCK))
    reach = int(rng.choice([64, 1024, size]))
    at = int(rng.integers(0, min(reach, size)))
    return size - 1 - at if rng.random() < 0.4 else at


def damaged_member(content: bytes, rng: np.random.Generator) -> bytes:
    """A ZIP archive with one member damaged and packed anew, its checksum right; or the archive itself damaged."""
    if rng.random() < 0.2:
        return damaged(content, rng)
    result = io.BytesIO()
    members = unpacked(content)
    structured = [name for name in members if name.endswith((".pkl", ".json", ".h5"))]
    chosen = rng.choice(structured)
    packing = rng.random(len(members)) < 0.05
    with zipfile.ZipFile(result, "w") as target:
        for (name, member), packed in zip(members.items(), packing, strict=True):
            if name == chosen:
                member = (damaged_json if name.endswith(".json") else damaged)(member, rng)
            target.writestr(zipfile.ZipInfo(name), member, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    return result.getvalue()


@functools.lru_cache(maxsize=4)
def unpacked(content: bytes) -> dict[str, bytes]:
    """Members of a ZIP archive by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        return {info.filename: source.read(info) for info in source.infolist()}


def damaged_json(content: bytes, rng: np.random.Generator) -> bytes:
    """JSON text with some numbers, words or stretches replaced by others."""
    text = content
    for _ in range(int(rng.geometric(0.5))):
        tokens = [
            match.span() for match in re.finditer(rb"-?\d+(?:\.\d+)?|\"[^\"]*\"|true|false|null|[\[\]{}:,]", text)
        ]
        if not tokens:
            return damaged(text, rng)
        begin, end = tokens[int(rng.integers(len(tokens)))]
        other = tokens[int(rng.integers(len(tokens)))]
        new = [
            str(int(rng.choice(np.array(LARGE, np.uint64)))).encode(),
            b"-1",
            b"1e999",
            b"NaN",
            b"null",
            b"[]",
            b"{}",
            b'"x"',
            text[other[0] : other[1]],
        ][int(rng.integers(9))]
        text = text[:begin] + new + text[end:]
    return text


def damaged_header(content: bytes, rng: np.random.Generator) -> bytes:
    """A safetensors file whose JSON is changed and has its length right; or the file itself damaged."""
    if rng.random() < 0.3:
        return damaged(content, rng)
    size = int.from_bytes(content[:8], "little")
    header = damaged_json(content[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]
