"""Evaluation against the float Model: counts, SQNR and costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.evaluation import EvaluationSet, compute_logits, with_costs
from mobilenets.compression.quality import QualityReport
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.errors import CompressionError
from mobilenets.model import reference
from mobilenets.model.file import file_bytes, save
from mobilenets.tasks.metrics import Share

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6)


def test_answers_are_counted() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 12)
    evaluation = EvaluationSet.of(model, pixels)
    right = evaluation.logits.argmax(axis=1)
    evaluation = replace(evaluation, targets=np.where(np.arange(12) < 9, right, (right + 1) % 6))
    same = evaluation.report(model)
    assert same.agreement == Share(12, 12)
    assert same.logits_sqnr_db == 200
    assert (same.top1_before, same.top1_after, same.drop) == (Share(9, 12), Share(9, 12), 0)
    made = quantize_with_images(model, pixels)
    report = evaluation.report(made.model, made.layers)
    assert {layer["name"] for layer in report.to_json()["layers"]} == {layer.name for layer in NETWORK.layers}


def test_logits_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 70)
    quantized = quantize_with_images(model, pixels).model
    np.testing.assert_array_equal(
        compute_logits(quantized, pixels[:3]), reference.run_reference(quantized, pixels[:3])["classifier"]
    )
    assert compute_logits(quantized, pixels).shape == (70, 6)
    assert compute_logits(quantized, pixels[:0]).shape == (0, 6)


def test_costs_are_the_file_sizes_and_latencies_of_both_models(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    quantized = quantize_with_images(model, pixels).model
    report = with_costs(QualityReport(), model, quantized)
    save(quantized, tmp_path / "quantized.safetensors")
    assert report.bytes_after == file_bytes(quantized) == (tmp_path / "quantized.safetensors").stat().st_size
    assert report.bytes_before == file_bytes(model) > report.bytes_after
    assert report.latency_before_ms is not None
    assert report.latency_after_ms is not None
    assert min(report.latency_before_ms, report.latency_after_ms) > 0


def test_evaluation_needs_images_and_labels_that_the_model_has() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 3)
    with pytest.raises(CompressionError, match="no images"):
        EvaluationSet.of(model, pixels[:0])
    with pytest.raises(CompressionError, match="3 labels from 0 to 6 for 3 images; the Model has 6 classes"):
        EvaluationSet.of(model, pixels, np.array([0, 6, 2]))
