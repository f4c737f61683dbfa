"""Quantisation-aware training learns, and never ends worse than it began."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.compression.test_qat import NETWORK, planes, separating_model
from tests.random_models import random_int8_model, random_model, random_pixels
from torch.nn import functional

from mobilenets.compression.gate import Jury, answers
from mobilenets.compression.quantize import Options, quantize
from mobilenets.data.subset import UNKNOWN
from mobilenets.errors import CompressionError
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.quantization_aware import Recipe, Standing, Teacher, train


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def varied_pixels(rng: np.random.Generator, model: Model, count: int) -> Pixels:
    """Pictures of different colours, so that answers differ."""
    return (random_pixels(rng, model.network, count) * rng.uniform(0, 1, (count, 1, 1, 3))).astype(np.uint8)


def wavering_model(rng: np.random.Generator, pixels: Pixels) -> Model:
    """A small Model that gives each class to some of the pictures, and is sure of few: rounding changes its answers."""
    model = separating_model(rng)
    said = answers(model, pixels)
    parameters = dict(model.parameters)
    spread = said.std(axis=0).mean()
    centre = (said - parameters["classifier.bias"]).mean(axis=0)
    parameters["classifier.weight"] = (parameters["classifier.weight"] / spread).astype(np.float32)
    parameters["classifier.bias"] = (-centre / spread).astype(np.float32)
    return model.with_parameters(parameters)


def test_the_teacher_is_the_float_model() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 8)
    said = Teacher(model)(planes(pixels)).numpy()
    expected = reference.run(model, pixels)["classifier"]
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_training_brings_4_bit_weights_back_to_the_teacher() -> None:
    rng = np.random.default_rng(1)
    pixels, judges = (varied_pixels(rng, separating_model(np.random.default_rng(1)), count) for count in (256, 128))
    model = wavering_model(np.random.default_rng(1), pixels)
    options = Options(weight_bits=4)
    jury = Jury.of(model, judges)
    before = jury.judge(quantize(model, pixels[:64], options).model)
    trained = train(model, pixels, pixels[:64], options, Recipe(epochs=6, shift=0.0))
    after = jury.judge(trained.model)
    assert trained.epoch > 0
    assert after.logits_snr_db > before.logits_snr_db
    assert after.agreement.count > before.agreement.count
    assert trained.model.quantization is not None
    assert set(trained.model.quantization.weight_bits.values()) == {4}


def test_training_that_harms_gives_its_start_back() -> None:
    """At this learning rate every epoch ruins the network, and nothing diverges."""
    rng = np.random.default_rng(0)
    model = separating_model(rng)
    pixels = varied_pixels(rng, model, 96)
    start = quantize(model, pixels[:32])
    trained = train(model, pixels, pixels[:32], recipe=Recipe(epochs=2, learning_rate=0.3, shift=0.0))
    assert trained.epoch == 0
    assert trained.layers == start.layers
    for name, tensor in start.model.parameters.items():
        np.testing.assert_array_equal(trained.model.parameters[name], tensor)


def test_a_better_epoch_is_kept_and_its_noise_measured() -> None:
    rng = np.random.default_rng(0)
    pixels, judges = (varied_pixels(rng, separating_model(np.random.default_rng(0)), count) for count in (256, 128))
    model = wavering_model(np.random.default_rng(0), pixels)
    jury = Jury.of(model, judges)
    options = Options(weight_bits=4)
    start = Standing.of(quantize(model, pixels[:64], options).model, jury)
    trained = train(model, pixels, pixels[:64], options, Recipe(epochs=4, shift=0.0), jury=jury)
    assert 1 <= trained.epoch <= 4
    assert Standing.of(trained.model, jury).is_better_than(start)
    assert [layer.name for layer in trained.layers] == [layer.name for layer in model.network.layers]
    assert all(layer.snr_db > 10 for layer in trained.layers)


def standing(right: int, total: int, loss: float, *, from_the_end: bool = False) -> Standing:
    """So many right answers, at one end of the pictures or the other."""
    hits = np.arange(total) < right
    wobble = 0.01 * np.sin(np.arange(total))
    return Standing(hits[::-1] if from_the_end else hits, loss + wobble)


@pytest.mark.parametrize(
    ("new", "better"),
    [
        (standing(92, 100, 0.10), True),  # two gained, none lost: more than √2
        (standing(88, 100, 0.01), False),  # two lost
        (standing(91, 100, 0.10), False),  # one gained is within a standard error, and it is no closer
        (standing(91, 100, 0.05), True),  # so closer decides
        (standing(90, 100, 0.05), True),
        (standing(90, 100, 0.10), False),  # the same is not better
        (standing(89, 100, 0.05), True),  # one lost is within a standard error too
        (standing(92, 100, 0.10, from_the_end=True), False),  # ten gained, eight lost: within √18
        (standing(96, 100, 0.20, from_the_end=True), True),  # ten gained, four lost: beyond √14
    ],
)
def test_counting_decides_beyond_a_standard_error_and_the_loss_within_it(new: Standing, better: bool) -> None:
    assert new.is_better_than(standing(90, 100, 0.10)) is better


def test_fewer_standard_errors_are_less_doubt() -> None:
    wobble = np.random.default_rng(0).normal(0, 0.1, 100)
    some = Standing(np.ones(100, np.bool_), wobble - wobble.mean() + 0.095)
    other = Standing(some.right, np.full(100, 0.1))
    assert not some.is_better_than(other)
    assert some.is_better_than(other, errors=0)
    assert not other.is_better_than(some, errors=0)


def test_without_labels_the_float_models_answers_are_the_right_ones() -> None:
    rng = np.random.default_rng(0)
    model = separating_model(rng)
    pixels = varied_pixels(rng, model, 32)
    held = quantize(model, pixels).model
    jury = Jury.of(model, pixels)
    said = jury.logits.argmax(axis=1)
    agreeing = Standing.of(held, jury).right
    labelled = Standing.of(held, replace(jury, targets=(said + 1) % 6)).right
    assert agreeing.sum() == jury.judge(held).agreement.count
    assert not (agreeing & labelled).any()
    # The divergence of the float Model from itself is none, but for what the engine rounds otherwise than NumPy.
    assert np.abs(Standing.of(model, jury).loss).max() < 1e-6


def test_with_labels_their_cross_entropy_is_what_counts() -> None:
    model = separating_model(np.random.default_rng(0))
    pixels = varied_pixels(np.random.default_rng(0), model, 32)
    targets = np.arange(32) % 6
    found = Standing.of(model, Jury.of(model, pixels, targets))
    logits = torch.from_numpy(answers(model, pixels))
    expected = functional.cross_entropy(logits, torch.from_numpy(targets), reduction="none")
    np.testing.assert_allclose(found.loss, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_labels_teach_what_the_teacher_does_not_know() -> None:
    """The labels are the teacher's answers with two classes exchanged; some pictures have none."""
    pixels = varied_pixels(np.random.default_rng(0), separating_model(np.random.default_rng(0)), 256)
    model = wavering_model(np.random.default_rng(0), pixels)
    said = answers(model, pixels).argmax(axis=1)
    first, second = np.argsort(np.bincount(said, minlength=6))[-2:]
    labels = np.where(said == first, second, np.where(said == second, first, said))
    jury = Jury.of(model, pixels, labels)
    recipe = Recipe(epochs=6, learning_rate=3e-3, labels=1.0)
    known = np.where(np.arange(256) % 4, labels, UNKNOWN)
    start = Standing.of(quantize(model, pixels[:64]).model, jury)
    taught = Standing.of(train(model, pixels, pixels[:64], recipe=recipe, targets=known, jury=jury).model, jury)
    assert taught.loss.mean() < 0.8 * start.loss.mean()
    assert taught.right.sum() > start.right.sum() + 10


