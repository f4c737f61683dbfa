"""Features of images: those of the same network elsewhere, whatever form the images have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.image import ArrayImage
from mobilenets.data.loading import prepare_image
from mobilenets.engine.features import features
from mobilenets.errors import DataError, EngineError, InputTypeError, ModelError
from mobilenets.formats.exporting import export
from mobilenets.model.features import feature_model
from mobilenets.model.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=7))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), np.uint8)


def test_features_are_those_of_onnx_runtime_on_the_same_network(model: Model, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    export(feature_model(model), tmp_path / "features.onnx")
    session = runtime.InferenceSession(tmp_path / "features.onnx", providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (*rng.integers(20, 80, 2), 3), np.uint8) for _ in range(5)]
    prepared = np.stack([prepare_image(ArrayImage("", one), model.preprocessing, 32, 32) for one in images])
    feed = prepared if given.shape[-1] == 3 else prepared.transpose(0, 3, 1, 2)
    (expected,) = session.run(None, {given.name: feed})
    found = np.asarray(features(model, images))
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-4)


def test_images_of_every_form_and_size_have_features(model: Model, pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels[0]).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    with path.open("rb") as opened, Image.open(path) as image:
        table = features(model, iter([path, str(path), image, opened, pixels[0], path.read_bytes()]))
    assert table.images == (str(path), str(path), "image 3", str(path), "image 5", "image 6")
    assert table.values.dtype == np.float32
    assert (table.values == table.values[0]).all()
    bgr = features(model, [pixels[0][..., ::-1]], channel_order="bgr")
    assert np.array_equal(bgr.values[0], table.values[0])
    mixed = features(model, [pixels[0], np.zeros((90, 20, 3), np.uint8)])
    assert mixed.values.shape == (2, 256)


def test_images_that_fail_have_no_row_and_say_why(model: Model, pixels: np.ndarray) -> None:
    table = features(model, [pixels[0], b"", "gone.png", pixels[1]])
    assert table.images == ("image 1", "image 4")
    assert [name for name, _ in table.failures] == ["image 2", "gone.png"]
    assert "No such file" in table.failures[1][1]
    with pytest.raises(DataError, match="none of 2 images could be decoded"):
        features(model, [b"", "gone.png"])


def test_what_cannot_be_computed_or_written_is_refused(model: Model, pixels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="takes several images"):
        features(model, pixels[0])
    with pytest.raises(ModelError, match="no layer 'head'"):
        features(model, pixels, layer="head")
    table = features(model, pixels)
    with pytest.raises(DataError, match=r"must end in .npy or .parquet"):
        table.save(tmp_path / "features.csv")
    with pytest.raises(EngineError, match="features are neither right nor wrong"):
        feature_model(model).task.metrics([table.values], np.zeros(6, np.int64))
