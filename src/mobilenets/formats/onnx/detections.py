"""Finished detections at the end of an ONNX graph: decoding and NonMaxSuppression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.formats.detections import MOST, anchor_task
from mobilenets.formats.onnx.writer import OnnxWriter
from mobilenets.model.model import Model
from mobilenets.tasks.detection_heads import LARGEST_LOGARITHM, ScoreMeaning
from mobilenets.tasks.suppression import Kept

OUTPUTS = ("images", "boxes", "labels", "scores")
"""What such a file gives for all boxes of all images together: the image's number in the batch, int64 (K,); left, top,
right and bottom in sides of the input, float32 (K, 4); the class, int64 (K,); and the score, float32 (K,), the highest
first."""
PREFIX = "/detections"


def append_suppression(writer: OnnxWriter, model: Model) -> list[Any]:
    """Append the nodes behind the network's outputs, and return what stands for the graph's outputs.

    Raises:
        FormatError: If the Model is no detector with anchors.
    """
    task, head = anchor_task(model)
    codes = _flat(writer, model.network.outputs[0::2], "boxes", 4)
    classes = len(task.labels)
    logits = classes if head.scores is ScoreMeaning.SIGMOID else classes + 1
    scores = _scores(writer, _flat(writer, model.network.outputs[1::2], "logits", logits), head.scores)
    boxes = _boxes(writer, codes, head.anchors, np.array(head.coder, np.float32))
    by_class = _node(writer, "Transpose", [scores], "by_class", perm=[0, 2, 1])
    limits = [
        _constant(writer, name, np.array([value], kind))
        for name, value, kind in (
            ("most", MOST, np.int64),
            ("iou_threshold", task.iou_threshold, np.float32),
            ("score_threshold", task.score_threshold, np.float32),
        )
    ]
    chosen = _node(writer, "NonMaxSuppression", [boxes, by_class, *limits], "chosen")  # (K, 3): image, class, anchor
    values = _node(writer, "GatherND", [by_class, chosen], "unordered_scores")
    count = _node(writer, "Shape", [values], "count")
    ordered = f"{PREFIX}/ordered"
    writer.nodes.append(
        writer.onnx.helper.make_node("TopK", [values, count], ["scores", ordered], f"{PREFIX}/TopK", sorted=1)
    )
    best = _node(writer, "Gather", [chosen, ordered], "best", axis=0)
    for name, column in (("images", 0), ("labels", 1)):
        index = _constant(writer, f"column{column}", np.array(column, np.int64))
        writer.node("Gather", [best, index], name, axis=1)
    places = _node(writer, "Gather", [best, _constant(writer, "place", np.array([0, 2], np.int64))], "places", axis=1)
    writer.node("GatherND", [boxes, places], "boxes")
    proto = writer.onnx.TensorProto
    kinds = {"images": proto.INT64, "boxes": proto.FLOAT, "labels": proto.INT64, "scores": proto.FLOAT}
    return [
        writer.onnx.helper.make_tensor_value_info(name, kinds[name], ["found", 4] if name == "boxes" else ["found"])
        for name in OUTPUTS
    ]


def found_by_image(outputs: Mapping[str, npt.NDArray[Any]], images: int) -> list[Kept]:
    """What such a file gives, image by image."""
    found = []
    for number in range(images):
        own = np.flatnonzero(outputs["images"] == number)[:MOST]
        found.append(Kept(outputs["boxes"][own], outputs["scores"][own], outputs["labels"][own]))
    return found


def _flat(writer: OnnxWriter, outputs: tuple[str, ...], kind: str, numbers: int) -> str:
    """Maps of all levels anchor by anchor, (N, A, numbers)."""
    shape = _constant(writer, f"{kind}/shape", np.array([0, -1, numbers], np.int64))
    parts = []
    for name in outputs:
        if writer.model.network.shapes[name][1:] != (1, 1):  # else it is (N, channels) already
            name = _node(writer, "Transpose", [name], f"{name}/transposed", perm=[0, 2, 3, 1])
        parts.append(_node(writer, "Reshape", [name, shape], f"{name.removeprefix(PREFIX)}/flat"))
    return _node(writer, "Concat", parts, kind, axis=1) if len(parts) > 1 else parts[0]


def _scores(writer: OnnxWriter, logits: str, meaning: ScoreMeaning) -> str:
    if meaning is ScoreMeaning.SIGMOID:
        return _node(writer, "Sigmoid", [logits], "each_score")
    shares = _node(writer, "Softmax", [logits], "shares", axis=2)
    ends = [_constant(writer, name, np.array([value], np.int64)) for name, value in (("one", 1), ("end", 1 << 31))]
    return _node(writer, "Slice", [shares, *ends, _constant(writer, "axis", np.array([2], np.int64))], "each_score")


def _boxes(writer: OnnxWriter, codes: str, anchors: npt.NDArray[np.float32], coder: npt.NDArray[np.float32]) -> str:
    """Left, top, right and bottom of every anchor's box, (N, A, 4)."""
    scaled = _node(writer, "Mul", [codes, _constant(writer, "coder", (1 / coder).reshape(1, 1, 4))], "scaled")
    halves = f"{PREFIX}/offset", f"{PREFIX}/logarithm"
    split = _constant(writer, "halves", np.array([2, 2], np.int64))
    writer.nodes.append(writer.onnx.helper.make_node("Split", [scaled, split], halves, f"{PREFIX}/Split", axis=2))
    size = _constant(writer, "sizes", anchors[None, :, 2:].copy())
    moved = _node(writer, "Mul", [halves[0], size], "moved")
    centre = _node(writer, "Add", [moved, _constant(writer, "centres", anchors[None, :, :2].copy())], "centre")
    most = _constant(writer, "largest_logarithm", np.array(LARGEST_LOGARITHM, np.float32))
    grown = _node(writer, "Exp", [_node(writer, "Min", [halves[1], most], "bounded")], "grown")
    half = _node(writer, "Mul", [grown, _constant(writer, "half_sizes", anchors[None, :, 2:] / 2)], "half")
    low, high = (_node(writer, operator, [centre, half], name) for operator, name in (("Sub", "low"), ("Add", "high")))
    return _node(writer, "Concat", [low, high], "every_box", axis=2)


def _node(writer: OnnxWriter, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
    return writer.node(operator, inputs, f"{PREFIX}/{name.removeprefix('/')}", **attributes)


def _constant(writer: OnnxWriter, name: str, values: npt.NDArray[Any]) -> str:
    return writer.constant(f"{PREFIX}.{name}", values)
