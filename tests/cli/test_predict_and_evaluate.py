"""``predict`` and ``evaluate`` as a person meets them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    made = random_model(np.random.default_rng(0), network)
    path = tmp_path / "model.safetensors"
    save(Model(network, made.parameters, Classification(("cat", "dog")), made.preprocessing), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for label in ("cat", "dog"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (33, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
    return tmp_path / "data"


def test_predict_prints_a_line_for_each_image(model: Path, folder: Path, mobilenets: RunCommand) -> None:
    (folder / "cat" / "bad.jpg").write_bytes(b"")
    outcome = mobilenets("predict", model, folder / "cat")
    assert outcome.code == 3  # one of the images could not be read
    assert len(outcome.out.splitlines()) == 12
    assert outcome.err.count("skipped") == 1
    assert all(line.count(" %") == 2 for line in outcome.out.splitlines())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_a_terminal_would_obey_are_written_out(
    model: Path, folder: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    image = next(folder.rglob("*.png"))
    (tmp_path / "odd").mkdir()
    for name in ("red\x1b[31m.png", "two\nlines.png"):
        shutil.copy(image, tmp_path / "odd" / name)
    outcome = mobilenets("predict", str(model), str(tmp_path / "odd"))
    assert len(outcome.out.splitlines()) == 2
    assert "red\\x1b[31m.png" in outcome.out
    assert "two\\nlines.png" in outcome.out


def test_images_that_cannot_be_read_are_in_the_json_and_in_the_exit_code(
    model: Path, folder: Path, mobilenets: RunCommand
) -> None:
    assert mobilenets("predict", model, folder / "cat", "--json").code == 0
    assert mobilenets("evaluate", model, folder, "--json").code == 0
    (folder / "cat" / "1.png").write_bytes(b"")
    predicted = mobilenets("predict", model, folder / "cat", "--json")
    assert predicted.code == 3
    broken = [one for one in predicted.json if "error" in one]
    assert [Path(one["image"]).name for one in broken] == ["1.png"]
    assert "empty" in broken[0]["error"]
    assert len(predicted.json) == 12
    evaluated = mobilenets("evaluate", model, folder, "--json")
    assert evaluated.code == 3
    assert [Path(name).name for name in evaluated.json["skipped"]] == ["1.png"]


def test_predict_as_json(model: Path, folder: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", model, folder / "cat" / "0.png", "--json", "--top", 1)
    (answer,) = outcome.json
    assert answer["image"].endswith("0.png")
    assert answer["labels"][0]["label"] in ("cat", "dog")


def test_predict_reads_standard_input(model: Path, folder: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", "from mobilenets.cli.main import main; main()", "predict", str(model), "-"],
        input=(folder / "cat" / "0.png").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert finished.stdout.startswith(b"-  ")


def test_predict_fails_where_nothing_could_be_decoded(model: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    (tmp_path / "words.png").write_text("words")
    outcome = mobilenets("predict", model, tmp_path / "words.png")
    assert outcome.code == 1
    assert "none of 1 image could be decoded" in outcome.err


def test_evaluate_prints_figures_that_add_up(model: Path, folder: Path, mobilenets: RunCommand) -> None:
    figures = mobilenets("evaluate", model, folder, "--json", "--quiet").json
    confusion = np.array(figures["confusion"])
    assert confusion.sum() == figures["images"] == 24
    assert figures["top1"] == np.trace(confusion) / 24
    assert figures["split"] == "all"
    outcome = mobilenets("evaluate", model, folder, "--quiet")
    assert outcome.err == ""
    assert f"top-1 {100 * figures['top1']:.2f} %" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_evaluate_refuses_what_it_cannot_do(model: Path, folder: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("evaluate", model, folder, "--split", "test")
    assert outcome.code == 1
    assert "gives no test images" in outcome.err
    (folder / "dog").rename(folder / "zebra")
    outcome = mobilenets("evaluate", model, folder)
    assert outcome.code == 1
    assert "class 'zebra'; the model knows 2 classes: cat, dog" in outcome.err


def test_misuse_is_told_from_failure(model: Path, mobilenets: RunCommand) -> None:
    assert mobilenets("predict", model).code == 2
    assert mobilenets("evaluate", model, "x", "--split", "some").code == 2
    assert mobilenets("nonsense").code == 2
    outcome = mobilenets("predict", "missing.safetensors", "x.jpg")
    assert (outcome.code, outcome.err) == (1, "error: missing.safetensors does not exist\n")
