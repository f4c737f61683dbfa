"""From images to predictions: decode, prepare, run, and let the Model's task read the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from os import PathLike
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from mobilenets.base.arguments import check_integer
from mobilenets.data.image import ArrayImage, BytesImage, FileImage, ImageSource
from mobilenets.data.loading import each, source_side
from mobilenets.data.resizing import resized
from mobilenets.engine.session import Logits, Session
from mobilenets.errors import DataError, EngineError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification, ClassPrediction
from mobilenets.tasks.task import Geometry, Prediction

Item = TypeVar("Item")
Outputs = tuple[Logits, ...]
"""A network's outputs for one image, each with a leading axis of 1."""
GivenImage = str | PathLike[str] | bytes | Image.Image | Pixels | ImageSource
"""An image as callers have it: a path, an encoded image, a Pillow image, RGB pixels, or a source of one."""


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

    def predict(self, image: GivenImage, *, top: int = 5) -> Prediction:
        """Predict one image.

        Args:
            image: A path, the bytes of an encoded image, a Pillow image, RGB pixels of any size as uint8 (H, W, 3), or
                a source of an image.
            top: Largest number of results, at least 1.

        Raises:
            DataError: If the image is none of these, or cannot be decoded.
            EngineError: If ``top`` makes no sense.
        """
        _check_top(top)
        return self._decode(*self._run(_as_image(image, "image"), None), top)

    def predict_many(self, images: Iterable[GivenImage], *, top: int = 5) -> Iterator[Prediction | DataError]:
        """Predict many images, in order, on all cores.

        Args:
            images: What :meth:`predict` takes, many times.
            top: Largest number of results for each, at least 1.

        Returns:
            For each image its prediction, or the error that says why there is none.

        Raises:
            DataError: If a single image is given.
            EngineError: If ``top`` makes no sense.
        """
        _check_top(top)
        if isinstance(images, str | bytes | PathLike | Image.Image) or not isinstance(images, Iterable):
            raise DataError(f"predict_many takes several images, such as a list of paths, not {_kind(images)}")
        ran_many = self._run_many(enumerate(images, 1), lambda one: _as_image(one[1], f"image {one[0]}"))
        return (ran if isinstance(ran, DataError) else self._decode(*ran, top) for _, ran in ran_many)

    def outputs_many(self, images: Iterable[ImageSource]) -> Iterator[tuple[ImageSource, Outputs | DataError]]:
        """Each image with the network's outputs, in order, or with the error that says why there are none."""
        for image, ran in self._run_many(images, lambda one: one):
            yield image, ran if isinstance(ran, DataError) else ran[0]

    def _decode(self, outputs: Outputs, geometry: Geometry, top: int) -> Prediction:
        return self.model.task.decode(outputs, [geometry], top=top)[0]

    def _run_many(
        self, images: Iterable[Item], source: Callable[[Item], ImageSource]
    ) -> Iterator[tuple[Item, tuple[Outputs, Geometry] | DataError]]:
        remaining = iter(images)
        begun = list(islice(remaining, 2))
        # Every core takes whole images, from file to outputs, so that none waits for another within a network.
        alone = len(begun) < 2
        threads = None if alone else 1
        yield from each(
            chain(begun, remaining),
            lambda image: self._run(source(image), threads),
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

    def predict(self, image: GivenImage, *, top: int = 5) -> ClassPrediction:
        """Find the likeliest labels of one image.

        Args:
            image: A path, the bytes of an encoded image, a Pillow image, RGB pixels of any size as uint8 (H, W, 3), or
                a source of an image.
            top: Number of labels, at least 1.

        Raises:
            DataError: If the image is none of these, or cannot be decoded.
            EngineError: If ``top`` makes no sense.
        """
        return cast("ClassPrediction", super().predict(image, top=top))

    def predict_many(self, images: Iterable[GivenImage], *, top: int = 5) -> Iterator[ClassPrediction | DataError]:
        """Find the likeliest labels of many images, in order, on all cores.

        Args:
            images: What :meth:`predict` takes, many times.
            top: Number of labels for each, at least 1.

        Returns:
            For each image its prediction, or the error that says why there is none.

        Raises:
            DataError: If a single image is given.
            EngineError: If ``top`` makes no sense.
        """
        return cast("Iterator[ClassPrediction | DataError]", super().predict_many(images, top=top))


def _as_image(image: GivenImage, name: str) -> ImageSource:
    """What a caller gave as a source; ``name`` is what messages call an image that has no name of its own."""
    match image:
        case str() | PathLike():
            return FileImage(image)
        case bytes():
            return BytesImage(name, image)
        case Image.Image():
            return ArrayImage(name, np.asarray(image.convert("RGB")))
        case np.ndarray():
            return ArrayImage(name, image)
        case ImageSource():
            return image
        case _:
            raise DataError(
                f"{name} must be a path, the bytes of an encoded image, a Pillow image or RGB pixels as a NumPy array "
                f"of uint8 (H, W, 3), not {_kind(image)}"
            )


def _kind(given: object) -> str:
    """What a message calls a thing of the wrong kind."""
    return f"a value of type {type(given).__name__}"


def _check_top(top: int) -> None:
    check_integer("top", top, EngineError, least=1)
