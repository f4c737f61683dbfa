"""What a step of a detector minimizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, CentreHead, ScoreMeaning
from mobilenets.training.detection.losses import AnchorLoss, CentreLoss, box_overlap, flat_outputs
from mobilenets.training.detection.matching import BACKGROUND, IGNORED

HEAD = AnchorHead((AnchorLevel(2, 3, ((0.3, 0.4), (0.2, 0.2))), AnchorLevel(1, 1, ((0.9, 0.8),))))


def _targets(classes: dict[int, int], box: tuple[float, float, float, float] = (0.1, 0.1, 0.4, 0.5)) -> torch.Tensor:
    targets = torch.full((1, HEAD.count, 5), float(BACKGROUND))
    for anchor, label in classes.items():
        targets[0, anchor] = torch.tensor([*box, label])
    return targets


def test_outputs_are_flattened_as_the_head_flattens_them() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, count, *size)) for count, size in ((8, (2, 3)), (6, (2, 3)), (4, (1, 1)), (3, (1, 1)))]
    arrays = [one.astype(np.float32) for one in maps]
    expected = HEAD.flat(arrays)
    found = flat_outputs([torch.from_numpy(one) for one in arrays], HEAD)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.numpy(), other)


def test_a_perfect_answer_costs_nothing() -> None:
    targets = _targets({3: 1})
    codes = torch.zeros(1, HEAD.count, 4)
    codes[0, 3] = torch.from_numpy(HEAD.codes_of(targets[0, 3, :4].numpy(), HEAD.anchors[3]))
    logits = torch.full((1, HEAD.count, 3), -20.0)
    logits[0, 3, 1] = 20.0
    assert float(AnchorLoss(HEAD).of_outputs(codes, logits, targets)) == pytest.approx(0, abs=1e-4)


def test_ignored_anchors_cost_nothing_and_false_alarms_do() -> None:
    codes, logits = torch.zeros(1, HEAD.count, 4), torch.full((1, HEAD.count, 3), -20.0)
    logits[0, 5, 2] = 3.0
    loss = AnchorLoss(HEAD)
    assert float(loss.of_outputs(codes, logits, _targets({5: IGNORED}))) == pytest.approx(0, abs=1e-4)
    assert float(loss.of_outputs(codes, logits, _targets({}))) > 1


def test_boxes_that_fit_worse_cost_more_even_where_they_do_not_touch() -> None:
    targets, logits = _targets({0: 0}), torch.zeros(1, HEAD.count, 3)
    losses = []
    for shift in (0.0, 0.3, 1.0, 3.0):
        codes = torch.zeros(1, HEAD.count, 4)
        box = targets[0, 0, :4] + torch.tensor([shift, 0, shift, 0])
        codes[0, 0] = torch.from_numpy(HEAD.codes_of(box.numpy(), HEAD.anchors[0]))
        losses.append(float(AnchorLoss(HEAD).of_outputs(codes, logits, targets)))
    assert losses == sorted(losses)
    assert len(set(losses)) == 4


def test_every_number_of_a_positive_anchor_gets_a_gradient() -> None:
    codes = torch.zeros(1, HEAD.count, 4, requires_grad=True)
    logits = torch.zeros(1, HEAD.count, 3, requires_grad=True)
    AnchorLoss(HEAD).of_outputs(codes, logits, _targets({0: 2})).backward()  # type: ignore[no-untyped-call]
    assert codes.grad is not None
    assert logits.grad is not None
    assert (codes.grad[0, 0] != 0).all()
    assert not codes.grad[0, 1:].any()
    assert (logits.grad != 0).any(dim=2).all()


def test_generalized_overlap_of_boxes_that_do_not_touch_is_negative() -> None:
    one, other = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 0, 3, 1]])
    overlap, generalized = box_overlap(one, other)
    assert [float(overlap), float(generalized)] == pytest.approx([0, -1 / 3])


def test_a_head_with_a_background_is_not_trained() -> None:
    with pytest.raises(ValueError, match="a score of its own for each class"):
        AnchorLoss(AnchorHead(HEAD.levels, ScoreMeaning.SOFTMAX))


def test_centres_cost_nothing_where_they_are_right_and_ignored_cells_never() -> None:
    loss = CentreLoss(CentreHead(1, 3, ((0.1, 0.1), (0.1, 0.1))))
    targets = torch.zeros(1, 3, 5)
    targets[0, :, 4] = torch.tensor([BACKGROUND, 1, IGNORED])
    logits = torch.tensor([[[20.0, 0, 0], [0, 0, 20], [0, 20, 0]]])
    assert float(loss.of_outputs(logits, targets)) == pytest.approx(0, abs=1e-6)
    targets[0, 2, 4] = BACKGROUND
    assert float(loss.of_outputs(logits, targets)) > 0.1
