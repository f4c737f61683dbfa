"""Other runtimes, each at its best setting, behind one interface: what the engine is measured against.

A contestant is a runtime with one model loaded. Every runtime gets the Model as :mod:`mobilenets.formats` exports it;
for an int8 Model, those that have a quantizer also get a model of their own making
(:mod:`mobilenets.benchmark.quantizers`), and the faster of the two counts. All get the same pixels. What a runtime
wants to have done to its input beforehand is done outside the timing, to its advantage.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.benchmark.ncnn_files import write_ncnn
from mobilenets.benchmark.quantizers import (
    litert_model,
    onnxruntime_model,
    openvino_model,
    optional_module,
    to_nchw,
)
from mobilenets.engine.output_ranges import with_output_ranges
from mobilenets.engine.session import Session
from mobilenets.engine.timing import random_pixels
from mobilenets.errors import EngineError
from mobilenets.formats.litert.options import RANGE_IMAGES
from mobilenets.formats.litert.write import litert_input, to_litert
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]

OURS = "mobilenets"


class Contestant(ABC):
    """One runtime with one model loaded.

    Attributes:
        name: The runtime.
        own: Whether its own quantizer made the model. Its numbers are then others than the Model's.
    """

    name: str
    own: bool = False

    def prepare(self, pixels: Pixels) -> Array:
        """The pixels as this runtime wants to be given them; not timed."""
        return pixels

    @abstractmethod
    def run(self, prepared: Array) -> Sequence[Array]:
        """All outputs in the network's order; this is what is timed."""

    def logits(self, outputs: Sequence[Array]) -> Array:
        """What :meth:`run` gave as real numbers, a row an image, (N, classes) of a classifier; not timed.

        The maps of a detector stand in it one after another, each channel by channel.
        """
        return np.concatenate([np.asarray(output).reshape(len(output), -1) for output in outputs], axis=1)


class Ours(Contestant):
    """This package's engine."""

    name = OURS

    def __init__(self, model: Model, threads: int) -> None:
        self._session = Session(model, threads)

    def run(self, prepared: Array) -> Sequence[Array]:
        return list(self._session.outputs(prepared).values())


