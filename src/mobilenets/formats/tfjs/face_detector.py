"""The face detector of face-api.js → Model: SSD on MobileNet V1, stored as weights alone.

The packages face-api.js and @vladmandic/face-api build the network in JavaScript. Their files hold its tensors under
the names of TensorFlow's Object Detection API, a byte for each number, and the anchors one by one. The batch norms of
all but the depthwise layers are folded.

Of the three logits of an anchor the network's program reads the second: the background's and that of a class that there
never was are left out. Boxes stand there as down, across, height and width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, Activation, Layer
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.networks.ssd import ssd
from mobilenets.errors import ArchitectureError, FormatError, ModelError
from mobilenets.formats.assumed import PARTS
from mobilenets.formats.names import SSD_MOBILENET_V1
from mobilenets.formats.tfjs.weights import read_weights
from mobilenets.formats.weights import NamedTensor, checked_parameters, unique, v1_width
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.anchors import listed_levels
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import BOX_NUMBERS, AnchorHead

MANIFEST = "ssd_mobilenetv1_model-weights_manifest.json"
"""Name of the file in the packages' folder of models."""
ANCHORS = "Output/extra_dim"
SIZE = "Preprocessor/ResizeImage/size"
RESOLUTION = 512
"""Side of the input in pixels, where the file does not say it."""
LARGEST_SIDE = 4096
LOGITS, FACE = 3, 1
"""Logits of an anchor, and which of them is a face's."""
IOU_THRESHOLD = SCORE_THRESHOLD = 0.5
"""What the packages take where nobody says otherwise."""
ACROSS_FIRST = [1, 0, 3, 2]
"""Down and across, height and width exchanged."""
LABEL = "face"

_PROGRAM = re.compile(r"(Preprocessor|Postprocessor)/.*|.*/(stack(_\d)?|strided_slice)/.*|concat(_\d)?/axis")
"""Constants of the graph that the weights were taken from."""
_VARIABLES = {
    "weights": "weight",
    "depthwise_weights": "weight",
    "biases": "bias",
    "convolution_bn_offset": "bias",
    **dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), BATCH_NORM_TENSORS, strict=True)),
}


