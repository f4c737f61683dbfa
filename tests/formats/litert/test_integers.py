"""int8 Models as LiteRT files of integers only: int8 in and out, right in every interpreter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.conftest import shared
from tests.support.random_models import random_int8_model, random_network, random_pixels, without_batch_norm

from mobilenets.architecture.catalog import CATALOG
from mobilenets.base.progress import Progress
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.data.sources import images_of
from mobilenets.engine.output_ranges import with_output_ranges
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.exporting import export
from mobilenets.formats.importing import import_model
from mobilenets.formats.litert.codes import Code
from mobilenets.formats.litert.file import TfliteFile
from mobilenets.formats.litert.micro import run_micro
from mobilenets.formats.litert.read import from_tflite
from mobilenets.formats.litert.run import real_values, run_litert
from mobilenets.formats.litert.write import litert_input, to_litert
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]

INTEGER_ONLY = {
    Code.CONV_2D,
    Code.DEPTHWISE_CONV_2D,
    Code.MEAN,
    Code.ADD,
    Code.MUL,
    Code.CONCATENATION,
    Code.MAX_POOL_2D,
    Code.PAD,
    60,  # PADV2
    Code.QUANTIZE,
    Code.RESHAPE,
}
"""Operators that TensorFlow Lite Micro registers and that take bytes."""
AROUND_HARD_ACTIVATIONS = {Code.DEQUANTIZE, Code.HARD_SWISH, Code.MAXIMUM, Code.MINIMUM}
"""Those that it registers and that compute in float32."""


def run_reference_kernels(model: Model, path: Path, pixels: Pixels) -> Array:
    """The first output by the kernels that LiteRT's own are checked against, one image at a time."""
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    kernels = interpreters.OpResolverType.BUILTIN_REF
    interpreter = interpreters.Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for row in litert_input(model, pixels, uint8=source["dtype"] == np.uint8):
        interpreter.set_tensor(source["index"], row[None])
        interpreter.invoke()
        rows.append(real_values(interpreter.get_tensor(target["index"]), *target["quantization"]))
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def published() -> tuple[Model, Pixels, Array]:
    """A published network, quantized on 16 photographs; all hundred; and the engine's logits."""
    model = import_model(str(shared("weights/mobilenet_v1_0.25_224.h5")))
    found = images_of([shared("imagenet-sample")])
    pixels = np.stack([model.preprocessing.apply(image.open(), 224, 224) for image in found])
    made = quantize_with_images(model, pixels[::6][:16]).model
    return made, pixels, Session(made).run(pixels)


def output_step(model: Model) -> float:
    assert model.quantization is not None
    return model.quantization.outputs[model.network.outputs[0]].scale


def assert_same_classes(found: Array, expected: Array, difference: float) -> None:
    """The class of every image is the same, but where the engine gives two classes within a difference."""
    margin = expected.max(axis=1) - expected[np.arange(len(found)), found.argmax(axis=1)]
    assert margin.max() <= difference


def test_calibration_keeps_the_range_of_the_logits(published: tuple[Model, Pixels, Array]) -> None:
    model, _, logits = published
    assert model.quantization is not None
    low, high = model.quantization.outputs["classifier"].span
    calibrated = logits[::6][:16]
    assert low < calibrated.min()
    assert high > calibrated.max()
    assert high - low < 1.3 * np.ptp(calibrated)


