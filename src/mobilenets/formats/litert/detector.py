"""Detectors of TensorFlow's Object Detection API in LiteRT, which end in ``TFLite_Detection_PostProcess`` → Model.

The operator reads the boxes of all anchors, their scores and the anchors. What joins the levels' maps for it is undone:
the outputs of the Model are the maps of boxes and of logits of each level. The operator's settings become the task's.
It takes boxes as down, across, height and width; this package has them across first. The background's logit is left
out where every class has a score of its own.

Source: tensorflow/lite/kernels/detection_postprocess.cc, for what the operator reads and how it is set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobilenets.architecture.layers import DepthwiseConvolution, Layer, Linear
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.containers.flexbuffer import read_numbers
from mobilenets.formats.litert.codes import Code
from mobilenets.formats.litert.detections import OPERATOR
from mobilenets.formats.litert.file import TfliteFile, TfliteOperator, TfliteTensor
from mobilenets.model.model import Tensor
from mobilenets.tasks.anchors import listed_levels
from mobilenets.tasks.coco import coco_labels
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import BOX_NUMBERS, AnchorHead, ScoreMeaning

_SAME_NUMBERS = (Code.RESHAPE, Code.SQUEEZE, Code.QUANTIZE, Code.DEQUANTIZE)
"""Operators between a map and the detections that change no number, but for its rounding."""
_SCORES = {Code.LOGISTIC: ScoreMeaning.SIGMOID, Code.SOFTMAX: ScoreMeaning.SOFTMAX}
LOWEST_THRESHOLD, USUAL_THRESHOLD = 0.05, 0.3
"""A file's threshold below the first only limits work: boxes are then reported from the second on."""
ACROSS_FIRST = [1, 0, 3, 2]
NO_LABEL = ("???", "background", "")
"""What files of labels call the class of no object."""


@dataclass(frozen=True)
class DetectorTail:
    """What a file does behind the maps of a detector.

    Attributes:
        boxes: Tensors of the levels' boxes, by index.
        logits: Those of their logits.
        meaning: How logits become scores.
        anchors: (A, 4), down, across, height, width, in sides of the input.
        step: What those are multiples of, where they are stored in bytes.
        settings: Of the operator.
        columns: Logits of an anchor, that of the background included.
    """

    boxes: tuple[int, ...]
    logits: tuple[int, ...]
    meaning: ScoreMeaning
    anchors: Tensor
    step: float | None
    settings: Mapping[str, int | float | bool]
    columns: int

    @property
    def outputs(self) -> tuple[int, ...]:
        """The maps in the order of a Model's outputs."""
        return tuple(index for pair in zip(self.boxes, self.logits, strict=True) for index in pair)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.settings["num_classes"])

    @property
    def background(self) -> bool:
        """Whether the first logit of an anchor is that of no object."""
        return self.columns == self.classes + 1


def is_detector(file: TfliteFile) -> bool:
    """Whether a file ends in the operator."""
    return any(operator.custom == OPERATOR for operator in file.operators)


def without_tail(file: TfliteFile) -> DetectorTail:
    """Take the operator, and what joins the maps for it, off a file, whose outputs become the maps.

    Raises:
        FormatError: If it reads what no detector with anchors gives.
    """
    (end, *others) = [operator for operator in file.operators if operator.custom == OPERATOR]
    if others or len(end.inputs) != 3 or not set(file.outputs) <= set(end.outputs):
        raise FormatError(f"{OPERATOR} reads {len(end.inputs)} tensors, or is not what the network ends in")
    makers = {operator.output: operator for operator in file.operators}
    taken = [end]
    boxes, _ = _maps(file, makers, end.inputs[0], taken)
    logits, meaning = _maps(file, makers, end.inputs[1], taken)
    if meaning is None:
        raise FormatError(f"{OPERATOR} reads scores that are made neither by a sigmoid nor by a softmax")
    if len(boxes) != len(logits):
        raise FormatError(f"{OPERATOR} reads boxes of {len(boxes)} maps and scores of {len(logits)}")
    anchors, step = _anchors(file.tensor(end.inputs[2]))
    tail = DetectorTail(boxes, logits, meaning, anchors, step, _settings(end), file.tensor(end.inputs[1]).shape[-1])
    if tail.columns not in (tail.classes, tail.classes + 1) or (
        meaning is ScoreMeaning.SOFTMAX and not tail.background
    ):
        raise FormatError(f"{OPERATOR} reads {tail.columns} scores of an anchor, and says {tail.classes} classes")
    file.operators = [operator for operator in file.operators if operator not in taken]
    file.outputs = tail.outputs
    return tail


def _maps(
    file: TfliteFile, makers: Mapping[int, TfliteOperator], index: int, taken: list[TfliteOperator]
) -> tuple[tuple[int, ...], ScoreMeaning | None]:
    """The maps that a tensor of all anchors is joined of, and what makes scores of them, if anything does."""
    meaning: ScoreMeaning | None = None
    parts, joined = [index], False
    found: list[int] = []
    while parts:
        one = parts.pop(0)
        operator = makers.get(one)
        if operator is None:
            raise FormatError(f"{OPERATOR} reads {file.tensor(one).name}, which nothing makes")
        if operator.code in _SAME_NUMBERS:
            parts.insert(0, operator.inputs[0])
        elif operator.code in _SCORES and not joined and meaning is None:
            meaning = _SCORES[Code(operator.code)]
            parts.insert(0, operator.inputs[0])
        elif operator.code == Code.CONCATENATION and not joined:
            parts, joined = list(operator.inputs), True
        else:
            found.append(one)
            continue
        if operator not in taken:
            taken.append(operator)
    return tuple(found), meaning


