"""Fused multiplication and addition, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mobilenets.model.fused import multiply_add

Real = np.float32


def nearest(exact: Fraction) -> np.float32:
    """The float32 nearest to a number, the even one of two."""
    about = Real(float(exact))
    around = (np.nextafter(about, Real(-np.inf)), about, np.nextafter(about, Real(np.inf)))
    return min(around, key=lambda each: (abs(Fraction(float(each)) - exact), int(each.view(np.int32)) & 1))


def assert_nearest(a: np.float32, b: np.float32, c: np.float32) -> None:
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    assert multiply_add(a, b, c) == nearest(exact), (a, b, c)


def test_the_result_is_rounded_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        scale, shift = 2.0 ** rng.integers(-30, 5), 2.0 ** rng.integers(-40, 10)
        assert_nearest(Real(rng.integers(0, 256)), Real(rng.normal() * scale), Real(rng.normal() * shift))


def test_a_sum_that_float64_would_round_to_a_tie_is_not_one() -> None:
    # 2²⁴ + 3 − 2⁻⁴⁶: off the middle of two float32 by less than float64 can say.
    above, below, large = Real(1 + 2.0**-23), Real(1 - 2.0**-23), Real((1 << 24) + 2)
    assert Real(np.float64(above) * np.float64(below) + np.float64(large)) == (1 << 24) + 4
    assert multiply_add(above, below, large) == (1 << 24) + 2
    assert multiply_add(-above, below, -large) == -((1 << 24) + 2)
    for sign in (1, -1):
        for first in (above, below):
            assert_nearest(first, below, sign * large)


def test_arrays_are_broadcast() -> None:
    first: npt.NDArray[np.float32] = np.arange(3, dtype=np.float32)[:, None]
    found = multiply_add(first, np.arange(4, dtype=np.float32), Real(1))
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 1, 1, 1], [1, 2, 3, 4], [1, 3, 5, 7]]
