"""A classifier for other classes in seconds: the frozen network's features, and a linear layer fitted on them.

The features are computed once, by the engine, which answers several times as fast as PyTorch trains. Training of the
whole network then begins from that layer: begun from a random one, the first gradients change features that are good
already (Kumar et al. 2022, arXiv:2202.10054).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.loading import each, prepare_image
from mobilenets.data.subset import Subset, Targets
from mobilenets.engine.session import Session
from mobilenets.errors import DataError, TrainingError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Task
from mobilenets.training.head import output_layer, with_classes
from mobilenets.training.selection import Totals
from mobilenets.training.task_training import TaskTraining

Features = npt.NDArray[np.float32]

PENALTIES = (1e-2, 1e-3, 1e-4)
"""Weights of the squared norm of the linear layer that are tried, on features of deviation 1; strong ones first."""
ITERATIONS = 60
"""Of L-BFGS for each penalty, which begins where the one before it ended."""
TOGETHER = 256
"""Images that the engine is given at a time."""
MOST_IMAGES = 20_000
"""Images that a linear layer is fitted on at most; it has a few thousand weights for each class."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer on features.

    Attributes:
        weight: float32 (channels, features).
        bias: float32 (channels,).
        score: On the validation images.
        calibrated_loss: Loss on them at the temperature that the logits need.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    score: Totals
    calibrated_loss: float


def feature_network(network: Network) -> Network | None:
    """A classifier without its output layer; None where that reads a map, so that there is no one vector of features.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> found = feature_network(mobilenet_v1(width_multiplier=0.25))
    >>> found.outputs, str(found.shapes[found.outputs[0]])
    (('pool',), '256×1×1')
    """
    output = output_layer(network)
    (source,) = output.inputs
    shape = network.shapes[source]
    plain = output.activation is Activation.NONE and output.batch_norm is None and output.bias
    if not plain or (shape.height, shape.width) != (1, 1) or network.outputs != (output.name,):
        return None
    return replace(network, layers=tuple(layer for layer in network.layers if layer is not output), outputs=(source,))


def frozen_features(model: Model, pixels: Pixels, *, threads: int | None = None) -> Features:
    """What a classifier's output layer reads, computed by the engine.

    Args:
        model: A classifier, float32.
        pixels: uint8 (N, height, width, channels), as its network takes them.
        threads: Of the engine; by default all cores.

    Returns:
        float32 (N, features).

    Raises:
        TrainingError: If the output layer reads a map (see :func:`feature_network`).
    """
    return _run(_session(model, threads), pixels)


def features_of(
    model: Model, subset: Subset, *, threads: int | None = None, progress: Progress = SILENT
) -> tuple[Features, Targets]:
    """Features and classes of a dataset's images, undistorted; of evenly drawn ones where there are very many.

    Args:
        model: A classifier, float32.
        subset: The images. Broken ones are left out.
        threads: Of the engine; by default all cores.
        progress: Receives progress updates.

    Raises:
        DataError: If none of the images can be decoded.
        TrainingError: If the output layer reads a map (see :func:`feature_network`).
    """
    session, network = _session(model, threads), model.network
    chosen = np.unique(np.linspace(0, len(subset) - 1, min(len(subset), MOST_IMAGES)).astype(np.int64))
    parts: list[Features] = []
    kept: list[npt.NDArray[np.int64]] = []
    with progress.task("features", len(chosen), "images") as task:
        for begin in range(0, len(chosen), TOGETHER):
            indices = chosen[begin : begin + TOGETHER]
            prepared = partial(
                prepare_image, preprocessing=model.preprocessing, height=network.height, width=network.width
            )
            results = [found for _, found in each(subset.take(indices).images, prepared)]
            pixels = [found for found in results if not isinstance(found, DataError)]
            if pixels:
                parts.append(_run(session, np.stack(pixels)))
                kept.append(indices[[not isinstance(found, DataError) for found in results]])
            task.advance(len(indices))
    if not parts:
        raise DataError(f"none of {len(subset)} images can be decoded")
    return np.concatenate(parts), subset.targets[np.concatenate(kept)]


def _session(model: Model, threads: int | None) -> Session:
    network = feature_network(model.network)
    if network is None:
        raise TrainingError(f"{model.network.name} has no vector of features: its output layer reads a map")
    names = set(network.parameter_shapes())
    parameters = {name: values for name, values in model.parameters.items() if name in names}
    task = Classification(tuple(str(number) for number in range(network.shapes[network.outputs[0]].channels)))
    return Session(Model(network, parameters, task, model.preprocessing), threads)


def _run(session: Session, pixels: Pixels) -> Features:
    parts = [session.run(pixels[begin : begin + TOGETHER]) for begin in range(0, len(pixels), TOGETHER)]
    return np.concatenate(parts).reshape(len(pixels), -1)


def fit_head(
    features: Features,
    targets: Targets,
    validation: tuple[Features, Targets],
    training: TaskTraining,
    *,
    label_smoothing: float = 0.0,
) -> Head:
    """Fit a linear layer by a task's loss; its penalty is the one that does best on the validation images.

    Args:
        features: float32 (N, features).
        targets: Of the task, N of them.
        validation: Features and targets that the penalty is chosen by.
        training: How the task is trained.
        label_smoothing: Share of every target that is spread over all classes.
    """
    mean = features.mean(axis=0)
    deviation = float(features.std()) or 1.0
    inputs = torch.from_numpy((features - mean) / deviation)
    weight = torch.zeros(training.channels, inputs.shape[1], requires_grad=True)
    bias = torch.zeros(training.channels, requires_grad=True)
    head_loss = training.head_loss(targets, label_smoothing)
    found: list[Head] = []
    for penalty in PENALTIES:
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def loss(penalty: float = penalty, optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            value = head_loss(functional.linear(inputs, weight, bias)) + penalty / 2 * weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        scaled = weight.detach().numpy() / deviation
        found.append(_scored(scaled, bias.detach().numpy() - scaled @ mean, validation, training))
    return min(found, key=lambda one: one.calibrated_loss)


def _scored(
    weight: npt.NDArray[Any], bias: npt.NDArray[Any], validation: tuple[Features, Targets], training: TaskTraining
) -> Head:
    features, targets = validation
    outputs = (features @ weight.T + bias).astype(np.float32)
    score, calibrated = training.score(outputs, targets), training.calibrated_loss(outputs, targets)
    return Head(weight.astype(np.float32), bias.astype(np.float32), score, calibrated)


def with_head(model: Model, head: Head, task: Task) -> Model:
    """A Model with a fitted linear layer in the place of its output layer.

    Args:
        model: Its network ends in a linear or pointwise layer.
        head: The linear layer.
        task: What its outputs mean.
    """
    network = with_classes(model.network, len(head.bias))
    output = output_layer(network).name
    parameters = dict(model.parameters) | {
        f"{output}.weight": head.weight.reshape(network.parameter_shapes()[f"{output}.weight"]),
        f"{output}.bias": head.bias,
    }
    return Model(network, parameters, task, model.preprocessing)
