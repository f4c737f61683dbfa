"""``fit`` as a person meets it."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand

from mobilenets.cli.fit import command

SMALL = ("--width", "0.25", "--resolution", "32", "--epochs", "1", "--training-threads", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for label in ("čáp", "small dog"):
        (tmp_path / "my data" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (33, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "my data" / label / f"{number}.png")
    return tmp_path / "my data"


def test_fit_then_evaluate(folder: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    output = tmp_path / "out"
    outcome = mobilenets("fit", str(folder), "--output", str(output), *SMALL)
    assert outcome.code == 0, outcome.err
    assert "mobilenet_v1, width 0.25, 32×32, 2 classes; epoch 1 of 1 kept" in outcome.out
    assert "training: 20/20 images" in outcome.err
    assert "report.html is written" in outcome.err
    page = (output / "report.html").read_text(encoding="utf-8")
    words = html.unescape(re.sub("<[^>]+>", "", page)).replace("\u00a0", " ")
    assert "MobileNet α 0.25 at 32 px" in words
    assert f"mobilenets fit '{folder}' --output {output} --width 0.25" in words
    assert page.count("<img ") >= 2
    evaluated = mobilenets("evaluate", str(output / "model.safetensors"), str(folder), "--json", "-q").json
    assert evaluated["split"] == "test"
    fitted = mobilenets("fit", str(folder), "--output", str(output), "--force", "--json", "-q", *SMALL)
    assert fitted.err == ""
    assert fitted.json["test"]["top1"] == evaluated["top1"]
    assert [row["label"] for row in fitted.json["test"]["classes"]] == ["small dog", "čáp"]


def test_few_test_images_are_counted_and_folds_test_all(folder: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("fit", folder, "-o", tmp_path / "out", "-q", *SMALL)
    lines = outcome.out.splitlines()
    assert any(
        re.fullmatch(r"test top-1: \d of 2 right; of many it may be anything from \d+ to \d+ %", line) for line in lines
    )
    assert any(line.startswith("--cross-validate 5 tests every image once") for line in lines)
    arguments = ("-o", tmp_path / "out", "--force", "--cross-validate", 2, *SMALL)
    validated = mobilenets("fit", folder, *arguments, "--json")
    assert validated.json["cross_validation"]["images"] == 24
    assert len(validated.json["cross_validation"]["folds"]) == 2
    assert "fold 2 of 2: " in validated.err
    refused = mobilenets("fit", folder, "-o", tmp_path / "other", "--cross-validate", 20, *SMALL)
    assert (refused.code, "20 folds need at least 20 of every class" in refused.err) == (1, True)
    budget = mobilenets("fit", folder, "-o", tmp_path / "other", "--cross-validate", 2, "--max-size", "1MB")
    assert (budget.code, "training without a budget" in " ".join(budget.err.split())) == (2, True)


def test_a_report_that_cannot_be_written_costs_nothing_else(
    folder: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    outcome = mobilenets("fit", str(folder), "--output", str(tmp_path / "out"), *SMALL)
    assert outcome.code == 0
    assert re.search(r"no report is written: IsADirectoryError\(.*\); mobilenets report", outcome.err)
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_fit_fails_in_one_line(folder: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    (tmp_path / "taken").write_text("")
    outcome = mobilenets("fit", str(folder), "--output", str(tmp_path / "taken"), *SMALL)
    assert outcome.code == 1
    assert outcome.err == f"error: {tmp_path / 'taken'} is a file; the output must be a folder\n"
    outcome = mobilenets("fit", str(folder), "--resolution", "16", "--output", str(tmp_path / "out"))
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert mobilenets("fit", str(folder), "--flip", "sideways").code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("my dota",), "my dota does not exist; did you mean my data?"),
        (("my data", "--weights", "imagenet"), "imagenet is no name of weights"),
        (("my data", "--weights", "keras:0.26-224"), "'keras:0.26-224' is not published; did you mean keras:0.25-224?"),
        (("my data", "--weights", "half.h5"), "half.h5 is of no format that is read"),
        (("my data", "--architecture", "mobilenet_v5"), "no architecture is called 'mobilenet_v5'"),
        (("my data", "--architecture", "mobilenet_v1@5"), "width must be from 0.01 to 2, not 5"),
        (("my data", "--width", "224"), "pixels are --resolution 224"),
        (("my data", "--resolution", "16"), "resolution must be at least 32 pixels, not 16"),
        (
            ("my data", "--recipe", "papre"),
            "no recipe is called 'papre'; known are default, paper; did you mean paper?",
        ),
        (("my data", "--train-on", "gpu"), "no device is called 'gpu'; known are auto, cpu, cuda, mps"),
        (("my data", "--training-precision", "int8"), "no precision is called 'int8'"),
        (("my data", "--log", "epochs.txt"), "a log is FILE.csv, tensorboard:FOLDER or wandb:PROJECT"),
        (("my data", "--max-latency", "5ms", "--device", "m4"), "no device is called 'm4'"),
        (("my data", "-o", "done"), "done holds a Model already: choose another folder, or overwrite it with --force"),
        (("my data", "--resume", "--force"), "--resume goes on with what the folder holds, and --force begins anew"),
    ],
)
def test_what_is_wrong_is_said_before_pytorch_is_imported(words: tuple[str, ...], message: str, folder: Path) -> None:
    (folder.parent / "half.h5").write_bytes(b"half")
    (folder.parent / "done").mkdir()
    (folder.parent / "done" / "model.safetensors").write_bytes(b"")
    before = sorted(folder.parent.iterdir())
    program = "import sys; from mobilenets.cli.main import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "fit", *words], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    assert message in " ".join(done.stderr.split())
    assert done.stdout == "False\n"
    assert sorted(folder.parent.iterdir()) == before


@pytest.mark.parametrize("wrong", [("--resolution", "16"), ("--architecture", "nothing"), ("--max-latency", "1us")])
def test_a_run_that_fails_before_it_has_anything_leaves_no_folder(
    wrong: tuple[str, ...], folder: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    small = ("--epochs", "1", "--resolution", "32", "--weights", "none")
    outcome = mobilenets("fit", folder, "-o", tmp_path / "new" / "run", *small, *wrong)
    assert outcome.code == 1
    assert not (tmp_path / "new").exists()


def test_resuming_nothing_is_said(folder: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("fit", folder, "-o", tmp_path / "out", "--resume", *SMALL)
    assert outcome.code == 0, outcome.err
    assert f"{tmp_path / 'out'} holds no unfinished run, so there is nothing to resume" in outcome.err


def test_help_is_one_screen_and_all_options_are_in_groups(
    mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, everything = mobilenets("fit", "--help"), mobilenets("fit", "--help-all")
    assert short.code == everything.code == 0
    assert len(short.out.splitlines()) <= 40
    assert all(len(line) <= 80 for line in (short.out + everything.out).splitlines())
    assert "--help-all" in short.out
    assert "--split-words" not in short.out
    listed = everything.out.partition("Results:")[2]
    options = [name for one in command.params for name in one.opts if name.startswith("--")]
    for option in options:
        assert len(re.findall(rf"^  (?:--?[\w-]+, )*{option}\b(?!-)", listed, re.MULTILINE)) == 1, option


BUDGET = ("--width", "0.25", "--resolution", "32", "--epochs", "8", "--training-threads", "1", "--weights", "none")


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Two classes of 30 images, which a small network learns in a few steps: enough to choose by."""
    rng = np.random.default_rng(1)
    for label, mean in (("red", (220, 40, 50)), ("blue", (40, 60, 200))):
        (tmp_path / "colours" / label).mkdir(parents=True)
        for number in range(30):
            pixels = np.clip(rng.normal(mean, 30, (34, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "colours" / label / f"{number}.png")
    return tmp_path / "colours"


def test_fit_within_a_budget(colours: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    folder = colours
    output = tmp_path / "out"
    outcome = mobilenets("fit", str(folder), "-o", str(output), *BUDGET, "--max-latency", "1s", "--precision", "int8")
    assert outcome.code == 0, outcome.err
    assert "α 0.25 at 32 px, int8: of 1 network with at most 1000 ms it is the most accurate" in outcome.out
    assert "ms measured, " in outcome.out
    assert {path.name for path in output.iterdir()} >= {
        "model.safetensors",
        "model.float32.safetensors",
        "supernet.safetensors",
        "device.json",
        "metrics.json",
    }
    assert "int8" in mobilenets("show", str(output / "model.safetensors")).out
    refused = mobilenets("fit", str(folder), "-o", str(tmp_path / "no"), *BUDGET, "--max-latency", "1us")
    assert refused.code == 1
    assert "nothing meets the budget; the nearest is α 0.25 at 32 px" in refused.err
    assert "training:" not in refused.err
    planned = mobilenets(
        "fit", str(folder), "-o", str(tmp_path / "knee"), *BUDGET, "--search", "--precision", "float32",
        "--device", str(output / "device.json"), "--json", "-q",
    )  # fmt: skip
    assert planned.code == 1  # int8 alone was measured
    assert "has no float32 with 1 thread(s), only int8" in planned.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-latency", "5"), "'5' has no unit; did you mean 5ms? Write a latency like 5ms"),
        (("--max-latency", "5 fortnights"), "unknown unit 'fortnights'"),
        (("--max-size", "0kB"), "must be above zero"),
        (("--max-macs", "0"), "must be above zero"),
        (("--min-accuracy", "90"), "did you mean 90%"),
        (("--max-size", "5ms"), "has the unit of a latency, and goes with --max-latency LATENCY"),
        (
            ("--max-latency", "300kB"),
            "has the unit of a size, and goes with --max-size SIZE, --max-memory SIZE and --max-flash SIZE",
        ),
        (("--precision", "int8"), "there is none: give one, or --search, or say --training-precision"),
        (("--device", "cuda"), "or say --train-on to change how training is done"),
        (("--device", "cuda", "--max-latency", "5ms"), "to train on another processor say --train-on cuda"),
        (("--threads", "2"), "say --training-threads"),
        (("--int8", "--search"), "say --precision int8"),
    ],
)
def test_budgets_that_make_no_sense_are_misuse(
    arguments: tuple[str, ...], message: str, folder: Path, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("fit", str(folder), *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_damaged_device_profile_is_one_line(folder: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    (tmp_path / "device.json").write_text('{"format": "mobilenets device profile", "format_version": 1}')
    outcome = mobilenets("fit", str(folder), "--max-latency", "5ms", "--device", str(tmp_path / "device.json"))
    assert outcome.code == 1
    assert "is a device profile of version 1; this package reads versions 2, 3, 4" in outcome.err
    assert outcome.err.count("\n") == 1
