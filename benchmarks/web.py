"""The engine's WebAssembly beside onnxruntime-web, LiteRT.js and TensorFlow.js in headless Chromium, on one thread.

    npm install --prefix FOLDER onnxruntime-web @litertjs/core @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm
    python benchmarks/web.py FOLDER                             1.0-224 and 0.25-128, int8 and float32
    python benchmarks/web.py FOLDER --sizes 0.5-160 --seconds 20
    python benchmarks/web.py FOLDER --page                      from opening a page to its first label

Weights are random, of the sizes that trained ones have. ONNX Runtime and LiteRT run our exports; TensorFlow.js has no
integers, so it runs the float32 network in both tables. Answers are compared with those of the engine outside the
browser first: ours must be equal in int8, the others' within a step of their output. Every contestant is timed from a
typed array of pixels to one of logits, in turns; minimum and median in milliseconds, and ours over the best peer's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.inference import model_of
from tests.support.browser import Browser, browser

from mobilenets.architecture.layers import Convolution, DepthwiseConvolution, Linear, PointwiseConvolution
from mobilenets.base.processors import processor_name
from mobilenets.engine.session import Session
from mobilenets.engine.timing import random_pixels
from mobilenets.formats.exporting import export
from mobilenets.model.folding import fold
from mobilenets.model.model import Model

PEERS = ("onnxruntime", "litert", "tfjs")
PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>race</title>
<script type="importmap">{"imports": {"@litertjs/wasm-utils": "/npm/@litertjs/wasm-utils/dist/index.js"}}</script>
<script src="/npm/@tensorflow/tfjs-core/dist/tf-core.min.js"></script>
<script src="/npm/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js"></script>
<script>
tf.wasm.setWasmPaths("/npm/@tensorflow/tfjs-backend-wasm/dist/"); tf.wasm.setThreadsCount(1); tf.setBackend("wasm");
</script>
<script src="/web.js"></script>
"""


class Files(SimpleHTTPRequestHandler):
    """Files of a folder, in silence."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write nothing."""


def write_inputs(folder: Path, model: Model, real: Model) -> dict[str, Any]:
    """Everything that the contestants read; what the page must know of it."""
    network = model.network
    pixels = random_pixels(network)[:1]
    folder.mkdir()
    (folder / "pixels.bin").write_bytes(pixels.tobytes())
    export(model, folder / "module", "web", module=True, verify=False)
    export(model, folder / "model.onnx", verify=False)
    # LiteRT.js takes no int8 tensors from JavaScript, and no batch of open size.
    options = {} if model.quantization is None else {"uint8_input": True, "float_output": True}
    export(model, folder / "model.tflite", verify=False, **options)
    (folder / "model.tflite").write_bytes(with_one_image((folder / "model.tflite").read_bytes()))
    layers, weights = tfjs_layers(fold(real))
    (folder / "weights.bin").write_bytes(weights)
    logits = Session(model, threads=1).run(pixels)[0]
    return {
        "height": network.height,
        "width": network.width,
        "integer": model.quantization is not None,
        "mean": list(model.preprocessing.mean),
        "std": list(model.preprocessing.std),
        "layers": layers,
        "logits": logits.tolist(),
    }


def with_one_image(content: bytes) -> bytes:
    """A LiteRT file whose tensors have a batch of one where they left it open: the vectors begin with their length."""
    for dimensions in (2, 4):
        length = dimensions.to_bytes(4, "little")
        content = content.replace(length + b"\xff\xff\xff\xff", length + b"\x01\0\0\0")
    return content


def tfjs_layers(model: Model) -> tuple[list[dict[str, Any]], bytes]:
    """A MobileNet V1 as calls of TensorFlow.js, and its weights in their order."""
    layers, weights = [], []
    for layer in model.network.layers:
        weight = model.parameters.get(f"{layer.name}.weight")
        if weight is None:
            continue
        match layer:
            case Convolution() | PointwiseConvolution():
                kind, weight = (
                    "conv",
                    weight.reshape(*weight.shape[:2], *weight.shape[2:] or (1, 1)).transpose(2, 3, 1, 0),
                )
            case DepthwiseConvolution():
                kind, weight = "depthwise", weight.transpose(2, 3, 0, 1)
            case Linear():
                kind, weight = "linear", weight.T
            case _:
                raise ValueError(f"{layer.name} is of no MobileNet V1")
        stride = getattr(layer, "stride", 1)
        bias = model.parameters[f"{layer.name}.bias"]
        activation = {"relu6": "relu6", "relu": "relu", "none": "linear"}[layer.activation.value]
        layers.append(
            {
                "kind": kind,
                "stride": stride,
                "pad": "same",
                "shape": weight.shape,
                "out": bias.size,
                "activation": activation,
            }
        )
        weights += [weight, bias]
    return layers, b"".join(np.ascontiguousarray(each, np.float32).tobytes() for each in weights)


