"""LiteRT files as TensorFlow's Object Detection API exports its SSDs, without a description."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_int8_model, random_model

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
from mobilenets.architecture.networks.ssd import ssd
from mobilenets.formats.litert.detections import OPERATOR, with_boxes_down_first
from mobilenets.formats.litert.flatbuffer import Operator, Subgraph, Tensor, serialize
from mobilenets.formats.litert.write import litert_graph
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.model.quantization import TensorQuantization
from mobilenets.tasks.anchors import published_levels, tensorflow_shapes
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, ScoreMeaning

SIDE, CLASSES = 96, 4
SETTINGS: dict[str, Any] = {
    "max_detections": 20,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": False,
    "nms_score_threshold": 1e-8,
    "nms_iou_threshold": 0.6,
    "num_classes": CLASSES,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}
"""What ``export_tflite_ssd_graph.py`` writes."""


def od_detector(*, uint8: bool = False, version: int = 1) -> Model:
    """SSD with random weights and a logit for the background; uint8 with one scale per layer, as TensorFlow 1 had."""
    build = mobilenet_v1 if version == 1 else mobilenet_v2
    network = ssd(build(width_multiplier=0.25, resolution=SIDE), classes=CLASSES, background=True)
    layers = tuple(
        replace(layer, activation=Activation.RELU6) if layer.activation is Activation.RELU else layer  # type: ignore[call-arg]
        for layer in network.layers
    )
    network = replace(network, layers=layers)
    maps = [(network.shapes[name].height, network.shapes[name].width) for name in network.outputs[::2]]
    head = AnchorHead(published_levels(tensorflow_shapes(), maps), ScoreMeaning.SOFTMAX)
    task = Detection(tuple("abcd"), head, 0.6, 0.3, class_agnostic=True)
    rng = np.random.default_rng(0)
    if not uint8:
        model = fold(random_model(rng, network, task=task))
        return replace(model, preprocessing=Preprocessing(fit=ResizeMode.SQUASH, crop_fraction=1.0))
    model = random_int8_model(rng, network, asymmetric_weights=True, clamping=False, task=task)
    assert model.quantization is not None
    outputs = {name: TensorQuantization(0.1, 128) for name in network.outputs}  # what is joined has one scale
    return replace(model, quantization=replace(model.quantization, outputs=outputs))


def od_anchors(model: Model, *, uint8: bool) -> tuple[npt.NDArray[np.float32], Tensor]:
    """The anchors as the operator reads them, and the tensor that holds them: in bytes as TensorFlow 1 stores them."""
    assert isinstance(model.task, Detection)
    assert isinstance(model.task.head, AnchorHead)
    exact = model.task.head.anchors[:, [1, 0, 3, 2]]
    if not uint8:
        return exact, Tensor("anchors", "FLOAT32", exact.shape, np.ascontiguousarray(exact))
    scale = np.float32(exact.max() / 255)
    held = np.rint(exact / scale).astype(np.uint8)
    numbers = np.array([scale], np.float32), np.array([0], np.int64)
    return held * scale, Tensor("anchors", "UINT8", held.shape, held, *numbers)


def od_graph(model: Model, score: str, settings: dict[str, Any], shift: float) -> Subgraph:
    """The graph: maps are reshaped, joined, made scores of, and read by the operator."""
    flexbuffers = pytest.importorskip("flatbuffers.flexbuffers")
    pytest.importorskip("tflite")
    uint8 = model.quantization is not None
    graph = litert_graph(with_boxes_down_first(model))
    outputs = list(graph.outputs)
    joined = []
    for first, name, numbers in ((0, "boxes", 4), (1, "logits", CLASSES + 1)):
        parts = []
        for index in outputs[first::2]:
            made = graph.tensors[index]
            count = int(np.prod(made.shape)) // numbers
            shape = (1, count, 1, 4) if numbers == 4 else (1, count, numbers)
            size = graph.add(Tensor(f"{made.name}/size", "INT32", (len(shape),), np.array(shape, np.int32)))
            flat = graph.add(replace(made, name=f"{made.name}/flat", shape=shape))
            graph.operators.append(Operator("RESHAPE", (index, size), flat, "ReshapeOptions", {}, 1))
            parts.append(flat)
        total = sum(graph.tensors[index].shape[1] for index in parts)
        like = graph.tensors[parts[0]]
        all_ = graph.add(replace(like, name=name, shape=(1, total, *like.shape[2:])))
        graph.operators.append(Operator("CONCATENATION", tuple(parts), all_, "ConcatenationOptions", {"Axis": 1}, 1))
        joined.append(all_)
    squeezed = graph.add(replace(graph.tensors[joined[0]], name="squeezed", shape=(1, total, 4)))
    size = graph.add(Tensor("squeezed/size", "INT32", (3,), np.array([1, total, 4], np.int32)))
    graph.operators.append(Operator("RESHAPE", (joined[0], size), squeezed, "ReshapeOptions", {}, 1))
    held = graph.tensors[joined[1]]
    if uint8:
        held = replace(held, scale=np.array([1 / 256], np.float32), zero_point=np.array([0], np.int64))
    scores = joined[1]
    if score:
        scores = graph.add(replace(held, name="scores"))
        options = ("SoftmaxOptions", {"Beta": 1.0}) if score == "SOFTMAX" else ("", {})
        graph.operators.append(Operator(score, (joined[1],), scores, *options, 1))
    held = od_anchors(model, uint8=uint8)[1]
    if shift and held.values is not None:
        held.values = held.values + np.float32(shift)
    anchors = graph.add(held)
    most = int(SETTINGS["max_detections"])
    names = [("boxes", (1, most, 4)), ("classes", (1, most)), ("scores", (1, most)), ("count", (1,))]
    found = [graph.add(Tensor(f"{OPERATOR}/{name}", "FLOAT32", shape)) for name, shape in names]
    custom = (OPERATOR, bytes(flexbuffers.Dumps(settings)))
    graph.operators.append(
        Operator("CUSTOM", (squeezed, scores, anchors), found[0], custom=custom, more=tuple(found[1:]))
    )
    graph.outputs[:] = found
    return graph


def write_od(
    path: Path,
    model: Model,
    score: str = "LOGISTIC",
    settings: dict[str, Any] | None = None,
    *,
    shift: float = 0.0,
) -> Path:
    """Write the file.

    Args:
        path: Where to.
        model: What :func:`od_detector` gives.
        score: The operator that makes scores of logits; empty for none.
        settings: Of the operator at the end; by default the usual ones.
        shift: What is added to every number of the anchors.
    """
    graph = od_graph(model, score, SETTINGS if settings is None else settings, shift)
    path.write_bytes(serialize(graph, {}, description="ssd"))
    return path


def run_od(path: Path, images: npt.NDArray[Any]) -> list[dict[str, npt.NDArray[Any]]]:
    """What LiteRT's interpreter gives for each image: boxes (down, across first), classes and scores."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(path))
    interpreter.allocate_tensors()
    given, outputs = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()
    found = []
    for image in images:
        interpreter.set_tensor(given, image[None])
        interpreter.invoke()
        boxes, classes, scores, count = (interpreter.get_tensor(output["index"]) for output in outputs)
        kept = int(count[0])
        found.append({"boxes": boxes[0, :kept], "classes": classes[0, :kept], "scores": scores[0, :kept]})
    return found
