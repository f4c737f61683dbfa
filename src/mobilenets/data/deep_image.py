"""Images of more than eight bits per sample: all of their bits, and what their files say of them.

Pillow keeps the upper eight bits of 16-bit color, which of 12 bits in 16 leaves 4. Its decoders take the raw mode of an
image for granted, so a second pass in the other byte order gives the lower eight.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from mobilenets.data.sample_range import Samples, StatedRange, as_bytes
from mobilenets.errors import DataError

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_LEAST_UPPER = 64
"""Upper bytes below this are of 14 bits or fewer."""
_ALPHA_BITS = (10, 12, 14, 16)

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _COLOR_MAP, _SAMPLE_FORMAT = 258, 262, 284, 320, 339
_NO_DATA = 42113
"""GDAL's tag of the number that stands where nothing was measured."""
_LIMITS = ((340, 341), (280, 281))
"""TIFF tags of the smallest and the largest sample: those of any type, and the older ones for integers."""
_WHITE_IS_ZERO, _SEPARATE_PLANES, _UNSIGNED, _SIGNED = 0, 2, 1, 2


def deep_to_eight_bits(
    image: Image.Image, raw_mode: str | None, reopen: Callable[[], Image.Image] | None
) -> tuple[Image.Image, str | None]:
    """An image of more than eight bits as one of eight.

    Args:
        image: The image, read.
        raw_mode: How 16-bit color is stored in its file, as Pillow names it: ``RGB;16B``. None for gray images.
        reopen: Opens it once more; None where it comes from no file.

    Returns:
        A gray, RGB or RGBA image, and what was assumed of its range (see :mod:`~mobilenets.data.sample_range`).

    Raises:
        DataError: If no sample is finite, or the file is of a kind that cannot be read rightly.
    """
    if raw_mode is not None and reopen is not None:
        samples = _color_samples(image, reopen, raw_mode)
    else:
        samples = _typed(image, np.asarray(image))
    colors, alpha = (samples[..., :3], samples[..., 3:]) if samples.ndim == 3 else (samples, samples[..., :0])
    said = as_bytes(colors, stated_range(image if reopen is None else reopen()))
    pixels = 255 - said.samples if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO else said.samples
    opacity = _opacity(image, colors, alpha)
    if opacity is not None:
        pixels = np.dstack([pixels] * (3 if pixels.ndim == 2 else 1) + [opacity])
    return Image.fromarray(np.ascontiguousarray(pixels)), said.assumption


def tiff_bytes(image: Image.Image) -> tuple[Image.Image, str | None]:
    """A TIFF image of 8 bits that Pillow has read, where Pillow takes its numbers for others.

    Signed samples are taken for unsigned ones, and color maps of 8 bits, which older programs write, for those of 16.

    Args:
        image: Of mode ``L`` or ``P``.

    Returns:
        The image, and what was assumed of its range.
    """
    if image.mode == "L" and _tag(image, _SAMPLE_FORMAT) == _SIGNED:
        said = as_bytes(np.asarray(image).view(np.int8))
        return Image.fromarray(said.samples), said.assumption
    colors = image.tag_v2.get(_COLOR_MAP) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    if image.mode == "P" and colors is not None and 0 < max(colors) < 256:
        count = len(colors) // 3
        palette = np.array(colors, np.uint8).reshape(3, count).T
        mapped = image.copy()
        mapped.putpalette(palette.tobytes())
        return mapped, None
    return image, None


def stated_range(image: Image.Image) -> StatedRange:
    """What the file of an image that was opened, and not yet read, says of its samples."""
    if image.format in ("PPM", "JPEG2000") and image.mode.startswith("I"):
        return StatedRange(bits=16)  # the decoder has brought them to it
    if image.format == "PNG":
        return StatedRange(bits=_significant_bits(image))
    if image.format != "TIFF":
        return StatedRange()
    bits = _tag(image, _BITS_PER_SAMPLE)
    limits = next((found for found in (_limits(image, *tags) for tags in _LIMITS) if found is not None), None)
    if limits is not None and image.mode != "F" and limits == (0, 2**bits - 1):
        limits = None  # what an integer can hold says nothing of what this image uses
    return StatedRange(bits if image.mode != "F" and bits < 16 else None, limits, no_data(_tag(image, _NO_DATA)))


def no_data(text: object) -> float | None:
    """The number in GDAL's tag of what was not measured; None where it holds none.

    >>> no_data("-9999"), no_data("nan"), no_data(None)
    (-9999.0, None, None)
    """
    try:
        number = float(str(text).strip("\0 "))
    except ValueError:
        return None
    return None if number != number else number