def race(page: Browser, address: str, folder: str, about: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
    """The contestants' times, ours first."""
    known = json.dumps({name: value for name, value in about.items() if name != "logits"})
    names = json.dumps(["mobilenets", *PEERS])
    page.visit(f"{address}/race.html", width=1280, height=900)
    found: list[dict[str, Any]] = page.evaluate(f"race({folder!r}, {known}, {names}, {seconds})")
    return found


def report(title: str, found: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Print one table; raises if our answers are not the engine's."""
    ours = np.array(found[0]["answers"], np.float32)
    expected = np.array(about["logits"], np.float32)
    if about["integer"] and not np.array_equal(ours, expected):
        raise SystemExit(f"{title}: the answers are not the engine's")
    print(f"\n{title}{'':30}minimum   median    runs  differs by")
    for one in found:
        if one["minimum"] is None:
            print(f"  {one['name']}")
        else:
            print(f"  {one['name']:36}{one['minimum']:9.3f}{one['median']:9.3f}{one['runs']:8}  {one['differs']:.2g}")
    timed = [one for one in found if one["minimum"] is not None]
    best = min(timed[1:], key=lambda one: one["minimum"], default=None)
    if best is not None:
        print(f"  ours over the best peer's ({best['name']}): {timed[0]['minimum'] / best['minimum']:.3f}")


FIRST_LABEL = """
addEventListener("DOMContentLoaded", async () => {
  const canvas = document.createElement("canvas");
  canvas.width = 640; canvas.height = 480;
  canvas.getContext("2d").fillRect(0, 0, 320, 240);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg"));
  const data = new DataTransfer();
  data.items.add(new File([blob], "photo.jpg", { type: "image/jpeg" }));
  new MutationObserver(() => {
    if (!window.first && document.querySelector(".labels")) window.first = performance.now();
  }).observe(document.getElementById("results"), { childList: true, subtree: true });
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
});
"""


def first_label(page: Browser, path: Path, repeats: int = 10) -> list[float]:
    """Milliseconds from opening a page from disk to the label of an image that is dropped at once."""
    page.call("Page.addScriptToEvaluateOnNewDocument", source=FIRST_LABEL)
    times = []
    for _ in range(repeats):
        page.visit(path.as_uri(), width=390, height=844)
        times.append(float(page.wait_for("window.first")))
    return times


def main() -> None:
    """Run the races."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where npm installed the peers")
    parser.add_argument("--sizes", nargs="+", default=["1.0-224", "0.25-128"])
    parser.add_argument("--precisions", nargs="+", default=["int8", "float32"])
    parser.add_argument("--seconds", type=float, default=10, help="of each race, all contestants together")
    parser.add_argument("--page", action="store_true", help="time pages from opening to the first label instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "npm").symlink_to((arguments.folder / "node_modules").resolve())
        shutil.copy(Path(__file__).with_name("web.js"), root / "web.js")
        (root / "race.html").write_text(PAGE, encoding="utf-8")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(root)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with browser(root / "profile") as page:
            print(f"{processor_name()}; {page.call('Browser.getVersion')['product']}, one thread")
            for size in arguments.sizes:
                real = model_of(size, "float32")
                for precision in arguments.precisions:
                    model = real if precision == "float32" else model_of(size, precision)
                    if arguments.page:
                        export(model, root / "page.html", verify=False)
                        times = first_label(page, root / "page.html")
                        print(
                            f"{size} {precision}: first label after {min(times):.0f} ms, median {np.median(times):.0f}"
                        )
                        continue
                    about = write_inputs(root / f"{size}-{precision}", model, real)
                    report(
                        f"{size} {precision}",
                        race(page, address, f"{size}-{precision}", about, arguments.seconds),
                        about,
                    )
        server.shutdown()


if __name__ == "__main__":
    main()
