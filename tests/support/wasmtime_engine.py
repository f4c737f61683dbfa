"""The engine's WebAssembly in Wasmtime, whose relaxed dot products take the second factor as signed everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mobilenets.formats.web.model_bytes import model_bytes
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels


class WasmtimeEngine:
    """One instance; the test is skipped where Wasmtime is not installed.

    Attributes:
        kernels: Names of the kernels that the Models used so far.
    """

    def __init__(self, content: bytes) -> None:
        wasmtime = pytest.importorskip("wasmtime")
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        config.wasm_relaxed_simd_deterministic = True
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, content)
        linker = wasmtime.Linker(engine)
        for each in module.imports:
            linker.define_func(each.module, each.name, each.type, lambda *_: 0)
        self._exports = linker.instantiate(self._store, module).exports(self._store)
        self.kernels: set[str] = set()
        self._call("_initialize")

    def outputs(self, model: Model, pixels: Pixels) -> dict[str, npt.NDArray[np.float32]]:
        """By name, as a Session gives them."""
        content = model_bytes(model)
        place = self._call("allocate", len(content))
        self._write(place, content)
        self._call("load", place, len(content))
        self._call("release", place)
        step = 0
        while name := self._text(self._call("kernel", step)):
            self.kernels.add(name)
            step += 1
        found: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in model.network.outputs}
        for image in pixels:
            self._write(self._call("input"), image.tobytes())
            self._call("run")
            for number, name in enumerate(model.network.outputs):
                channels, height, width = model.network.shapes[name]
                bytes_of = self._read(self._call("output", number), 4 * channels * height * width)
                values = np.frombuffer(bytes_of, "<f4")
                found[name].append(values if height == width == 1 else values.reshape(channels, height, width))
        return {name: np.stack(values) for name, values in found.items()}

    def _call(self, name: str, *values: int) -> Any:
        return self._exports[name](self._store, *values)

    def _write(self, place: int, content: bytes) -> None:
        self._exports["memory"].write(self._store, content, place)

    def _read(self, place: int, size: int) -> bytes:
        return bytes(self._exports["memory"].read(self._store, place, place + size))

    def _text(self, place: int) -> str:
        return self._read(place, 64).split(b"\0")[0].decode()
