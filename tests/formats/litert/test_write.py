"""LiteRT files say what the Model says: the interpreter answers alike, at any batch, and finds the labels."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import (
    IMAGENET,
    random_int8_model,
    random_model,
    random_network,
    random_pixels,
    without_batch_norm,
)

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes
from mobilenets.formats.containers.flatbuffer import FlatbufferTable
from mobilenets.formats.litert.write import litert_input, to_litert
from mobilenets.model import reference
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.tasks.classification import Classification

interpreters = pytest.importorskip("ai_edge_litert.interpreter")

Array = npt.NDArray[Any]


def run(path: Path, values: Array) -> dict[str, Array]:
    """What the LiteRT interpreter answers, by output."""
    interpreter = interpreters.Interpreter(str(path), num_threads=1)
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], values.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    return {output["name"]: interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()}


def expected_outputs(model: Model, pixels: Pixels) -> dict[str, Array]:
    """The reference's outputs, maps with channels last."""
    outputs = reference.run_reference(model, pixels)
    return {name: value if value.ndim == 2 else value.transpose(0, 2, 3, 1) for name, value in outputs.items()}


@pytest.mark.parametrize(("weights", "tolerance"), [("float32", 1e-5), ("float16", 3e-3)])
@pytest.mark.parametrize("seed", range(15))
def test_litert_agrees_on_random_float_networks(seed: int, weights: Any, tolerance: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    network = without_batch_norm(random_network(rng))
    model = random_model(rng, network, IMAGENET if seed % 2 else Preprocessing())
    pixels = random_pixels(rng, model.network, 3)
    to_litert(model, tmp_path / "model.tflite", weights=weights)
    found = run(tmp_path / "model.tflite", litert_input(model, pixels))
    expected = expected_outputs(model, pixels)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance * max(1, np.abs(values).max()))


