"""The face detector of face-api's packages answers as they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.npm import npm_package
from tests.support.random_models import random_model
from tests.support.tfjs_files import write_face_detector

from mobilenets.architecture.layers import Activation, DepthwiseConvolution
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.networks.ssd import ssd
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.tfjs.face_detector import MANIFEST
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.tasks.anchors import published_levels, tensorflow_shapes
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead
from mobilenets.tasks.task import Geometry

SIDE = 96

# What face-api 1.7.15 (tfjs 4.22, wasm) finds in the images of its demonstration, letterboxed to 512×512 pixels: left,
# top, right, bottom, score. Recorded by benchmarks/face_detector.py --json.
FACE_API: dict[str, list[list[float]]] = {
    "sample1.jpg": [
        [394.151, 142.957, 446.303, 201.167, 0.992076],
        [109.585, 176.380, 157.967, 243.147, 0.989474],
        [220.205, 189.527, 275.414, 259.922, 0.963845],
    ],
    "sample2.jpg": [
        [385.420, 110.446, 438.325, 178.993, 0.969612],
        [241.042, 135.536, 280.736, 194.430, 0.933943],
        [95.678, 106.605, 136.076, 176.121, 0.852823],
    ],
    "sample3.jpg": [
        [155.747, 159.284, 209.457, 235.356, 0.985613],
        [401.561, 150.336, 447.822, 226.706, 0.981796],
        [284.672, 133.602, 345.156, 215.389, 0.631839],
    ],
    "sample4.jpg": [
        [176.033, 78.623, 226.435, 146.390, 0.987610],
        [263.468, 110.683, 308.518, 171.382, 0.978821],
        [68.228, 110.652, 110.756, 178.635, 0.973838],
        [340.217, 99.108, 380.553, 166.824, 0.767393],
    ],
    "sample5.jpg": [
        [209.582, 97.885, 251.570, 151.585, 0.986102],
        [297.251, 119.762, 338.970, 183.411, 0.976329],
        [158.676, 180.439, 202.354, 244.329, 0.960992],
        [373.543, 170.693, 419.622, 245.429, 0.915652],
        [99.825, 299.230, 146.442, 378.638, 0.883352],
    ],
    "sample6.jpg": [
        [314.960, 134.800, 363.680, 206.273, 0.954528],
        [181.366, 135.292, 223.452, 220.155, 0.937570],
        [396.813, 120.915, 453.089, 197.730, 0.933003],
        [67.095, 176.217, 121.579, 253.038, 0.893169],
    ],
}


def small_detector() -> Model:
    """SSD on a narrow V1 with random weights, whose batch norms are folded but for those of depthwise layers."""
    backbone = mobilenet_v1(width_multiplier=0.25, resolution=SIDE, activation=Activation.RELU6)
    network = ssd(backbone, classes=1)
    layers = tuple(
        replace(layer, batch_norm=None, bias=True)  # type: ignore[call-arg]
        if layer.batch_norm is not None and not isinstance(layer, DepthwiseConvolution)
        else layer
        for layer in network.layers
    )
    network = replace(network, layers=layers)
    maps = [(network.shapes[name].height, network.shapes[name].width) for name in network.outputs[::2]]
    task = Detection(("face",), AnchorHead(published_levels(tensorflow_shapes(), maps)), 0.5, 0.5)
    model = random_model(np.random.default_rng(0), network, task=task)
    return replace(model, preprocessing=Preprocessing(fit=ResizeMode.LETTERBOX, crop_fraction=1.0))


@pytest.fixture(scope="module")
def original() -> Model:
    return small_detector()


def test_a_file_of_the_same_names_gives_the_outputs_of_what_it_was_made_of(original: Model, tmp_path: Path) -> None:
    found = import_model(write_face_detector(tmp_path / "model", original))
    assert found.network == original.network
    assert found.preprocessing == original.preprocessing
    assert isinstance(found.task, Detection)
    assert (found.task.labels, found.task.iou_threshold, found.task.score_threshold) == (("face",), 0.5, 0.5)
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    expected = Session(original).outputs(pixels)
    outputs = Session(found).outputs(pixels)
    assert list(outputs) == list(expected)
    assert all(np.array_equal(outputs[name], expected[name]) for name in expected)
    assert isinstance(original.task, Detection)
    assert isinstance(original.task.head, AnchorHead)
    assert isinstance(found.task.head, AnchorHead)
    np.testing.assert_allclose(found.task.head.anchors, original.task.head.anchors, atol=1e-6)


def test_bytes_a_folder_and_a_model_file(original: Model, tmp_path: Path) -> None:
    folder = write_face_detector(tmp_path / "model", original, "uint8").parent
    model = import_model(folder, labels=("Gesicht",))
    assert model.task == replace(model.task, labels=("Gesicht",))  # type: ignore[type-var]
    said = recognition(model)
    assert said["task"] == "object detector over 1 class"
    assert said["output"] == "12 maps, level1.boxes to level6.logits"
    assert said["resize"] == "letterbox [face-api]"
    save(model, tmp_path / "face.safetensors")
    assert load(tmp_path / "face.safetensors").network == model.network


def changed(path: Path, change: Callable[[list[dict[str, Any]]], None], **options: Any) -> str:
    """How an import is refused whose manifest was changed."""
    before = path.read_text()
    manifest = json.loads(before)
    change(manifest[0]["weights"])
    path.write_text(json.dumps(manifest))
    with pytest.raises(FormatError) as caught:
        import_model(path, **options)
    path.write_text(before)
    return str(caught.value)


def entry(weights: list[dict[str, Any]], end: str) -> dict[str, Any]:
    return next(one for one in weights if one["name"].endswith(end))


def test_what_does_not_fit_is_named(original: Model, tmp_path: Path) -> None:
    path = write_face_detector(tmp_path / "model", original)

    def renamed(end: str, name: str) -> Callable[[list[dict[str, Any]]], None]:
        return lambda weights: entry(weights, end).update(name=name)

    def reshaped(end: str, shape: list[int]) -> Callable[[list[dict[str, Any]]], None]:
        return lambda weights: entry(weights, end).update(shape=shape)

    assert "Of such files, only that of face-api's detector" in changed(path, renamed("extra_dim", "dense0/conv0"))
    assert "mixed_7a/weights belongs to no layer" in changed(path, renamed("d_3_pointwise/weights", "mixed_7a/weights"))
    assert "Output/extra_dim has shape" in changed(path, lambda weights: entry(weights, "extra_dim")["shape"].pop(0))
    far = {"dtype": "int32", "scale": 1e30, "min": 0}
    said = changed(path, lambda weights: entry(weights, "ResizeImage/size").update(quantization=far))
    assert "one number, twice, from 1 to 4096 was expected" in said
    predictor = "BoxPredictor_5/ClassPredictor/weights"
    assert "3 numbers an anchor were expected" in changed(path, reshaped(predictor, [1, 1, 18, 32]))
    assert "96×96 pixels; 128 was asked for" in changed(path, lambda _: None, resolution=128)
    assert "finds one class" in changed(path, lambda _: None, labels=("a", "b"))


def test_anchors_beside_the_grid_are_refused(original: Model, tmp_path: Path) -> None:
    assert isinstance(original.task, Detection)
    assert isinstance(original.task.head, AnchorHead)
    first, *others = original.task.head.levels
    shifted = AnchorHead((replace(first, shapes=((0.5, 0.5), *first.shapes[1:])), *others))
    other = write_face_detector(tmp_path / "other", replace(original, task=replace(original.task, head=shifted)))
    path = write_face_detector(tmp_path / "model", original)
    shards = sorted(path.parent.glob("*.bin"))
    # The first cell's anchors of one, and all others of the other: the anchors stand behind the size of the image.
    begin, end = 8, 8 + 4 * 4 * 3
    data = bytearray(shards[0].read_bytes())
    data[begin:end] = sorted(other.parent.glob("*.bin"))[0].read_bytes()[begin:end]
    shards[0].write_bytes(data)
    with pytest.raises(FormatError, match="or have other shapes from cell to cell"):
        import_model(path)


def test_the_published_detector_finds_what_face_api_finds() -> None:
    package = npm_package("@vladmandic/face-api")
    model = import_model(package / "model" / MANIFEST)
    assert model.network.name == "ssd_mobilenet_v1"
    side = model.network.height
    images = [Image.open(package / "demo" / name).convert("RGB") for name in FACE_API]
    pixels = np.stack([model.preprocessing.apply(image, side, side) for image in images])
    whole = [Geometry(name, (side, side), (0, 0, side, side)) for name in FACE_API]
    task = model.task
    assert isinstance(task, Detection)
    for prediction in task.decode(list(Session(model).outputs(pixels).values()), whole):
        expected = np.array(FACE_API[prediction.name])
        found = np.array([[*box.box, box.score] for box in prediction.boxes])
        assert found.shape == expected.shape
        assert np.abs(found[:, :4] - expected[:, :4]).max() < 0.5
        assert np.abs(found[:, 4] - expected[:, 4]).max() < 1e-3
