"""Names of classes are data in every format: whatever they hold, they come back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import MissingDependencyError
from mobilenets.formats.exporting import export
from mobilenets.formats.importing import import_model
from mobilenets.formats.registry import readable, writable
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification

LABELS = (
    'a "quoted" \\ name',
    "*/ int main(void) { return 1; } /*",
    "%s %n %d {} {0} $(rm -rf x) `x`",
    "</script><script>alert(1)</script>",
    "label,with;separators|and more",
    "??/ trigraph ??>",
    "שלום עולם",
    "smörgåsbord 😀",
    "../../etc/passwd",
    "-o --force",
    "long " * 40 + "name",
    "0 7 leading numbers",
)


@pytest.fixture(scope="module")
def network_models() -> dict[str, Model]:
    """The same labels in both precisions."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=len(LABELS))
    rng = np.random.default_rng(0)
    models = {"float32": random_model(rng, network), "int8": random_int8_model(rng, network)}
    return {precision: replace(model, task=Classification(LABELS)) for precision, model in models.items()}


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_model_file_keeps_them(precision: str, network_models: dict[str, Model], tmp_path: Path) -> None:
    save(network_models[precision], tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").labels == LABELS


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", list(writable()))
def test_every_export_runs_and_keeps_them(
    name: str, precision: str, network_models: dict[str, Model], tmp_path: Path
) -> None:
    if (name, precision) == ("coreml", "int8"):
        pytest.skip("Core ML files hold no int8 Models")
    model = network_models[precision]
    pixels = random_pixels(np.random.default_rng(1), model.network, 4)
    try:
        exported = export(model, tmp_path / f"model{writable()[name][0].suffixes[0]}", name, images=pixels)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    if exported.agreement is not None:
        assert exported.agreement.same.value == 1
    if name == "c":
        return  # its header and its tables were compiled
    if name in readable():
        found = import_model(exported.paths[0])
        assert found.labels == LABELS
