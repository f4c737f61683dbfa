"""Detectors of 91 classes, one image on one thread: our engine beside ONNX Runtime, OpenVINO and LiteRT.

    python benchmarks/detection.py --seconds 30

SSDLite on V2 at 320×320 and SSD 300 on V1, of random weights, on which time does not depend. All runtimes run the same
network, and those of which any map differs are not timed; in int8 each also runs a model of its own quantizer, marked
(own). They take turns; printed are minimum, median and p90, and our minimum as a share of the quickest other's. Then
the same for decoding and suppression of all candidates: native code beside the definition in NumPy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.random_models import random_model

from mobilenets.architecture.catalog import DETECTORS
from mobilenets.base.progress import Progress
from mobilenets.benchmark.benchmark import gather
from mobilenets.benchmark.race import fastest_peers, race
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.compression.rounding import WeightRounding
from mobilenets.engine.session import Session
from mobilenets.engine.timing import random_pixels
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.recalibration import recalibrated
from mobilenets.tasks.anchors import published_levels, tensorflow_shapes
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, ScoreMeaning
from mobilenets.tasks.suppression import Suppression, detect, suppress_reference

CLASSES = 91
CANDIDATES = 0.999
"""Share of the scores below the threshold, as of a detector that has learned what is background."""
PEERS = ("onnxruntime", "openvino", "litert")
CALIBRATION_IMAGES, RECALIBRATION_IMAGES = 8, 4
FLOAT_TOLERANCE = 5e-3
"""Of some hundred thousand values of all maps, the largest difference is larger than that of a thousand logits."""
OWN_TOLERANCE = 1.0
"""Random weights lose more in 8 bits than trained ones; this only tells a model of a peer's own from another one."""
QUICKLY = QuantizationConfig(
    rounding=WeightRounding.NEAREST, equalize=False, absorb=False, bias_correction=False, deviation_correction=False
)
"""Of an int8 Model by whose times alone something is told."""
NETWORKS = {"ssdlite_mobilenet_v2": (320, ScoreMeaning.SIGMOID), "ssd_mobilenet_v1": (300, ScoreMeaning.SOFTMAX)}


class Printed(Progress):
    """Says what is left out."""

    def note(self, message: str) -> None:
        """Print a line."""
        print(message)


def main() -> None:
    """Print a table for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each network in each precision")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    options = parser.parse_args()
    for name in options.networks:
        model = detector(name)
        images = random_pixels(model.network, CALIBRATION_IMAGES)
        for each in (model, quantize_with_images(model, images, QUICKLY).model):
            compare(name, each, images, options.seconds)
        post_process(name, model, images[:1])


def detector(name: str) -> Model:
    """A float32 detector with the published anchors and random weights, whose activations are as trained ones are."""
    side, scores = NETWORKS[name]
    background = scores is ScoreMeaning.SOFTMAX
    network = DETECTORS[name](resolution=side, classes=CLASSES - background)
    maps = [(shape.height, shape.width) for shape in (network.shapes[output] for output in network.outputs[::2])]
    head = AnchorHead(published_levels(tensorflow_shapes(), maps), scores)
    labels = tuple(str(number) for number in range(CLASSES - background))
    drawn = random_model(np.random.default_rng(0), network, Preprocessing(), task=Detection(labels, head))
    return recalibrated(drawn, random_pixels(network, RECALIBRATION_IMAGES))


def compare(name: str, model: Model, images: npt.NDArray[np.uint8], seconds: float) -> None:
    """Time one network in all runtimes that are installed."""
    contestants = gather(model, PEERS, 1, images, Printed())
    timings = race(
        contestants,
        images[:1],
        seconds=seconds,
        integer=model.quantization is not None,
        images=images,
        float_tolerance=FLOAT_TOLERANCE,
        own_tolerance=OWN_TOLERANCE,
    )
    print(f"\n{name}, {model.precision}, one thread, ms      min   median      p90")
    for timing in timings:
        if timing.timed:
            ordered = sorted(timing.seconds)
            figures = ordered[0], statistics.median(ordered), ordered[int(0.9 * (len(ordered) - 1))]
            print(f"  {timing.label:<30}" + "".join(f"{1e3 * figure:9.3f}" for figure in figures))
        else:
            print(f"  {timing.label:<30} other answers: {timing.difference:.2g} of their spread")
    peers = fastest_peers(timings)
    if peers:
        print(f"  ours / the quickest other      {timings[0].minimum / min(peer.minimum for peer in peers):9.2f}")


def post_process(name: str, model: Model, pixels: npt.NDArray[np.uint8], repeats: int = 30) -> None:
    """Time what comes after the network, in native code and in NumPy; both must keep the same boxes."""
    task = model.task
    assert isinstance(task, Detection)
    assert isinstance(task.head, AnchorHead)
    outputs = list(Session(model, 1).outputs(pixels).values())
    boxes, scores = task.head.decode(outputs)
    rule = Suppression(task.iou_threshold, float(np.quantile(scores, CANDIDATES)), 100)
    kept, expected = (
        detect(task.head, outputs, len(task.labels), rule)[0],
        suppress_reference(boxes[0], scores[0], rule),
    )
    if not np.allclose(kept.boxes, expected.boxes, atol=1e-5):
        raise SystemExit(f"{name}: native code keeps other boxes than the definition")
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        detect(task.head, outputs, len(task.labels), rule)
        times.append(time.perf_counter() - begun)
    print(f"  decoding and suppression of {task.head.count:,} × {len(task.labels)}: {1e3 * min(times):.3f} ms")


if __name__ == "__main__":
    main()
