"""Shapes of anchors, as published and by the boxes of some data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.anchors import (
    fitted_levels,
    listed_levels,
    published_levels,
    tensorflow_shapes,
    torchvision_shapes,
    usual_shapes,
)
from mobilenets.tasks.detection_heads import AnchorHead

MAPS = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


def test_tensorflow_has_1917_anchors_at_300_pixels() -> None:
    head = AnchorHead(published_levels(tensorflow_shapes(), MAPS))
    assert head.count == 1917
    # The first anchors of the first and of the second level, as the anchor generator of TensorFlow gives them.
    assert head.anchors[0].tolist() == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert head.anchors[1].tolist() == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 * math.sqrt(2), 0.2 / math.sqrt(2)])
    assert head.anchors[1083].tolist() == pytest.approx([0.05, 0.05, 0.35, 0.35])
    assert head.anchors[1088].tolist() == pytest.approx([0.05, 0.05, math.sqrt(0.35 * 0.5), math.sqrt(0.35 * 0.5)])


def test_torchvision_has_3234_anchors_at_320_pixels_none_larger_than_the_image() -> None:
    maps = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    head = AnchorHead(published_levels(torchvision_shapes(), maps))
    assert head.count == 3234
    assert head.anchors[:, 2:].max() == 1.0
    assert head.anchors[2].tolist() == pytest.approx([0.025, 0.025, 0.2 * math.sqrt(2), 0.2 / math.sqrt(2)])


def test_usual_shapes_are_found_among_noise() -> None:
    rng = np.random.default_rng(0)
    wanted = np.array([[0.05, 0.05], [0.1, 0.3], [0.5, 0.4]])
    sizes = np.concatenate([shape * rng.uniform(0.9, 1.1, (200, 2)) for shape in wanted]).astype(np.float32)
    assert np.allclose(usual_shapes(sizes, 3), wanted, rtol=0.03)
    assert usual_shapes(sizes[rng.permutation(len(sizes))], 3) == usual_shapes(sizes, 3)


def test_there_are_no_more_shapes_than_sizes() -> None:
    assert usual_shapes(np.full((9, 2), 0.25, np.float32), 6) == ((0.25, 0.25),)
    with pytest.raises(DataError, match="there are none"):
        usual_shapes(np.zeros((3, 2), np.float32), 6)


def test_a_shape_stands_on_the_coarsest_map_of_which_it_spans_some_cells() -> None:
    sizes = np.array([[0.03, 0.03]] * 9 + [[0.3, 0.2]] * 9 + [[0.7, 0.8]] * 9, np.float32)
    levels = fitted_levels(sizes, MAPS, count=3)
    # The middle one spans 4.7 cells of 19 and 2.4 of 10, the last one 3.7 of 5 and 2.2 of 3: the finer map has each.
    # What stands on no map by this is lent to one that would have none.
    assert [(level.rows, level.shapes) for level in levels] == [
        (19, ((0.03, 0.03), (0.3, 0.2))),
        (10, ((0.3, 0.2),)),
        (5, ((0.7, 0.8),)),
    ]


def test_maps_behind_the_last_that_is_needed_are_left_out() -> None:
    small = fitted_levels(np.full((5, 2), 0.02, np.float32), MAPS)
    assert [(level.rows, len(level.shapes)) for level in small] == [(19, 1), (10, 1)]


def test_listed_anchors_become_the_levels_that_they_are_of() -> None:
    levels = published_levels(tensorflow_shapes(), MAPS)
    listed = AnchorHead(levels).anchors
    counts = [len(level.shapes) for level in levels]
    again = AnchorHead(listed_levels(listed, MAPS, counts))
    np.testing.assert_allclose(again.anchors, listed, atol=1e-6)
    with pytest.raises(ModelError, match=r"shape \(1916, 4\); the maps of the network have 1917 anchors"):
        listed_levels(listed[1:], MAPS, counts)
    with pytest.raises(ModelError, match=r"the map of 5×5 lie 0\.1 of the input's side"):
        listed_levels(listed + np.float32(0.1) * (np.arange(1917) == 1800)[:, None], MAPS, counts)
