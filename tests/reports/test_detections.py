"""The report of a detection run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.box_folders import FORMS
from tests.support.browser import browser
from tests.support.detectors import detector
from tests.support.random_models import random_model

from mobilenets.data.dataset import load_dataset
from mobilenets.data.description import dataset_to_json
from mobilenets.engine.evaluate import evaluate
from mobilenets.model.file import load, save
from mobilenets.reports.pages.detections import judge_images, missed_section
from mobilenets.reports.pages.markup import to_html
from mobilenets.reports.run_report import report
from mobilenets.tasks.detection import Detection

NETWORK, TASK = detector()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run whose detector finds things at random."""
    dataset = load_dataset(FORMS["voc"](tmp_path / "data"))
    task = Detection(dataset.labels, TASK.head)
    provenance = {
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": 0},
        "recipe": {"name": "default"}, "seed": 0, "epochs": 2, "threads": 1, "versions": {"mobilenets": "0.1.0"},
    }  # fmt: skip
    made = random_model(np.random.default_rng(0), NETWORK, task=task)
    model = type(made)(made.network, made.parameters, task, provenance=provenance)
    metrics = {
        "test": evaluate(model, dataset.test).to_json(),
        "best_epoch": 2,
        "validation_map50_95": 0.5,
        "epochs": [
            {
                "number": number,
                "loss": 2.0,
                "map50_95": None,
                "validation_loss": 2.0,
                "validation_map50_95": 0.1 * number,
                "validation_threshold": 0.3,
            }
            for number in (1, 2)
        ],
        "seconds": 12.3,
        "images": {name: len(dataset.part(name)) for name in ("train", "validation", "test")},
        "skipped": [],
        "data": dataset_to_json(dataset),
        "provenance": provenance,
    }
    (tmp_path / "run").mkdir()
    save(model, tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return tmp_path / "run"


def test_the_report_shows_figures_curves_and_images(run: Path) -> None:
    page = report(run).read_text(encoding="utf-8")
    for words in ("mAP 50-95", "By class, worst first", "By size of the objects", "Precision by recall"):
        assert words in page
    assert "Missed and invented" in page
    assert "From a score of 0.3 on, where F1 is best on the validation images" in page
    assert re.search(r"missed, \d+ invented, \d+ found", page)
    assert page.count("data:image/jpeg;base64,") == 1  # there is one test image


@pytest.mark.parametrize(("width", "least"), [(1000, 200), (390, 300)])
def test_names_of_classes_are_not_broken_and_boxes_can_be_seen(run: Path, width: int, least: int) -> None:
    with browser(run.parent / "profile") as page:
        page.open(report(run), width=width, height=800)
        cell = "document.querySelector('#predictions table td')"
        assert page.evaluate(f"{cell}.getBoundingClientRect().height < 60"), (
            "a name of three letters takes several lines"
        )
        assert page.evaluate("document.querySelector('#mistakes img').getBoundingClientRect().width") >= least


def test_images_with_most_mistakes_come_first_and_every_object_is_found_or_missed(run: Path) -> None:
    dataset = load_dataset(run.parent / "data")
    everything = dataset.train + dataset.validation + dataset.test
    judged = judge_images(load(run / "model.safetensors"), replace(dataset, test=everything))
    counts = [one.mistakes for one in judged]
    assert counts == sorted(counts, reverse=True)
    assert sum(int(one.missed.sum() + one.found.sum()) for one in judged) == 4
    assert all(one.right.sum() == one.found.sum() for one in judged)


def test_a_report_of_no_image_has_no_histogram_row() -> None:
    assert "0 missed objects" in to_html(missed_section([], "nowhere"))