def assert_alike(found: dict[str, Array], expected: dict[str, Array], tolerance: float) -> None:
    """Same names, and values that differ by a share of the largest at most."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance * np.abs(values).max())


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_int8_networks_without_branches_are_equal_but_for_the_rounding_of_float32(
    seed: int, asymmetric: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, random_network(rng, branches=False), asymmetric_weights=asymmetric)
    pixels = random_pixels(rng, model.network, 3)
    to_litert(model, tmp_path / "model.tflite", float_output=True, uint8_input=True)
    assert_alike(run(tmp_path / "model.tflite", pixels), expected_outputs(model, pixels), 2e-6)


@pytest.mark.parametrize("float_output", [False, True])
def test_an_int8_file_reads_bytes_less_128_or_pixels(float_output: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model = random_int8_model(rng, random_network(rng, branches=False))
    pixels = random_pixels(rng, model.network, 3)
    answers = []
    for uint8 in (False, True):
        to_litert(model, tmp_path / "model.tflite", uint8_input=uint8, float_output=float_output)
        answers.append(run(tmp_path / "model.tflite", litert_input(model, pixels, uint8=uint8)))
    assert litert_input(model, pixels).dtype == np.int8
    for name, values in answers[0].items():
        np.testing.assert_array_equal(answers[1][name], values)


@pytest.mark.parametrize("seed", range(15))
def test_int8_networks_with_branches_are_equal_but_for_steps_where_branches_meet(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, random_network(rng))
    pixels = random_pixels(rng, model.network, 3)
    to_litert(model, tmp_path / "model.tflite", float_output=True, uint8_input=True)
    # LiteRT rounds sums, products and the parts of a concatenation otherwise: one step of their bytes.
    assert_alike(run(tmp_path / "model.tflite", pixels), expected_outputs(model, pixels), 0.03)


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("int8", [False, True])
def test_every_architecture_gives_the_same_logits(name: str, int8: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    network = without_batch_norm(CATALOG[name](width_multiplier=0.25, resolution=96, classes=10))
    model = random_int8_model(rng, network) if int8 else random_model(rng, network)
    pixels = random_pixels(rng, network, 2)
    to_litert(model, tmp_path / "model.tflite", float_output=True)
    found, expected = run(tmp_path / "model.tflite", litert_input(model, pixels)), expected_outputs(model, pixels)
    joins = sum(len(layer.inputs) > 1 for layer in network.layers)
    # Random weights let a byte that LiteRT rounds otherwise where branches meet grow from one block to the next.
    assert_alike(found, expected, min(0.25, 0.02 * max(1, joins / 2)) if int8 and joins else 1e-5)
    for output, values in expected.items() if joins < 12 or not int8 else ():
        assert (found[output].argmax(axis=1) == values.argmax(axis=1)).all()


def small_model() -> Model:
    network = without_batch_norm(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    return replace(random_model(np.random.default_rng(0), network), task=Classification(("Kätzchen", "Hund")))


def test_labels_lie_in_a_zip_archive_behind_the_model(tmp_path: Path) -> None:
    to_litert(small_model(), tmp_path / "model.tflite")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "model.tflite").read_bytes())) as archive:
        assert archive.read("labels.txt").decode() == "Kätzchen\nHund\n"


def test_the_metadata_says_how_pixels_are_normalized_and_where_the_labels_are(tmp_path: Path) -> None:
    tflite = pytest.importorskip("tflite")
    model = small_model()
    for preprocessing, mean, std in ((Preprocessing(), 127.5, 127.5), (IMAGENET, 0, 1)):
        to_litert(replace(model, preprocessing=preprocessing), tmp_path / "model.tflite")
        file = tflite.Model.GetRootAsModel((tmp_path / "model.tflite").read_bytes(), 0)
        entries = {file.Metadata(index).Name(): file.Metadata(index).Buffer() for index in range(file.MetadataLength())}
        content = file.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy().tobytes()
        assert content[4:8] == b"M001"
        (graph,) = FlatbufferTable.root(Bytes(content, "the metadata")).tables(3)
        (image,), (output,) = graph.tables(2), graph.tables(3)
        (unit,) = image.tables(4)
        options = unit.table(1)
        assert options is not None
        assert (options.numbers(0, "<f4").tolist(), options.numbers(1, "<f4").tolist()) == ([mean], [std])
        (labels,) = output.tables(6)
        assert (output.text(0), labels.text(0), labels.i8(2)) == ("classifier", "labels.txt", 2)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    to_litert(small_model(), tmp_path / "one.tflite")
    to_litert(small_model(), tmp_path / "two.tflite")
    assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()


def test_float16_weights_take_half_the_room(tmp_path: Path) -> None:
    to_litert(small_model(), tmp_path / "full.tflite")
    to_litert(small_model(), tmp_path / "half.tflite", weights="float16")
    saved = (tmp_path / "full.tflite").stat().st_size - (tmp_path / "half.tflite").stat().st_size
    assert saved > 0.45 * small_model().parameter_bytes


def test_batch_norms_are_folded(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    to_litert(model, tmp_path / "model.tflite")
    to_litert(fold(model), tmp_path / "folded.tflite")
    assert (tmp_path / "model.tflite").read_bytes() == (tmp_path / "folded.tflite").read_bytes()


def test_zero_points_that_differ_between_channels_are_refused_by_name(tmp_path: Path) -> None:
    model = random_int8_model(np.random.default_rng(0), small_model().network, asymmetric_weights=True)
    parameters = dict(model.parameters)
    parameters["stem.weight_zero_point"] = np.arange(8, dtype=np.int8)
    with pytest.raises(FormatError, match=r"^stem has weight zero points"):
        to_litert(model.with_parameters(parameters), tmp_path / "model.tflite")


def test_weights_beyond_float16_are_refused_by_name(tmp_path: Path) -> None:
    model = small_model()
    parameters = {name: values.copy() for name, values in model.parameters.items()}
    parameters["stem.weight"][0, 0, 0, 0] = 1e6
    with pytest.raises(FormatError, match=r"^stem\.weight holds 1e\+06"):
        to_litert(model.with_parameters(parameters), tmp_path / "model.tflite", weights="float16")