def test_pictures_without_labels_follow_the_teacher_alone() -> None:
    model = separating_model(np.random.default_rng(0))
    pixels = varied_pixels(np.random.default_rng(0), model, 32)
    recipe = Recipe(epochs=1, batch=8)
    alone, unknown = (
        train(model, pixels, pixels, recipe=recipe, targets=targets).model.parameters
        for targets in (None, np.full(32, UNKNOWN))
    )
    for name, tensor in alone.items():
        np.testing.assert_array_equal(tensor, unknown[name])


def test_the_same_seed_gives_the_same_model() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 16)
    first, second = (train(model, pixels, pixels, recipe=Recipe(epochs=1, batch=8)).model for _ in range(2))
    for name, tensor in first.parameters.items():
        np.testing.assert_array_equal(tensor, second.parameters[name])


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    with pytest.raises(CompressionError, match="1 are not enough"):
        train(model, pixels[:1], pixels)
    with pytest.raises(CompressionError, match="int8 already"):
        train(random_int8_model(rng, NETWORK), pixels, pixels)
    with pytest.raises(
        CompressionError, match="3 targets from 0 to 0 for 4 training pictures; the Model has 6 classes"
    ):
        train(model, pixels, pixels, targets=np.zeros(3, np.int64))
    for wrong in (6, -2):
        with pytest.raises(CompressionError, match=r"4 targets from .* -1 stands for an unknown one"):
            train(model, pixels, pixels, targets=np.array([0, wrong, 1, 2]))
    with pytest.raises(CompressionError, match="an epoch or more"):
        Recipe(epochs=0)
    with pytest.raises(CompressionError, match=r"from 0 to 1, not 1\.5"):
        Recipe(labels=1.5)
    with pytest.raises(CompressionError, match="diverged"):
        train(model, pixels, pixels, recipe=replace(Recipe(batch=2), learning_rate=1e30))
    with pytest.raises(CompressionError, match="to below 1, not 1"):
        Recipe(warmup=1)
