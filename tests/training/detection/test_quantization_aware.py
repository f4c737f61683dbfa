"""Detectors trained in integers come closer to the float Model, and never end further from it than they began."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.support.detectors import LABELS, detector
from tests.support.drawn_objects import drawn_dataset, drawn_objects
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.detector_evaluation import DetectorEvaluation
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.compression.result import Method
from mobilenets.data.loading import prepare
from mobilenets.errors import CompressionError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.detection_divergence import divergences
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, CentreHead, DetectionHead, ScoreMeaning
from mobilenets.training.detection.distillation import DetectorDistillation
from mobilenets.training.detection.quantization_aware import detector_recipe, train_quantized_detector
from mobilenets.training.quantize import quantize


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def small_detector(scores: ScoreMeaning = ScoreMeaning.SIGMOID) -> Model:
    network, task = detector(64, scores)
    return random_model(np.random.default_rng(0), network, task=task)


def pixels_for(model: Model, count: int, seed: int) -> Pixels:
    return prepare(drawn_objects(count, seed=seed), model.preprocessing, 64, 64).pixels


@pytest.mark.parametrize("scores", ScoreMeaning)
@pytest.mark.parametrize("bits", [8, 4])
def test_training_brings_the_maps_of_images_not_trained_on_closer(bits: int, scores: ScoreMeaning) -> None:
    model, config = small_detector(scores), QuantizationConfig(weight_bits=bits)
    pixels, judges = pixels_for(model, 64, 1), pixels_for(model, 32, 2)
    evaluation = DetectorEvaluation.of(model, judges)
    before = evaluation.report(quantize_with_images(model, pixels[:16], config).model)
    trained = train_quantized_detector(model, pixels, pixels[:16], config, epochs=6, shift=0.0)
    after = evaluation.report(trained.model)
    assert trained.epoch
    assert after.logits_sqnr_db > before.logits_sqnr_db + 0.1
    assert trained.model.task == model.task
    assert trained.model.quantization is not None
    assert set(trained.model.quantization.outputs) == set(model.network.outputs)


def test_training_that_harms_gives_its_start_back() -> None:
    model = small_detector()
    pixels = pixels_for(model, 24, 1)
    harmful = replace(detector_recipe(LABELS), learning_rate=0.05)
    kept = train_quantized_detector(model, pixels, pixels[:8], recipe=harmful, epochs=1)
    start = quantize_with_images(model, pixels[:8])
    assert kept.epoch == 0
    assert all(np.array_equal(values, kept.model.parameters[name]) for name, values in start.model.parameters.items())


def test_quantize_trains_a_detector_and_says_so() -> None:
    model, data = small_detector(), replace(drawn_dataset(24, 16, 2), labels=LABELS)
    result = quantize(model, data=data, method=Method.TRAINED, epochs=1, max_drop=100)
    assert result.method is Method.TRAINED
    assert result.report.primary_after is not None
    entry = Provenance.of(result.model).quantization
    assert entry is not None
    assert entry.trained


def test_the_answers_of_the_teacher_cost_nothing_and_others_do() -> None:
    rng = np.random.default_rng(0)
    for scores in ScoreMeaning:
        head = AnchorHead((AnchorLevel(2, 3, ((0.2, 0.2), (0.3, 0.3))),), scores)
        wanted = [torch.from_numpy(rng.normal(size=(2, count, 2, 3)).astype(np.float32)) for count in (8, 6)]
        loss = DetectorDistillation(lambda images: [], head)
        assert float(loss.of_outputs(wanted, wanted)) == pytest.approx(0, abs=1e-6)
        for changed in (0, 1):
            others = [maps + 0.5 * (number == changed) for number, maps in enumerate(wanted)]
            assert float(loss.of_outputs(others, wanted)) > 0.01


def test_the_objective_is_what_detectors_are_compared_by() -> None:
    rng = np.random.default_rng(0)
    centres = CentreHead(2, 3, ((0.2, 0.2), (0.3, 0.3)))
    shapes = AnchorLevel(2, 3, ((0.2, 0.2), (0.3, 0.3)))
    heads: list[tuple[DetectionHead, list[int]]] = [
        (centres, [3]),
        *((AnchorHead((shapes,), scores), [8, 6]) for scores in ScoreMeaning),
    ]
    for head, channels in heads:
        given, wanted = ([rng.normal(size=(1, count, 2, 3)).astype(np.float32) for count in channels] for _ in range(2))
        apart = float(divergences(head, given, wanted)[0])
        logits = [values[-1] for values in (given, wanted)]
        relative = np.square(logits[0] - logits[1]).mean() / logits[1].var(ddof=1)
        loss = DetectorDistillation(lambda images: [], head)
        found = float(loss.of_outputs([torch.from_numpy(v) for v in given], [torch.from_numpy(v) for v in wanted]))
        assert found == pytest.approx(apart + relative, rel=1e-4)
        assert divergences(head, wanted, wanted)[0] == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_trained_is_refused() -> None:
    model = small_detector()
    pixels = pixels_for(model, 4, 1)
    with pytest.raises(CompressionError, match="1 are not enough"):
        train_quantized_detector(model, pixels[:1], pixels)
    with pytest.raises(CompressionError, match="epochs must be at least 1"):
        train_quantized_detector(model, pixels, pixels, epochs=0)
    classifier = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=64, classes=2))
    with pytest.raises(CompressionError, match="no detector: its task is classification"):
        train_quantized_detector(classifier, pixels, pixels)
