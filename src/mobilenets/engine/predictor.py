"""From images to predictions: decode, prepare, run, and let the Model's task read the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from os import PathLike
from typing import cast

import numpy as np
from PIL import Image

from mobilenets.data.image import ArrayImage, FileImage, ImageSource
from mobilenets.data.loading import each, source_side
from mobilenets.data.resizing import resized
from mobilenets.engine.session import Logits, Session
from mobilenets.errors import DataError, EngineError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification, ClassPrediction
from mobilenets.tasks.task import Geometry, Prediction

Outputs = tuple[Logits, ...]
"""A network's outputs for one image, each with a leading axis of 1."""


class Predictor:
    """A Model of any task that takes images in files, from Pillow, or as arrays.

    Args:
        model: A Model, or the path of a Model file.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run.
    """

    def __init__(self, model: Model | str | PathLike[str], threads: int | None = None) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        self.session = Session(self.model, threads)

    def predict(self, image: str | PathLike[str] | Image.Image | Pixels, *, top: int = 5) -> Prediction:
        """Predict one image.

        Args:
            image: A path, a Pillow image, or RGB pixels of any size: uint8 (H, W, 3).
            top: Largest number of results.

        Raises:
            DataError: If the image cannot be decoded.
        """
        return self._decode(*self._run(_as_image(image), None), top)

    def predict_many(self, images: Iterable[ImageSource], *, top: int = 5) -> Iterator[Prediction | DataError]:
        """Predict many images, in order, on all cores.

        Yields:
            For each image its prediction, or the error that says why there is none.
        """
        for _, ran in self._run_many(images):
            yield ran if isinstance(ran, DataError) else self._decode(*ran, top)

    def outputs_many(self, images: Iterable[ImageSource]) -> Iterator[tuple[ImageSource, Outputs | DataError]]:
        """Each image with the network's outputs, in order, or with the error that says why there are none."""
        for image, ran in self._run_many(images):
            yield image, ran if isinstance(ran, DataError) else ran[0]

    def _decode(self, outputs: Outputs, geometry: Geometry, top: int) -> Prediction:
        return self.model.task.decode(outputs, [geometry], top=top)[0]

    def _run_many(
        self, images: Iterable[ImageSource]
    ) -> Iterator[tuple[ImageSource, tuple[Outputs, Geometry] | DataError]]:
        remaining = iter(images)
        begun = list(islice(remaining, 2))
        # Every core takes whole images, from file to outputs, so that none waits for another within a network.
        alone = len(begun) < 2
        threads = None if alone else 1
        yield from each(
            chain(begun, remaining),
            lambda image: self._run(image, threads),
            threads=1 if alone else self.session.threads,
        )

    def _run(self, image: ImageSource, threads: int | None) -> tuple[Outputs, Geometry]:
        network, preprocessing = self.model.network, self.model.preprocessing
        opened = image.open(source_side(preprocessing, network.height, network.width))
        pixels = resized(opened, preprocessing, network.height, network.width, self.session.instruction_set)
        outputs = self.session.outputs(pixels[None], threads=threads)
        box = preprocessing.box(opened.size, network.height, network.width)
        return tuple(outputs.values()), Geometry(image.name, opened.size, box)


class Classifier(Predictor):
    """A classifier that takes images in files, from Pillow, or as arrays.

    Args:
        model: A Model, or the path of a Model file.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or is no classifier.
    """

    def __init__(self, model: Model | str | PathLike[str], threads: int | None = None) -> None:
        super().__init__(model, threads)
        if not isinstance(self.model.task, Classification):
            raise EngineError(f"the Model is no classifier: its task is {self.model.task.kind}")

    def predict(self, image: str | PathLike[str] | Image.Image | Pixels, *, top: int = 5) -> ClassPrediction:
        """Find the likeliest labels of one image.

        Args:
            image: A path, a Pillow image, or RGB pixels of any size: uint8 (H, W, 3).
            top: Number of labels.

        Raises:
            DataError: If the image cannot be decoded.
        """
        return cast("ClassPrediction", super().predict(image, top=top))

    def predict_many(self, images: Iterable[ImageSource], *, top: int = 5) -> Iterator[ClassPrediction | DataError]:
        """Find the likeliest labels of many images, in order, on all cores.

        Yields:
            For each image its prediction, or the error that says why there is none.
        """
        return cast("Iterator[ClassPrediction | DataError]", super().predict_many(images, top=top))


def _as_image(image: str | PathLike[str] | Image.Image | Pixels) -> ImageSource:
    if isinstance(image, str | PathLike):
        return FileImage(image)
    if isinstance(image, Image.Image):
        return ArrayImage("image", np.asarray(image.convert("RGB")))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"an image's pixels must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    return ArrayImage("image", image)
