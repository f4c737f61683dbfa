"""int8 files answer as the engine does, on photographs: bit for bit, within a step, or with the same classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import shared
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.data.sources import images_of
from mobilenets.engine.session import Session, instruction_sets
from mobilenets.formats.importing import import_model
from mobilenets.formats.litert.run import run_litert
from mobilenets.formats.litert.write import to_litert
from mobilenets.formats.onnx.run import run_onnx, run_onnx_at_defaults, saturates
from mobilenets.formats.onnx.write import to_onnx
from mobilenets.formats.openvino import run_openvino, to_openvino
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels


@pytest.fixture(scope="module")
def model_and_photographs() -> tuple[Model, Pixels]:
    """A published network, quantized on 16 photographs, and all hundred."""
    model = import_model(str(shared("weights/mobilenet_v1_0.25_224.h5")))
    found = images_of([shared("imagenet-sample")])
    pixels = np.stack([model.preprocessing.apply(image.open(), 224, 224) for image in found])
    return quantize_with_images(model, pixels[::6][:16]).model, pixels


def test_onnxruntime_answers_bit_for_bit(model_and_photographs: tuple[Model, Pixels], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, pixels = model_and_photographs
    to_onnx(model, tmp_path / "model.onnx")
    (found,) = run_onnx(model, tmp_path / "model.onnx", pixels).values()
    np.testing.assert_array_equal(found, Session(model).run(pixels))


@pytest.fixture(scope="module", params=["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"])
def newer_model_and_photographs(request: pytest.FixtureRequest) -> tuple[Model, Pixels]:
    """Sums of maps; with V3 also products by channel and hard-swish: random weights, quantized on photographs."""
    network = CATALOG[request.param](width_multiplier=0.35, resolution=96, classes=20)
    model = random_model(np.random.default_rng(0), network)
    found = images_of([shared("imagenet-sample")])[::2]
    pixels = np.stack([model.preprocessing.apply(image.open(), 96, 96) for image in found])
    return quantize_with_images(model, pixels[:8]).model, pixels


def test_onnxruntime_at_its_defaults_answers_newer_networks_bit_for_bit(
    newer_model_and_photographs: tuple[Model, Pixels], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    model, pixels = newer_model_and_photographs
    if saturates(instruction_sets()):
        pytest.skip("at its defaults, ONNX Runtime saturates sums of products on this processor")
    to_onnx(model, tmp_path / "model.onnx")
    (found,) = run_onnx_at_defaults(model, tmp_path / "model.onnx", pixels).values()
    ours = Session(model).run(pixels)
    assert len(np.unique(ours, axis=0)) == len(pixels)
    np.testing.assert_array_equal(found, ours)


def test_litert_answers_within_one_step_of_a_float_output(
    model_and_photographs: tuple[Model, Pixels], tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    model, pixels = model_and_photographs
    assert model.quantization is not None
    to_litert(model, tmp_path / "model.tflite", float_output=True)
    (found,) = run_litert(model, tmp_path / "model.tflite", pixels).values()
    ours = Session(model).run(pixels)
    # One step of one of the classifier's inputs: what its largest weight makes of it.
    classifier = model.network.layers[-1]
    step = model.quantization.activations[classifier.inputs[0]].scale
    weight, scale = (model.parameters[f"{classifier.name}.{name}"] for name in ("weight", "weight_scale"))
    largest = float(step * (np.abs(weight.astype(float)).max(axis=1) * scale).max())
    assert np.abs(found - ours).max() <= largest + 1e-4
    assert (np.abs(found - ours).max(axis=1) <= 1e-5 * np.abs(ours).max()).mean() > 0.9


def test_openvino_names_the_same_classes_at_its_defaults(
    model_and_photographs: tuple[Model, Pixels], tmp_path: Path
) -> None:
    openvino = pytest.importorskip("openvino")
    model, pixels = model_and_photographs
    to_openvino(model, tmp_path / "model.xml")
    core = openvino.Core()
    found = core.compile_model(core.read_model(tmp_path / "model.xml"), "CPU")({0: pixels})[0]
    assert (found.argmax(axis=1) == Session(model).run(pixels).argmax(axis=1)).mean() >= 0.995


def test_openvino_answers_newer_networks_with_the_same_numbers(
    newer_model_and_photographs: tuple[Model, Pixels], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    model, pixels = newer_model_and_photographs
    to_openvino(model, tmp_path / "model.xml")
    (found,) = run_openvino(model, tmp_path / "model.xml", pixels).values()
    ours = Session(model).run(pixels)
    spread = ours.std(axis=1).mean()
    assert (found.argmax(axis=1) == ours.argmax(axis=1)).mean() >= 0.995
    assert np.sqrt(np.mean((found - ours) ** 2)) <= 0.01 * spread
    assert (np.abs(found - ours).max(axis=1) <= 1e-5 * spread).mean() >= 0.8
