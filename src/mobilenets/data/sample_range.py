"""Samples of more than eight bits as bytes: which number is black, and which is white.

An 8-bit image needs no such question. For 16-bit, 32-bit and floating-point images the answer is, in this order:

1. What the file says: TIFF's BitsPerSample, MinSampleValue and MaxSampleValue, PNG's sBIT, the maxval of PPM.
2. From 0 to the least usual white level that is not below the largest sample: 1, 255, 1023, 4095, 16383, 65535, or
   what the type of integer holds. Floating-point samples may exceed it by a twentieth, as resampling leaves them, and
   may be from −1 to 1.
3. From the smallest sample to the largest, where that is no such range (negative samples, more than 16 bits, fractions
   between 1 and 32), or where the samples fill less than a sixteenth of it.

Whatever was not said by the file nor fills its type is an assumption, which the answer carries in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import DataError

Samples = npt.NDArray[Any]

USUAL_BITS = (1, 8, 10, 12, 14, 16)
OVERSHOOT = 0.05
"""Share of the range by which resampled floating-point samples exceed it."""
LARGEST_HIGHLIGHT = 32
"""Fractions above 1 and below this are more likely light above white than dark pixels of 0 to 255."""
LEAST_FILLED = 1 / 16
"""Share of a usual range below which its samples are taken for another: less would be a dozen gray levels."""
LARGEST_MEASURED = 1e30
"""Floating-point samples beyond this are programs' ways to write that nothing was measured."""
USUAL_MISSING = (-9999, -32768)
"""Numbers that mean the same, far below all others."""
FEWEST_BRIGHT = 0.001
"""Share of samples above a sixteenth of the range below which it is said that an image is nearly black by them."""
FEW_SAMPLES = 1000
WAY_OUT = "where that is wrong, convert the images to 8 bits"


@dataclass(frozen=True)
class StatedRange:
    """What a file says of its samples.

    Attributes:
        bits: Bits that are used, from the lowest, or None where it says nothing.
        limits: Samples of black and white, or None likewise.
        missing: What stands where nothing was measured, or None likewise.
    """

    bits: int | None = None
    limits: tuple[float, float] | None = None
    missing: float | None = None


@dataclass(frozen=True)
class AsBytes:
    """Samples as bytes.

    Attributes:
        samples: uint8, of the shape that was given.
        assumption: What was assumed of the range, in a sentence; None where it is known.
    """

    samples: npt.NDArray[np.uint8]
    assumption: str | None


def as_bytes(samples: Samples, stated: StatedRange = StatedRange()) -> AsBytes:
    """Bring samples to 0 for black and 255 for white.

    Args:
        samples: Integers of any width, floating-point numbers or bools, of any shape, not empty. NaN and negative
            infinity become black, infinity becomes white.
        stated: What their file says of them.

    Raises:
        DataError: If there is no finite sample among them, or they are not real numbers.

    >>> as_bytes(np.array([0, 2048, 4095], np.uint16))
    AsBytes(samples=array([  0, 128, 255], dtype=uint8), assumption='16-bit samples are read as 12-bit, 0 to 4095; \
where that is wrong, convert the images to 8 bits')
    """
    if samples.dtype == np.bool_:
        return AsBytes(np.where(samples, np.uint8(255), np.uint8(0)), None)
    if samples.dtype.kind not in "uif":
        raise DataError(f"samples must be integers or floating-point numbers, not {samples.dtype}")
    samples, absent = _without_missing(samples, stated.missing)
    least, most = _extremes(samples)
    if stated.limits is not None and stated.limits[1] >= most:
        return AsBytes(_stretched(samples, *stated.limits), None)
    kind = _kind(samples)
    if stated.bits is not None:  # in the lower bits, or, where the samples are larger, in the upper ones
        bits = stated.bits if most < 2**stated.bits else _own_bits(samples)
        return AsBytes(_shifted(samples, bits), absent)
    if samples.dtype.kind == "f" and -1 - OVERSHOOT <= least < -OVERSHOOT and most <= 1 + OVERSHOOT:
        return AsBytes(_stretched(samples, -1, 1), f"{kind} samples are read as -1 to 1; {WAY_OUT}")
    usual = _usual_bits(samples, least, most)
    if usual is None or 0 < most - least < LEAST_FILLED * (2**usual - 1):
        assumption = f"{kind} samples are read from the smallest (black) to the largest (white); {WAY_OUT}"
        return AsBytes(_stretched(samples, least, most), assumption)
    known = usual == (1 if samples.dtype.kind == "f" else _own_bits(samples))
    assumption = f"{kind} samples are read as {_range(samples, usual)}{_though_dark(samples, usual)}; {WAY_OUT}"
    return AsBytes(_shifted(samples, usual), absent if known and not _though_dark(samples, usual) else assumption)


