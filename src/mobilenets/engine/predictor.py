"""From images to labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from os import PathLike

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.records import record
from mobilenets.data.image import ArrayImage, FileImage, ImageSource
from mobilenets.data.preparing import each, source_side
from mobilenets.data.resizing import resized
from mobilenets.engine.session import Logits, Session
from mobilenets.errors import DataError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels


@record(frozen=True)
class Prediction:
    """What a Model says of one image.

    Attributes:
        name: What the image is called.
        labels: The likeliest labels with their probabilities, likeliest first.
    """

    name: str
    labels: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The likeliest label."""
        return self.labels[0][0]

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.labels[0][1]


class Classifier:
    """A Model that takes images as people have them.

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
        """The likeliest labels of one image.

        Args:
            image: A path, a Pillow image, or RGB pixels of any size: uint8 (H, W, 3).
            top: How many labels to give.

        Raises:
            DataError: If the image cannot be decoded.
        """
        opened = _as_image(image)
        return Prediction(opened.name, self._best(self.session.run(self._prepare(opened)[None])[0], top))

    def predict_many(self, images: Iterable[ImageSource], *, top: int = 5) -> Iterator[Prediction | DataError]:
        """The likeliest labels of many images, in order, on all cores.

        Yields:
            For each image its prediction, or the error that says why there is none.
        """
        for image, logits in self.logits_many(images):
            yield logits if isinstance(logits, DataError) else Prediction(image.name, self._best(logits, top))

    def logits_many(self, images: Iterable[ImageSource]) -> Iterator[tuple[ImageSource, Logits | DataError]]:
        """Each image with its logits (classes,), in order, or with the error that says why there are none."""
        remaining = iter(images)
        begun = list(islice(remaining, 2))
        # Every core takes whole images, from file to logits, so that none waits for another within a network.
        alone = len(begun) < 2

        def answer(image: ImageSource) -> Logits:
            logits: Logits = self.session.run(self._prepare(image)[None], threads=None if alone else 1)[0]
            return logits

        yield from each(chain(begun, remaining), answer, threads=1 if alone else self.session.threads)

    def _prepare(self, image: ImageSource) -> Pixels:
        network, preprocessing = self.model.network, self.model.preprocessing
        opened = image.open(source_side(preprocessing, network.height, network.width))
        return resized(opened, preprocessing, network.height, network.width, self.session.instruction_set)

    def _best(self, logits: Logits, top: int) -> tuple[tuple[str, float], ...]:
        probabilities = softmax(logits)
        # Of equals the first; to find one is far quicker than to sort all.
        order = [probabilities.argmax()] if top == 1 else np.argsort(-probabilities, kind="stable")[:top]
        return tuple((self.model.labels[index], float(probabilities[index])) for index in order)


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def _as_image(image: str | PathLike[str] | Image.Image | Pixels) -> ImageSource:
    if isinstance(image, str | PathLike):
        return FileImage(image)
    if isinstance(image, Image.Image):
        return ArrayImage("image", np.asarray(image.convert("RGB")))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"an image's pixels must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    return ArrayImage("image", image)
