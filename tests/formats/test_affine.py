"""Scaling inside a graph becomes the preprocessing that computes the same."""

import numpy as np
import pytest

from mobilenets.formats.affine import Affine


@pytest.mark.parametrize("factor", [1.0, 1 / 255, float(np.float32(1 / 127.5)), 17.5])
@pytest.mark.parametrize("mean", [0.0, -1.0, -103.939])
def test_preprocessing_computes_what_the_graph_does_to_seven_digits(factor: float, mean: float) -> None:
    affine = Affine.identity(3).plus(np.full(3, mean)).times(np.full(3, factor))

    prepared = affine.preprocessing()

    pixels = np.arange(256) / 255
    found = (pixels - prepared.mean[0]) / prepared.std[0]
    assert np.abs(found - factor * (255 * pixels + mean)).max() < 3e-7 * factor * 255


def test_digits_that_float32_does_not_hold_are_left_out() -> None:
    affine = Affine.identity(3).times(np.full(3, float(np.float32(1 / 127.5))))

    assert affine.preprocessing().std == (0.5, 0.5, 0.5)