def face_detector(
    manifest: list[Any],
    path: Path,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read the detector.

    Args:
        manifest: The file's JSON.
        path: Where it lies; its shards lie beside it.
        resolution: Side of the input in pixels, or (height, width); only that of the file's anchors is taken.
        labels: One name, for the faces.

    Raises:
        FormatError: If the weights are those of another network, are damaged, or do not belong together.
    """
    found = read_weights(manifest, path.parent)
    if ANCHORS not in found or not any(name.startswith("Prediction/BoxPredictor_0/") for name in found):
        raise FormatError(
            f"{path.name} holds weights and no network. Of such files, only that of face-api's detector "
            f"({MANIFEST}) is known; its first tensor here is {next(iter(found), None)!r:.80}"
        )
    side = _side(found)
    if resolution not in (None, side, (side, side)):
        raise FormatError(f"{path.name} has anchors for {side}×{side} pixels; {resolution} was asked for")
    if labels is not None and len(labels) != 1:
        raise FormatError(f"{path.name} finds one class, {LABEL}; {len(labels)} labels were given")
    tensors = unique(_translated(name, value) for name, value in found.items() if not _is_of_program(name))
    network, counts = _network(tensors, side)
    maps = [(network.shapes[name].height, network.shapes[name].width) for name in network.outputs[::2]]
    try:
        levels = listed_levels(_centred(found[ANCHORS]), maps, counts)
        return Model(
            network=network,
            parameters=checked_parameters(tensors, network),
            task=Detection(labels or (LABEL,), AnchorHead(levels), IOU_THRESHOLD, SCORE_THRESHOLD),
            preprocessing=Preprocessing(fit=ResizeMode.LETTERBOX, crop_fraction=1.0),
            provenance=Provenance(
                imported=Imported("tfjs", path.name, known=dict.fromkeys(PARTS, "face-api"))
            ).encode(),
        )
    except ModelError as error:
        raise FormatError(f"{path.name}: {error}") from None


def _side(tensors: Mapping[str, Tensor]) -> int:
    """Side of the input in pixels, which a constant of the resize says."""
    if SIZE not in tensors:
        return RESOLUTION
    sides = tensors[SIZE].ravel().tolist()
    if len(sides) != 2 or sides[0] != sides[1] or not 1 <= sides[0] <= LARGEST_SIDE:
        raise FormatError(f"{SIZE} is {sides!r:.60}; one number, twice, from 1 to {LARGEST_SIDE} was expected")
    return int(sides[0])


def _is_of_program(name: str) -> bool:
    return name == ANCHORS or _PROGRAM.fullmatch(name) is not None


def _translated(name: str, value: Tensor) -> tuple[str, NamedTensor]:
    """A tensor under this package's name, in its layout."""
    scope, _, variable = name.rpartition("/")
    layer, kind = SSD_MOBILENET_V1.layer(scope), _VARIABLES.get(variable)
    if layer is None or kind is None:
        raise FormatError(f"{name} belongs to no layer of SSD on MobileNet V1")
    if kind == "weight" and not layer.endswith(".batch_norm"):
        if value.ndim != 4:
            raise FormatError(f"{name} has {value.ndim} axes; a convolution has 4")
        value = np.transpose(value, (2, 3, 0, 1) if variable.startswith("depthwise") else (3, 2, 0, 1))
    if layer.endswith(".boxes"):
        value = _rows(name, value, BOX_NUMBERS, ACROSS_FIRST)
    elif layer.endswith(".logits"):
        value = _rows(name, value, LOGITS, [FACE])
    return f"{layer}.{kind}", NamedTensor(name, np.ascontiguousarray(value))


def _rows(name: str, value: Tensor, numbers: int, taken: list[int]) -> Tensor:
    """Of the rows that belong to one anchor, those that are taken, in their order."""
    if not value.ndim or not len(value) or len(value) % numbers:
        raise FormatError(f"{name} has shape {value.shape}; {numbers} numbers an anchor were expected")
    rows = numbers * np.arange(len(value) // numbers)[:, None] + taken
    found: Tensor = value[rows.ravel()]
    return found


def _network(tensors: Mapping[str, NamedTensor], side: int) -> tuple[Network, list[int]]:
    """The network whose weights they are, and the anchors of a cell at each of its levels."""
    width_multiplier, rounding = v1_width(tensors)
    counts: list[int] = []
    while (boxes := tensors.get(f"level{len(counts) + 1}.boxes.weight")) is not None:
        counts.append(len(boxes.value) // BOX_NUMBERS)
    try:
        backbone = mobilenet_v1(
            width_multiplier=width_multiplier, rounding=rounding, resolution=side, activation=Activation.RELU6
        )
        network = ssd(backbone, classes=1, anchors=counts)
    except ArchitectureError as error:
        raise FormatError(str(error)) from None
    return replace(network, layers=tuple(_folded(layer, tensors) for layer in network.layers)), counts


def _folded(layer: Layer, tensors: Mapping[str, NamedTensor]) -> Layer:
    """A layer with a bias in the place of its batch norm, where the file has that."""
    if layer.batch_norm is None or f"{layer.name}.bias" not in tensors:
        return layer
    return replace(layer, batch_norm=None, bias=True)  # type: ignore[call-arg]


def _centred(anchors: Tensor) -> Tensor:
    """(1, A, 4), top, left, bottom and right, as centre across, centre down, width and height."""
    if anchors.ndim != 3 or anchors.shape[0] != 1 or anchors.shape[2] != BOX_NUMBERS:
        raise FormatError(f"{ANCHORS} has shape {anchors.shape}; (1, anchors, {BOX_NUMBERS}) was expected")
    top, left, bottom, right = np.moveaxis(anchors[0], 1, 0)
    return np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], axis=1)
