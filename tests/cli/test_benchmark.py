"""``mobilenets benchmark``: what it prints, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.random_models import random_int8_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.benchmark.microcontroller.count import COMPILER, EMULATOR
from mobilenets.cli.benchmark import command
from mobilenets.model.file import save


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    network = CATALOG["mobilenet_v1"](width_multiplier=0.25, resolution=32, classes=5)
    path = tmp_path_factory.mktemp("benchmark") / "model.safetensors"
    save(random_int8_model(rng, network), path)
    return path


def test_json_holds_times_peak_and_layers(model: Path) -> None:
    result = CliRunner().invoke(command, [str(model), "--threads", "1,2", "--seconds", "0.05", "--layers", "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [run["threads"] for run in data["runs"]] == [1, 2]
    for run in data["runs"]:
        assert run["runtime"] == "mobilenets"
        assert 0 < run["minimum_ms"] <= run["median_ms"] <= run["p90_ms"]
        assert run["largest_difference"] == 0
    assert data["machine"]["precision"] == "int8"
    assert [layer["name"] for layer in data["layers"]][:2] == ["stem", "block1.depthwise"]


def test_the_table_names_the_machine_and_its_figures(model: Path) -> None:
    result = CliRunner().invoke(command, [str(model), "--seconds", "0.05", "--layers"])
    assert result.exit_code == 0, result.output
    assert "GMAC/s a core" in result.stdout
    assert "median" in result.stdout
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80
    assert "block13.pointwise" in result.stdout


def test_peers_are_raced_after_their_answers_are_compared(model: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    result = CliRunner().invoke(command, [str(model), "--against", "onnxruntime", "--seconds", "0.05", "--json"])
    assert result.exit_code == 0, result.output
    runs = json.loads(result.stdout)["runs"]
    assert [(run["runtime"], run["own_quantizer"]) for run in runs] == [
        ("mobilenets", False),
        ("onnxruntime", False),
        ("onnxruntime", True),
    ]
    assert runs[1]["largest_difference"] == 0
    assert runs[1]["agreement"] == 1
    assert 0 < runs[2]["largest_difference"] < 0.5
    fastest = min(runs[1:], key=lambda run: run["minimum_ms"])
    assert [run["fastest"] for run in runs] == [False, *(run is fastest for run in runs[1:])]


def test_what_cannot_be_raced_is_refused(model: Path) -> None:
    result = CliRunner().invoke(command, [str(model), "--against", "chainer"])
    assert result.exit_code == 2
    assert "known are onnxruntime, openvino, litert, ncnn, torch" in result.stderr
    for word, meant in (("onnxruntme", "onnxruntime"), ("tflit", "litert"), ("pytorhc", "torch")):
        result = CliRunner().invoke(command, [str(model), "--against", word])
        assert f"did you mean {meant}?" in " ".join(result.stderr.split())
    result = CliRunner().invoke(command, [str(model), "--threads", "1,x"])
    assert result.exit_code == 2
    assert "'1,x' is not a list of integers above 0" in result.stderr


def test_instructions_of_microcontrollers_are_counted(model: Path) -> None:
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    result = CliRunner().invoke(command, [str(model), "--device", "cortex-m4,cortex-m55", "--json"])
    assert result.exit_code == 0, result.output
    m4, m55 = json.loads(result.stdout)["devices"]
    assert (m4["device"], m55["processor"]) == ("cortex-m4", "Cortex-M55")
    assert 0 < 2 * m55["instructions"] < m4["instructions"] < 3_000_000
    assert 200_000 < m4["flash_bytes"] < 300_000
    assert m4["ram_bytes"] < 8_192
    result = CliRunner().invoke(command, [str(model), "--device", "cortex-m4"])
    assert "Counted in an emulator" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_device_that_nobody_knows_is_refused_with_those_that_are(model: Path) -> None:
    result = CliRunner().invoke(command, [str(model), "--device", "z80"])
    assert result.exit_code == 2
    assert "known are cortex-m0plus" in " ".join(result.output.split())
    result = CliRunner().invoke(command, [str(model), "--device", "cortex-m4", "--layers"])
    assert result.exit_code == 2
    assert "it goes with --max-ram only" in " ".join(result.output.split())
