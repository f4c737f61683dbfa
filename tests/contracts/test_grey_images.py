"""A network of one channel is trained, run, evaluated, quantized and exported as any other; images become grey."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.random_models import random_int8_model

import mobilenets
from mobilenets import Preprocessing, Settings
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.cli.main import main
from mobilenets.errors import ModelError, TrainingError
from mobilenets.formats.registry import writable
from mobilenets.model import reference
from mobilenets.model.preprocessing import pixel_scale_and_offset
from mobilenets.tasks.classification_metrics import ClassificationMetrics

pytest.importorskip("torch")
RUNTIMES = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino", "coreml": "coremltools"}
GREY = Preprocessing(mean=(0.4,) * 3, std=(0.2,) * 3, channels=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that differ in brightness; some images are gray files, some are in color."""
    root, rng = tmp_path_factory.mktemp("grey"), np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        (root / label).mkdir()
        for number in range(16):
            pixels = np.clip(rng.normal(level, 20, (40, 40, 3)), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels)
            (image.convert("L") if number % 2 else image).save(root / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "run"
    command = ["fit", str(folder), "-o", str(output), "--architecture", "mobilenet_v1@0.25-32", "--channels", "1"]
    main([*command, "--epochs", "6", "--training-threads", "1", "-q"])
    return output / "model.safetensors"


def test_training_gives_a_network_of_one_channel(run: Path) -> None:
    model = mobilenets.load(run)
    assert (model.network.channels, model.preprocessing.channels) == (1, 1)
    assert model.parameters["stem.weight"].shape == (8, 1, 3, 3)
    mobilenets.report(run.parent)
    assert (run.parent / "report.html").is_file()


def test_predictions_of_images_in_color_and_in_grey(run: Path, folder: Path) -> None:
    classifier = mobilenets.Classifier(run)
    grey = classifier.predict(folder / "light" / "1.png")
    assert grey.label in ("dark", "light")
    color = np.repeat(np.asarray(Image.open(folder / "light" / "1.png"))[:, :, None], 3, axis=2)
    assert classifier.predict(color).labels == grey.labels


def test_evaluation_is_that_of_the_training(run: Path, folder: Path) -> None:
    metrics = mobilenets.evaluate(mobilenets.load(run), folder)
    assert isinstance(metrics, ClassificationMetrics)
    assert (metrics.images, metrics.labels) == (4, ("dark", "light"))


def test_quantized_it_answers_much_the_same(run: Path, folder: Path) -> None:
    model = mobilenets.load(run)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), np.uint8)
    quantized = mobilenets.quantize(model, calibration=folder).model
    assert quantized.quantization is not None
    expected = reference.run_reference(quantized, pixels)["classifier"]
    np.testing.assert_array_equal(mobilenets.Session(quantized).run(pixels), expected.astype(np.float32))


@pytest.mark.parametrize("name", sorted(writable()))
def test_exports_are_verified_on_grey_pixels(run: Path, name: str, tmp_path: Path) -> None:
    row, _ = writable()[name]
    pytest.importorskip(RUNTIMES.get(name, "numpy"))
    result: Any = mobilenets.export(mobilenets.load(run), tmp_path / f"model{row.suffixes[0]}", name)
    assert result is not None


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("name", ["c", "litert", "onnx", "openvino"])
def test_int8_exports_answer_as_the_engine_on_grey_pixels(name: str, asymmetric: bool, tmp_path: Path) -> None:
    pytest.importorskip(RUNTIMES.get(name, "numpy"))
    network = replace(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4), channels=1)
    model = random_int8_model(np.random.default_rng(0), network, asymmetric_weights=asymmetric)
    pixels = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 1), np.uint8)
    row, writer = writable()[name]
    path = tmp_path / f"model{row.suffixes[0]}"
    exported = mobilenets.export(model, path, name, images=pixels)
    assert exported.agreement is not None, exported.not_run
    assert exported.agreement.same.value == 1
    assert writer.run is not None
    (found,) = writer.run(model, path, pixels).values()
    ours = mobilenets.Session(model).run(pixels)
    assert np.abs(found - ours).max() <= (0 if name in ("c", "onnx") else 0.05) * np.abs(ours).max()


def test_pixels_become_grey_and_are_scaled_by_one_number() -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    assert GREY.apply(image, 8, 8).shape == (8, 8, 1)
    assert set(GREY.apply(image, 8, 8).ravel().tolist()) == {76}
    scale, offset = pixel_scale_and_offset(GREY, 1)
    np.testing.assert_allclose([scale, offset], [[1 / 51], [-2.0]], rtol=1e-6)


def test_preprocessing_of_grey_images_is_written_and_read() -> None:
    assert Preprocessing.decode(GREY.encode()) == GREY
    assert "channels" not in Preprocessing().encode()
    with pytest.raises(ModelError, match="1 or 3 channels"):
        Preprocessing(channels=2)
    with pytest.raises(ModelError, match="grey images needs one mean"):
        Preprocessing(mean=(0.1, 0.2, 0.3), channels=1)


def test_a_budget_and_grey_images_contradict_each_other(folder: Path) -> None:
    with pytest.raises(TrainingError, match="searched in color; with channels 1"):
        mobilenets.search(folder, settings=Settings(channels=1))
    with pytest.raises(TrainingError, match="channels must be 3, or 1 for grey, not 2"):
        Settings(channels=2)
