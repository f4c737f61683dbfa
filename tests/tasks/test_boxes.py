"""Boxes, ground truth, and the way from the image to the input and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilenets.errors import DataError
from mobilenets.tasks.boxes import GroundTruth, as_targets, clip, intersection_over_union
from mobilenets.tasks.task import Geometry


def test_overlap_of_boxes() -> None:
    one = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.float32)
    other = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [2, 0, 4, 2], [0, 0, 0, 0]], np.float32)
    expected = np.array([[1 / 7, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(intersection_over_union(one, other), expected, rtol=1e-6)


def test_clipping() -> None:
    assert clip(np.array([[-5.0, 2, 700, 500]]), (640, 480)).tolist() == [[0, 2, 640, 480]]


def test_targets_are_indexed_as_classes_are() -> None:
    truths = [GroundTruth.of([(0, 0, number + 1, 1)], [0], (9, 9)) for number in range(3)]
    targets = as_targets(truths)
    assert targets.shape == (3,)
    assert targets[[2, 0]].tolist() == [truths[2], truths[0]]
    assert np.concatenate([targets, as_targets([])]).shape == (3,)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match="do not belong together"):
        GroundTruth.of([(0, 0, 1, 1)], [0, 1], (9, 9))


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    reduction=st.sampled_from([1, 2, 4, 8]),
    corners=st.tuples(*[st.floats(-1, 2)] * 4),
)
def test_to_the_input_and_back(
    size: tuple[int, int], reduction: int, corners: tuple[float, float, float, float]
) -> None:
    decoded = (-(-size[0] // reduction), -(-size[1] // reduction))
    image = Geometry("a", decoded, (-3.5, 0.0, decoded[0] + 3.5, decoded[1] - 0.5), size)
    pixels = np.array([corners]) * np.tile(size, 2)
    np.testing.assert_allclose(image.to_image(image.to_input(pixels)), pixels, rtol=1e-9, atol=1e-6 * max(size))


def test_the_last_pixel_of_a_reduced_image_may_stand_for_fewer() -> None:
    image = Geometry("a", (321, 100), (0.0, 0.0, 321.0, 100.0), (641, 200))
    assert image.to_image(np.array([[0.0, 0.0, 320 / 321, 1.0]]))[0].tolist() == pytest.approx([0, 0, 640, 200])
