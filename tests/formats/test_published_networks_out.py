"""The published networks, imported and exported again, still answer as their own frameworks did on real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import shared

from mobilenets.formats import verification
from mobilenets.formats.c.run import run_c
from mobilenets.formats.c.write import to_c
from mobilenets.formats.keras.read import from_keras
from mobilenets.formats.litert.read import from_tflite
from mobilenets.formats.litert.run import run_litert
from mobilenets.formats.litert.write import to_litert
from mobilenets.formats.onnx.run import run_onnx
from mobilenets.formats.onnx.write import to_onnx


def test_keras_logits_survive_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    golden = np.load(shared("weights/golden.npz"))
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    to_onnx(model, tmp_path / "model.onnx")
    found = next(iter(run_onnx(model, tmp_path / "model.onnx", golden["pixels_224"]).values()))
    expected = golden["keras_0.25_224_logits"]
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_official_uint8_network_answers_alike_in_every_format(tmp_path: Path) -> None:
    golden = np.load(shared("weights/golden.npz"))
    model = from_tflite(shared("weights/mobilenet_v1_0.25_128_quant.tflite"))
    pixels = golden["pixels_128"]
    expected = verification.expected_outputs(model, pixels)
    (logits,) = expected.values()
    to_onnx(model, tmp_path / "model.onnx")
    to_litert(model, tmp_path / "model.tflite", float_output=True)
    to_c(model, tmp_path / "model.c")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("ai_edge_litert")
    onnx = verification.compare_outputs(model.task, expected, run_onnx(model, tmp_path / "model.onnx", pixels))
    c = verification.compare_outputs(model.task, expected, run_c(model, tmp_path / "model.c", pixels))
    assert (onnx.same.value, onnx.largest_difference) == (1, 0)
    assert (c.same.value, c.largest_difference) == (1, 0)
    litert = verification.compare_outputs(model.task, expected, run_litert(model, tmp_path / "model.tflite", pixels))
    assert litert.same.value == 1
    assert litert.relative_difference <= 1e-6
    # The published file's answers are bytes, of which several may be the largest.
    published = golden["tflite_0.25_128_output"]
    assert (published[np.arange(len(logits)), logits.argmax(axis=1)] == published.max(axis=1)).all()
