"""Shares, their intervals, and decibels."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilenets.tasks.metrics import Share, decibels


@given(total=st.integers(1, 10_000), data=st.data())
def test_the_interval_contains_the_share_and_stays_within_0_and_1(total: int, data: st.DataObject) -> None:
    share = Share(data.draw(st.integers(0, total)), total)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1


def test_the_ends_of_the_interval_solve_the_score_equation() -> None:
    share = Share(95, 100)  # |share − p| = z · sqrt(p (1 − p) / n)
    for end in share.interval:
        assert abs(share.value - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 100))


def test_a_share_of_nothing_is_nan_and_anything_is_possible() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)
    assert str(Share(0, 0)) == "no images"
    assert str(Share(95, 100)) == "95.0 % of 100 (95 % interval 88.8 to 97.8)"


def test_a_share_is_json() -> None:
    assert json.loads(json.dumps(Share(1, 2).to_json()))["count"] == 1


@pytest.mark.parametrize(
    ("signal", "error", "expected"), [(100, 1, 20), (1, 0, 200), (0, 1, -200), (0, 0, 200), (1e30, 1e-30, 200)]
)
def test_decibels(signal: float, error: float, expected: float) -> None:
    assert decibels(signal, error) == expected
