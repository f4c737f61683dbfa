"""``mobilenets show`` for names and for Model files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.cli.conftest import RunCommand
from tests.support.random_models import random_int8_model, random_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.cost import cost
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.cli.main import main
from mobilenets.cli.show import command
from mobilenets.model.file import save


def show(*arguments: str, columns: int = 80) -> Result:
    return CliRunner().invoke(command, list(arguments), env={"COLUMNS": str(columns)}, catch_exceptions=False)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    model = random_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    path = tmp_path / "model.safetensors"
    save(model, path)
    return path


@pytest.mark.parametrize("name", CATALOG)
def test_every_architecture_fits_eighty_columns(name: str) -> None:
    output = show(name).output
    assert max(len(line.rstrip()) for line in output.splitlines()) <= 80
    assert "…" not in output


def test_layers_are_printed_with_shapes_macs_and_parameters() -> None:
    lines = [line.split() for line in show("mobilenet_v1").output.splitlines()]
    assert ["stem", "convolution", "3×3", "s2", "32×112×112", "10,838,016", "928"] in lines
    assert ["block13.pointwise", "pointwise", "1024×7×7", "51,380,224", "1,050,624"] in lines
    assert ["depthwise", "13", "17,385,984", "3.06", "54,560", "1.29"] in lines
    assert ["total", "29", "568,740,352", "4,231,976"] in lines


def test_width_and_resolution_come_from_the_name_or_from_options() -> None:
    by_name = show("mobilenet_v1@0.5-160", "--json").output
    by_option = show("mobilenet_v1", "--width", "0.5", "--resolution", "160", "--json").output
    assert json.loads(by_name) == json.loads(by_option)
    assert json.loads(by_name)["total"]["macs"] == 76_524_800


def test_json_equals_the_cost() -> None:
    network = CATALOG["googlenet"](classes=10)
    shown = json.loads(show("googlenet", "--classes", "10", "--json").output)
    total = cost(network)
    assert shown["total"] == {
        "macs": total.macs,
        "parameters": total.parameters,
        "weight_bytes": total.weight_bytes,
        "activation_bytes": total.activation_bytes,
        "peak_activation_bytes": total.peak_activation_bytes,
    }
    assert [layer["name"] for layer in shown["layers"]] == [layer.name for layer in network.layers]
    assert shown["layers"][0]["output_shape"] == [64, 112, 112]


def test_a_model_file_shows_what_it_carries(model_file: Path) -> None:
    output = show(str(model_file)).output
    assert "precision         float32" in output
    assert "labels            3: 0, 1, 2" in output
    assert "crop_fraction 0.875" in output
    described = json.loads(show(str(model_file), "--json").output)
    assert (described["labels"], described["precision"]) == (["0", "1", "2"], "float32")
    assert described["preprocessing"]["interpolation"] == "bilinear"


def test_an_int8_model_is_counted_in_bytes(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_int8_model(np.random.default_rng(0), network)
    save(model, tmp_path / "int8.safetensors")
    described = json.loads(show(str(tmp_path / "int8.safetensors"), "--json").output)
    assert described["precision"] == "int8"
    expected = cost(model.network, bytes_per_weight=1, bytes_per_activation=1)
    assert described["total"]["peak_activation_bytes"] == expected.peak_activation_bytes
    assert described["total"]["weight_bytes"] == expected.weight_bytes


def test_options_of_an_architecture_do_not_go_with_a_model(model_file: Path) -> None:
    result = show(str(model_file), "--width", "0.5")
    assert result.exit_code == 2
    assert "go with an architecture's name, not a Model" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mobilnet_v1"], "error: no architecture is called 'mobilnet_v1'; did you mean mobilenet_v1?"),
        (["mobilenet_v1", "--resolution", "16"], "error: resolution must be at least 32 pixels, not 16"),
        (["mobilenet_v1", "--classes", "0"], "error: a classifier needs at least one class, not 0"),
        (["nowhere.safetensors"], "error: nowhere.safetensors does not exist"),
    ],
)
def test_misuse_ends_with_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["show", *arguments])
    assert end.value.code == 1
    assert capsys.readouterr().err.strip() == message


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(SystemExit) as end:
        main(["show", str(tmp_path / "notes.txt")])
    assert end.value.code == 1
    assert "is of no format that is read" in capsys.readouterr().err


def test_provenance_is_told_in_words(tmp_path: Path, mobilenets: RunCommand) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    provenance = {"recipe": {"name": "paper", "augmentation": {"flip": None}}, "trained": True, "sizes": [1, 2.50]}
    model = random_model(np.random.default_rng(0), network)
    save(replace(model, provenance=provenance), tmp_path / "model.safetensors")
    outcome = mobilenets("show", tmp_path / "model.safetensors")
    assert outcome.code == 0
    words = " ".join(outcome.out.split())
    assert "provenance: recipe name paper, augmentation (flip none)" in words
    assert "provenance: trained yes provenance: sizes 1, 2.5" in words
    assert "{" not in outcome.out
