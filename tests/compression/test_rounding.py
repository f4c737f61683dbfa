"""Rounding: never worse than nearest, best of all where all can be tried."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilenets.compression.rounding import largest_level, nearest, reconstruct, weight_scales


def errors(difference: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("goi,gij,goj->go", difference, covariance, difference))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(1, 3),
    out=st.integers(1, 5),
    inputs=st.sampled_from([1, 2, 7, 9, 16, 17]),
    bits=st.sampled_from([4, 8]),
)
def test_reconstruction_is_never_worse_than_nearest(seed: int, groups: int, out: int, inputs: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(groups, out, inputs))
    seen = rng.normal(size=(groups, 50, inputs)) @ rng.normal(size=(groups, inputs, inputs))
    covariance = seen.transpose(0, 2, 1) @ seen / 50
    scales = weight_scales(weight, bits)
    simple = nearest(weight, scales, bits)
    careful = reconstruct(weight, scales, bits, covariance)
    assert np.array_equal(careful, np.rint(careful))
    assert np.abs(careful).max() <= largest_level(bits)
    step = scales[:, :, None]
    before, after = (errors(weight - whole * step, covariance) for whole in (simple, careful))
    assert (after <= before * (1 + 1e-9)).all()


def test_correlated_inputs_are_rounded_against_each_other() -> None:
    """Of two inputs that always agree, both halves are not rounded the same way."""
    covariance = np.array([[[1.0, 0.999], [0.999, 1.0]]])
    whole = reconstruct(np.array([[[3.4, 3.4]]]), np.array([[1.0]]), 8, covariance)
    assert whole.sum() == 7
    assert nearest(np.array([[[3.4, 3.4]]]), np.array([[1.0]]), 8).sum() == 6


def test_close_to_the_best_of_all_roundings() -> None:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        weight = rng.uniform(-3, 3, (1, 1, 5))
        seen = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5))
        covariance = (seen.T @ seen / 40)[None]
        scales = np.ones((1, 1))
        found = errors(weight - reconstruct(weight, scales, 4, covariance), covariance)[0, 0]
        candidates = np.floor(weight) + np.array(list(itertools.product([-1, 0, 1, 2], repeat=5)))[:, None]
        best = min(errors(weight - candidate[None], covariance)[0, 0] for candidate in candidates)
        ratios.append(found / best)
    assert np.median(ratios) < 1.1


def test_inputs_that_never_vary_change_nothing() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 3, 4))
    scales = weight_scales(weight, 8)
    np.testing.assert_array_equal(reconstruct(weight, scales, 8, np.zeros((2, 4, 4))), nearest(weight, scales, 8))


def test_scales_end_at_the_largest_weight_at_8_bits_and_may_clip_at_4() -> None:
    weight = np.array([[[1.0, -127.0, 3.0], [0.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(weight_scales(weight, 8), [[1.0, 1.0]])
    outlier = np.append(np.linspace(-1, 1, 200), 1.6)[None, None]
    assert weight_scales(outlier, 4)[0, 0] * 7 < 1.5
    assert weight_scales(outlier, 8)[0, 0] == pytest.approx(1.6 / 127)
