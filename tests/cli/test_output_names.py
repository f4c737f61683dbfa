"""No command writes one kind of file under the name of another, and all say so before any work is done."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.cli.main import main
from mobilenets.errors import ModelFileError, PlanningError, TrainingError
from mobilenets.model.file import load, save
from mobilenets.search.profile import DeviceProfile, Point
from mobilenets.training.run_folder import METRICS_FILE, MODEL_FILE, claim


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    path = tmp_path / "model.safetensors"
    save(random_model(np.random.default_rng(0), network), path)
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code != 0
    return " ".join(capsys.readouterr().err.split())


def test_quantize_and_import_write_model_files_only(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "q.tflite"
    for arguments in (
        ["quantize", str(model), "--data-free", "--force", "-o", str(target)],
        ["import", str(model), "-o", str(target)],
    ):
        said = refused(arguments, capsys)
        assert f"{target} has the name of a LiteRT file" in said
        assert f"write {tmp_path / 'q.safetensors'}, and then: mobilenets export" in said
        assert not target.exists()


@pytest.mark.parametrize("suffix", [".onnx", ".c", ".h5", ".pth", ".json", ".TFLITE"])
def test_save_refuses_the_suffix_of_anything_else(suffix: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="has the name of"):
        save(load(model), tmp_path / f"model{suffix}")
    save(load(model), tmp_path / "model.v2")  # says nothing, and so nothing else


def test_export_names_the_format_that_the_suffix_means(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a.tflite"
    said = refused(["export", str(model), "--to", "onnx", "-o", str(target)], capsys)
    assert "end it in .onnx, or for a LiteRT file say --to litert" in said
    assert not target.exists()


def test_the_output_of_a_run_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingError, match=r"model\.tflite has the name of a LiteRT file.*give .*model, and then"):
        claim(tmp_path / "model.tflite", resume=False, replace_existing=False)
    with pytest.raises(TrainingError, match=r"a Model file, and the output is a folder"):
        claim(tmp_path / "model.safetensors", resume=False, replace_existing=False)
    assert not list(tmp_path.iterdir())


def test_profiles_and_reports_keep_to_their_suffixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["profile", "-o", str(tmp_path / "device.tflite")], capsys)
    assert "a device profile is JSON: write" in said
    assert "must end in .html" in refused(["report", str(tmp_path), "-o", str(tmp_path / "run.tflite")], capsys)
    profile = DeviceProfile("cpu", "avx2", (Point(1.0, 224, "float32", 1, 1.0, 1.0),))
    with pytest.raises(PlanningError, match="a Model file"):
        profile.save(tmp_path / "device.safetensors")


def test_a_file_of_the_output_s_name_is_replaced_but_for_a_model_that_fit_has_trained(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    trained = run / MODEL_FILE
    trained.write_bytes(model.read_bytes())
    (run / METRICS_FILE).write_text("{}")
    for arguments in (
        ["import", str(model), "-o", str(trained)],
        ["quantize", str(model), "--data-free", "--force", "-o", str(trained)],
    ):
        assert f"{trained} is the Model that fit has trained; name another file" in refused(arguments, capsys)
    assert trained.read_bytes() == model.read_bytes()
    exported = tmp_path / "model.onnx"
    exported.write_bytes(b"an older one")
    main_words = ["export", str(model), "-o", str(exported), "--no-verify", "-q"]
    with contextlib.suppress(SystemExit):
        main(main_words)
    assert len(exported.read_bytes()) > 1000
    assert "A file of the output's name is replaced without it" in refused([*main_words, "--force"], capsys)
