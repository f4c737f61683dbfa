"""α, ρ, rounding and padding, with values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding, check_resolution
from mobilenets.errors import ArchitectureError


@pytest.mark.parametrize(
    ("channels", "width_multiplier", "expected"),
    [(32, 1.0, 32), (32, 0.75, 24), (1024, 0.25, 256), (32, 0.3, 9), (32, 0.1, 8), (100, 0.29, 29), (64, 1.5, 96)],
)
def test_tf_slim_cuts_off_and_keeps_at_least_eight(channels: int, width_multiplier: float, expected: int) -> None:
    assert ONE_FOR_ONE.apply(channels, width_multiplier) == expected


@pytest.mark.parametrize(
    ("channels", "width_multiplier", "expected"),
    # 64 · 0.3 = 19.2 is nearest to 16, which loses more than a tenth, so 24. 32 · 0.6 = 19.2 likewise.
    [(64, 0.3, 24), (32, 0.6, 24), (32, 1.0, 32), (32, 0.05, 8), (24, 1.2, 32), (96, 0.35, 32)],
)
def test_multiples_of_eight_lose_no_more_than_a_tenth(channels: int, width_multiplier: float, expected: int) -> None:
    assert Rounding(divisor=8).apply(channels, width_multiplier) == expected


@given(st.integers(1, 4096), st.floats(0.01, 8), st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 32))
def test_rounded_channels_keep_to_their_rules(channels: int, width: float, divisor: int, minimum: int) -> None:
    rounded = Rounding(divisor, minimum).apply(channels, width)
    assert rounded % divisor == 0
    assert rounded >= minimum
    assert rounded >= 0.9 * channels * width - 1e-6 or divisor == 1


@pytest.mark.parametrize("divisor", [1, 8])
def test_the_policies_agree_at_the_published_widths(divisor: int) -> None:
    for channels in (32, 64, 128, 256, 512, 1024):
        for width_multiplier in (1.0, 0.75, 0.5, 0.25):
            assert Rounding(divisor).apply(channels, width_multiplier) == channels * width_multiplier


@pytest.mark.parametrize("width_multiplier", [0.0, -1.0, math.nan, math.inf])
def test_a_width_that_is_not_a_positive_number_is_refused(width_multiplier: float) -> None:
    with pytest.raises(ArchitectureError, match=r"width multiplier must be a positive number, not"):
        ONE_FOR_ONE.apply(32, width_multiplier)


@pytest.mark.parametrize("rounding", [(0, 8), (8, 0), (-1, 8)])
def test_a_rounding_needs_a_divisor_and_a_minimum(rounding: tuple[int, int]) -> None:
    with pytest.raises(ArchitectureError, match="at least 1"):
        Rounding(*rounding)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "same", "symmetric"),
    [
        (224, 3, 2, (0, 1), (1, 1)),
        (7, 3, 2, (1, 1), (1, 1)),
        (14, 3, 1, (1, 1), (1, 1)),
        (112, 5, 2, (1, 2), (2, 2)),
        (113, 5, 2, (2, 2), (2, 2)),
        (56, 2, 2, (0, 0), (0, 0)),
        (55, 2, 2, (0, 1), (0, 0)),
        (9, 3, 4, (1, 1), (1, 1)),
        (8, 1, 2, (0, 0), (0, 0)),
        (10, 1, 1, (0, 0), (0, 0)),
    ],
)
def test_same_and_symmetric_padding(
    size: int, kernel: int, stride: int, same: tuple[int, int], symmetric: tuple[int, int]
) -> None:
    assert PaddingPolicy.SAME.amounts(size, kernel, stride) == same
    assert PaddingPolicy.SYMMETRIC.amounts(size, kernel, stride) == symmetric


@given(st.integers(1, 300), st.integers(1, 11), st.integers(1, 5))
def test_same_padding_gives_the_size_divided_by_the_stride_rounded_up(size: int, kernel: int, stride: int) -> None:
    before, after = PaddingPolicy.SAME.amounts(size, kernel, stride)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert 0 <= after - before <= 1


@pytest.mark.parametrize("resolution", [16, 31, 0, -224, (224, 16), (31, 224)])
def test_a_resolution_below_32_is_refused(resolution: int | tuple[int, int]) -> None:
    with pytest.raises(ArchitectureError, match=r"resolution must be at least 32 pixels, not"):
        check_resolution(resolution)
