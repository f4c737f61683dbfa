"""A Model that int8 ruins: what tells its classes apart is far smaller than one step of its features in 8 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.support.quantization import CLASSES, Place
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ArrayImage
from mobilenets.data.loading import prepare
from mobilenets.data.subset import Subset
from mobilenets.engine.session import Session
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification

COMMON = 300.0
"""Size of what all features have in common, and the classifier takes away again, beside what is their own."""
LAST = "block13.pointwise"


def fragile(dataset: Dataset) -> tuple[Model, Dataset]:
    """A float32 Model that is right about all images of a dataset, whose classes become its answers.

    In int8 nothing is left of the differences between its features, which are all that its classifier looks at.
    """
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=len(dataset.labels))
    model = random_model(np.random.default_rng(0), network)
    parameters: dict[str, Any] = dict(model.parameters)
    own = parameters[f"{LAST}.weight"]
    parameters[f"{LAST}.weight"] = own + np.float32(COMMON) * np.abs(own).mean(axis=0, keepdims=True)
    for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        parameters[f"{LAST}.batch_norm.{name}"] = np.full(len(own), value, np.float32)
    classifier = parameters["classifier.weight"]
    parameters["classifier.weight"] = classifier - classifier.mean(axis=1, keepdims=True)
    logits = _logits(model.with_parameters(parameters), dataset.train + dataset.validation)
    spread = logits.std(axis=0)  # divided by, so that every class is the likeliest of some images
    parameters["classifier.weight"] = parameters["classifier.weight"] / spread[:, None]
    parameters["classifier.bias"] = (parameters["classifier.bias"] - logits.mean(axis=0)) / spread
    model = replace(model.with_parameters(parameters), task=Classification(dataset.labels))
    train, validation, test = (
        replace(part, targets=_logits(model, part).argmax(axis=1))
        for part in (dataset.train, dataset.validation, dataset.test)
    )
    return model, replace(dataset, train=train, validation=validation, test=test)


def make_fragile_place(folder: Path) -> Place:
    """Write such a Model, and images in class folders by its answers."""
    rng = np.random.default_rng(1)
    noise = (rng.integers(0, 256, (48, 40, 40, 3)) * rng.uniform(0.2, 1, (48, 1, 1, 3))).astype(np.uint8)
    images = tuple(ArrayImage(f"{number}.png", pixels) for number, pixels in enumerate(noise))
    some, none = Subset(images, np.zeros(len(images), np.int64)), Subset((), np.zeros(0, np.int64))
    labels = tuple(map(str, range(CLASSES)))
    model, answered = fragile(Dataset(labels, some, none, none, "", ""))
    save(model, folder / "model.safetensors")
    for label in labels:
        (folder / "images" / label).mkdir(parents=True)
    for image, target in zip(images, answered.train.targets, strict=True):
        image.open().save(folder / "images" / labels[target] / image.name)
    return Place(folder / "model.safetensors", folder / "images", folder)


def _logits(model: Model, subset: Subset) -> npt.NDArray[np.float32]:
    if not len(subset):
        return np.zeros((0, len(model.labels)), np.float32)
    prepared = prepare(subset, model.preprocessing, model.network.height, model.network.width)
    return Session(model, 1).run(prepared.pixels)
