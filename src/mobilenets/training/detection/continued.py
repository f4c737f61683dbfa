"""Training that begins from a detector: its layers and anchors, with logits for other classes where it has others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, CentreHead, DetectionHead, ScoreMeaning


def resized_detector(model: Model, side: int) -> Model:
    """A detector at another resolution, its anchors at the same shares of the image.

    Raises:
        TrainingError: If the Model is no detector.
        ArchitectureError: If its network does not take images of that size.
    """
    network, head = with_resolution(model.network, side, side), _head_of(model)
    shapes = network.shapes
    match head:
        case AnchorHead():
            maps = [shapes[name] for name in network.outputs[::2]]
            levels = zip(maps, head.levels, strict=True)
            moved: DetectionHead = replace(
                head, levels=tuple(AnchorLevel(one.height, one.width, level.shapes) for one, level in levels)
            )
        case CentreHead():
            (name,) = network.outputs
            moved = replace(head, rows=shapes[name].height, columns=shapes[name].width)
        case _:
            assert_never(head)
    return replace(model, network=network, task=Detection(model.labels, moved))


def continued_detector(
    start: Model, labels: tuple[str, ...], usual_sizes: tuple[tuple[float, float], ...]
) -> tuple[Network, DetectionHead]:
    """A detector's network for some classes, and what its outputs mean.

    Args:
        start: The detector, at the resolution at which it will be used.
        labels: The classes.
        usual_sizes: Width and height of what a map of centres finds, by class, in sides of the input.

    Raises:
        TrainingError: If its logits come from layers whose channels cannot be changed.
    """
    head, network = _head_of(start), start.network
    match head:
        case AnchorHead():
            counts = [len(labels) * len(level.shapes) for level in head.levels]
            changed = dict(zip(network.outputs[1::2], counts, strict=True))
            return _with_channels(network, changed), replace(head, scores=ScoreMeaning.SIGMOID)
        case CentreHead():
            (name,) = network.outputs
            return _with_channels(network, {name: 1 + len(labels)}), replace(head, sizes=usual_sizes)
        case _:
            assert_never(head)


def kept_parameters(start: Model, labels: tuple[str, ...]) -> dict[str, npt.NDArray[np.float32]]:
    """The parameters of a Model that a detector of some classes begins with.

    Args:
        start: A classifier, all of whose parameters are of use if the detector has their layers; or a detector, the
            logits of which hold only for its own classes.
        labels: The classes.
    """
    if not isinstance(start.task, Detection):
        return dict(start.parameters)
    head = start.task.head
    logits = start.network.outputs[1::2] if isinstance(head, AnchorHead) else start.network.outputs
    softmax = isinstance(head, AnchorHead) and head.scores is ScoreMeaning.SOFTMAX
    other = logits if softmax or start.task.labels != labels else ()
    return {name: values for name, values in start.parameters.items() if name.rpartition(".")[0] not in other}


def _head_of(model: Model) -> DetectionHead:
    task = model.task
    if not isinstance(task, Detection):
        raise TrainingError(f"the Model is no detector: its task is {task.kind}")
    return task.head


def _with_channels(network: Network, channels: Mapping[str, int]) -> Network:
    """The network with other numbers of output channels of some of its outputs."""
    layers = list(network.layers)
    for number, layer in enumerate(layers):
        if layer.name not in channels:
            continue
        if not isinstance(layer, PointwiseConvolution):
            raise TrainingError(
                f"{layer.name} gives logits and is a {layer.kind}; training begins from 1×1 convolutions"
            )
        layers[number] = replace(layer, out_channels=channels[layer.name])
    return replace(network, layers=tuple(layers))