def _anchors(tensor: TfliteTensor) -> tuple[Tensor, float | None]:
    """The anchors as real numbers, and what they are multiples of."""
    value = tensor.value()
    if value.ndim != 2 or value.shape[1] != BOX_NUMBERS:
        raise FormatError(f"{tensor.name} has shape {value.shape}; (anchors, {BOX_NUMBERS}) was expected")
    if value.dtype.kind == "f":
        return value.astype(np.float32), None
    held = tensor.activation()
    centred = value.astype(np.int64) - (held.zero_point - (128 if tensor.dtype.kind == "i" else 0))
    return (centred * np.float32(held.scale)).astype(np.float32), held.scale


def _settings(operator: TfliteOperator) -> dict[str, int | float | bool]:
    """The operator's settings; those that there must be are checked."""
    found = read_numbers(operator.settings)
    needed = ("num_classes", "nms_score_threshold", "nms_iou_threshold", "y_scale", "x_scale", "h_scale", "w_scale")
    missing = [name for name in needed if not _is_finite(found.get(name))]
    if missing:
        raise FormatError(f"{OPERATOR} does not say {missing[0]}")
    if not 1 <= found["num_classes"] < 1 << 16:
        raise FormatError(f"{OPERATOR} says {found['num_classes']} classes")
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1 << 31  # which NaN is not


def detection_task(tail: DetectorTail, network: Network, labels: tuple[str, ...] | None) -> Detection:
    """What the maps of a network mean.

    Args:
        tail: What the file does with them.
        network: Whose outputs they are.
        labels: Names of the classes, or those of the file, which may name that of no object too.

    Raises:
        FormatError: If the anchors are not those of the maps, or the labels those of the classes.
    """
    maps = [(network.shapes[name].height, network.shapes[name].width) for name in network.outputs[0::2]]
    counts = [network.shapes[name].channels // BOX_NUMBERS for name in network.outputs[0::2]]
    settings, threshold = tail.settings, float(tail.settings["nms_score_threshold"])
    down, across, height, width = (float(settings[f"{axis}_scale"]) for axis in ("y", "x", "h", "w"))
    try:
        levels = listed_levels(tail.anchors[:, ACROSS_FIRST], maps, counts, step=tail.step)
        return Detection(
            _labels(tail.classes, labels),
            AnchorHead(levels, tail.meaning, (across, down, width, height), tail.step),
            iou_threshold=float(settings["nms_iou_threshold"]),
            score_threshold=threshold if threshold >= LOWEST_THRESHOLD else USUAL_THRESHOLD,
            class_agnostic=not settings.get("use_regular_nms", False),
        )
    except ModelError as error:
        raise FormatError(str(error)) from None


def _labels(classes: int, labels: tuple[str, ...] | None) -> tuple[str, ...]:
    if labels is None:
        return coco_labels(classes) or tuple(map(str, range(1, classes + 1)))
    if len(labels) == classes + 1 and labels[0].lower() in NO_LABEL:
        labels = labels[1:]
    if len(labels) != classes:
        raise FormatError(f"{len(labels)} labels, and a detector over {classes} classes")
    return labels


def with_boxes_across_first(
    tail: DetectorTail, network: Network, parameters: Mapping[str, Tensor]
) -> tuple[Network, dict[str, Tensor]]:
    """The network with the channels of its outputs as this package has them.

    Args:
        tail: What the file does with them.
        network: As it was read.
        parameters: Its own.

    Raises:
        FormatError: If an output is not made by a layer whose channels can be put in another order.
    """
    layers, changed = {layer.name: layer for layer in network.layers}, dict(parameters)
    skipped = int(tail.background and tail.meaning is ScoreMeaning.SIGMOID)
    for number, name in enumerate(network.outputs):
        layer, channels = layers[name], network.shapes[name].channels
        numbers, taken = BOX_NUMBERS, ACROSS_FIRST
        if number % 2:
            numbers, taken = tail.columns, list(range(skipped, tail.columns))
        anchors, rest = divmod(channels, numbers)
        if rest or not layer.has_weight or isinstance(layer, DepthwiseConvolution | Linear):
            raise FormatError(f"{name} gives {channels} channels; a convolution of {numbers} an anchor was expected")
        rows = (numbers * np.arange(anchors)[:, None] + taken).ravel()
        layers[name] = _with_channels(layer, len(rows))
        for kind in ("weight", "bias", "weight_scale", "weight_zero_point"):
            if (values := changed.get(f"{name}.{kind}")) is not None:
                changed[f"{name}.{kind}"] = np.ascontiguousarray(values[rows])
    return replace(network, layers=tuple(layers.values())), changed


def _with_channels(layer: Layer, channels: int) -> Layer:
    return replace(layer, out_channels=channels)  # type: ignore[call-arg]


def best_of_any_score(tail: DetectorTail) -> str | None:
    """What is assumed where the file reports boxes of any score; None where it has a threshold."""
    threshold, most = float(tail.settings["nms_score_threshold"]), tail.settings.get("max_detections")
    if threshold >= LOWEST_THRESHOLD or not math.isfinite(threshold):
        return None
    return f"boxes are reported from a score of {USUAL_THRESHOLD:g}; the file gives its best {most}, of any score"
