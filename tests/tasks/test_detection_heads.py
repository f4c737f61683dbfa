"""What the maps of a detector mean."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mobilenets.architecture.layers import Convolution
from mobilenets.architecture.network import Network
from mobilenets.errors import ModelError
from mobilenets.tasks.detection_heads import (
    AnchorHead,
    AnchorLevel,
    CentreHead,
    ScoreMeaning,
    head_from_json,
    scores_of,
)

LEVELS = (AnchorLevel(2, 3, ((0.2, 0.1), (0.3, 0.4))), AnchorLevel(1, 1, ((0.9, 0.8),)))


def _outputs(rng: np.random.Generator, logits: int) -> list[np.ndarray]:
    shapes = [(8, 2, 3), (2 * logits, 2, 3), (4, 1, 1), (logits, 1, 1)]
    return [rng.normal(size=(2, *shape)).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("meaning", ScoreMeaning)
def test_candidates_equal_those_worked_out_one_by_one(meaning: ScoreMeaning) -> None:
    head, classes = AnchorHead(LEVELS, meaning), 3
    logits = classes + (meaning is ScoreMeaning.SOFTMAX)
    outputs = _outputs(np.random.default_rng(0), logits)
    boxes, scores = head.decode(outputs)
    assert (boxes.shape, scores.shape, head.count) == ((2, 13, 4), (2, 13, classes), 13)
    number = 0
    for level, (codes, logit_map) in zip(LEVELS, (outputs[:2], outputs[2:]), strict=True):
        for row in range(level.rows):
            for column in range(level.columns):
                for anchor, (width, height) in enumerate(level.shapes):
                    across, down, wide, high = codes[1, 4 * anchor : 4 * anchor + 4, row, column].astype(float)
                    x = (column + 0.5) / level.columns + across / 10 * width
                    y = (row + 0.5) / level.rows + down / 10 * height
                    w, h = width * math.exp(wide / 5), height * math.exp(high / 5)
                    expected = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    assert boxes[1, number] == pytest.approx(expected, abs=1e-6)
                    values = logit_map[1, logits * anchor : logits * (anchor + 1), row, column].astype(float)
                    if meaning is ScoreMeaning.SIGMOID:
                        wanted = 1 / (1 + np.exp(-values))
                    else:
                        wanted = (np.exp(values) / np.exp(values).sum())[1:]
                    assert scores[1, number] == pytest.approx(wanted, abs=1e-6)
                    number += 1


def test_a_map_of_one_cell_may_come_without_height_and_width() -> None:
    head = AnchorHead(LEVELS)
    outputs = _outputs(np.random.default_rng(1), 3)
    flat = [*outputs[:2], *(output.reshape(2, -1) for output in outputs[2:])]
    for one, other in zip(head.decode(outputs), head.decode(flat), strict=True):
        assert np.array_equal(one, other)


def test_codes_are_the_opposite_of_boxes() -> None:
    head, rng = AnchorHead(LEVELS, coder=(7.0, 8.0, 4.0, 3.0)), np.random.default_rng(2)
    corner = rng.uniform(0, 0.5, (13, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.5, (13, 2))], axis=1).astype(np.float32)
    assert np.allclose(head.boxes_of(head.codes_of(boxes, head.anchors), head.anchors), boxes, atol=1e-5)


def test_wild_numbers_give_finite_boxes_and_scores() -> None:
    outputs = [np.full_like(output, -1e30) for output in _outputs(np.random.default_rng(0), 3)]
    _, scores = AnchorHead(LEVELS).decode(outputs)
    assert not scores.any()
    codes = np.array([0, 0, 1e30, 1e30], np.float32)
    assert np.isfinite(AnchorHead(LEVELS).boxes_of(codes, np.array([0.5, 0.5, 1, 1], np.float32))).all()


def test_an_object_that_shows_in_several_cells_is_found_once() -> None:
    chances = np.zeros((1, 2, 5, 6), np.float32)
    chances[0, 1, 1, 1:5] = (3, 5, 4, 1)
    chances[0, 1, 4, 5] = 6
    _, scores = CentreHead(5, 6, ((0.2, 0.2),)).decode([chances])
    found = scores.reshape(5, 6)
    assert [tuple(place) for place in np.argwhere(found > 0.6)] == [(1, 2), (4, 5)]
    assert found[1, 2] == pytest.approx(1 / (1 + np.exp(-5)))
    assert found[1, 3] == 0


def test_softmax_of_large_logits() -> None:
    assert scores_of(np.array([[1000, 1000, -1000]], np.float32), ScoreMeaning.SOFTMAX).tolist() == [[0.5, 0.0]]


def test_anchors_are_multiples_of_a_step() -> None:
    exact, rounded = AnchorHead(LEVELS).anchors, AnchorHead(LEVELS, step=0.0625).anchors
    assert not np.array_equal(exact, rounded)
    np.testing.assert_array_equal(rounded, np.rint(rounded / 0.0625) * 0.0625)
    assert np.abs(exact - rounded).max() <= 0.0625 / 2


@pytest.mark.parametrize(
    "head",
    [
        AnchorHead(LEVELS, ScoreMeaning.SOFTMAX, (1, 2, 3, 4)),
        AnchorHead(LEVELS, step=0.0625),
        CentreHead(4, 5, ((0.1, 0.2), (0.3, 0.4))),
    ],
)
def test_a_head_can_be_read_back(head: AnchorHead | CentreHead) -> None:
    assert head_from_json(json.loads(json.dumps(head.encode()))) == head


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "corners"},
        {"levels": []},
        {"levels": [{"rows": 0, "columns": 1, "shapes": [[0.1, 0.1]]}]},
        {"levels": [{"rows": True, "columns": 1, "shapes": [[0.1, 0.1]]}]},
        {"levels": [{"rows": 1, "columns": 1, "shapes": [[0.1]]}]},
        {"levels": [{"rows": 1, "columns": 1, "shapes": [[0.1, -1]]}]},
        {"levels": [{"rows": 1, "columns": 1, "shapes": [[0.1, "wide"]]}]},
        {"levels": [{"rows": 4096, "columns": 4096, "shapes": [[0.1, 0.1]]}]},
        {"levels": "none"},
        {"scores": "votes"},
        {"scores": []},
        {"coder": [1, 2, 3]},
        {"coder": [1, 2, 3, math.inf]},
        {"more": 1},
        {"step": 0},
        {"step": "fine"},
        {"step": math.nan},
    ],
)
def test_a_head_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        head_from_json(AnchorHead(LEVELS).encode() | change)


@pytest.mark.parametrize("data", [None, [], {"kind": "anchors"}, {"kind": "centres", "rows": 1, "columns": 1}])
def test_what_is_no_head_is_refused(data: object) -> None:
    with pytest.raises(ModelError, match="head of a detector"):
        head_from_json(data)


def _network(*channels: int) -> Network:
    layers = tuple(
        Convolution(f"out{number}", ("input",), kernel=1, out_channels=count) for number, count in enumerate(channels)
    )
    return Network("tiny", 2, 3, layers, outputs=tuple(layer.name for layer in layers))


def test_a_network_with_other_outputs_is_refused() -> None:
    head = AnchorHead(LEVELS[:1])
    head.check(_network(8, 6), classes=3)
    with pytest.raises(ModelError, match="output out1 of tiny is 8×2×3; the detector needs 6×2×3"):
        head.check(_network(8, 8), classes=3)
    with pytest.raises(ModelError, match="tiny has 1 outputs; the detector reads 2: two for each level"):
        head.check(_network(8), classes=3)
    centres = CentreHead(2, 3, ((0.1, 0.1),))
    centres.check(_network(2), classes=1)
    with pytest.raises(ModelError, match="2 classes, and sizes of 1"):
        centres.check(_network(3), classes=2)