def _without_missing(samples: Samples, missing: float | None) -> tuple[Samples, str | None]:
    """The samples with black for what was not measured: what the file says, or what programs use for it.

    Returns:
        The samples, and what was assumed; None where nothing was.
    """
    if samples.dtype.kind == "u" and missing is None:
        return samples, None
    found = np.zeros(samples.shape, bool)
    if missing is not None:
        found |= samples == missing
    if samples.dtype.kind == "f" and samples.dtype.itemsize > 2:
        found |= np.isfinite(samples) & (np.abs(samples) >= LARGEST_MEASURED)
    said = None if missing is not None or not found.any() else f"samples beyond {LARGEST_MEASURED:g} are read as black"
    for usual in () if missing is not None or samples.dtype.kind == "u" else USUAL_MISSING:
        rest = samples[~found & (samples != usual)]
        if rest.size and rest.size < samples.size - found.sum() and usual < min(0, 100 * rest.min(initial=0)) - 100:
            found |= samples == usual
            said = f"samples of {usual} are read as not measured, and black"
    if not found.any() or found.all():
        return samples, None
    filled = samples.copy()
    filled[found] = samples[~found].min()
    return filled, None if said is None else f"{said}; {WAY_OUT}"


def _though_dark(samples: Samples, bits: int) -> str:
    """Words for samples of which hardly any needs the range that a few bright ones ask for."""
    if samples.dtype.kind != "u" or bits <= 8 or samples.size < FEW_SAMPLES:
        return ""
    limit = 2 ** (bits - 4)
    bright = int(np.count_nonzero(samples >= limit))
    if bright >= FEWEST_BRIGHT * samples.size:
        return ""
    return f", though only {bright:,} of {samples.size:,} samples are above {limit - 1}"


def _extremes(samples: Samples) -> tuple[float, float]:
    finite = samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples
    if not finite.size:
        raise DataError("every sample is NaN or infinite")
    return finite.min().item(), finite.max().item()


def _usual_bits(samples: Samples, least: float, most: float) -> int | None:
    """Bits of the least usual range that holds the samples, or None."""
    if samples.dtype.kind != "f":
        own = _own_bits(samples)
        usual = sorted({own, *(bits for bits in USUAL_BITS if bits < own)})
        return next((bits for bits in usual if least >= 0 and most < 2**bits), None)
    bits = next((bits for bits in USUAL_BITS if most <= (1 + OVERSHOOT) * (2**bits - 1)), None)
    if bits is None or least < -OVERSHOOT * (2**bits - 1):
        return None
    fractions = bits > 1 and most < LARGEST_HIGHLIGHT and not _whole(samples)
    return None if fractions else bits


def _own_bits(samples: Samples) -> int:
    """Bits of the largest integer that the type holds."""
    return int(np.iinfo(samples.dtype).max).bit_length()


def _whole(samples: Samples) -> bool:
    finite = samples[np.isfinite(samples)]
    return bool((finite == np.floor(finite)).all())


def _shifted(samples: Samples, bits: int) -> npt.NDArray[np.uint8]:
    """From 0 to 2**bits − 1; integers keep their upper eight bits, as decoders of 16-bit formats do."""
    if samples.dtype.kind == "f" or bits < 8:
        return _stretched(samples, 0, 2**bits - 1)
    return (samples >> (bits - 8)).astype(np.uint8)


def _stretched(samples: Samples, black: float, white: float) -> npt.NDArray[np.uint8]:
    # In float64: the difference of two float32 or int32 samples may be larger than their type holds.
    values = np.nan_to_num(samples.astype(np.float64), nan=black, posinf=white, neginf=black)
    scaled = (values - black) * (255 / ((white - black) or 1))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _kind(samples: Samples) -> str:
    bits = 8 * samples.dtype.itemsize
    return "floating-point" if samples.dtype.kind == "f" else f"{bits}-bit"


def _range(samples: Samples, bits: int) -> str:
    whole = f"0 to {2**bits - 1}"
    return whole if samples.dtype.kind == "f" else f"{bits}-bit, {whole}"