def test_litert_answers_within_one_step_of_the_output(published: tuple[Model, Pixels, Array], tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    model, pixels, logits = published
    to_litert(model, tmp_path / "model.tflite")
    (found,) = run_litert(model, tmp_path / "model.tflite", pixels).values()
    assert np.abs(found - logits).max() <= output_step(model)
    assert_same_classes(found, logits, output_step(model))
    assert (found.argmax(axis=1) == logits.argmax(axis=1)).mean() >= 0.94


@pytest.mark.parametrize("float_output", [False, True])
def test_microcontrollers_name_the_same_classes(
    published: tuple[Model, Pixels, Array], float_output: bool, tmp_path: Path
) -> None:
    pytest.importorskip("tflite_micro")
    model, pixels, logits = published
    to_litert(model, tmp_path / "model.tflite", float_output=float_output)
    run = run_micro(model, tmp_path / "model.tflite", pixels[::4])
    found = run.outputs["classifier"]
    # Their kernels round with fixed-point multipliers, so bytes differ by a step now and then, and more follow.
    assert np.abs(found - logits[::4]).max() <= 0.03 * np.abs(logits).max()
    assert (found.argmax(axis=1) == logits[::4].argmax(axis=1)).mean() >= 0.88
    assert 400_000 < run.ram_bytes < (450_000 if not float_output else 1_700_000)


@pytest.mark.parametrize("float_output", [False, True])
def test_reference_kernels_name_the_same_classes(
    published: tuple[Model, Pixels, Array], float_output: bool, tmp_path: Path
) -> None:
    model, pixels, logits = published
    to_litert(model, tmp_path / "model.tflite", float_output=float_output)
    found = run_reference_kernels(model, tmp_path / "model.tflite", pixels[::4])
    assert np.abs(found - logits[::4]).max() <= 0.03 * np.abs(logits).max()
    assert (found.argmax(axis=1) == logits[::4].argmax(axis=1)).mean() >= 0.88


@pytest.mark.parametrize("name", CATALOG)
def test_every_tensor_is_of_integers(name: str, tmp_path: Path) -> None:
    network = without_batch_norm(CATALOG[name](width_multiplier=0.25, resolution=96, classes=10))
    model = random_int8_model(np.random.default_rng(0), network)
    to_litert(model, tmp_path / "model.tflite")
    file = TfliteFile((tmp_path / "model.tflite").read_bytes())
    codes = {operator.code for operator in file.operators}
    if all(layer.activation.is_clamp for layer in network.layers):
        assert codes <= INTEGER_ONLY
        assert {tensor.dtype.name for tensor in file.tensors} <= {"int8", "int32"}
    assert codes <= INTEGER_ONLY | AROUND_HARD_ACTIVATIONS
    assert {file.tensor(index).dtype.name for index in (*file.inputs, *file.outputs)} == {"int8"}


@pytest.mark.parametrize("float_output", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_no_dequantize_and_no_fully_connected_layer_has_scales_by_channel(
    seed: int, float_output: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    to_litert(random_int8_model(rng, random_network(rng)), tmp_path / "model.tflite", float_output=float_output)
    file = TfliteFile((tmp_path / "model.tflite").read_bytes())
    for operator in file.operators:
        if operator.code in (Code.DEQUANTIZE, Code.FULLY_CONNECTED):
            assert all(file.tensor(index).scales.size <= 1 for index in operator.inputs if index >= 0)


@pytest.mark.parametrize("name", CATALOG)
def test_every_architecture_is_within_a_step_in_bytes(name: str, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    rng = np.random.default_rng(3)
    network = without_batch_norm(CATALOG[name](width_multiplier=0.25, resolution=96, classes=10))
    pixels = random_pixels(rng, network, 4)
    model = random_int8_model(rng, network)
    assert model.quantization is not None
    model = with_output_ranges(replace(model, quantization=replace(model.quantization, outputs={})), pixels)
    to_litert(model, tmp_path / "model.tflite")
    expected = Session(model).run(pixels)
    (found,) = run_litert(model, tmp_path / "model.tflite", pixels).values()
    branches = any(len(layer.inputs) > 1 for layer in network.layers)
    assert np.abs(found - expected).max() <= (4 if branches else 1.01) * output_step(model)


@pytest.mark.parametrize("float_output", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_what_was_written_is_read_again(seed: int, float_output: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, random_network(rng), asymmetric_weights=seed % 2 == 1)
    to_litert(model, tmp_path / "model.tflite", float_output=float_output)
    read = from_tflite(tmp_path / "model.tflite")
    assert read.quantization == model.quantization
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], value)


def without_ranges(model: Model) -> Model:
    assert model.quantization is not None
    return replace(model, quantization=replace(model.quantization, outputs={}))


def test_a_model_of_before_ranges_were_kept_takes_them_from_images(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    rng = np.random.default_rng(0)
    model = without_ranges(random_int8_model(rng, random_network(rng, branches=False)))
    with pytest.raises(FormatError, match="has no range for its output as bytes"):
        to_litert(model, tmp_path / "model.tflite")
    notes: list[str] = []
    pixels = random_pixels(rng, model.network, 20)
    exported = export(model, tmp_path / "model.tflite", images=pixels, progress=Noting(notes))
    assert exported.agreement is not None
    assert exported.notes[0] == "input: int8, pixels less 128"
    assert exported.notes[1].startswith("output: int8, ")
    assert any("keeps no range of its outputs: taken from 24 images and widened by 12.5 %" in note for note in notes)


class Noting(Progress):
    """Progress that keeps its notes."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_ranges_are_for_int8_models_and_finite_outputs() -> None:
    rng = np.random.default_rng(0)
    model = random_int8_model(rng, random_network(rng, branches=False))
    kept = with_output_ranges(model, random_pixels(rng, model.network, 2))
    assert kept is model
    real = dequantize(model)
    with pytest.raises(ModelError, match="float32 Model"):
        with_output_ranges(real, random_pixels(rng, model.network, 1))
