"""Small Models and images that quantization-aware training is tried on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Linear,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.evaluation import compute_logits
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6, activation=Activation.RELU6)


def planes(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float()


def separating_model(rng: np.random.Generator) -> Model:
    """A small Model whose answers differ from image to image."""
    norm = BatchNorm()
    layers = (
        Convolution("stem", (INPUT,), stride=2, out_channels=16, activation=Activation.RELU6, batch_norm=norm),
        DepthwiseConvolution("depthwise", ("stem",), activation=Activation.RELU6, batch_norm=norm),
        PointwiseConvolution("pointwise", ("depthwise",), out_channels=24, activation=Activation.RELU, batch_norm=norm),
        GlobalAveragePool("pool", ("pointwise",)),
        Linear("classifier", ("pool",), out_features=6),
    )
    model = random_model(rng, Network("small", 16, 16, layers, ("classifier",)))
    return model.with_parameters({**model.parameters, "classifier.weight": 15 * model.parameters["classifier.weight"]})


def varied_pixels(rng: np.random.Generator, model: Model, count: int) -> Pixels:
    """Images of different colours, so that answers differ."""
    return (random_pixels(rng, model.network, count) * rng.uniform(0, 1, (count, 1, 1, 3))).astype(np.uint8)


def wavering_model(rng: np.random.Generator, pixels: Pixels) -> Model:
    """A small Model that gives each class to some of the images, and is sure of few: rounding changes its answers."""
    model = separating_model(rng)
    said = compute_logits(model, pixels)
    parameters = dict(model.parameters)
    spread = said.std(axis=0).mean()
    centre = (said - parameters["classifier.bias"]).mean(axis=0)
    parameters["classifier.weight"] = (parameters["classifier.weight"] / spread).astype(np.float32)
    parameters["classifier.bias"] = (-centre / spread).astype(np.float32)
    return model.with_parameters(parameters)
