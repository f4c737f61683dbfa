"""The engine's WebAssembly, run by Node.js on many Models in one program."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mobilenets.errors import FormatError
from mobilenets.formats.exporting import export
from mobilenets.formats.web.engine import web_engine
from mobilenets.formats.web.model_bytes import model_bytes
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

RELAXED = "--experimental-wasm-relaxed-simd"
"""Flag of Node.js before release 21, without which it has no relaxed dot products."""

_RUNNER = """
import { readFileSync, writeFileSync } from "node:fs";
import { Engine } from "./engine.mjs";
const binary = readFileSync(`engine_${Engine.kind}.wasm`);
const found = [];
for (const { model, pixels, images } of JSON.parse(readFileSync("cases.json"))) {
  const entry = {};
  try {
    const engine = await Engine.load(binary, readFileSync(model)), made = [], inputs = [];
    entry.set = engine.instructionSet;
    entry.kernels = Array.from({ length: 200 }, (_, i) => engine.kernel(i)).filter(Boolean);
    const bytes = pixels ? readFileSync(pixels) : new Uint8Array(), size = engine.input.length;
    for (let at = 0; at < bytes.length; at += size) {
      engine.input.set(bytes.subarray(at, at + size));
      for (const values of engine.run()) made.push(Buffer.from(values.buffer));
    }
    for (const { data, width, height } of images) {
      engine.prepare({ data: readFileSync(data), width, height });
      inputs.push(Buffer.from(engine.input.slice()));
    }
    entry.outputs = Buffer.concat(made).toString("base64");
    entry.inputs = inputs.map((input) => input.toString("base64"));
  } catch (error) {
    entry.error = error.message;
  }
  found.push(entry);
}
writeFileSync("found.json", JSON.stringify(found));
"""


class WebRun:
    """What the engine made of one Model."""

    def __init__(self, model: Model, found: Mapping[str, Any], count: int) -> None:
        self.model, self._found, self._count = model, found, count

    @property
    def error(self) -> str | None:
        """What it refused the Model with."""
        return self._found.get("error")

    @property
    def instruction_set(self) -> str:
        """Which engine ran."""
        return str(self._found["set"])

    @property
    def kernels(self) -> list[str]:
        """Name of the last kernel of each step."""
        return list(self._found["kernels"])

    @property
    def inputs(self) -> list[Pixels]:
        """What each image became."""
        network = self.model.network
        shape = network.height, network.width, network.channels
        return [np.frombuffer(_bytes(each), np.uint8).reshape(shape) for each in self._found["inputs"]]

    @property
    def outputs(self) -> dict[str, npt.NDArray[np.float32]]:
        """By name, as a Session gives them."""
        assert self.error is None, self.error
        values = np.frombuffer(_bytes(self._found["outputs"]), "<f4").reshape(self._count, -1)
        made, begin = {}, 0
        for name in self.model.network.outputs:
            channels, height, width = self.model.network.shapes[name]
            end = begin + channels * height * width
            shape = (channels,) if height == width == 1 else (channels, height, width)
            made[name] = values[:, begin:end].reshape(self._count, *shape)
            begin = end
        return made


def run_in_node(
    folder: Path, models: Sequence[tuple[Model | bytes, Pixels | None, Sequence[Pixels]]], *flags: str
) -> list[WebRun]:
    """Run Models in one Node.js; the test is skipped where there is none, or the package has no engine for it.

    Args:
        folder: Where to work.
        models: Each with pixels of its own size, (N, height, width, channels), and RGB images of any size to prepare.
            Bytes stand for a damaged Model.
        flags: Flags of Node.js.
    """
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("there is no Node.js here")
    try:
        engine = web_engine()
    except FormatError as error:
        pytest.skip(str(error))
    (folder / "engine_relaxed.wasm").write_bytes(engine.relaxed)
    (folder / "engine_simd.wasm").write_bytes(engine.simd)
    source = files("mobilenets.formats").joinpath("web", "engine.js").read_text(encoding="utf-8")
    (folder / "engine.mjs").write_text(source + "\nexport { Engine };\n", encoding="utf-8")
    (folder / "runner.mjs").write_text(_RUNNER, encoding="utf-8")
    cases = [_case(folder, number, *each) for number, each in enumerate(models)]
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    ran = subprocess.run([node, *flags, "runner.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    if "bad option" in ran.stderr and flags:  # it has what the flag would give
        return run_in_node(folder, models)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return [
        WebRun(model, entry, 0 if pixels is None else len(pixels))  # type: ignore[arg-type]
        for (model, pixels, _), entry in zip(models, found, strict=True)
    ]


_PREDICT = """
import { readFileSync, writeFileSync } from "node:fs";
const found = [];
for (const { module, options, images } of JSON.parse(readFileSync("cases.json"))) {
  const { load } = await import(`./${module}/index.js`), model = await load();
  const given = images.map(({ data, width, height }) => ({ data: readFileSync(data), width, height }));
  found.push(await Promise.all(given.map((image) => model.predict(image, options).then(
    ({ milliseconds, features, ...said }) => (features ? { features: [...features] } : said),
    (error) => ({ error: error.message })))));
}
writeFileSync("found.json", JSON.stringify(found));
"""


def predict_in_node(
    folder: Path, models: Sequence[tuple[Model, Mapping[str, Any], Sequence[Pixels]]], *flags: str
) -> list[list[dict[str, Any]]]:
    """What modules say of images, several at once; the test is skipped where there is no Node.js, or no engine for it.

    Args:
        folder: Where to work.
        models: Each with what ``predict`` of its module is asked, and RGB images of any size.
        flags: Flags of Node.js.
    """
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("there is no Node.js here")
    cases = []
    for number, (model, options, images) in enumerate(models):
        try:
            export(model, folder / f"module{number}", "web", module=True, verify=False)
        except FormatError as error:
            pytest.skip(str(error))
        cases.append({"module": f"module{number}", "options": options, "images": _images(folder, number, images)})
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    (folder / "predict.mjs").write_text(_PREDICT, encoding="utf-8")
    ran = subprocess.run([node, *flags, "predict.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found: list[list[dict[str, Any]]] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return found


def _case(
    folder: Path, number: int, model: Model | bytes, pixels: Pixels | None, images: Sequence[Pixels]
) -> dict[str, Any]:
    case: dict[str, Any] = {"model": f"model{number}", "pixels": None}
    (folder / case["model"]).write_bytes(model if isinstance(model, bytes) else model_bytes(model))
    if pixels is not None:
        case["pixels"] = f"pixels{number}"
        (folder / case["pixels"]).write_bytes(np.ascontiguousarray(pixels).tobytes())
    case["images"] = _images(folder, number, images)
    return case


def _images(folder: Path, number: int, images: Sequence[Pixels]) -> list[dict[str, Any]]:
    """RGB images as files of RGBA pixels."""
    cases = []
    for at, image in enumerate(images):
        height, width = image.shape[:2]
        name = f"image{number}-{at}"
        (folder / name).write_bytes(np.dstack([image, np.full((height, width), 255, np.uint8)]).tobytes())
        cases.append({"data": name, "width": width, "height": height})
    return cases


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