class OnnxRuntime(Contestant):
    """ONNX Runtime on the CPU, all graph optimizations.

    int8 networks get exact integers (:mod:`mobilenets.formats.onnx.run`): by its defaults its sums saturate on
    processors without VNNI, and its answers are others.

    Args:
        model: What it runs.
        threads: Most threads of one run.
        calibration: Images on which its own quantizer makes an int8 model of the Model's real numbers.
    """

    name = "onnxruntime"

    def __init__(self, model: Model, threads: int, calibration: Pixels | None = None) -> None:
        runtime = optional_module("onnxruntime")
        from mobilenets.formats.onnx.run import session, session_options
        from mobilenets.formats.onnx.write import onnx_graph

        self.own = calibration is not None
        self._normalize = _normalizer(model, own=self.own)
        if calibration is not None:
            content = onnxruntime_model(model, calibration)
        else:
            content = onnx_graph(model, pixel_input=model.quantization is not None).SerializeToString()
        options = session_options()  # exact: without VNNI its quickest int8 kernels saturate, and answer otherwise
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = session(content, options=options)
        self._input = self._session.get_inputs()[0].name

    def prepare(self, pixels: Pixels) -> Array:
        return to_nchw(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Sequence[Array]:
        outputs: list[Array] = self._session.run(None, {self._input: prepared})
        return outputs


class OpenVino(Contestant):
    """OpenVINO for least latency, in the Model's own precision.

    Args:
        model: What it runs.
        threads: Most threads of one run.
        calibration: Images on which NNCF makes an int8 model of the Model's real numbers.
    """

    name = "openvino"

    def __init__(self, model: Model, threads: int, calibration: Pixels | None = None) -> None:
        openvino = optional_module("openvino")
        from mobilenets.formats.onnx.write import onnx_graph

        self.own = calibration is not None
        self._normalize = _normalizer(model, own=self.own)
        core = openvino.Core()
        if calibration is not None:
            network = openvino_model(model, calibration)
        else:
            int8 = model.quantization is not None
            graph = onnx_graph(model, pixel_input=int8, integer_units=int8)
            network = core.read_model(graph.SerializeToString())
        self._compile: Callable[[int], Any] = lambda batch: core.compile_model(
            _with_batch(network, batch),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self._requests: dict[int, Any] = {}

    def prepare(self, pixels: Pixels) -> Array:
        if len(pixels) not in self._requests:
            self._requests[len(pixels)] = self._compile(len(pixels)).create_infer_request()
        return to_nchw(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Sequence[Array]:
        request = self._requests[len(prepared)]
        outputs: Sequence[Array] = request.infer({0: prepared}, share_inputs=True, share_outputs=True).to_tuple()
        return outputs


class LiteRt(Contestant):
    """LiteRT with its XNNPACK kernels.

    Args:
        model: What it runs.
        threads: Most threads of one run.
        calibration: Images on which ai-edge-quantizer makes an int8 model of the Model's real numbers.
    """

    name = "litert"

    def __init__(self, model: Model, threads: int, calibration: Pixels | None = None) -> None:
        litert = optional_module("ai_edge_litert.interpreter", "ai-edge-litert")
        from mobilenets.model.folding import fold

        self.own = calibration is not None
        self._normalize = _normalizer(model, own=self.own)
        if calibration is not None:
            content = litert_model(model, calibration)
        else:
            content = _litert_file(fold(model) if model.quantization is None else model)
        self._interpreter = litert.Interpreter(model_content=content, num_threads=threads)
        source, self._outputs = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()
        self._model, self._reads_int8 = model, source["dtype"] == np.int8
        self._input, self._input_scale = source["index"], source["quantization"]
        self._batch = 0

    def prepare(self, pixels: Pixels) -> Array:
        if self._batch != len(pixels):
            self._interpreter.resize_tensor_input(self._input, pixels.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(pixels)
        if self._normalize is None:
            return litert_input(self._model, pixels, uint8=not self._reads_int8)
        if not self.own:
            return self._normalize(pixels)
        scale, zero_point = self._input_scale
        steps: Array = np.rint(self._normalize(pixels) / scale) + zero_point
        return steps.clip(-128, 127).astype(np.int8)

    def logits(self, outputs: Sequence[Array]) -> Array:
        real = []
        for output, detail in zip(outputs, self._outputs, strict=True):
            if output.dtype == np.int8:
                scale, zero_point = detail["quantization"]
                output = (output.astype(np.float32) - zero_point) * np.float32(scale)
            real.append(output.transpose(0, 3, 1, 2) if output.ndim == 4 else output)
        return super().logits(real)

    def run(self, prepared: Array) -> Sequence[Array]:
        self._interpreter.set_tensor(self._input, prepared)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output["index"]) for output in self._outputs]


class Ncnn(Contestant):
    """ncnn in float32, without reduced precision."""

    name = "ncnn"

    def __init__(self, model: Model, threads: int) -> None:
        self._ncnn = optional_module("ncnn")
        from mobilenets.model.folding import fold

        if model.quantization is not None:
            raise EngineError("ncnn is measured in float32 only: it cannot be given an int8 Model's own numbers")
        self._normalize = _normalizer(model)
        self._outputs = model.network.outputs
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = threads
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(self._net.opt, option, False)
        with tempfile.TemporaryDirectory() as folder:
            write_ncnn(fold(model), Path(folder))
            self._net.load_param(str(Path(folder) / "model.param"))
            self._net.load_model(str(Path(folder) / "model.bin"))

    def prepare(self, pixels: Pixels) -> Array:
        return to_nchw(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Sequence[Array]:
        rows: list[list[Array]] = [[] for _ in self._outputs]
        for image in prepared:
            extractor = self._net.create_extractor()
            extractor.input("input", self._ncnn.Mat(image))
            for output, found in zip(self._outputs, rows, strict=True):
                found.append(np.array(extractor.extract(output)[1]).ravel())
        return [np.stack(found) for found in rows]


class Torch(Contestant):
    """PyTorch in eager mode, channels last."""

    name = "torch"

    def __init__(self, model: Model, threads: int) -> None:
        optional_module("torch")
        from mobilenets.training.inference import TorchRunner

        if model.quantization is not None:
            raise EngineError("torch is measured in float32 only")
        if len(model.network.outputs) > 1:
            raise EngineError(f"torch is measured with one output only; {model.network.name} has several")
        self._runner = TorchRunner(model, threads)
        self._normalize = _normalizer(model)

    def prepare(self, pixels: Pixels) -> Array:
        return to_nchw(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Sequence[Array]:
        return [self._runner.run(prepared)]


CONTESTANTS: dict[str, Callable[[Model, int], Contestant]] = {
    OURS: Ours,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "litert": LiteRt,
    "ncnn": Ncnn,
    "torch": Torch,
}
"""Every runtime that the engine can be measured against, by the name that the command line knows."""

QUANTIZERS: dict[str, Callable[[Model, int, Pixels], Contestant]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "litert": LiteRt,
}
"""The runtimes whose own quantizer can be called here. ncnn's is a program that its Python package does not hold."""


def _normalizer(model: Model, *, own: bool = False) -> Callable[[Pixels], Array] | None:
    """How pixels become what a network of real input reads; None for our exports of int8 Models, which read pixels."""
    return model.preprocessing.normalize if own or model.quantization is None else None


def _litert_file(model: Model) -> bytes:
    if model.quantization is not None:
        model = with_output_ranges(model, random_pixels(model.network, RANGE_IMAGES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        to_litert(model, path)
        return path.read_bytes()


def _with_batch(network: Any, batch: int) -> Any:
    """An OpenVINO model for one batch size: fixed shapes are what it optimizes best."""
    fixed = network.clone()
    shape = fixed.input(0).get_partial_shape()
    shape[0] = batch
    fixed.reshape(shape)
    return fixed
