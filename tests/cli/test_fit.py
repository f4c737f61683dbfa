"""``fit`` as a person meets it."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand

SMALL = ("--width", "0.25", "--resolution", "32", "--epochs", "1", "--threads", "1")


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
    assert "training: 20/20 pictures" in outcome.err
    assert "report.html says how it went" in outcome.err
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


def test_a_report_that_cannot_be_written_costs_nothing_else(
    folder: Path, tmp_path: Path, mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("mobilenets.reports.report.write_report", fail)
    outcome = mobilenets("fit", str(folder), "--output", str(tmp_path / "out"), *SMALL)
    assert outcome.code == 0
    assert "no report is written: OSError('the disk is full'); mobilenets report" in outcome.err
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_fit_fails_in_one_line(folder: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    (tmp_path / "taken").write_text("")
    outcome = mobilenets("fit", str(folder), "--output", str(tmp_path / "taken"), *SMALL)
    assert outcome.code == 1
    assert outcome.err == f"error: {tmp_path / 'taken'} is a file; the output must be a folder\n"
    outcome = mobilenets("fit", str(folder), "--width", "0", "--output", str(tmp_path / "out"))
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert mobilenets("fit", str(folder), "--flip", "sideways").code == 2
