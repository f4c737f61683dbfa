"""Whether imported networks answer as the runtimes and frameworks that their files come from do.

    python benchmarks/fidelity.py --data ../shared/data
    python benchmarks/fidelity.py --only rapidocr --rapidocr ch_ppocr_mobile_v2.0_cls_infer.onnx
    python benchmarks/fidelity.py --only frameworks --frameworks FOLDER

The file of the second line is in the package rapidocr-onnxruntime 1.4.4. The folder of the third is made in an
environment of its own by ``benchmarks/framework_networks.py``: networks of timm and torchvision with random weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.data.dataset import load_collection
from mobilenets.data.loading import prepare
from mobilenets.data.sources import images_of
from mobilenets.engine.session import Session
from mobilenets.formats.importing import import_model
from mobilenets.model import reference

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the files of the tests

from tests.support.litert_graphs import with_logits_as_output

CALIBRATION = 64
"""Images of the sample that calibrate torchvision's V2; the others evaluate."""
BIRDS = 50
"""Images of the sample on which the uint8 network of birds is compared."""


def torchvision(data: Path) -> str:
    """Logits of torchvision's trained V2 against its own float64 logits."""
    model = import_model(data / "weights" / "mobilenet_v2_torchvision.pth")
    golden, pixels = (np.load(data / "weights" / name) for name in ("golden_v2.npz", "golden.npz"))
    images, logits = pixels["pixels_224"], golden["logits"]
    (exact,) = reference.run_reference(model, images).values()
    fast = Session(model).run(images)
    errors = [np.abs(found.reshape(logits.shape) - logits).max() / np.abs(logits).max() for found in (exact, fast)]
    same = int((fast.argmax(axis=1) == logits.argmax(axis=1)).sum())
    return (
        f"reference {errors[0]:.1e} and engine {errors[1]:.1e} of the largest logit; top-1 of {same} of {len(logits)}"
    )


def birds(data: Path) -> str:
    """Bytes of the uint8 V2 against LiteRT's, image by image."""
    from ai_edge_litert.interpreter import Interpreter

    path = data / "weights" / "mobilenet_v2_1.0_224_inat_bird_quant.tflite"
    model = import_model(path)
    found = images_of([data / "imagenet-sample"])[:BIRDS]
    pixels = np.stack([model.preprocessing.apply(image.open(), 224, 224) for image in found])
    interpreter = Interpreter(model_content=with_logits_as_output(path.read_bytes()))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = target["quantization"]
    steps = []
    for image, logits in zip(pixels, Session(model).run(pixels), strict=True):
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        ours = np.clip(np.rint(logits / np.float32(scale)).astype(int) + zero_point, 0, 255)
        steps.append(np.abs(ours - interpreter.get_tensor(target["index"])[0].astype(int)).max())
    return f"{steps.count(0)} of {len(steps)} images byte for byte; the others within {max(steps)} steps"


def rapidocr(file: Path) -> str:
    """Probabilities of a V3 for lines of text against ONNX Runtime's."""
    from onnxruntime import InferenceSession

    model = import_model(file, resolution=(48, 192), input_scaling="-1..1")
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (8, 6, 24, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    pixels = np.concatenate([coarse, random.integers(0, 256, (8, 48, 192, 3), np.uint8)])
    session = InferenceSession(file)
    maps = (pixels / np.float32(127.5) - 1).transpose(0, 3, 1, 2).astype(np.float32)
    wanted = session.run(None, {session.get_inputs()[0].name: maps})[0]
    logits = Session(model).run(pixels)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = np.abs(shares / shares.sum(axis=1, keepdims=True) - wanted).max()
    return f"probabilities within {error:.1e} of ONNX Runtime's on {len(pixels)} inputs"


def post_training(data: Path, draws: int) -> str:
    """int8 of torchvision's V2, calibrated on some images of the sample and compared on the others.

    The first draw is the files in the order of their names, evenly spread; the others are random. One is of too few
    images to tell two points of agreement apart.
    """
    model = import_model(data / "weights" / "mobilenet_v2_torchvision.pth")
    collection = load_collection(data / "imagenet-sample" / "labels.csv")
    images = prepare(collection.everything, model.preprocessing, 224, 224)
    targets = np.array(collection.class_indices)[images.targets]
    by_name = np.argsort([image.name for image in collection.everything.images])
    lines, total = [], np.zeros(4, int)
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(targets)) if draw else by_name
        chosen = order[np.unique(np.linspace(0, len(targets) - 1, CALIBRATION).round().astype(int))]
        others = np.setdiff1d(np.arange(len(targets)), chosen)
        made = quantize_with_images(model, images.pixels[chosen])
        report = EvaluationSet.of(model, images.pixels[others], targets[others]).report(made.model)
        same = round(report.agreement.value * report.agreement.total)
        counts = np.array([same, len(others), report.lost, report.gained])
        total += counts
        lines.append(f"  draw {draw}: agreement {same} of {len(others)}, {report.lost} lost, {report.gained} gained")
    same, count, lost, gained = total.tolist()
    return (
        f"agreement {100 * same / count:.1f} % of {count}, {lost} lost, {gained} gained: top-1 "
        f"{100 * (gained - lost) / count:+.2f} points\n" + "\n".join(lines)
    )


def frameworks(folder: Path) -> str:
    """Logits of networks with random weights against those of timm and torchvision in float64, one line each."""
    lines, largest = [], 0.0
    for made in sorted(path for path in folder.iterdir() if (path / "io.npz").exists()):
        numbers = np.load(made / "io.npz")
        source = made if (made / "config.json").exists() else made / "model.safetensors"
        model = import_model(source, resolution=numbers["pixels"].shape[1], input_scaling="-1..1")
        (found,) = reference.run_reference(model, numbers["pixels"]).values()
        error = np.abs(found - numbers["logits"]).max() / np.abs(numbers["logits"]).max()
        largest = max(largest, error)
        lines.append(f"  {made.name:<42} {model.network.name}@{model.network.width_multiplier:g}  {error:.1e}")
    return "\n".join([f"{len(lines)} networks, largest difference {largest:.1e} of the largest logit", *lines])


def main() -> None:
    """Print one line a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the shared data")
    parser.add_argument("--rapidocr", type=Path, help="ONNX file of the text-direction classifier")
    parser.add_argument("--frameworks", type=Path, help="folder that framework_networks.py made")
    parser.add_argument("--draws", type=int, default=5, help="choices of calibration images; a minute of one core each")
    names = ("torchvision", "birds", "post-training", "rapidocr", "frameworks")
    parser.add_argument("--only", choices=names, help="one row")
    arguments = parser.parse_args()
    rows: dict[str, Callable[[], str]] = {
        "torchvision": lambda: torchvision(arguments.data),
        "birds": lambda: birds(arguments.data),
        "post-training": lambda: post_training(arguments.data, arguments.draws),
    }
    if arguments.rapidocr:
        rows["rapidocr"] = lambda: rapidocr(arguments.rapidocr)
    if arguments.frameworks:
        rows["frameworks"] = lambda: frameworks(arguments.frameworks)
    if arguments.only and arguments.only not in rows:
        parser.error(f"--only {arguments.only} needs --{arguments.only} too")
    for name, row in rows.items():
        if arguments.only in (None, name):
            begun = time.process_time()
            result = row()
            print(f"{name} ({time.process_time() - begun:.0f} s of processor time): {result}", flush=True)


if __name__ == "__main__":
    main()
