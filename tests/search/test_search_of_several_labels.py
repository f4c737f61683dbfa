"""A budget for images of several labels: published networks are compared by mean average precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.engine.evaluate import evaluate
from mobilenets.model.file import load, save
from mobilenets.reports.run_report import report_run
from mobilenets.search.budget import Budget
from mobilenets.search.heads import probe
from mobilenets.search.result import SearchResult
from mobilenets.search.search import search
from mobilenets.tasks.multilabel import MultiLabel
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics, mean_precision_of_labels
from mobilenets.training.settings import Settings

LABELS = ("blue below", "red above", "striped")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("several"), np.random.default_rng(0)
    rows = ["file,labels"]
    for number in range(150):
        pixels = rng.integers(90, 130, (32, 32, 3)).astype(np.uint8)
        present = rng.random(3) < (0.4, 0.4, 0.3)
        pixels[16:, :, 2] = np.where(present[0], 240, pixels[16:, :, 2])
        pixels[:16, :, 0] = np.where(present[1], 240, pixels[:16, :, 0])
        pixels[:, 12:20] = np.where(present[2], 255, pixels[:, 12:20])
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{';'.join(label for label, one in zip(LABELS, present, strict=True) if one)}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("mobilenet_v1", "mobilenet_v2")):
        network = Specification(name, 0.35 if seed else 0.25, 64).network(classes=7)
        save(random_model(np.random.default_rng(seed), network), folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def found(table: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    folder = tmp_path_factory.mktemp("found") / "run"
    settings = Settings(weights=weights, resolution=32, epochs=8, threads=1)
    return search(table, folder, Budget(max_memory_bytes=20_000), settings), folder


def test_the_choice_is_within_the_memory_and_gives_several_labels(found: tuple[SearchResult, Path]) -> None:
    result, folder = found
    assert result.search.choice.memory_bytes <= 20_000
    assert result.model.precision == "int8"  # the same maps in float32 take four times as much
    assert isinstance(result.evaluation, MultiLabelMetrics)
    assert isinstance(result.model.task, MultiLabel)
    assert len(result.model.task.thresholds) == 3
    assert result.quality is not None
    assert result.quality.primary_after is not None
    assert result.quality.primary_after.name == "mean_average_precision"
    written = load(folder / "model.safetensors")
    assert evaluate(written, result.dataset).to_json() == result.evaluation.to_json()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["mean_average_precision"] == result.evaluation.mean_average_precision


def test_its_report_has_the_frontier_by_mean_average_precision(found: tuple[SearchResult, Path]) -> None:
    page = report_run(*found).read_text()
    assert "validation mean average precision" in page
    assert "top-1" not in page


def test_heads_on_features_are_judged_by_mean_average_precision_of_images_that_they_have_not_seen() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((80, 2)) < 0.4).astype(np.int64)
    features = (targets @ rng.normal(size=(2, 6)) * 2 + rng.normal(size=(80, 6))).astype(np.float32)
    judged = probe(features, targets, 2, penalties=[0.1])
    scaled, scores = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-8), np.empty((80, 2))
    for left in range(80):
        kept = np.arange(80) != left
        rows = np.c_[scaled[kept], np.ones(79)]
        square = rows.T @ rows + np.diag([0.1 * 80] * 6 + [0.0])
        scores[left] = np.append(scaled[left], 1) @ np.linalg.solve(square, rows.T @ targets[kept])
    assert judged.accuracy == pytest.approx(mean_precision_of_labels(scores, targets > 0))
