"""Encoders of images that Pillow does not write: PNG and TIFF of any samples, with the tags that a test is about."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]

_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}


def photo(height: int = 40, width: int = 60) -> npt.NDArray[np.uint8]:
    """A smooth colored image from black to white, uint8 (H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    pixels: npt.NDArray[np.uint8] = np.dstack([red, green, (red + green) // 2]).astype(np.uint8)
    return pixels


def gray_photo(height: int = 40, width: int = 60) -> npt.NDArray[np.uint8]:
    """A smooth gray image from black to white, uint8 (H, W)."""
    y, x = np.mgrid[0:height, 0:width]
    pixels: npt.NDArray[np.uint8] = ((x + y) * 255 // (height + width - 2)).astype(np.uint8)
    return pixels


def png16(samples: Samples, chunks: tuple[bytes, ...] = ()) -> bytes:
    """A 16-bit PNG.

    Args:
        samples: (H, W) or (H, W, 1 to 4).
        chunks: More chunks to stand before the pixels: name and content of each.
    """
    pixels = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPES[channels], 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + header, *chunks, b"IDAT" + zlib.compress(rows), b"IEND"):
        content += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content


def tiff(
    samples: Samples,
    *,
    order: Literal["<", ">"] = "<",
    photometric: int | None = None,
    tags: Mapping[int, int | bytes | tuple[int, ...]] | None = None,
    planes: bool = False,
    deflate: bool = False,
    bits: int | None = None,
) -> bytes:
    """A TIFF of one strip, or of one for each plane.

    Args:
        samples: (H, W) or (H, W, C).
        order: Of bytes, ``<`` or ``>``.
        photometric: What the samples mean; by default 2 (RGB) for color and 1 (black is zero) for gray.
        tags: More tags: of one SHORT (or LONG) each, of several SHORT, or a text.
        planes: Store the channels one after the other.
        deflate: Compress with zlib.
        bits: Bits per sample, where they are packed: 12.
    """
    pixels = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = pixels.shape
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    strips = [stored[..., plane].tobytes() for plane in range(channels)] if planes else [stored.tobytes()]
    if bits == 12:
        strips = [_packed12(pixels)]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    bits = bits or 8 * pixels.dtype.itemsize
    entries: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (bits,) * channels),
        259: ("H", (8 if deflate else 1,)),
        262: ("H", (photometric if photometric is not None else 2 if channels >= 3 else 1,)),
        273: ("I", tuple(8 + sum(map(len, strips[:number])) for number in range(len(strips)))),
        277: ("H", (channels,)),
        278: ("I", (height,)),
        279: ("I", tuple(map(len, strips))),
        284: ("H", (2 if planes else 1,)),
        339: ("H", (_SAMPLE_FORMATS[pixels.dtype.kind],) * channels),
    }
    if channels == 4:
        entries[338] = ("H", (2,))
    for number, value in (tags or {}).items():
        match value:
            case bytes():
                entries[number] = ("B", tuple(value + b"\0"))
            case tuple():
                entries[number] = ("H", value)
            case int():
                entries[number] = ("H" if value < 65536 else "I", (value,))
    return _tiff_file(order, b"".join(strips), entries)


def _packed12(pixels: Samples) -> bytes:
    flat = pixels.astype(np.uint32).ravel()
    pairs = flat[0::2] << 12 | flat[1::2]
    return b"".join(int(pair).to_bytes(3, "big") for pair in pairs)


def _tiff_file(order: str, data: bytes, entries: dict[int, tuple[str, tuple[int, ...]]]) -> bytes:
    data += b"\0" * (len(data) % 2)
    directory = 8 + len(data)
    extra_at = directory + 2 + 12 * len(entries) + 4
    listed, extra = b"", b""
    for number, (kind, values) in sorted(entries.items()):
        value = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(value) > 4:
            field = struct.pack(f"{order}I", extra_at + len(extra))
            extra += value
        else:
            field = value.ljust(4, b"\0")
        listed += struct.pack(f"{order}HHI", number, {"B": 2, "H": 3, "I": 4}[kind], len(values)) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", directory)
    return head + data + struct.pack(f"{order}H", len(entries)) + listed + b"\0\0\0\0" + extra
