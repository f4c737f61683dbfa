"""Small float Models and folders of images to quantize."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.evaluation import compute_logits
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing

CLASSES = 3


class Place(NamedTuple):
    """A file of a float Model, and a folder of images in class folders beside it."""

    model: Path
    images: Path
    folder: Path


def small_model() -> Model:
    """A random MobileNet V1 for 32×32 images and three classes."""
    rng = np.random.default_rng(0)
    return random_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=32, classes=CLASSES))


def make_place(folder: Path) -> Place:
    """Write the small Model, and 24 images in three class folders."""
    save(small_model(), folder / "model.safetensors")
    rng = np.random.default_rng(1)
    for label in range(CLASSES):
        (folder / "images" / str(label)).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (40, 40, 3)) * rng.uniform(0.2, 1, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / str(label) / f"{number}.png")
    return Place(folder / "model.safetensors", folder / "images", folder)


def uneven_model(rng: np.random.Generator) -> tuple[Model, Pixels]:
    """A Model whose channels differ much in size, and images that it gives to all of its classes."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=CLASSES)
    model = random_model(rng, network, Preprocessing(crop_fraction=1.0))
    parameters = dict(model.parameters)
    sizes = np.random.default_rng(7)
    for name in model.parameters:
        if name.endswith(("batch_norm.weight", "batch_norm.bias")):
            factor = np.exp(sizes.normal(0, 0.8, parameters[name].shape))
            factor /= np.sqrt(np.square(factor).mean())
            parameters[name] = (parameters[name] * factor).astype(np.float32)
    pixels = (rng.integers(0, 256, (90, 32, 32, 3)) * rng.uniform(0, 1, (90, 1, 1, 3))).astype(np.uint8)
    logits = compute_logits(model.with_parameters(parameters), pixels)
    spread = logits.std(axis=0).mean()
    centre = (logits - parameters["classifier.bias"]).mean(axis=0)
    parameters["classifier.weight"] = (4 * parameters["classifier.weight"] / spread).astype(np.float32)
    parameters["classifier.bias"] = (-4 * centre / spread).astype(np.float32)
    return model.with_parameters(parameters), pixels
