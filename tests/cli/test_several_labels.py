"""The commands with images of several labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.model.file import load, save
from mobilenets.tasks.multilabel import MultiLabel

LABELS = ("red", "round", "wet")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    save(random_model(np.random.default_rng(0), network, task=MultiLabel(LABELS)), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(1), ["file,red,round,wet"]
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{number & 1},{number >> 1 & 1},{number >> 2 & 1}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "labels.csv"


def test_predict_gives_all_labels_and_a_table_has_the_same_columns_in_every_row(
    model: Path, table: Path, mobilenets: RunCommand
) -> None:
    images = [str(table.parent / f"{number}.png") for number in range(6)]
    listed = json.loads(mobilenets("predict", model, *images, "--json", "--quiet").out)
    assert all(list(one["probabilities"]) == list(LABELS) for one in listed)
    assert all({row["label"] for row in one["labels"]} == given(one["probabilities"]) for one in listed)
    rows = list(csv.DictReader(mobilenets("predict", model, *images, "--csv", "--quiet").out.splitlines()))
    assert list(rows[0]) == ["image", "labels", *LABELS, "error"]
    assert [set(filter(None, row["labels"].split(";"))) for row in rows] == [
        given(one["probabilities"]) for one in listed
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predictions_in_a_file_have_the_columns_of_the_table(
    model: Path, table: Path, tmp_path: Path, mobilenets: RunCommand, suffix: str
) -> None:
    images = [str(table.parent / f"{number}.png") for number in range(6)]
    (tmp_path / "cut.png").write_bytes(b"")
    file = tmp_path / f"answers{suffix}"
    mobilenets("predict", model, *images, tmp_path / "cut.png", "-o", file, "--quiet")
    listed = list(csv.DictReader(mobilenets("predict", model, *images, "--csv", "--quiet").out.splitlines()))
    if suffix == ".csv":
        rows = list(csv.DictReader(file.read_text().splitlines()))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(file).to_pylist()
    assert list(rows[0]) == ["image", "labels", *LABELS, "error"]
    assert [row["labels"] for row in rows[:-1]] == [row["labels"] for row in listed]
    assert [float(row["wet"]) for row in rows[:-1]] == [float(row["wet"]) for row in listed]
    assert rows[-1]["error"]


def test_one_threshold_for_all_labels(model: Path, table: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    images = [str(table.parent / f"{number}.png") for number in range(6)]
    listed = json.loads(mobilenets("predict", model, *images, "--threshold", 0.1, "--json", "--quiet").out)
    expected = [{label for label, value in one["probabilities"].items() if value >= 0.1} for one in listed]
    assert [{row["label"] for row in one["labels"]} for one in listed] == expected
    assert expected != [given(one["probabilities"]) for one in listed]
    file = tmp_path / "answers.csv"
    mobilenets("predict", model, *images, "--threshold", 0.1, "-o", file, "--quiet")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [set(filter(None, row["labels"].split(";"))) for row in rows] == expected


def given(probabilities: dict[str, float]) -> set[str]:
    return {label for label, value in probabilities.items() if value >= 0.5}


def test_evaluate_lists_every_label_and_calibrate_sets_thresholds(
    model: Path, table: Path, mobilenets: RunCommand
) -> None:
    shown = mobilenets("evaluate", model, table, "--quiet").out
    assert "mean average precision" in shown
    assert all(label in shown for label in LABELS)
    assert all(len(line) <= 80 for line in shown.splitlines())
    found = json.loads(mobilenets("evaluate", model, table, "--json", "--quiet").out)
    assert [row["images"] for row in found["labels"]] == [12, 12, 12]
    assert "a threshold for each of 3 labels, chosen on 24 images (all)" in (
        mobilenets("calibrate", model, table, "--split", "all", "--quiet").out
    )
    task = load(model).task
    assert isinstance(task, MultiLabel)
    assert len(task.thresholds) == 3


def test_fit_cross_validates_and_says_so_where_images_are_few(
    table: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    words = ["--weights", "none", "--width", "0.25", "--resolution", "32", "--epochs", "1", "--quiet"]
    shown = mobilenets("fit", table, "-o", tmp_path / "run", *words).out
    assert "--cross-validate 5 tests every image once" in shown
    validated = mobilenets("fit", table, "-o", tmp_path / "other", *words, "--cross-validate", "2").out
    assert "cross-validation: mean average precision" in validated
    assert "24 images, each by a Model that was not trained on it; 2 folds" in validated.replace("\n", " ")


def test_options_of_classifiers_are_refused(model: Path, table: Path, mobilenets: RunCommand) -> None:
    for option in ("--unknown", f"--sort-into={table.parent / 'sorted'}"):
        result = mobilenets("predict", model, table.parent / "0.png", option)
        assert "this Model's task is multilabel" in result.err


def test_fit_logs_to_a_csv_file(colours: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    words = ["--weights", "none", "--width", "0.25", "--resolution", "32", "--epochs", "2", "--quiet"]
    mobilenets("fit", colours, "-o", tmp_path / "run", *words, "--log", tmp_path / "log.csv")
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "log.csv").read_text().splitlines())] == ["1", "2"]
    refused = mobilenets("fit", colours, "-o", tmp_path / "other", *words, "--log", "log.txt")
    assert "a log is FILE.csv, tensorboard:FOLDER or wandb:PROJECT, not 'log.txt'" in refused.err
