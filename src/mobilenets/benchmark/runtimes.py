"""Other runtimes, each at its best setting, behind one interface: what the engine is measured against.

Every contestant gets the same Model, exported by :mod:`mobilenets.formats`, and the same pixels. What a runtime wants
to have done to its input beforehand is done outside the timing, to its advantage.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.benchmark.ncnn_files import write_ncnn
from mobilenets.engine.session import Session
from mobilenets.errors import EngineError, MissingDependencyError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]

OURS = "mobilenets"


class Contestant(ABC):
    """One runtime with one Model loaded."""

    name: str

    def prepare(self, pixels: Pixels) -> Array:
        """The pixels as this runtime wants to be given them; not timed."""
        return pixels

    @abstractmethod
    def run(self, prepared: Array) -> Array:
        """Logits, (N, classes); this is what is timed."""


class Ours(Contestant):
    """This package's engine."""

    name = OURS

    def __init__(self, model: Model, threads: int) -> None:
        self._session = Session(model, threads)

    def run(self, prepared: Array) -> Array:
        return self._session.run(prepared)


class OnnxRuntime(Contestant):
    """ONNX Runtime on the CPU, all graph optimisations.

    int8 networks get exact integers (:mod:`mobilenets.formats.onnx.run`): by its defaults its sums saturate on
    processors without VNNI, and its answers are others. Where there is VNNI the setting changes nothing.
    """

    name = "onnxruntime"

    def __init__(self, model: Model, threads: int) -> None:
        runtime = _import("onnxruntime")
        from mobilenets.formats.onnx.run import session, session_options
        from mobilenets.formats.onnx.write import onnx_graph

        self._normalize = _normalizer(model)
        graph = onnx_graph(model, pixel_input=model.quantization is not None)
        options = session_options()  # exact: without VNNI its quickest int8 kernels saturate, and answer otherwise
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = session(graph.SerializeToString(), options=options)
        self._input = self._session.get_inputs()[0].name

    def prepare(self, pixels: Pixels) -> Array:
        return _channels_first(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Array:
        outputs: list[Array] = self._session.run(None, {self._input: prepared})
        return outputs[0]


class OpenVino(Contestant):
    """OpenVINO for least latency, in the Model's own precision."""

    name = "openvino"

    def __init__(self, model: Model, threads: int) -> None:
        openvino = _import("openvino")
        from mobilenets.formats.onnx.write import onnx_graph

        self._normalize = _normalizer(model)
        graph = onnx_graph(model, pixel_input=model.quantization is not None)
        core = openvino.Core()
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
        return _channels_first(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Array:
        results = self._requests[len(prepared)].infer({0: prepared}, share_inputs=True)
        output: Array = results[0]
        return output


class LiteRt(Contestant):
    """LiteRT with its XNNPACK kernels."""

    name = "litert"

    def __init__(self, model: Model, threads: int) -> None:
        litert = _import("ai_edge_litert.interpreter", "ai-edge-litert")
        from mobilenets.formats.litert.write import to_litert
        from mobilenets.model.folding import fold

        folded = fold(model) if model.quantization is None else model
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            to_litert(folded, path)
            content = path.read_bytes()
        self._normalize = _normalizer(model)
        self._interpreter = litert.Interpreter(model_content=content, num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._batch = 0

    def prepare(self, pixels: Pixels) -> Array:
        if self._batch != len(pixels):
            self._interpreter.resize_tensor_input(self._input, pixels.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(pixels)
        return self._normalize(pixels) if self._normalize else pixels

    def run(self, prepared: Array) -> Array:
        self._interpreter.set_tensor(self._input, prepared)
        self._interpreter.invoke()
        output: Array = self._interpreter.get_tensor(self._output)
        return output


class Ncnn(Contestant):
    """ncnn in float32, without reduced precision."""

    name = "ncnn"

    def __init__(self, model: Model, threads: int) -> None:
        self._ncnn = _import("ncnn")
        from mobilenets.model.folding import fold

        if model.quantization is not None:
            raise EngineError("ncnn is measured in float32 only: it cannot be given an int8 Model's own numbers")
        self._normalize = _normalizer(model)
        self._output = model.network.outputs[0]
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = threads
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(self._net.opt, option, False)
        with tempfile.TemporaryDirectory() as folder:
            write_ncnn(fold(model), Path(folder))
            self._net.load_param(str(Path(folder) / "model.param"))
            self._net.load_model(str(Path(folder) / "model.bin"))

    def prepare(self, pixels: Pixels) -> Array:
        return _channels_first(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Array:
        rows = []
        for image in prepared:
            extractor = self._net.create_extractor()
            extractor.input("input", self._ncnn.Mat(image))
            rows.append(np.array(extractor.extract(self._output)[1]).ravel())
        return np.stack(rows)


class Torch(Contestant):
    """PyTorch in eager mode, channels last."""

    name = "torch"

    def __init__(self, model: Model, threads: int) -> None:
        _import("torch")
        from mobilenets.training.inference import TorchRunner

        if model.quantization is not None:
            raise EngineError("torch is measured in float32 only")
        self._runner = TorchRunner(model, threads)
        self._normalize = _normalizer(model)

    def prepare(self, pixels: Pixels) -> Array:
        return _channels_first(self._normalize(pixels)) if self._normalize else pixels

    def run(self, prepared: Array) -> Array:
        logits: Array = self._runner.run(prepared)
        return logits


CONTESTANTS: dict[str, Callable[[Model, int], Contestant]] = {
    OURS: Ours,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "litert": LiteRt,
    "ncnn": Ncnn,
    "torch": Torch,
}
"""Every runtime that the engine can be measured against, by the name that the command line knows."""


def _import(module: str, package: str | None = None) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(package or module, "benchmark") from None


def _normalizer(model: Model) -> Callable[[Pixels], Array] | None:
    """How pixels become what a float network reads; None for int8 Models, which read pixels."""
    return None if model.quantization is not None else model.preprocessing.normalize


def _channels_first(values: Array) -> Array:
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _with_batch(network: Any, batch: int) -> Any:
    """An OpenVINO model for one batch size: fixed shapes are what it optimises best."""
    fixed = network.clone()
    shape = fixed.input(0).get_partial_shape()
    shape[0] = batch
    fixed.reshape(shape)
    return fixed
