"""What is drawn stays within what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilenets.data.augmentation import UNDISTORTED, Augmentation, Flip
from mobilenets.errors import DataError

SQUARES = np.ones(200, np.float32)


def corners(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Where the corners of each result lie on its image: (N, 4, 2) from −1 to 1."""
    points = np.array([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], np.float64)
    lying: npt.NDArray[np.float64] = np.einsum("nij,pj->npi", maps.astype(np.float64), points)
    return lying


def areas(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Share of its image that each crop covers."""
    shares: npt.NDArray[np.float64] = np.abs(np.linalg.det(maps[:, :, :2].astype(np.float64)))
    return shares


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    smallest=st.floats(0.05, 1),
    stretch=st.floats(1, 2),
    flip=st.sampled_from(Flip),
    aspect=st.floats(0.3, 3),
    target=st.floats(0.5, 2),
)
def test_crops_without_turning_stay_inside(
    seed: int, smallest: float, stretch: float, flip: Flip, aspect: float, target: float
) -> None:
    augmentation = Augmentation(smallest_area=smallest, stretch=stretch, flip=flip)
    drawn = augmentation.draw(np.full(50, aspect, np.float32), target, np.random.default_rng(seed))
    assert np.abs(corners(drawn.maps)).max() <= 1 + 1e-5


def test_areas_are_spread_over_what_was_asked_for() -> None:
    drawn = Augmentation(smallest_area=0.25, stretch=1).draw(SQUARES, 1, np.random.default_rng(0))
    assert 0.25 <= areas(drawn.maps).min() < 0.3
    assert 0.95 < areas(drawn.maps).max() <= 1 + 1e-6


def test_undistorted_is_the_largest_crop_of_the_right_shape() -> None:
    drawn = UNDISTORTED.draw(np.full(5, 2, np.float32), 1.0, np.random.default_rng(0))  # images twice as wide as high
    np.testing.assert_allclose(drawn.maps[:, 0, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(drawn.maps[:, 1, 1], 1.0, atol=1e-6)
    np.testing.assert_allclose(drawn.maps[:, [0, 1], [1, 0]], 0, atol=1e-6)
    assert (drawn.brightness == 0).all()
    assert (drawn.contrast == 1).all()
    assert (drawn.saturation == 1).all()


@pytest.mark.parametrize(
    ("flip", "signs"),
    [(Flip.NONE, {(1, 1)}), (Flip.HORIZONTAL, {(1, 1), (-1, 1)}), (Flip.ANY, {(1, 1), (-1, 1), (1, -1), (-1, -1)})],
)
def test_flips_are_the_ones_allowed(flip: Flip, signs: set[tuple[int, int]]) -> None:
    maps = Augmentation(flip=flip).draw(SQUARES, 1, np.random.default_rng(0)).maps
    upright = maps[np.abs(maps[:, 0, 0]) > 0]
    assert {(int(np.sign(m[0, 0])), int(np.sign(m[1, 1]))) for m in upright} == signs
    assert (len(upright) < len(maps)) == (flip is Flip.ANY)  # rows exchanged for columns


def test_a_turn_keeps_the_area() -> None:
    augmentation = Augmentation(smallest_area=0.5, stretch=1, rotation_degrees=30, flip=Flip.NONE)
    maps = augmentation.draw(SQUARES, 1, np.random.default_rng(0)).maps
    assert areas(maps).min() >= 0.5 - 1e-5
    turned = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert np.abs(turned).max() <= 30 + 1e-4
    assert np.abs(turned).max() > 25


@pytest.mark.parametrize(
    "wrong",
    [{"smallest_area": 0.0}, {"smallest_area": 1.5}, {"stretch": 0.9}, {"rotation_degrees": -1.0}, {"contrast": -0.1}],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong)).split("_")[0]):
        Augmentation(**wrong)  # type: ignore[arg-type]


def test_a_flip_may_be_given_as_text() -> None:
    text: Any = "none"
    assert (Augmentation(flip=text).draw(SQUARES, 1, np.random.default_rng(0)).maps[:, 0, 0] > 0).all()


@pytest.mark.parametrize("flip", ["bogus", "NONE", None, ["none"]])
def test_an_unknown_flip_is_refused(flip: Any) -> None:
    with pytest.raises(DataError, match=r"no flip is called .*; known are none, horizontal, any"):
        Augmentation(flip=flip)
