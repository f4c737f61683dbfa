"""Which epoch is kept."""

from __future__ import annotations

import pytest

from mobilenets.training.selection import Epoch, Selection, is_as_accurate, is_better, validated_epoch


def epoch(top1: float, loss: float) -> Epoch:
    return Epoch(0, 32, 0.1, 1.0, 0.5, validation_loss=loss, validation_primary=top1)


@pytest.mark.parametrize(
    ("new", "kept", "images", "better"),
    [
        ((0.90, 0.5), (0.80, 0.4), 200, True),  # a standard error is 2 points here: accuracy decides
        ((0.80, 0.3), (0.90, 0.4), 200, False),
        ((0.89, 0.3), (0.90, 0.4), 200, True),  # less than that apart: loss decides
        ((0.91, 0.5), (0.90, 0.4), 200, False),
        ((0.91, 0.5), (0.90, 0.4), 20_000, True),  # on a hundred times as many images a point is a difference
        ((1.0, 0.1), (1.0, 0.2), 10, True),
        ((0.9, 0.2), (0.9, 0.2), 10, True),  # of equals the later one
    ],
)
def test_accuracy_decides_where_it_can_and_loss_where_it_cannot(
    new: tuple[float, float], kept: tuple[float, float], images: int, better: bool
) -> None:
    selection = Selection()
    assert selection.offer(epoch(*kept).score(images))
    assert selection.offer(epoch(*new).score(images)) is better


def test_the_validation_of_an_epoch_without_one_is_that_of_the_last_before_it_with_one() -> None:
    history = [Epoch(0, 32, 0.1, 1, 0.5), epoch(0.7, 0.4), Epoch(2, 32, 0.1, 1, 0.5), epoch(0.8, 0.3)]
    assert validated_epoch(history, 1) is validated_epoch(history, 2) is history[1]
    assert validated_epoch(history, 3) is history[3]
    assert validated_epoch(history, 0) is history[0]


def test_an_epoch_is_as_accurate_as_the_best_of_many_within_three_standard_errors() -> None:
    assert is_as_accurate(epoch(0.84, 9.0), epoch(0.90, 0.1), 200)  # a standard error is 2 points here
    assert not is_as_accurate(epoch(0.83, 0.1), epoch(0.90, 9.0), 200)
    assert is_as_accurate(epoch(7 / 12, 1.0), epoch(10 / 12, 0.5), 12)
    assert is_as_accurate(epoch(0.90, 0.1), epoch(0.80, 0.1), 200)


def test_nothing_is_kept_that_is_not_better_than_the_start() -> None:
    start = epoch(0.90, 0.4).score(200)
    selection = Selection(start=start)
    assert not selection.offer(start)
    assert not selection.offer(epoch(0.80, 0.1).score(200))
    assert selection.kept is None
    assert selection.offer(epoch(0.89, 0.3).score(200))
    assert selection.kept is not None
    assert is_better(selection.kept, start)
