"""Quantization-aware training learns, and never ends worse than it began."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.integer_training import NETWORK, planes, separating_model, varied_pixels, wavering_model
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.evaluation import EvaluationSet, compute_logits
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.data.augmentation import UNDISTORTED
from mobilenets.data.subset import UNKNOWN
from mobilenets.errors import CompressionError, TrainingError
from mobilenets.model import reference
from mobilenets.training.quantization_aware import Teacher, recipe_for, train_quantized
from mobilenets.training.selection import is_better
from mobilenets.training.views import Views

RECIPE = recipe_for(("cat", "dog"), labeled=False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_the_teacher_is_the_float_model() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 8)
    said = Teacher(model)(planes(pixels)).numpy()
    expected = reference.run_reference(model, pixels)["classifier"]
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_training_brings_4_bit_weights_back_to_the_teacher() -> None:
    rng = np.random.default_rng(1)
    pixels, judges = (varied_pixels(rng, separating_model(np.random.default_rng(1)), count) for count in (256, 128))
    model = wavering_model(np.random.default_rng(1), pixels)
    config = QuantizationConfig(weight_bits=4)
    evaluation = EvaluationSet.of(model, judges)
    before = evaluation.report(quantize_with_images(model, pixels[:64], config).model)
    trained = train_quantized(model, pixels, pixels[:64], config, epochs=6, shift=0.0)
    after = evaluation.report(trained.model)
    assert trained.epoch
    assert after.logits_sqnr_db > before.logits_sqnr_db
    assert after.agreement.count > before.agreement.count
    assert trained.model.quantization is not None
    assert set(trained.model.quantization.weight_bits.values()) == {4}


def test_training_that_harms_gives_its_start_back() -> None:
    """At this learning rate every epoch ruins the network, and nothing diverges."""
    rng = np.random.default_rng(0)
    model = separating_model(rng)
    pixels = varied_pixels(rng, model, 96)
    start = quantize_with_images(model, pixels[:32])
    trained = train_quantized(
        model, pixels, pixels[:32], recipe=replace(RECIPE, learning_rate=0.3), epochs=2, shift=0.0
    )
    assert trained.epoch == 0
    assert trained.layers == start.layers
    for name, tensor in start.model.parameters.items():
        np.testing.assert_array_equal(trained.model.parameters[name], tensor)


def test_a_better_epoch_is_kept_and_its_error_measured() -> None:
    rng = np.random.default_rng(0)
    pixels, judges = (varied_pixels(rng, separating_model(np.random.default_rng(0)), count) for count in (256, 128))
    model = wavering_model(np.random.default_rng(0), pixels)
    evaluation = EvaluationSet.of(model, judges)
    config = QuantizationConfig(weight_bits=4)
    by = Views(model, evaluation, UNDISTORTED)
    start = by.score(quantize_with_images(model, pixels[:64], config).model)
    trained = train_quantized(model, pixels, pixels[:64], config, epochs=4, shift=0.0, evaluation=evaluation)
    assert trained.epoch in range(1, 5)
    assert is_better(by.score(trained.model), start)
    assert [layer.name for layer in trained.layers] == [layer.name for layer in model.network.layers]
    assert all(layer.sqnr_db > 10 for layer in trained.layers)


def test_labels_teach_what_the_teacher_does_not_know() -> None:
    """The labels are the teacher's answers with two classes exchanged; some images have none."""
    pixels = varied_pixels(np.random.default_rng(0), separating_model(np.random.default_rng(0)), 256)
    model = wavering_model(np.random.default_rng(0), pixels)
    said = compute_logits(model, pixels).argmax(axis=1)
    first, second = np.argsort(np.bincount(said, minlength=6))[-2:]
    labels = np.where(said == first, second, np.where(said == second, first, said))
    evaluation = EvaluationSet.of(model, pixels, labels)
    recipe = replace(recipe_for(model.labels), learning_rate=3e-3)
    known = np.where(np.arange(256) % 4, labels, UNKNOWN)
    by = Views(model, evaluation, UNDISTORTED)
    start = by.score(quantize_with_images(model, pixels[:64]).model)
    taught = by.score(
        train_quantized(
            model, pixels, pixels[:64], recipe=recipe, epochs=6, label_share=1.0, targets=known, evaluation=evaluation
        ).model
    )
    assert taught.loss < 0.8 * start.loss
    assert taught.right.sum() > start.right.sum() + 10


def test_images_without_labels_follow_the_teacher_alone() -> None:
    model = separating_model(np.random.default_rng(0))
    pixels = varied_pixels(np.random.default_rng(0), model, 32)
    recipe = replace(RECIPE, batch=8)
    alone, unknown = (
        train_quantized(model, pixels, pixels, recipe=recipe, epochs=1, targets=targets).model.parameters
        for targets in (None, np.full(32, UNKNOWN))
    )
    for name, tensor in alone.items():
        np.testing.assert_array_equal(tensor, unknown[name])


def test_the_same_seed_gives_the_same_model() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 16)
    first, second = (
        train_quantized(model, pixels, pixels, recipe=replace(RECIPE, batch=8), epochs=1).model for _ in range(2)
    )
    for name, tensor in first.parameters.items():
        np.testing.assert_array_equal(tensor, second.parameters[name])


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    with pytest.raises(CompressionError, match="1 are not enough"):
        train_quantized(model, pixels[:1], pixels)
    with pytest.raises(CompressionError, match="int8 already"):
        train_quantized(random_int8_model(rng, NETWORK), pixels, pixels)
    with pytest.raises(CompressionError, match="3 targets from 0 to 0 for 4 training images; the Model has 6 classes"):
        train_quantized(model, pixels, pixels, targets=np.zeros(3, np.int64))
    for wrong in (6, -2):
        with pytest.raises(CompressionError, match=r"4 targets from .* -1 stands for an unknown one"):
            train_quantized(model, pixels, pixels, targets=np.array([0, wrong, 1, 2]))
    with pytest.raises(CompressionError, match="epochs must be at least 1, not 0"):
        train_quantized(model, pixels, pixels, epochs=0)
    with pytest.raises(TrainingError, match=r"from 0 to 1, not 1\.5"):
        train_quantized(model, pixels, pixels, label_share=1.5)
    with pytest.raises(CompressionError, match="diverged"):
        train_quantized(model, pixels, pixels, recipe=replace(RECIPE, batch=2, learning_rate=1e30))
    with pytest.raises(TrainingError, match="below 1, not 1"):
        replace(RECIPE, warmup=1)
