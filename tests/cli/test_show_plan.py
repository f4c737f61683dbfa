"""``mobilenets show --plan``: every layer once, with its kernel, bytes and time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.random_models import random_int8_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.cli.show import command
from mobilenets.model.file import save


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    network = CATALOG["mobilenet_v1"](width_multiplier=0.25, resolution=32, classes=5)
    path = tmp_path_factory.mktemp("plan") / "model.safetensors"
    save(random_int8_model(rng, network), path)
    return path


def test_the_plan_as_json(model: Path) -> None:
    result = CliRunner().invoke(command, [str(model), "--plan", "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    layers = [layer for step in data["steps"] for layer in step["layers"]]
    assert layers[0]["name"] == "stem"
    assert layers[-1]["name"] == "classifier"
    assert data["packed_bytes"] >= sum(layer["weight_bytes"] for layer in layers)
    assert all(layer["seconds"] > 0 for layer in layers)


def test_the_plan_as_a_table(model: Path) -> None:
    result = CliRunner().invoke(command, [str(model), "--plan"])
    assert result.exit_code == 0, result.output
    assert "block13.pointwise" in result.stdout
    assert "bytes of scratch per thread" in " ".join(result.stdout.split())
    table, _, _ = result.stdout.partition("int8, ")
    assert max(map(len, table.splitlines())) <= 80


def test_an_architecture_has_no_plan() -> None:
    result = CliRunner().invoke(command, ["mobilenet_v1", "--plan"])
    assert result.exit_code == 2
    assert "needs a Model" in result.stderr
