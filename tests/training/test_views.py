"""Which of several int8 Models is best, by images and by distorted views of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support.integer_training import separating_model, varied_pixels, wavering_model

from mobilenets.compression.evaluation import EvaluationSet, compute_logits
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.data.augmentation import UNDISTORTED, Augmentation
from mobilenets.model.model import Model
from mobilenets.training.selection import Answers, is_better
from mobilenets.training.views import MOST_VIEWS, Views


def answered(right: int, total: int, loss: float, *, from_the_end: bool = False) -> Answers:
    """So many right answers, at one end of the images or the other."""
    hits = (np.arange(total) < right).astype(np.float64)
    wobble = 0.01 * np.sin(np.arange(total))
    return Answers(hits[::-1] if from_the_end else hits, loss + wobble)


@pytest.mark.parametrize(
    ("new", "better"),
    [
        (answered(92, 100, 0.10), True),  # two gained, none lost: more than √2
        (answered(88, 100, 0.01), False),  # two lost
        (answered(91, 100, 0.10), False),  # one gained is within a standard error, and it is no closer
        (answered(91, 100, 0.05), True),  # so closer decides
        (answered(90, 100, 0.05), True),
        (answered(90, 100, 0.10), False),  # the same is not better
        (answered(89, 100, 0.05), True),  # one lost is within a standard error too
        (answered(92, 100, 0.10, from_the_end=True), False),  # ten gained, eight lost: within √18
        (answered(96, 100, 0.20, from_the_end=True), True),  # ten gained, four lost: beyond √14
    ],
)
def test_counting_decides_beyond_a_standard_error_and_the_loss_within_it(new: Answers, better: bool) -> None:
    assert is_better(new, answered(90, 100, 0.10)) is better


def test_fewer_standard_errors_are_less_doubt() -> None:
    wobble = np.random.default_rng(0).normal(0, 0.1, 100)
    some = Answers(np.ones(100), wobble - wobble.mean() + 0.095)
    other = Answers(some.right, np.full(100, 0.1))
    assert not is_better(some, other)
    assert is_better(some, other, doubt=0)
    assert not is_better(other, some, doubt=0)


def judged(seed: int, count: int) -> tuple[Model, Model, EvaluationSet]:
    """A float Model, an int8 one made of it, and images without labels."""
    rng = np.random.default_rng(seed)
    pixels = varied_pixels(rng, separating_model(np.random.default_rng(seed)), count)
    model = wavering_model(np.random.default_rng(seed), pixels)
    return model, quantize_with_images(model, pixels).model, EvaluationSet.of(model, pixels)


def test_without_labels_the_float_models_answers_are_the_right_ones() -> None:
    model, held, evaluation = judged(0, 32)
    views = Views(evaluation, Augmentation())
    agreeing = views.score(held).right
    assert agreeing.sum() == evaluation.report(held).agreement.count
    # The divergence of the float Model from itself is none, but for what the engine rounds otherwise than NumPy.
    assert np.abs(views.score(model).losses).max() < 1e-6


def test_labels_are_compared_with_the_answers_to_distorted_views_too() -> None:
    _, held, evaluation = judged(0, 32)
    targets = compute_logits(held, evaluation.pixels).argmax(axis=1)
    right = Views(replace(evaluation, targets=targets), Augmentation(brightness=1.0)).score(held).right
    assert (right >= 1 / MOST_VIEWS).all()  # the image itself, whose label is what the Model says
    assert right.min() < 1  # and not of all views
    assert set(np.unique(right * MOST_VIEWS % 1)) == {0.0}


def test_views_that_are_not_distorted_say_what_the_images_say() -> None:
    _, held, evaluation = judged(1, 16)
    labeled = replace(evaluation, targets=np.arange(16) % 6)
    score = Views(labeled, UNDISTORTED).score(held)
    logits = compute_logits(held, evaluation.pixels).astype(np.float64)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(16), labeled.targets]
    np.testing.assert_allclose(score.losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(score.right, logits.argmax(axis=1) == labeled.targets)


def test_many_images_have_fewer_views_and_the_same_seed_the_same() -> None:
    _, held, evaluation = judged(2, 8)
    many = EvaluationSet(
        np.tile(evaluation.pixels, (100, 1, 1, 1)),
        np.zeros(800, np.int64),
        np.tile(evaluation.logits, (100, 1)),
    )
    shares = Views(many, Augmentation()).score(held).right
    assert set(np.unique(shares)) <= {0.0, 0.5, 1.0}  # two of each: three would be more than MOST_VIEWED
    first, again, other = (Views(many, Augmentation(), seed).score(held).losses for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
