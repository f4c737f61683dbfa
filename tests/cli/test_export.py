"""``export`` as a person meets it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand
from tests.support.random_models import random_int8_model, random_model
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.formats.registry import writable
from mobilenets.model.file import save
from mobilenets.tasks.catalog import TASKS


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    save(random_model(np.random.default_rng(0), network), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def int8_model(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    save(random_int8_model(np.random.default_rng(0), network), tmp_path / "int8.safetensors")
    return tmp_path / "int8.safetensors"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_onnx_is_written_verified_and_said_so(model: Path, images: Path, mobilenets: RunCommand) -> None:
    pytest.importorskip("onnxruntime")
    outcome = mobilenets("export", model, "--to", "onnx", "--images", images)
    assert outcome.code == 0, outcome.err
    written, verified = outcome.out.splitlines()
    assert written.startswith(f"{model.with_suffix('.onnx')}: ONNX, float32, 0.")
    assert verified.startswith("verified on 12 images, 8 of them real: largest difference ")
    assert verified.endswith("same top-1 for 100 %")


def test_c_folds_batch_norms_and_prints_what_it_needs(model: Path, images: Path, mobilenets: RunCommand) -> None:
    target = model.with_name("net.c")
    outcome = mobilenets("export", model, "-o", target, "--images", images, "--example", "--name", "net")
    assert outcome.code == 0, outcome.err
    assert (target.exists(), target.with_name("main.c").exists()) == (True, True)
    assert " bytes of flash for weights and " in outcome.out.splitlines()[1]


@pytest.mark.parametrize(("written", "meant"), [("tflit", "litert"), ("ONX", "onnx"), ("openvin", "openvino")])
def test_a_format_of_no_such_name_gets_the_nearest(
    model: Path, mobilenets: RunCommand, written: str, meant: str
) -> None:
    outcome = mobilenets("export", model, "--to", written)
    assert outcome.code == 2
    assert f"did you mean {meant}?" in outcome.err


def test_int8_as_json(int8_model: Path, images: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("export", int8_model, "--to", "c", "--images", images / "0.png", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["files"] == [str(int8_model.with_suffix(suffix)) for suffix in (".c", ".h", ".md")]
    assert outcome.json["precision"] == "int8"
    assert outcome.json["verified"]["largest_difference"] == 0
    assert outcome.json["verified"]["images"] == 5
    assert outcome.json["flash_bytes"] > 200_000


def test_verification_can_be_left_out(model: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("export", model, "--to", "onnx", "--no-verify")
    assert outcome.out.splitlines()[1] == "not verified: as asked"


def test_misuse_is_said_in_a_line(model: Path, int8_model: Path, mobilenets: RunCommand) -> None:
    assert mobilenets("export", model).code == 2
    outcome = mobilenets("export", model, "-o", "model.xyz")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "does not say its format" in outcome.err
    outcome = mobilenets("export", int8_model, "-o", int8_model.with_name("m.onnx"), "--normalized-input")
    assert "reads the bytes of pixels" in outcome.err


def test_every_format_and_every_option_is_offered(mobilenets: RunCommand) -> None:
    text = mobilenets("export", "--help").out
    for name, (_, writer) in writable().items():
        assert name in text
        assert all(f"--{field.name.replace('_', '-')}" in text for field in fields(writer.options))


def test_an_option_of_another_format_is_refused(model: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("export", model, "--to", "c", "--half")
    assert outcome.code == 2
    assert "--half is an option of " in outcome.err
    assert "and what is written is C99" in " ".join(outcome.err.split())


def test_a_model_of_another_task_is_shown_run_imported_and_exported_in_its_own_words(
    tmp_path: Path, mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "strongest-channel", lambda data: StrongestChannel())
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = replace(random_model(np.random.default_rng(0), network), task=StrongestChannel())
    path, target = tmp_path / "finder.safetensors", tmp_path / "finder.c"
    save(model, path)
    outcome = mobilenets("export", path, "-o", target)
    assert outcome.code == 0, outcome.err
    assert "same strongest channel for 100 %" in outcome.out or "not verified" in outcome.out
    verified = mobilenets("export", path, "-o", target, "--json").json["verified"]
    assert verified is None or verified["strongest_channel"] == 1
    imported = mobilenets("import", path, "-o", tmp_path / "copy.safetensors", "--json").json
    assert imported["task"] == mobilenets("show", path, "--json").json["task"] == "strongest-channel"
    assert "finder of the strongest channel" in mobilenets("show", path).out
    Image.new("RGB", (40, 32), "red").save(tmp_path / "image.png")
    assert "image.png  channel " in mobilenets("predict", path, tmp_path / "image.png").out
    refused = mobilenets("evaluate", path, "digits")
    assert refused.code == 1
    assert "task is strongest-channel" in refused.err


def test_a_c_file_by_rows_says_what_that_costs(mobilenets: RunCommand, tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=2)
    save(random_int8_model(np.random.default_rng(0), network), tmp_path / "model.safetensors")
    words = ("export", str(tmp_path / "model.safetensors"), "--to", "c", "-o", str(tmp_path / "model.c"), "--no-verify")
    said = " ".join(mobilenets(*words, "--max-ram", "14kB").out.split())
    assert "layers are computed by rows, and the image is read by rows" in said
    assert "million instructions on a Cortex-M4 in the place of" in said
    refused = mobilenets(*words, "--max-ram", "6kB")
    assert refused.code == 1
    assert "bytes of RAM are needed at least, 1024 of them for the stack" in " ".join(refused.err.split())
