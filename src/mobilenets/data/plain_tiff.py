"""TIFF images whose samples Pillow does not know: floating-point color, and numbers of 16 and 64 bits.

Only what needs no more than NumPy is read: strips that are uncompressed or compressed by zlib, without a predictor.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mobilenets.errors import DataError

_TYPES = {1: "u", 2: "i", 3: "f"}
_UNCOMPRESSED, _ZLIB = 1, (8, 32946)
_BITS = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATE_PLANES = 0, 1, 2, 2


def read_plain_tiff(file: IO[bytes], most_pixels: int) -> tuple[npt.NDArray[Any], int] | None:
    """The samples of the first image, and its EXIF orientation.

    Args:
        file: A file that begins as TIFF does, at its beginning.
        most_pixels: Larger images are refused.

    Returns:
        (H, W) or (H, W, 3 or 4), where black is zero; None where the file is of another kind.

    Raises:
        DataError: If it is damaged or too large.
    """
    try:
        directory = ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        directory.load(file)
        width, height = int(directory[256]), int(directory[257])
        dtype = _sample_type(directory)
    except (KeyError, SyntaxError, TypeError, ValueError):
        return None
    channels, compression = int(directory.get(277, 1)), directory.get(259, _UNCOMPRESSED)
    photometric = directory.get(262)
    known = photometric == _RGB if channels in (3, 4) else photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    plain = directory.get(317, 1) == 1 and compression in (_UNCOMPRESSED, *_ZLIB) and 273 in directory
    if dtype is None or not known or not plain or channels not in (1, 3, 4):
        return None
    if not 0 < width * height <= most_pixels:
        raise DataError(f"it has {width}×{height} pixels, and is not decoded")
    size = width * height * channels * dtype.itemsize
    content = _content(file, directory, size, compressed=compression != _UNCOMPRESSED)
    samples = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
    if channels == 1:
        samples = samples.reshape(height, width)
    elif directory.get(284, 1) == _SEPARATE_PLANES:
        samples = samples.reshape(channels, height, width).transpose(1, 2, 0)
    else:
        samples = samples.reshape(height, width, channels)
    if photometric == _WHITE_IS_ZERO:
        samples = samples.max() - samples
    return samples, int(directory.get(274, 1))


def _sample_type(directory: ImageFileDirectory_v2) -> np.dtype[Any] | None:
    """The type of all samples, if they have one."""
    bits, formats = set(_several(directory.get(258, 1))), set(_several(directory.get(339, 1)))
    if len(bits) != 1 or len(formats) != 1:
        return None
    kind = _TYPES.get(formats.pop())
    width = bits.pop()
    if kind is None or width not in _BITS[kind]:
        return None
    return np.dtype(f"{'<' if directory.prefix == b'II' else '>'}{kind}{width // 8}")


def _content(file: IO[bytes], directory: ImageFileDirectory_v2, size: int, *, compressed: bool) -> bytes:
    content = bytearray()
    for offset, count in zip(_several(directory[273]), _several(directory.get(279, size)), strict=False):
        file.seek(offset)
        strip = file.read(min(count, size) if not compressed else count)
        content += zlib.decompressobj().decompress(strip, size - len(content)) if compressed else strip
        if len(content) >= size:
            return bytes(content[:size])
    raise DataError("it is damaged: it ends early")


def _several(value: Any) -> Sequence[int]:
    return value if isinstance(value, tuple) else (value,)
