"""TensorFlow checkpoints (tensor bundles), read without TensorFlow.

``PREFIX.index`` is a sorted string table of the kind that LevelDB has, which maps the names of tensors to where they
lie in ``PREFIX.data-00000-of-00001``.

Source: tensorflow/core/util/tensor_bundle, tensorflow/core/lib/io/table, tensor_bundle.proto; snappy's
format_description.txt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes, read_file
from mobilenets.formats.containers.protobuf import Message, read_varint
from mobilenets.model.model import Tensor

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
MOST_TENSORS = 1 << 14
_FOOTER = 48
_TRAILER = 5
_PLAIN, _SNAPPY = 0, 1
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
_LARGEST_BLOCK = 1 << 20
"""Bytes of an unpacked block; TensorFlow begins a new one after 262,144, and a MobileNet's index takes 20,000."""


def read_tensor_bundle(index: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name.

    Args:
        index: The ``.index`` file; the data files lie beside it.

    Raises:
        FormatError: If a file is damaged or missing, or a tensor is of a type or a form that networks do not use.
    """
    entries = dict(_entries(read_file(index)))
    header = Message(entries.pop("", b""), "the checkpoint's header")
    shards = header.integer(1, 1)
    if header.integer(2) != 0:
        raise FormatError(f"{index} is in big-endian order")
    files: dict[int, Bytes] = {}
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, value in entries.items():
        entry = Message(value, f"the checkpoint's entry of {name}")
        shard = entry.integer(3)
        if not 0 <= shard < shards < 100_000:
            raise FormatError(f"{name} lies in shard {shard} of {shards}")
        if shard not in files:
            path = index.with_name(f"{index.name.removesuffix('.index')}.data-{shard:05}-of-{shards:05}")
            files[shard] = Bytes(read_file(path), path.name)
        tensor = _tensor(name, entry, files[shard])
        total += 0 if tensor is None else tensor.nbytes
        if total > sum(map(len, files.values())):
            raise FormatError(f"{name} overlaps another tensor")
        if tensor is not None:
            tensors[name] = tensor
    return tensors


def _tensor(name: str, entry: Message, data: Bytes) -> Tensor | None:
    """A tensor as a view of its file; None for text and other things that are no numbers."""
    kind = entry.integer(1)
    if kind not in _TYPES:
        return None
    if entry.has(7):
        raise FormatError(f"{name} is stored in slices, which is not read")
    shape = tuple(
        axis.integer(1) for axis in entry.message(2, f"the shape of {name}").messages(2, f"an axis of {name}")
    )
    dtype = np.dtype(_TYPES[kind])
    needed = dtype.itemsize
    for extent in shape:
        needed *= extent
    offset, size = entry.integer(4), entry.integer(5)
    if len(shape) > 8 or any(extent < 0 for extent in shape) or size != needed:
        raise FormatError(f"{name} has {size} bytes; its shape {shape} needs {needed}")
    return np.frombuffer(data.take(offset, size), dtype).reshape(shape)


def _entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of a table."""
    table = Bytes(data, "the checkpoint's index")
    footer = len(data) - _FOOTER
    table.expect(footer + 40, MAGIC)
    _, at = read_varint(table, footer)
    _, at = read_varint(table, at)
    offset, at = read_varint(table, at)
    size, _ = read_varint(table, at)
    count = 0
    for _, handle in _block(table, offset, size):
        place = Bytes(handle, "a block's place in the index")
        block_offset, at = read_varint(place, 0)
        block_size, _ = read_varint(place, at)
        for key, value in _block(table, block_offset, block_size):
            count += 1
            if count > MOST_TENSORS:
                raise table.error(block_offset, f"more than {MOST_TENSORS} tensors")
            try:
                yield key.decode(), value
            except UnicodeDecodeError:
                raise table.error(block_offset, "a name is not UTF-8") from None


def _block(table: Bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of one block: each key is told by how much of the key before it it shares."""
    content = table.take(offset, size)
    stored = table.take(offset + size, _TRAILER)
    check_checksum(table, offset, bytes(content) + bytes(stored[:1]), bytes(stored[1:]))
    if stored[0] == _SNAPPY:
        content = memoryview(snappy_decompress(Bytes(content, "a compressed block")))
    elif stored[0] != _PLAIN:
        raise table.error(offset, f"compression {stored[0]}")
    block = Bytes(content, "a block of the checkpoint's index")
    end = len(block) - 4 - 4 * block.u32(len(block) - 4)
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        added, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or shared + added > 4096:
            raise block.error(at, f"a name shares {shared} bytes with one of {len(key)}")
        key = key[:shared] + bytes(block.take(at, added))
        yield key, bytes(block.take(at + added, length))
        at += added + length


def check_checksum(table: Bytes, offset: int, content: bytes, stored: bytes) -> None:
    """Raise unless a block has its checksum."""
    if masked_crc32c(content) != int.from_bytes(stored, "little"):
        raise table.error(offset, "a block does not have its checksum")


def snappy_decompress(data: Bytes) -> bytes:
    """Undo snappy.

    Raises:
        FormatError: If the data is damaged.
    """
    expected, at = read_varint(data, 0)
    if expected > _LARGEST_BLOCK:
        raise data.error(0, f"it claims to unpack to {expected} bytes")
    result = bytearray()
    while at < len(data):
        tag = data.u8(at)
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                width = length - 59
                length = int.from_bytes(data.take(at, width), "little")
                at += width
            result += data.take(at, length + 1)
            at += length + 1
        else:
            width = {1: 1, 2: 2, 3: 4}[tag & 3]
            back = int.from_bytes(data.take(at, width), "little")
            at += width
            length = 4 + (tag >> 2 & 7) if tag & 3 == 1 else (tag >> 2) + 1
            back += (tag >> 5) << 8 if tag & 3 == 1 else 0
            if not 0 < back <= len(result):
                raise data.error(at, f"it repeats what lies {back} bytes back, of {len(result)}")
            for _ in range(length):
                result.append(result[-back])
        if len(result) > expected:
            raise data.error(at, f"it unpacks to more than the {expected} bytes that it claims")
    if len(result) != expected:
        raise data.error(at, f"it unpacks to {len(result)} bytes, not {expected}")
    return bytes(result)


def masked_crc32c(data: bytes) -> int:
    """The checksum of a block: CRC-32C, rotated and shifted so that checksums of checksums stay apart.

    >>> hex(masked_crc32c(b"123456789"))
    '0xc78ab0e5'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()
