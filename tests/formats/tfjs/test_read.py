"""TensorFlow.js: layers models answer as the Keras models that they were made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.keras_files import KerasLayer, KerasNested, base_layers, dense, write_keras, write_tfjs
from tests.support.random_models import random_model

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model
from mobilenets.model.provenance import Provenance

SIZE = 32


@pytest.fixture(scope="module")
def parts() -> list[Any]:
    """MobileNet V1 as a model in the model, and a head."""
    rng = np.random.default_rng(3)
    network = mobilenet_v1(width_multiplier=0.25, resolution=SIZE, classes=1, activation=Activation.RELU6)
    kernel, bias = rng.normal(0, 0.1, (256, 3)).astype(np.float32), rng.normal(0, 0.1, 3).astype(np.float32)
    head = [KerasLayer("GlobalAveragePooling2D", "pool", {"keepdims": False}), dense("out", kernel, bias, "softmax")]
    return [KerasNested("base", base_layers(random_model(rng, network))), *head]


@pytest.fixture(scope="module")
def expected(parts: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the same Keras file answers."""
    path = write_keras(tmp_path_factory.mktemp("keras") / "model.h5", parts, (SIZE, SIZE, 3))
    return Session(import_model(path)).run(pixels())


def pixels() -> Any:
    return np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize(("stored", "tolerance"), [("float32", 0), ("float16", 0.01), ("uint16", 1e-3), ("uint8", 0.2)])
def test_a_layers_model_answers_as_its_keras_file(
    stored: str, tolerance: float, parts: list[Any], expected: Any, tmp_path: Path
) -> None:
    model = import_model(write_tfjs(tmp_path / "web", parts, (SIZE, SIZE, 3), stored))
    found = Session(model).run(pixels())
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    imported = Provenance.of(model).imported
    assert imported is not None
    assert imported.format == "tfjs"


def test_quantized_weights_are_scale_times_number_plus_least(parts: list[Any], tmp_path: Path) -> None:
    path = write_tfjs(tmp_path / "web", parts, (SIZE, SIZE, 3), "uint8")
    content = json.loads(path.read_text())
    entries = content["weightsManifest"][0]["weights"]
    assert entries[-1]["name"] == "out/bias"
    stored = np.frombuffer((path.parent / "group1-shard2of2.bin").read_bytes()[-3:], np.uint8)
    numbers = entries[-1]["quantization"]
    bias = import_model(path).parameters["classifier.bias"]
    np.testing.assert_allclose(bias, stored * numbers["scale"] + numbers["min"], rtol=1e-6)


def test_a_folder_and_the_labels_of_teachable_machine(parts: list[Any], tmp_path: Path) -> None:
    folder = write_tfjs(tmp_path / "web", parts, (SIZE, SIZE, 3)).parent
    (folder / "metadata.json").write_text(json.dumps({"tfjsVersion": "1.3.1", "labels": ["cat", "dog", "bird"]}))
    assert import_model(folder).task.labels == ("cat", "dog", "bird")


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        import_model(path)
    return str(caught.value)


def test_what_is_missing_or_wrong_is_named(parts: list[Any], tmp_path: Path) -> None:
    path = write_tfjs(tmp_path / "web", parts, (SIZE, SIZE, 3))
    content = json.loads(path.read_text())

    def changed(**fields: Any) -> str:
        path.write_text(json.dumps({**content, **fields}))
        return refusal(path)

    assert "no weightsManifest" in changed(weightsManifest=None)
    group = content["weightsManifest"][0]
    assert "does not lie beside model.json" in changed(weightsManifest=[{**group, "paths": ["../secret.bin"]}])
    assert "the shards end within" in changed(weightsManifest=[{**group, "paths": group["paths"][:1]}])
    strange = {**group["weights"][0], "dtype": "complex64"}
    assert "stored as 'complex64'" in changed(weightsManifest=[{**group, "weights": [strange]}])
    truth = {**group["weights"][0], "shape": [True, *group["weights"][0]["shape"][1:]]}
    assert "has shape [True, " in changed(weightsManifest=[{**group, "weights": [truth]}])
    assert "lists no paths or no weights" in changed(weightsManifest=[{**group, "paths": 5}])
    wild = {**group["weights"][0], "quantization": {"dtype": "uint8", "scale": 10**400, "min": 0}}
    assert "is quantized with scale" in changed(weightsManifest=[{**group, "weights": [wild]}])
    path.write_text(json.dumps(content))
    (path.parent / group["paths"][1]).unlink()
    assert "group1-shard2of2.bin does not exist" in refusal(path)
