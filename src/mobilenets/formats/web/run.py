"""A written page or module, run by Node.js."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError
from mobilenets.formats.web.sources import source
from mobilenets.formats.web.write import MODULE_FILES
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]

PACKED = ("engine-relaxed", "engine-simd", "model")
"""Class of the elements of a page that hold what a module has as files, in the same order."""


class NoNodeError(FormatError):
    """There is no Node.js here to run a page or module with."""


def run_web(model: Model, path: Path, pixels: Pixels, *flags: str) -> dict[str, Array]:
    """Outputs of a page or module that Node.js runs.

    Args:
        model: What it was written from.
        path: The page, or the folder of the module.
        pixels: uint8, (N, height, width, channels).
        flags: Flags of Node.js.

    Returns:
        By output name, float32: (N, C) where the output is 1×1, else (N, C, H, W).

    Raises:
        FormatError: If it does not run.
        NoNodeError: If there is no Node.js, or one without WebAssembly SIMD.
    """
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        raise NoNodeError("there is no Node.js here")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in zip(MODULE_FILES, _parts(path), strict=True):
            (folder / file).write_bytes(content)
        (folder / "engine.mjs").write_text(source("engine.js") + "\nexport { Engine };\n", encoding="utf-8")
        (folder / "run.mjs").write_text(source("run.mjs"), encoding="utf-8")
        (folder / "pixels.bin").write_bytes(np.ascontiguousarray(pixels).tobytes())
        ran = subprocess.run([node, *flags, str(folder / "run.mjs"), name], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            message = re.search(r"^\w*Error: (.+)$", ran.stderr, re.MULTILINE)
            said = message[1] if message else ran.stderr.strip()[-300:]
            raise (NoNodeError if "too old" in said else FormatError)(f"{path.name} does not run in Node.js: {said}")
        values = np.frombuffer((folder / "outputs.bin").read_bytes(), "<f4").reshape(len(pixels), -1)
    return _outputs(model, values)


def _parts(path: Path) -> list[bytes]:
    """The engine, with and without relaxed dot products, and the Model, as they stand in a page or module."""
    if path.is_dir():
        return [(path / name).read_bytes() for name in MODULE_FILES]
    text = path.read_text(encoding="utf-8")
    found = ["".join(re.findall(rf'class="{name}">([^<]+)</script>', text)) for name in PACKED]
    return [gzip.decompress(base64.b64decode(each)) for each in found]


def _outputs(model: Model, values: Array) -> dict[str, Array]:
    found = {}
    begin = 0
    for name in model.network.outputs:
        channels, height, width = model.network.shapes[name]
        end = begin + channels * height * width
        shape = (channels,) if height == width == 1 else (channels, height, width)
        found[name] = values[:, begin:end].reshape(len(values), *shape)
        begin = end
    return found
