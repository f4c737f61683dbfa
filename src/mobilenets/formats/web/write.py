"""Model → a web page that holds it with the engine, or an ES module."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import FormatError
from mobilenets.formats.format import Options, option
from mobilenets.formats.web.engine import web_engine
from mobilenets.formats.web.model_bytes import model_bytes
from mobilenets.formats.web.sources import filled, source, viewer_parts, without_comments
from mobilenets.model.model import Model
from mobilenets.tasks.box_matching import MOST_DETECTIONS
from mobilenets.tasks.detection_heads import LARGEST_LOGARITHM
from mobilenets.tasks.suppression import MOST_CANDIDATES
from mobilenets.tasks.task import Task

MODULE_FILES = ("engine_relaxed.wasm", "engine_simd.wasm", "model.bin")
"""What index.js of a module reads from beside it."""
SCRIPTS = ("engine", "model_script", "page", "viewer")
"""Words of page.html that stand for scripts."""
PART_CHARACTERS = 1 << 16
"""Characters of an element of a page; a multiple of four, so that each can be decoded by itself."""
WORTH_WAITING, WORTH_UNPACKING = 1 << 20, 0.88
"""Of more bytes than the first, those that do not become less than the second are not compressed: a browser would take
longer to unpack them than to read them as they are."""
PREDICTIONS = {
    "classification": ("ClassPrediction", "labels"),
    "detection": ("DetectionPrediction", "detections"),
    "features": ("FeaturePrediction", "features"),
    "multilabel": ("LabelsPrediction", "labels"),
}
"""By kind of task, the type in index.d.ts of what DECODERS of model.js makes of the outputs, and its chief field."""


@dataclass(frozen=True)
class WebOptions(Options):
    """Options of :func:`write_web`."""

    module: bool = option(False, "Write FILE as the folder of an ES module with types, for npm, instead of a page")
    title: str = option("", "Heading of the page; by default what the Model is")


def write_web(model: Model, path: Path, options: WebOptions) -> None:
    """:func:`write_page` or :func:`write_module`, as the registry of formats calls it."""
    if options.module:
        write_module(model, path)
    else:
        write_page(model, path, title=options.title)


def write_page(model: Model, path: Path, *, title: str = "") -> None:
    """Write a Model as one HTML file that needs nothing else: no server, no network.

    Args:
        model: Of a task of :data:`PREDICTIONS`, float32 or int8.
        path: Where to, such as ``page.html``.
        title: Its heading.

    Raises:
        FormatError: If the page cannot show what the Model's task says, the network reads no images, or the package was
            built without the engine for pages.
        OSError: If the file cannot be written.
    """
    _check_shown(model)
    engine = web_engine()
    words = {
        "title": html.escape(title or _sentence(model.task)),
        "about": html.escape(_about(model)),
        "engine_relaxed": _packed("engine-relaxed", engine.relaxed),
        "engine_simd": _packed("engine-simd", engine.simd),
        "model": _packed("model", model_bytes(model)),
        "engine": source("engine.js"),
        "model_script": source("model.js"),
        "page": source("page.js"),
        "description": _packed("description", _description(model).encode()),
    }
    scripts = {name: without_comments(text) for name, text in (words | viewer_parts()).items() if name in SCRIPTS}
    write_atomically(path, filled(source("page.html"), words | viewer_parts() | scripts).encode())


def write_module(model: Model, folder: Path) -> None:
    """Write a Model as a folder that is an ES module: index.js, its types, package.json, the engine and the Model.

    Args:
        model: A Model of any task, float32 or int8.
        folder: Where to: a folder that is made. Its name is the package's.

    Raises:
        FormatError: If the folder's name is none that npm takes, or the package was built without the engine.
        OSError: If a file cannot be written.
    """
    if folder.suffix == ".html":
        raise FormatError(f"a module is a folder, and {folder.name} is named like a file")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._~-]{0,213}", folder.name):
        raise FormatError(f"npm takes no package of the name {folder.name!r}: small letters, digits, -, _ and . only")
    engine, content = web_engine(), model_bytes(model)
    network = model.network
    prediction, answer = "never", "const outputs = await model.outputs"
    if model.task.kind in PREDICTIONS:
        prediction, field = PREDICTIONS[model.task.kind]
        answer = f"const {{ {field}, milliseconds }} = await model.predict"
    words = {
        "name": folder.name,
        "about": _about(model),
        "engine": source("engine.js"),
        "model_script": source("model.js"),
        "prediction": prediction,
        "answer": answer,
        "description": _description(model),
        "height": str(network.height),
        "width": str(network.width),
        "channels": str(network.channels),
        "relaxed_bytes": f"{len(engine.relaxed):,}",
        "simd_bytes": f"{len(engine.simd):,}",
        "model_bytes": f"{len(content):,}",
    }
    folder.mkdir()
    for name, data in zip(MODULE_FILES, (engine.relaxed, engine.simd, content), strict=True):
        write_atomically(folder / name, data)
    for name, template in {"index.js": "index.js", "index.d.ts": "index.d.ts", "README.md": "module.md"}.items():
        write_atomically(folder / name, filled(source(template), words).encode())
    write_atomically(folder / "package.json", json.dumps(_package(model, folder.name), indent=2).encode() + b"\n")


def web_notes(model: Model, options: WebOptions) -> tuple[str, ...]:
    """What a person must know to use what was written."""
    if options.module:
        return ("import { load } from it; README.md in it says how",)
    return ("opens from disk or from any server, and asks for nothing else",)


def _package(model: Model, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0.0",
        "description": _about(model),
        "type": "module",
        "main": "./index.js",
        "types": "./index.d.ts",
        "exports": {".": {"types": "./index.d.ts", "default": "./index.js"}, "./package.json": "./package.json"},
        "files": ["index.js", "index.d.ts", *MODULE_FILES],
        "sideEffects": False,
    }


def _check_shown(model: Model) -> None:
    """Raise FormatError unless the page can show what a Model says of an image."""
    if model.task.kind not in PREDICTIONS:
        raise FormatError(
            f"a page shows what Models of the tasks {', '.join(PREDICTIONS)} say, and this one's is {model.task.kind}; "
            "a module (mobilenets export --to web --module) gives its outputs"
        )
    network = model.network
    if network.channels != model.preprocessing.channels:
        raise FormatError(f"a page reads images, and {network.name} reads {network.channels} channels")


def _about(model: Model) -> str:
    network = model.network
    return f"{_sentence(model.task)}: {network.name}, {network.height} × {network.width} pixels, {model.precision}."


def _sentence(task: Task) -> str:
    return task.description[:1].upper() + task.description[1:]


def _description(model: Model) -> str:
    """What the scripts know of a Model, as JSON."""
    detection = {
        "most": MOST_DETECTIONS,
        "most_candidates": MOST_CANDIDATES,
        "largest_logarithm": LARGEST_LOGARITHM,
    }
    description = {
        "network": model.network.name,
        "precision": model.precision,
        "outputs": list(model.network.outputs),
        "task": model.task.encode(),
        **({"detection": detection} if model.task.kind == "detection" else {}),
    }
    return json.dumps(description, ensure_ascii=False)


def _packed(name: str, content: bytes) -> str:
    """Elements that hold some bytes, compressed by gzip, in base64.

    Browsers read a long text in pieces, and take longer for each the more of it they have: so it is cut.
    """
    packed = gzip.compress(content, mtime=0)
    if len(content) > WORTH_WAITING and len(packed) > WORTH_UNPACKING * len(content):
        packed = gzip.compress(content, 0, mtime=0)
    text = base64.b64encode(packed).decode()
    parts = (text[begin : begin + PART_CHARACTERS] for begin in range(0, len(text), PART_CHARACTERS))
    return "\n".join(f'<script type="text/plain" class="{name}">{part}</script>' for part in parts)
