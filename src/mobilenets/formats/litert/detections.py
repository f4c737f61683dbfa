"""Finished detections at the end of a LiteRT graph: the operator that TensorFlow's object detection API ends in.

``TFLite_Detection_PostProcess`` is built into LiteRT's interpreter and into Android's and iOS's task libraries. It
takes boxes of one image as (down, across, log height, log width), and scores, and gives four float32 tensors: boxes
(1, most, 4) as top, left, bottom, right in sides of the input; classes (1, most); scores (1, most); and how many there
are (1,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.detections import MOST, anchor_task
from mobilenets.formats.litert.flatbuffer import Operator, Tensor
from mobilenets.model.model import Model
from mobilenets.tasks.detection_heads import ScoreMeaning
from mobilenets.tasks.suppression import Kept

if TYPE_CHECKING:
    from mobilenets.formats.litert.write import GraphWriter

OPERATOR = "TFLite_Detection_PostProcess"
OUTPUTS = ("boxes", "classes", "scores", "count")
_TRANSPOSED = [1, 0, 3, 2]
"""Across and down, width and height exchanged."""


def with_boxes_down_first(model: Model) -> Model:
    """The detector with the four channels of each anchor's box as the operator wants them: down before across."""
    _, head = anchor_task(model)
    parameters = dict(model.parameters)
    for level, name in zip(head.levels, model.network.outputs[0::2], strict=True):
        rows = (4 * np.arange(len(level.shapes))[:, None] + _TRANSPOSED).reshape(-1)
        for tensor in ("weight", "bias", "weight_scale", "weight_zero_point"):
            if (values := parameters.get(f"{name}.{tensor}")) is not None:
                parameters[f"{name}.{tensor}"] = np.ascontiguousarray(values[rows])
    return replace(model, parameters=parameters)


def append_post_processing(writer: GraphWriter, model: Model) -> None:
    """Append the operator behind the graph's outputs, which it replaces.

    Raises:
        FormatError: If the Model is no detector with anchors, or its file gives no float32 numbers.
    """
    task, head = anchor_task(model)
    graph = writer.graph
    if any(graph.tensors[index].kind != "FLOAT32" for index in graph.outputs):
        raise FormatError("the operator of detections reads real numbers: ask for float_output too")
    logits = len(task.labels) + (head.scores is ScoreMeaning.SOFTMAX)
    codes = _flat(writer, graph.outputs[0::2], "codes", 4, head.count)
    scores = _flat(writer, graph.outputs[1::2], "logits", logits, head.count)
    made = Tensor("each_score", "FLOAT32", (1, head.count, logits))
    if head.scores is ScoreMeaning.SIGMOID:
        scores = writer.operator("LOGISTIC", [scores], made)
    else:
        scores = writer.operator("SOFTMAX", [scores], made, "SoftmaxOptions", Beta=1.0)
    anchors = writer.constant("anchors", "FLOAT32", np.ascontiguousarray(head.anchors[:, _TRANSPOSED]))
    shapes = ((1, MOST, 4), (1, MOST), (1, MOST), (1,))
    outputs = [graph.add(Tensor(name, "FLOAT32", shape)) for name, shape in zip(OUTPUTS, shapes, strict=True)]
    across, down, width, height = head.coder
    settings = {
        "max_detections": MOST,
        "max_classes_per_detection": 1,
        "detections_per_class": MOST,
        "use_regular_nms": not task.class_agnostic,
        "nms_score_threshold": float(task.score_threshold),
        "nms_iou_threshold": float(task.iou_threshold),
        "num_classes": len(task.labels),
        "y_scale": float(down),
        "x_scale": float(across),
        "h_scale": float(height),
        "w_scale": float(width),
    }
    graph.operators.append(
        Operator(
            "CUSTOM", (codes, scores, anchors), outputs[0], custom=(OPERATOR, _flexible(settings)), more=outputs[1:]
        )
    )
    graph.outputs[:] = outputs


def found_in_slots(outputs: Mapping[str, npt.NDArray[Any]], images: int) -> list[Kept]:
    """What such a file gives, image by image: (images, most, …) each."""
    found = []
    for number in range(images):
        count = int(outputs["count"].reshape(images)[number])
        boxes = outputs["boxes"][number, :count][:, _TRANSPOSED]
        labels = outputs["classes"][number, :count].astype(np.int64)
        found.append(Kept(boxes, outputs["scores"][number, :count], labels))
    return found


def _flat(writer: GraphWriter, outputs: list[int], name: str, numbers: int, anchors: int) -> int:
    parts = []
    for index in outputs:
        tensor = writer.graph.tensors[index]
        count = int(np.prod(tensor.shape)) // numbers
        made = Tensor(f"{tensor.name}/anchors", "FLOAT32", (1, count, numbers))
        parts.append(writer.reshape(index, (count, numbers), made))
    if len(parts) == 1:
        return parts[0]
    made = Tensor(name, "FLOAT32", (1, anchors, numbers))
    return writer.operator("CONCATENATION", parts, made, "ConcatenationOptions", Axis=1)


def _flexible(settings: dict[str, Any]) -> bytes:
    """The settings as a flexbuffer, which custom operators read."""
    try:
        from flatbuffers import flexbuffers
    except ImportError as error:
        raise MissingDependencyError(error.name or "flatbuffers", "formats") from None
    content: bytes = bytes(flexbuffers.Dumps(settings))
    return content
