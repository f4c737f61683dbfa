"""Finished runs without the training: random Models on images of noise, and everything that ``fit`` leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.support.random_models import random_int8_model, random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.quality import LayerSqnr, QualityReport
from mobilenets.data.dataset import load_dataset
from mobilenets.data.description import dataset_to_json
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.model.file import save
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate, candidate_of
from mobilenets.search.record import LatencySource, MeasuredLatency, SearchRecord
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.metrics import Share

HOSTILE = ('<img src=x onerror="alert(1)">', 'a\' "b" & c', "<script>alert(1)<!--", "שלום עולם", "long " * 20)
"""Names of classes: folders that somebody could have."""
HOSTILE_FILE = "<svg onload=alert(1)> \x1b\"'&amp;"


def make_run(folder: Path, labels: tuple[str, ...], *, images: int = 12, search: bool = False) -> Path:
    """The folder of a run whose Model answers at random, so that it has mistakes to show.

    Args:
        folder: It gets ``data`` and ``run``.
        labels: Names of the classes.
        images: Of each class.
        search: Whether a budget chose the network.
    """
    rng = np.random.default_rng(0)
    for label in labels:
        (folder / "data" / label).mkdir(parents=True)
        for number in range(images):
            pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((120, 90), Image.Resampling.BICUBIC)
            image.save(folder / "data" / label / f"{HOSTILE_FILE}{number}.jpg", quality=90)
    dataset = load_dataset(folder / "data")
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=len(labels))
    (folder / "run").mkdir()
    whole, integer = random_model(rng, network), random_int8_model(rng, network)
    provenance: dict[str, Any] = {
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": 0},
        "recipe": {"name": "default", "augmentation": {"flip": "horizontal"}},
        "seed": 0,
        "epochs": 5,
        "threads": 1,
        "versions": {"mobilenets": "0.1.0"},
        "quantization": {"trained": True, "quality": _quality().provenance()},
    }
    models = [
        type(whole)(
            one.network,
            one.parameters,
            Classification(dataset.labels),
            quantization=one.quantization,
            provenance=provenance,
        )
        for one in (whole, integer)
    ]
    evaluation = evaluate(Classifier(models[0]), dataset.test)
    metrics: dict[str, Any] = {
        "test": evaluation.to_json(),
        "best_epoch": 4,
        "validation_top1": 0.5,
        "epochs": _epochs(5),
        "seconds": 12.3,
        "images": {name: len(dataset.part(name)) for name in ("train", "validation", "test")},
        "skipped": [],
        "data": dataset_to_json(dataset),
        "provenance": provenance,
    }
    if search:
        metrics["compression"] = _quality().to_json()
        metrics["search"] = _search().to_json()
        metrics["phases"] = [
            {"name": "latency", "seconds": 1.0, "epochs": [], "best_epoch": None},
            {"name": "supernet", "seconds": 9.0, "epochs": _epochs(20), "best_epoch": 20},
            {"name": "fine-tune", "seconds": 2.0, "epochs": _epochs(5), "best_epoch": 4},
        ]
    for model, name in zip(models, ("model.safetensors", "model.int8.safetensors"), strict=True):
        save(model, folder / "run" / name)
    (folder / "run" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder / "run"


def _epochs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "loss": 2.3 / number**0.5,
            "top1": 1 - 0.9 / number**0.5,
            "validation_loss": 2.0 / number**0.6 if number % 2 == 0 or number == count else None,
            "validation_top1": 1 - 0.8 / number**0.6 if number % 2 == 0 or number == count else None,
        }
        for number in range(1, count + 1)
    ]


def _quality() -> QualityReport:
    return QualityReport(
        agreement=Share(194, 200),
        sure_agreement=Share(150, 150),
        logits_sqnr_db=22.0,
        top1_before=Share(180, 200),
        top1_after=Share(179, 200),
        bytes_before=900_000,
        bytes_after=240_000,
        layers=tuple(LayerSqnr(f"block{number}.depthwise", "depthwise", 20.0 + number, 0) for number in range(13)),
    )


def _search() -> SearchRecord:
    """A made-up frontier: a figure of the tests, and of nothing that was measured."""
    candidates: list[Candidate] = []
    for width in (0.25, 0.35, 0.5, 0.75, 1.0):
        for side in (64, 96, 128):
            for precision, factor in (("float32", 1.0), ("int8", 0.4)):
                network = mobilenet_v1(width_multiplier=width, resolution=side, classes=5)
                accuracy = 1 - 0.25 / (width * side / 20) ** 0.8 - (0.004 if precision == "int8" else 0)
                latency_ms = factor * 0.9 * (width * side / 96) ** 1.6
                candidates.append(candidate_of(network, precision, accuracy=accuracy, latency_ms=latency_ms))
    budget = Budget(max_latency_ms=0.3)
    choice = max((one for one in candidates if budget.meets(one)), key=lambda one: one.accuracy)
    return SearchRecord(
        budget=budget,
        device=LatencySource("a machine of the tests", "avx2", 1, measured_here=True, interpolation_error=0.021),
        candidates=tuple(candidates),
        choice=choice,
        reason="the most accurate within the budget",
        validation_images=200,
        widest=1.0,
        largest=128,
        latency=MeasuredLatency(0.29, 0.27, choice.cost("latency_ms"), 1),
    )
