"""int8 models made by the quantizers of other runtimes: what a peer does at its best, besides running our export.

Each takes the real numbers that an int8 Model stands for and calibrates on the images that it is given, with the
settings that its documentation recommends for speed on processors.
"""

from __future__ import annotations

import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import EngineError, MissingDependencyError
from mobilenets.formats.litert.write import to_litert
from mobilenets.formats.onnx.write import to_onnx
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

EXTRA = "benchmark"
"""The extra of this package that installs the runtimes and their quantizers."""

Array = npt.NDArray[Any]


def optional_module(module: str, package: str | None = None) -> Any:
    """Import a runtime.

    Args:
        module: What is imported.
        package: What it is installed by, where that has another name.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(package or module, EXTRA) from None


def to_nchw(values: Array) -> Array:
    """(N, H, W, C) as (N, C, H, W), contiguous."""
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def onnxruntime_model(model: Model, calibration: Pixels) -> bytes:
    """An ONNX file by ONNX Runtime's ``quantize_static``: QDQ, one weight scale per channel.

    Args:
        model: int8; its real numbers are quantized anew.
        calibration: uint8 (N, height, width, 3).

    Returns:
        A file that reads normalized float32 (N, 3, height, width).

    Raises:
        MissingDependencyError: If onnxruntime or onnx is not installed.
    """
    quantization = optional_module("onnxruntime.quantization", "onnxruntime")
    real = dequantize(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, prepared, after = (Path(folder) / f"{name}.onnx" for name in ("real", "prepared", "int8"))
        to_onnx(real, before, pixel_input=False)
        quantization.quant_pre_process(str(before), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(after),
            _Reader(iter(to_nchw(real.preprocessing.normalize(calibration)))),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return after.read_bytes()


class _Reader:
    """Calibration images one by one, as ``quantize_static`` wants them."""

    def __init__(self, images: Iterator[Array]) -> None:
        self._images = images

    def get_next(self) -> dict[str, Array] | None:
        image = next(self._images, None)
        return None if image is None else {"input": image[None]}


def openvino_model(model: Model, calibration: Pixels) -> Any:
    """An OpenVINO model by NNCF's post-training quantization with its preset for performance.

    Args:
        model: int8; its real numbers are quantized anew.
        calibration: uint8 (N, height, width, 3).

    Returns:
        An ``openvino.Model`` that reads normalized float32 (N, 3, height, width).

    Raises:
        MissingDependencyError: If openvino, nncf or onnx is not installed.
    """
    openvino, nncf = optional_module("openvino"), optional_module("nncf")
    real = dequantize(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        to_onnx(real, Path(folder) / "real.onnx", pixel_input=False)
        network = openvino.Core().read_model(str(Path(folder) / "real.onnx"))
        images = to_nchw(real.preprocessing.normalize(calibration))
        return nncf.quantize(
            network,
            nncf.Dataset([image[None] for image in images]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(images),
        )


def litert_model(model: Model, calibration: Pixels) -> bytes:
    """A LiteRT file by ai-edge-quantizer: int8 weights and activations, bytes in and bytes out.

    Args:
        model: int8; its real numbers are quantized anew.
        calibration: uint8 (N, height, width, 3).

    Raises:
        MissingDependencyError: If ai-edge-quantizer is not installed.
        EngineError: If it cannot quantize this network.
    """
    quantizer = optional_module("ai_edge_quantizer.quantizer", "ai-edge-quantizer")
    recipe = optional_module("ai_edge_quantizer.recipe", "ai-edge-quantizer")
    real = dequantize(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "real.tflite"
        to_litert(real, path)
        work = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        images = real.preprocessing.normalize(calibration)
        ranges = work.calibrate({"serving_default": [{"input": image[None]} for image in images]})
        try:
            return bytes(work.quantize(ranges).quantized_model)
        except ValueError as error:
            raise EngineError(f"ai-edge-quantizer cannot quantize {model.network.name}: {error}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice, warnings and progress bars of quantizers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
