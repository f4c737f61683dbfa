"""Post-processing of a detector: 1,917 anchors and 90 classes, ours beside LiteRT's operator, on one thread.

    python benchmarks/box_suppression.py [--softmax]

Both decode boxes relative to anchors and suppress them class by class. LiteRT's operator is given scores; ours begins
one step earlier, at the logits, and computes the scores it needs. That both keep the same boxes is checked first. Then
they take turns, and the minimum, median and 90th percentile are printed. Without ai-edge-litert only ours is timed.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
from flatbuffers import flexbuffers

from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, ScoreMeaning, scores_of
from mobilenets.tasks.suppression import Kept, Suppression, detect

GRIDS, ANCHORS, CLASSES = (19, 10, 5, 3, 2, 1), (3, 6, 6, 6, 6, 6), 90
RULE = Suppression(iou_threshold=0.6, score_threshold=0.3, most=100)
SWAPPED = [1, 0, 3, 2]


def main() -> None:
    """Check and time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--objects", type=int, default=20, help="Anchors whose logit of one class is high.")
    parser.add_argument("--softmax", action="store_true", help="Random logits of a softmax, of which few pass.")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    head, outputs = example_of_softmax(rng) if options.softmax else example(rng, options.objects)
    contestants: dict[str, Callable[[], object]] = {"ours": lambda: detect(head, outputs, CLASSES, RULE)}
    operator = litert(head, outputs)
    if operator is not None:
        contestants["LiteRT"], answer = operator
        check(detect(head, outputs, CLASSES, RULE)[0], answer)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.repeats):
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - begun))
    print(f"{platform.processor() or platform.machine()}, one thread, {head.count} anchors, {CLASSES} classes, ms")
    for name, measured in times.items():
        low, median, high = np.min(measured), np.median(measured), np.percentile(measured, 90)
        print(f"{name:8} min {low:.3f}  median {median:.3f}  p90 {high:.3f}")


def levels_of(rng: np.random.Generator) -> tuple[AnchorLevel, ...]:
    """Anchors as SSD has them on a network of 300×300 pixels."""
    return tuple(
        AnchorLevel(grid, grid, tuple(map(tuple, rng.uniform(0.05, 0.6, (count, 2)).tolist())))
        for grid, count in zip(GRIDS, ANCHORS, strict=True)
    )


def example_of_softmax(rng: np.random.Generator) -> tuple[AnchorHead, list[np.ndarray]]:
    """A head with a logit of the background, and outputs of a network that is sure of hardly anything."""
    outputs: list[np.ndarray] = []
    for grid, count in zip(GRIDS, ANCHORS, strict=True):
        outputs.append(rng.normal(0, 1, (1, 4 * count, grid, grid)).astype(np.float32))
        outputs.append(rng.normal(0, 1, (1, (CLASSES + 1) * count, grid, grid)).astype(np.float32))
    return AnchorHead(levels_of(rng), ScoreMeaning.SOFTMAX), outputs


def example(rng: np.random.Generator, objects: int) -> tuple[AnchorHead, list[np.ndarray]]:
    """A head with a sigmoid for each class, and outputs with some objects."""
    levels = levels_of(rng)
    outputs: list[np.ndarray] = []
    for grid, count in zip(GRIDS, ANCHORS, strict=True):
        outputs.append(rng.normal(0, 1, (1, 4 * count, grid, grid)).astype(np.float32))
        outputs.append(rng.normal(-7, 1, (1, CLASSES * count, grid, grid)).astype(np.float32))
    for number in range(objects):
        logits = outputs[2 * (number % 3) + 1]
        logits[0, rng.integers(logits.shape[1]), rng.integers(logits.shape[2]), rng.integers(logits.shape[3])] = (
            2 + number / 10
        )
    return AnchorHead(levels), outputs


def litert(head: AnchorHead, outputs: list[np.ndarray]) -> tuple[Callable[[], object], Kept] | None:
    """What runs LiteRT's operator on the same candidates, and its answer; None where it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        print("ai-edge-litert is not installed: only ours is timed")
        return None
    codes, logits = head.flat(outputs)
    interpreter = Interpreter(model_content=operator_alone(head), num_threads=1)
    interpreter.allocate_tensors()
    given = {"codes": codes[..., SWAPPED], "scores": scores_of(logits, head.scores)}
    for one in interpreter.get_input_details():
        interpreter.set_tensor(one["index"], np.ascontiguousarray(given[one["name"]]))
    interpreter.invoke()
    boxes, labels, scores, count = (interpreter.get_tensor(one["index"])[0] for one in interpreter.get_output_details())
    kept = int(count)
    return interpreter.invoke, Kept(boxes[:kept][:, SWAPPED], scores[:kept], labels[:kept].astype(np.int64))


def operator_alone(head: AnchorHead) -> bytes:
    """A file of nothing but the operator."""
    graph = Subgraph("main")
    graph.inputs += [
        graph.add(Tensor("codes", "FLOAT32", (1, head.count, 4))),
        graph.add(Tensor("scores", "FLOAT32", (1, head.count, CLASSES))),
    ]
    anchors = np.ascontiguousarray(head.anchors[:, SWAPPED])
    inputs = (*graph.inputs, graph.add(Tensor("anchors", "FLOAT32", anchors.shape, anchors)))
    shapes = {"boxes": (1, RULE.most, 4), "classes": (1, RULE.most), "scores_out": (1, RULE.most), "count": (1,)}
    graph.outputs += [graph.add(Tensor(name, "FLOAT32", shape)) for name, shape in shapes.items()]
    settings = {
        "max_detections": RULE.most, "max_classes_per_detection": 1, "detections_per_class": RULE.most,
        "use_regular_nms": True, "nms_score_threshold": RULE.score_threshold, "nms_iou_threshold": RULE.iou_threshold,
        "num_classes": CLASSES, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
    }  # fmt: skip
    custom = ("TFLite_Detection_PostProcess", bytes(flexbuffers.Dumps(settings)))
    graph.operators.append(Operator("CUSTOM", inputs, graph.outputs[0], custom=custom, more=graph.outputs[1:]))
    return serialize(graph, {})


def check(ours: Kept, theirs: Kept) -> None:
    """Raise unless both keep the same boxes."""
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)
    np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=1e-4, atol=1e-5)
    print(f"both keep the same {len(ours.labels)} boxes")


if __name__ == "__main__":
    main()
