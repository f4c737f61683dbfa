"""Detectors of 91 classes, one image on one thread: our engine beside ONNX Runtime, OpenVINO and LiteRT.

    python benchmarks/detection.py --seconds 30

SSDLite on V2 at 320×320 and SSD 300 on V1, of random weights, on which time does not depend. All runtimes run the same
network, and those whose first map of boxes differs are not timed. They take turns; printed are minimum, median and
p90, and our minimum as a share of the quickest other's. Then the same for decoding and suppression of all candidates:
native code beside the definition in NumPy.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.catalog import DETECTORS
from mobilenets.benchmark.race import fastest_peers, race
from mobilenets.benchmark.runtimes import LiteRt, OnnxRuntime, OpenVino, Ours
from mobilenets.engine.output_ranges import with_output_ranges
from mobilenets.engine.session import Session
from mobilenets.engine.timing import random_pixels
from mobilenets.errors import MissingDependencyError
from mobilenets.model.model import Model
from mobilenets.search.measuring import synthetic_model
from mobilenets.tasks.anchors import published_levels, tensorflow_shapes
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, ScoreMeaning
from mobilenets.tasks.suppression import Suppression, detect, suppress_reference

CLASSES = 91
CANDIDATES = 0.999
"""Share of the scores below the threshold, as of a detector that has learned what is background."""
NETWORKS = {"ssdlite_mobilenet_v2": (320, ScoreMeaning.SIGMOID), "ssd_mobilenet_v1": (300, ScoreMeaning.SOFTMAX)}


class LiteRtMaps(LiteRt):
    """LiteRT, whose maps hold their channels last."""

    def logits(self, output: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The first map as the engine orders it."""
        real = np.asarray(super().logits(output))
        return real.transpose(0, 3, 1, 2) if real.ndim == 4 else real


def main() -> None:
    """Print a table for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each network in each precision")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    options = parser.parse_args()
    for name in options.networks:
        model = detector(name, "float32")
        pixels = random_pixels(model.network)
        for each in (model, with_output_ranges(detector(name, "int8"), pixels)):
            compare(name, each, pixels, options.seconds)
        post_process(name, model, pixels)


def detector(name: str, precision: str) -> Model:
    """A detector with the published anchors and random weights."""
    side, scores = NETWORKS[name]
    background = scores is ScoreMeaning.SOFTMAX
    network = DETECTORS[name](resolution=side, classes=CLASSES - background)
    maps = [(shape.height, shape.width) for shape in (network.shapes[output] for output in network.outputs[::2])]
    head = AnchorHead(published_levels(tensorflow_shapes(), maps), scores)
    labels = tuple(str(number) for number in range(CLASSES - background))
    return synthetic_model(network, precision, Detection(labels, head))


def compare(name: str, model: Model, pixels: npt.NDArray[np.uint8], seconds: float) -> None:
    """Time one network in all runtimes that are installed."""
    contestants = [Ours(model, 1)]
    for kind in (OnnxRuntime, OpenVino, LiteRtMaps):
        try:
            contestants.append(kind(model, 1))
        except MissingDependencyError as error:
            print(f"skipped: {error}")
    timings = race(contestants, pixels, seconds=seconds, integer=model.quantization is not None)
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