def separate_planes_raw_mode(image: ImageFile.ImageFile) -> str | None:
    """The raw mode of 16-bit color in uncompressed TIFF planes, which Pillow takes for 8-bit color; else None."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or _tag(image, _BITS_PER_SAMPLE) != 16:
        return None
    return f"{image.mode};16{'L' if image.tag_v2.prefix == TiffImagePlugin.II else 'B'}"


def _color_samples(image: Image.Image, reopen: Callable[[], Image.Image], raw_mode: str) -> npt.NDArray[np.uint16]:
    """uint16, (H, W, 3 or 4)."""
    if raw_mode.startswith("LA"):  # four bytes a pixel, as RGBA has: gray and alpha, the upper byte first
        upper_and_lower = np.asarray(_with_raw_mode(reopen(), "RGBA")).astype(np.uint16)
        gray, alpha = (upper_and_lower[..., i] << 8 | upper_and_lower[..., i + 1] for i in (0, 2))
        samples: npt.NDArray[np.uint16] = np.dstack([gray, gray, gray, alpha]).astype(np.uint16)
        return samples
    upper: npt.NDArray[np.uint16] = np.asarray(_with_raw_mode(reopen(), raw_mode)).astype(np.uint16)
    if _tag(image, _PLANAR) == _SEPARATE_PLANES and raw_mode.endswith("N"):  # Pillow can't be told an order here
        if upper.max() < _LEAST_UPPER:
            raise DataError("its colors are of fewer than 16 bits in compressed planes; save it uncompressed")
        upper <<= 8
        return upper
    other = raw_mode[:-1] + _OTHER_ORDER[raw_mode[-1]]
    lower: npt.NDArray[np.uint16] = np.asarray(_with_raw_mode(reopen(), other)).astype(np.uint16)
    upper <<= 8
    upper |= lower
    return upper


def _with_raw_mode(image: Image.Image, raw_mode: str) -> Image.Image:
    """The image, still to be read, with its bytes taken for those of another raw mode."""
    if isinstance(image, ImageFile.ImageFile):
        image.tile = [tile._replace(args=_with_first(tile.args, raw_mode)) for tile in image.tile]
    return image


def _with_first(arguments: Any, raw_mode: str) -> Any:
    """Arguments of a decoder for another raw mode; those of a single plane name its channel: ``R``, ``G``, ``B``."""
    if isinstance(arguments, str):
        return raw_mode
    plane = arguments[0] if len(arguments[0]) == 1 else None
    return (raw_mode if plane is None else f"{plane};{raw_mode.partition(';')[2]}", *arguments[1:])


def _typed(image: Image.Image, samples: Samples) -> Samples:
    """The integers of a TIFF file in the type that it says; Pillow holds several in signed ones of 32 bits."""
    if image.mode != "I" or image.format != "TIFF":
        return samples
    bits, signed = _tag(image, _BITS_PER_SAMPLE), _tag(image, _SAMPLE_FORMAT) == _SIGNED
    if bits == 32:
        return samples if signed else samples.view(np.uint32)
    return samples.astype(np.int16) if bits == 16 and signed else samples


def _opacity(image: Image.Image, colors: Samples, alpha: Samples) -> npt.NDArray[np.uint8] | None:
    """uint8 (H, W), or None where the image has no transparency."""
    if alpha.size:
        bits = next(bits for bits in _ALPHA_BITS if int(alpha.max()) < 2**bits)
        return (alpha[..., 0] >> (bits - 8)).astype(np.uint8)
    clear = image.info.get("transparency")
    if clear is None or image.mode == "F":
        return None
    same = (colors == np.asarray(clear)) if colors.ndim == 2 else (colors == np.asarray(clear)).all(axis=-1)
    return np.where(same, np.uint8(0), np.uint8(255))


def _tag(image: Image.Image, number: int) -> Any:
    """A TIFF tag's (first) value, with its default; None where the image is no TIFF file."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    defaults = {_BITS_PER_SAMPLE: 1, _SAMPLE_FORMAT: _UNSIGNED}
    value = image.tag_v2.get(number, defaults.get(number))
    return value[0] if isinstance(value, tuple) else value


def _limits(image: Image.Image, least: int, most: int) -> tuple[float, float] | None:
    white = _tag(image, most)
    if white is None:
        return None
    black = _tag(image, least) or 0
    return (float(black), float(white)) if black < white else None


def _significant_bits(image: Image.Image) -> int | None:
    """PNG's sBIT. A file that puts samples into the upper bits, as the standard asks, fills all 16."""
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return None
    file: IO[bytes] = image.fp
    position = file.tell()
    try:
        bits = _sbit(file)
    finally:
        file.seek(position)
    return bits


def _sbit(file: IO[bytes]) -> int | None:
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind == b"sBIT":
            return max(file.read(length), default=None)
        if kind in (b"IDAT", b"IEND"):
            return None
        file.seek(length + 4, 1)
    return None
