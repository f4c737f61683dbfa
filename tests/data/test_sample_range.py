"""Which sample is black and which is white: said by the file, found by the rule, or stretched; never silently lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.encoded_images import gray_photo

from mobilenets.data.sample_range import StatedRange, as_bytes
from mobilenets.errors import DataError

GRAY = gray_photo()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_usual_ranges_are_found_from_the_samples(bits: int, dtype: Any) -> None:
    samples = np.round(GRAY * ((2**bits - 1) / 255)).astype(dtype)
    found = as_bytes(samples)
    assert np.array_equal(found.samples, GRAY)
    if bits == 16 and dtype is np.uint16:
        assert found.assumption is None
    else:
        assert found.assumption is not None
        assert f"0 to {2**bits - 1}" in found.assumption


@pytest.mark.parametrize(
    ("samples", "assumed"),
    [
        (GRAY / 255, None),
        ((GRAY / 255).astype(np.float16), None),
        (GRAY / 255 * 1.04 - 0.02, None),  # what a bicubic resize leaves
        (GRAY / 127.5 - 1, "-1 to 1"),
        (GRAY > 127, None),
    ],
)
def test_floating_point_samples_of_the_usual_conventions(samples: Any, assumed: str | None) -> None:
    found = as_bytes(samples)
    expected = np.where(GRAY > 127, 255, 0) if samples.dtype == np.bool_ else GRAY
    assert np.abs(found.samples.astype(int) - expected).max() <= 6
    assert (found.assumption is None) if assumed is None else (assumed in str(found.assumption))


@pytest.mark.parametrize(
    "samples",
    [
        GRAY.astype(np.float32) - 128,  # signed
        GRAY.astype(np.int16) * 8 - 1024,  # computed tomography
        GRAY.astype(np.float32) / 255 * 5,  # light above white
        GRAY.astype(np.int32) * 51400,  # more than sixteen bits, and few of 31
        GRAY.astype(np.float64) * 1e9,
        28_000 + GRAY.astype(np.uint16) * 8,  # a thermal camera's hundredths of a kelvin
        GRAY.astype(np.float32) / 255 * 0.01,
        (GRAY // 51).astype(np.uint16),  # five levels
    ],
)
def test_other_ranges_are_stretched_and_said(samples: Any) -> None:
    found = as_bytes(samples)
    assert (found.samples.min(), found.samples.max()) == (0, 255)
    assert np.corrcoef(found.samples.ravel(), GRAY.ravel())[0, 1] > 0.95
    assert "from the smallest (black) to the largest (white)" in str(found.assumption)


@pytest.mark.parametrize(("dtype", "largest"), [(np.int16, 2**15 - 1), (np.uint32, 2**32 - 1), (np.int32, 2**31 - 1)])
def test_a_filled_type_is_its_own_range(dtype: Any, largest: int) -> None:
    found = as_bytes(np.round(GRAY / 255 * float(largest)).astype(np.float64).clip(0, largest).astype(dtype))
    assert np.abs(found.samples.astype(int) - GRAY).max() <= 1
    assert found.assumption is None


def test_what_the_file_says_goes_first() -> None:
    dark = (GRAY.astype(np.uint16)) * 2  # 510 of 4095
    assert as_bytes(dark, StatedRange(bits=12)).samples.max() == 510 >> 4
    assert as_bytes(dark, StatedRange(limits=(0, 4080))).samples.max() == round(510 / 4080 * 255)
    assert as_bytes(dark, StatedRange(limits=(0, 400))).samples.max() == 510 >> 2, "a limit that the samples exceed"
    upper = GRAY.astype(np.uint16) << 4  # 12 significant bits of 16, of a dark image
    assert as_bytes(upper + 100, StatedRange(bits=10)).samples.max() == (255 * 16 + 100) >> 8


def test_one_level_stays_what_it_is() -> None:
    assert as_bytes(np.full((3, 3), 30_000, np.uint16)).samples.max() == 30_000 >> 8
    assert as_bytes(np.zeros((3, 3), np.float32)).samples.max() == 0
    assert as_bytes(np.full((3, 3), 0.5)).samples.max() == 128


def test_nan_and_infinity_become_black_and_white() -> None:
    samples = np.array([[np.nan, 0.0, 0.5, 1.0, np.inf, -np.inf]], np.float32)
    assert as_bytes(samples).samples.tolist() == [[0, 0, 128, 255, 255, 0]]
    with pytest.raises(DataError, match="every sample is NaN or infinite"):
        as_bytes(np.full((2, 2), np.nan))


@pytest.mark.parametrize("dtype", [np.complex64, object, "U3", "M8[s]"])
def test_what_are_no_numbers_is_refused(dtype: Any) -> None:
    with pytest.raises(DataError, match="samples must be integers or floating-point numbers, not "):
        as_bytes(np.zeros((2, 2), dtype))
