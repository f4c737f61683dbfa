"""Which of several int8 Models is best, by images and by distorted views of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.support.integer_training import separating_model, varied_pixels, wavering_model

from mobilenets.compression.evaluation import EvaluationSet, compute_logits
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.data.augmentation import UNDISTORTED, Augmentation
from mobilenets.model.model import Model
from mobilenets.training.views import MOST_VIEWS, Views


def judged(seed: int, count: int) -> tuple[Model, Model, EvaluationSet]:
    """A float Model, an int8 one made of it, and images without labels."""
    rng = np.random.default_rng(seed)
    pixels = varied_pixels(rng, separating_model(np.random.default_rng(seed)), count)
    model = wavering_model(np.random.default_rng(seed), pixels)
    return model, quantize_with_images(model, pixels).model, EvaluationSet.of(model, pixels)


def test_without_labels_the_float_models_answers_are_the_right_ones() -> None:
    model, held, evaluation = judged(0, 32)
    views = Views(model, evaluation, Augmentation())
    agreeing = views.score(held).right
    assert agreeing.sum() == evaluation.report(held).agreement.count
    # The divergence of the float Model from itself is none, but for what the engine rounds otherwise than NumPy.
    assert np.abs(views.score(model).losses).max() < 1e-6


def test_labels_are_compared_with_the_answers_to_distorted_views_too() -> None:
    model, held, evaluation = judged(0, 32)
    targets = compute_logits(held, evaluation.pixels).argmax(axis=1)
    right = Views(model, replace(evaluation, targets=targets), Augmentation(brightness=1.0)).score(held).right
    assert (right >= 1 / MOST_VIEWS).all()  # the image itself, whose label is what the Model says
    assert right.min() < 1  # and not of all views
    assert set(np.unique(right * MOST_VIEWS % 1)) == {0.0}


def test_views_that_are_not_distorted_say_what_the_images_say() -> None:
    model, held, evaluation = judged(1, 16)
    labeled = replace(evaluation, targets=np.arange(16) % 6)
    score = Views(model, labeled, UNDISTORTED).score(held)
    logits = compute_logits(held, evaluation.pixels).astype(np.float64)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(16), labeled.targets]
    np.testing.assert_allclose(score.losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(score.right, logits.argmax(axis=1) == labeled.targets)


def test_many_images_have_fewer_views_and_the_same_seed_the_same() -> None:
    model, held, evaluation = judged(2, 8)
    many = EvaluationSet(
        np.tile(evaluation.pixels, (100, 1, 1, 1)),
        np.zeros(800, np.int64),
        np.tile(evaluation.logits, (100, 1)),
    )
    shares = Views(model, many, Augmentation()).score(held).right
    assert set(np.unique(shares)) <= {0.0, 0.5, 1.0}  # two of each: three would be more than MOST_VIEWED
    first, again, other = (Views(model, many, Augmentation(), seed).score(held).losses for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
