"""ONNX files that are quantized already: their integers become an int8 Model's, and it answers with their bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import INPUT, Activation
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.normalizing_layer import NAME
from mobilenets.formats.onnx.read import from_onnx
from mobilenets.formats.onnx.run import session, session_options
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model import reference
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.classification import Classification

onnx = pytest.importorskip("onnx")
quantizer = pytest.importorskip("onnxruntime.quantization")

Bytes = npt.NDArray[np.uint8]


def float_model(name: str, classes: int = 7) -> Model:
    rng = np.random.default_rng(0)
    return fold(random_model(rng, CATALOG[name](width_multiplier=0.25, resolution=32, classes=classes)))


def images_for(model: Model) -> Pixels:
    return random_pixels(np.random.default_rng(1), model.network, 4)


def floats(model: Model, pixels: Pixels) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2))


def quantized_file(model: Model, folder: Path, *, described: bool = False, **options: Any) -> Path:
    """The file that ONNX Runtime's own quantizer makes of a float32 Model, calibrated on its images."""
    graph = onnx_graph(model, pixel_input=False)
    if not described:
        del graph.metadata_props[:]
    onnx.save(graph, folder / "float.onnx")

    class Reader(quantizer.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.images = iter(floats(model, images_for(model))[:, None])

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            image = next(self.images, None)
            return None if image is None else {"input": image}

    types = {"activation_type": quantizer.QuantType.QUInt8, "weight_type": quantizer.QuantType.QInt8}
    chosen = types | {"quant_format": quantizer.QuantFormat.QDQ, "per_channel": True} | options
    quantizer.quantize_static(folder / "float.onnx", folder / "quantized.onnx", Reader(), **chosen)
    return folder / "quantized.onnx"


def answers(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    options = session_options()
    options.log_severity_level = 4  # of initializers that the quantizer left behind
    (found,) = session(str(path), options=options).run(None, {"input": values})
    return np.asarray(found)


def assert_same_bytes(model: Model, path: Path, float_images: npt.NDArray[np.float32], pixels: Pixels) -> None:
    """The Model's logits, quantized as the file's are, are the file's; so are its classes."""
    imported = Provenance.of(model).imported
    assert imported is not None
    assert imported.logits_scale is not None
    assert imported.logits_zero_point is not None
    wanted = answers(path, float_images)
    logits = reference.run_reference(model, pixels)["classifier"]
    steps = np.rint(logits / np.float32(imported.logits_scale)) + imported.logits_zero_point
    found = (np.clip(steps, 0, 255) - imported.logits_zero_point) * imported.logits_scale
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    ours = np.take_along_axis(wanted, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    np.testing.assert_array_equal(ours, wanted.max(axis=1))  # where several saturate, each of them is the file's


KINDS = {
    "per_channel": {},
    "per_tensor": {"per_channel": False},
    "int8_activations": {"activation_type": quantizer.QuantType.QInt8},
    "uint8_weights": {"weight_type": quantizer.QuantType.QUInt8, "per_channel": False},
    "float_weights": {"extra_options": {"AddQDQPairToWeight": True}},
    "symmetric": {"activation_type": quantizer.QuantType.QInt8, "extra_options": {"ActivationSymmetric": True}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_quantize_static_writes_of_v1_answers_with_its_bytes(kind: str, tmp_path: Path) -> None:
    source = float_model("mobilenet_v1")
    path = quantized_file(source, tmp_path, **KINDS[kind])
    model = from_onnx(path, preprocessing=source.preprocessing)
    assert model.precision == "int8"
    pixels = images_for(source)
    assert_same_bytes(model, path, floats(source, pixels), pixels)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small"])
def test_sums_products_and_hard_swish_answer_with_their_bytes(name: str, tmp_path: Path) -> None:
    source = float_model(name)
    path = quantized_file(source, tmp_path)
    model = from_onnx(path, preprocessing=source.preprocessing)
    pixels = images_for(source)
    assert_same_bytes(model, path, floats(source, pixels), pixels)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_an_int8_file_of_this_project_without_its_description_comes_back(
    name: str, asymmetric: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    network = CATALOG[name](width_multiplier=0.25, resolution=64, classes=7)
    model = random_int8_model(rng, network, asymmetric_weights=asymmetric)
    graph = onnx_graph(model)
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "model.onnx")
    read = from_onnx(tmp_path / "model.onnx")
    assert read.quantization is not None
    assert model.quantization is not None
    assert read.quantization.activations == model.quantization.activations
    assert read.quantization.pre_activations == model.quantization.pre_activations
    for tensor, values in read.parameters.items():
        np.testing.assert_array_equal(values, model.parameters[tensor], err_msg=tensor)
    assert all(not values.any() for tensor, values in model.parameters.items() if tensor not in read.parameters)
    pixels = random_pixels(rng, network, 2)
    found, expected = (reference.run_reference(each, pixels)["classifier"] for each in (read, model))
    np.testing.assert_array_equal(found, expected)


def test_a_file_of_this_project_that_is_quantized_elsewhere_keeps_labels_and_scaling(tmp_path: Path) -> None:
    source = replace(float_model("mobilenet_v1", classes=2), task=Classification(("cat", "dog")))
    path = quantized_file(source, tmp_path, described=True)
    model = import_model(str(path))
    assert isinstance(model.task, Classification)
    assert model.task.labels == ("cat", "dog")
    facts = recognition(model)
    assert facts["input_scaling"].startswith("imagenet: ")
    assert facts["input_scaling"].endswith("[the Model that was quantized]")
    pixels = images_for(source)
    assert_same_bytes(model, path, floats(source, pixels), pixels)


def test_the_scaling_of_pixels_can_be_said(tmp_path: Path) -> None:
    source = float_model("mobilenet_v1")
    path = quantized_file(source, tmp_path)
    assert recognition(import_model(str(path)))["input_scaling"].endswith("[assumed]")
    model = import_model(str(path), input_scaling="-1..1")
    assert recognition(model)["input_scaling"] == "-1..1: (pixel / 255 − 0.5) / 0.5 [given]"
    pixels = images_for(source)
    half = ((pixels.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)).transpose(0, 3, 1, 2)
    assert_same_bytes(model, path, np.ascontiguousarray(half), pixels)
    real = import_model(str(path), input_scaling="-1..1", dequantized=True)
    logits = [reference.run_reference(each, pixels)["classifier"] for each in (real, model)]
    assert np.square(logits[0] - logits[1]).mean() < 0.01 * np.square(logits[1]).mean()


def test_relus_that_the_quantizer_leaves_out_come_back(tmp_path: Path) -> None:
    source = float_model("mobilenet_v1")
    model = from_onnx(quantized_file(source, tmp_path), preprocessing=source.preprocessing)
    activations = [layer.activation for layer in model.network.layers if layer.name != NAME]
    clamped = [layer.activation is not Activation.NONE for layer in source.network.layers]
    assert [activation is not Activation.NONE for activation in activations] == clamped
    assert model.network.layers[0].inputs == (INPUT,)


def test_what_cannot_be_read_is_refused_with_the_way_out(tmp_path: Path) -> None:
    source = float_model("mobilenet_v1")
    path = quantized_file(source, tmp_path, quant_format=quantizer.QuantFormat.QOperator)
    with pytest.raises(FormatError, match=r"is a QLinearConv: .* write it with quantize_static\(…, quant_format=Quant"):
        from_onnx(path)
    path = quantized_file(source, tmp_path, nodes_to_exclude=["classifier/Gemm"])
    with pytest.raises(FormatError, match=r"classifier\.weight holds float32 without a scale; every layer"):
        from_onnx(path)
    path = quantized_file(source, tmp_path, activation_type=quantizer.QuantType.QUInt16)
    with pytest.raises(FormatError, match=r"activations of 8 bits are read|is of type"):
        from_onnx(path)


def test_two_scales_for_one_activation_are_refused(tmp_path: Path) -> None:
    path = quantized_file(float_model("mobilenet_v1"), tmp_path)
    graph = onnx.load(path)
    node = next(node for node in graph.graph.node if node.op_type == "DequantizeLinear" and "Relu" in node.input[0])
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "other"))
    node.input[1] = "other"
    onnx.save(graph, path)
    with pytest.raises(FormatError, match=r"converts .* by .*scale=0.5.*; it was converted by"):
        from_onnx(path)
