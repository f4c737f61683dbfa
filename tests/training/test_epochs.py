"""Which epoch is kept."""

from __future__ import annotations

import pytest

from mobilenets.training.epochs import Epoch, is_better


def epoch(top1: float, loss: float) -> Epoch:
    return Epoch(0, 32, 0.1, 1.0, 0.5, validation_loss=loss, validation_top1=top1)


@pytest.mark.parametrize(
    ("new", "kept", "pictures", "better"),
    [
        ((0.90, 0.5), (0.80, 0.4), 200, True),  # a standard error is 2 points here: accuracy decides
        ((0.80, 0.3), (0.90, 0.4), 200, False),
        ((0.89, 0.3), (0.90, 0.4), 200, True),  # less than that apart: loss decides
        ((0.91, 0.5), (0.90, 0.4), 200, False),
        ((0.91, 0.5), (0.90, 0.4), 20_000, True),  # on a hundred times as many pictures a point is a difference
        ((1.0, 0.1), (1.0, 0.2), 10, True),
        ((0.9, 0.2), (0.9, 0.2), 10, True),  # of equals the later one
    ],
)
def test_accuracy_decides_where_it_can_and_loss_where_it_cannot(
    new: tuple[float, float], kept: tuple[float, float], pictures: int, better: bool
) -> None:
    assert is_better(epoch(*new), epoch(*kept), pictures) is better
