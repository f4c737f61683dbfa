"""``mobilenets calibrate``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.cli.conftest import RunCommand
from tests.conftest import draw
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.calibrate import calibrate
from mobilenets.engine.evaluate import evaluate
from mobilenets.model.file import load, save
from mobilenets.tasks.classification import Classification


def test_it_says_what_it_did_and_evaluate_shows_it(tmp_path: Path, mobilenets: RunCommand) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_model(np.random.default_rng(0), network, task=Classification(("blue", "green", "red")))
    images = tmp_path / "images"
    for part in ("train", "val", "test"):
        (images / part).mkdir(parents=True)
        draw(images / part, 8, 40, 40)
    path = tmp_path / "model.safetensors"
    save(model, path)
    outcome = mobilenets("calibrate", path, images, "-o", tmp_path / "warm.safetensors")
    assert outcome.code == 0
    assert "fitted on 24 images (validation); no answer changes" in outcome.out
    assert outcome.out.count("expected calibration error") == 2
    assert load(path).task == model.task
    assert load(tmp_path / "warm.safetensors").task == calibrate(model, images).model.task
    found = mobilenets("evaluate", tmp_path / "warm.safetensors", images, "--json").json
    metrics = evaluate(tmp_path / "warm.safetensors", images)
    assert found["expected_calibration_error"] == metrics.to_json()["expected_calibration_error"]
    printed = mobilenets("evaluate", tmp_path / "warm.safetensors", images).out
    assert "expected calibration error" in printed
    assert mobilenets("calibrate", path, images, "--json").json["temperature"] == calibrate(model, images).temperature
    exported = mobilenets("export", tmp_path / "warm.safetensors", "-o", tmp_path / "warm.onnx", "--no-verify")
    temperature = calibrate(model, images).temperature
    assert f"it gives logits; probabilities are softmax(logits / {temperature:.4g})" in exported.out
