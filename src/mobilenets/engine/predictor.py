"""From images to predictions: decode, prepare, run, and let the Model's task read the outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from os import PathLike
from typing import IO, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.arguments import check_integer, is_number, typed, word_of
from mobilenets.base.records import record
from mobilenets.data.array_image import ChannelOrder
from mobilenets.data.decoding import ASSUMPTION
from mobilenets.data.image import ImageSource, image_source, kind_of
from mobilenets.data.loading import each, geometry_of, source_side
from mobilenets.data.resizing import resized
from mobilenets.engine.session import Logits, Session
from mobilenets.errors import AssumptionWarning, DataError, EngineError, InputTypeError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.source import model_of
from mobilenets.tasks.classification import Classification, ClassPrediction
from mobilenets.tasks.task import Geometry, Prediction

Item = TypeVar("Item")
Outputs = tuple[Logits, ...]
"""A network's outputs for one image, each with a leading axis of 1."""
GivenImage = (
    str | PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | npt.NDArray[Any] | ImageSource
)
"""An image as callers have it: a path, the bytes of an encoded image, a file opened in binary mode, a Pillow image, an
array of pixels, or a source of one."""


@record(frozen=True, eq=False)
class PreparedImage:
    """An image as a network takes it.

    Attributes:
        pixels: uint8 (height, width, channels).
        geometry: Where in the image they come from.
        assumption: What was assumed of the image because its file does not say it, or None.
    """

    pixels: Pixels
    geometry: Geometry
    assumption: str | None


class Predictor:
    """A Model of any task that takes images in files, from Pillow, or as arrays.

    Args:
        model: A Model; or what :func:`mobilenets.load` reads: the path of a Model file or of a foreign one, or
            published weights such as ``"keras:0.25-224"``.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run.

    >>> from mobilenets import Model, MultiLabel, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> parameters = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> parameters["classifier.bias"] = np.array([-1, 2], np.float32)
    >>> predictor = Predictor(Model(network, parameters, MultiLabel(("red", "round"))))
    >>> predictor.predict(np.zeros((480, 640, 3), np.uint8)).summary
    'round 88.1 %'
    """

    @typed(EngineError)
    def __init__(self, model: Model | str | PathLike[str], threads: int | None = None) -> None:
        self.model = model_of(model)
        self.session = Session(self.model, threads)
        self._assumed: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model.summary})"

    def predict(self, image: GivenImage, *, top: int | None = None, channel_order: str = "rgb") -> Prediction:
        """Predict one image.

        Args:
            image: A path, the bytes of an encoded image, a file opened in binary mode, a Pillow image, or an array of
                pixels of any size: uint8 (H, W, 3), or what
                :func:`~mobilenets.data.array_image.image_of_array` takes.
            top: Largest number of results, at least 1; None for what the Model's task gives: five labels, every box.
            channel_order: Of an array: ``"rgb"``, or ``"bgr"`` as OpenCV has it.

        Raises:
            InputTypeError: If the image is none of these; it is a TypeError and a DataError.
            DataError: If it cannot be decoded.
            EngineError: If ``top`` makes no sense.
        """
        return self._predict(image, channel_order, top=top)

    def predict_many(
        self, images: Iterable[GivenImage], *, top: int | None = None, channel_order: str = "rgb"
    ) -> Iterator[Prediction | DataError]:
        """Predict many images, in order, on all cores.

        Args:
            images: What :meth:`predict` takes, many times.
            top: Largest number of results for each, at least 1; None for what the Model's task gives.
            channel_order: Of arrays: ``"rgb"``, or ``"bgr"`` as OpenCV has it.

        Returns:
            For each image its prediction, or the error that says why there is none.

        Raises:
            InputTypeError: If a single image is given, or none.
            EngineError: If ``top`` makes no sense.
        """
        return self._predict_many(images, channel_order, top=top)

    def outputs_many(self, images: Iterable[ImageSource]) -> Iterator[tuple[ImageSource, Outputs | DataError]]:
        """Run the network on many images, in order, on all cores.

        Args:
            images: The images; each is decoded when it is needed.

        Returns:
            Each image with the network's outputs, or with the error that says why there are none.
        """
        for image, ran in self.run_many(images):
            yield image, ran if isinstance(ran, DataError) else ran[0]

    def run_many(
        self, images: Iterable[ImageSource]
    ) -> Iterator[tuple[ImageSource, tuple[Outputs, Geometry] | DataError]]:
        """What :meth:`outputs_many` gives, with what each input was made of.

        Args:
            images: The images; each is decoded when it is needed.
        """
        return self._run_many(images, image_source)

    def _predict(self, image: GivenImage, channel_order: str, *, top: int | None, **options: Any) -> Prediction:
        self._check_classes()
        options = _options(top, options)
        ran = self._run(image_source(image, "image", channel_order), None)
        return self._decode(*ran, **options)

    def _predict_many(
        self, images: Iterable[GivenImage], channel_order: str, *, top: int | None, **options: Any
    ) -> Iterator[Prediction | DataError]:
        self._check_classes()
        options = _options(top, options)
        check_many(images)
        word_of(ChannelOrder, channel_order, "channel order", DataError)
        ran_many = self._run_many(
            enumerate(images, 1), lambda one: image_source(one[1], f"image {one[0]}", channel_order)
        )
        return (ran if isinstance(ran, DataError) else self._decode(*ran, **options) for _, ran in ran_many)

    def _check_classes(self) -> None:
        """Raise if the network ends before its classifier: its numbers are no classes."""
        network = self.model.network
        if network.gives_features and isinstance(self.model.task, Classification):
            count = network.shapes[network.outputs[0]].channels
            raise EngineError(
                f"the Model gives {count:,} features and no classes, as it has no classifier: train one, from it as "
                "weights, or run it with a Session"
            )

    def _decode(self, outputs: Outputs, geometry: Geometry, **options: Any) -> Prediction:
        return self.model.task.decode(outputs, [geometry], **options)[0]

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

    def prepare(self, image: ImageSource) -> PreparedImage:
        """Decode an image and bring it to the network's size, as :meth:`predict` does before the network runs.

        Args:
            image: The image.

        Raises:
            DataError: If it cannot be decoded.
        """
        network, preprocessing = self.model.network, self.model.preprocessing
        opened = image.open(source_side(preprocessing, network.height, network.width))
        pixels = resized(opened, preprocessing, network.height, network.width, self.session.instruction_set)
        geometry = geometry_of(image.name, opened, preprocessing, network.height, network.width)
        return PreparedImage(pixels, geometry, opened.info.get(ASSUMPTION))

    def _run(self, image: ImageSource, threads: int | None) -> tuple[Outputs, Geometry]:
        prepared = self.prepare(image)
        assumption = prepared.assumption
        if assumption is not None and assumption not in self._assumed:
            self._assumed.add(assumption)
            warnings.warn(f"{image.name}: {assumption}", AssumptionWarning, stacklevel=2)
        return tuple(self.session.outputs(prepared.pixels[None], threads=threads).values()), prepared.geometry


class Classifier(Predictor):
    """A classifier that takes images in files, from Pillow, or as arrays.

    Args:
        model: A Model; or what :func:`mobilenets.load` reads: the path of a Model file or of a foreign one, or
            published weights such as ``"keras:0.25-224"``.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or is no classifier.

    >>> from mobilenets import Classification, Model, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> parameters = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> parameters["classifier.bias"] = np.array([0, 2], np.float32)
    >>> classifier = Classifier(Model(network, parameters, Classification(("cat", "dog"))))
    >>> prediction = classifier.predict(np.zeros((480, 640, 3), np.uint8))
    >>> prediction.label, round(prediction.probability, 3)
    ('dog', 0.881)
    """

    @typed(EngineError)
    def __init__(self, model: Model | str | PathLike[str], threads: int | None = None) -> None:
        super().__init__(model, threads)
        if not isinstance(self.model.task, Classification):
            raise EngineError(f"the Model is no classifier: its task is {self.model.task.kind}")

    def predict(
        self,
        image: GivenImage,
        *,
        top: int | None = 5,
        channel_order: str = "rgb",
        unknown: bool = False,
        threshold: float | None = None,
    ) -> ClassPrediction:
        """Find the likeliest labels of one image.

        Args:
            image: A path, the bytes of an encoded image, a file opened in binary mode, a Pillow image, or an array of
                pixels of any size: uint8 (H, W, 3), or what
                :func:`~mobilenets.data.array_image.image_of_array` takes.
            top: Number of labels, at least 1; None for five.
            channel_order: Of an array: ``"rgb"``, or ``"bgr"`` as OpenCV has it.
            unknown: Answer ``"unknown"`` where an image is of no known class, by the Model's threshold, which
                :func:`~mobilenets.engine.calibrate.calibrate` sets.
            threshold: Answer so, too, where the likeliest label has less than this probability.

        Returns:
            The labels with their probabilities, likeliest first; fewer than ``top`` where there are fewer classes.

        Raises:
            InputTypeError: If the image is none of these; it is a TypeError and a DataError.
            DataError: If it cannot be decoded.
            EngineError: If ``top`` or ``threshold`` makes no sense, or the Model has no threshold of unknown images.
        """
        self.check_rejection(unknown=unknown, threshold=threshold)
        found = self._predict(image, channel_order, top=top, unknown=unknown, threshold=threshold)
        return cast("ClassPrediction", found)

    def predict_many(
        self,
        images: Iterable[GivenImage],
        *,
        top: int | None = 5,
        channel_order: str = "rgb",
        unknown: bool = False,
        threshold: float | None = None,
    ) -> Iterator[ClassPrediction | DataError]:
        """Find the likeliest labels of many images, in order, on all cores.

        Args:
            images: What :meth:`predict` takes, many times.
            top: Number of labels for each, at least 1; None for five.
            channel_order: Of arrays: ``"rgb"``, or ``"bgr"`` as OpenCV has it.
            unknown: Answer ``"unknown"`` where an image is of no known class, by the Model's threshold, which
                :func:`~mobilenets.engine.calibrate.calibrate` sets.
            threshold: Answer so, too, where the likeliest label has less than this probability.

        Returns:
            For each image its prediction, or the error that says why there is none.

        Raises:
            InputTypeError: If a single image is given, or none.
            EngineError: If ``top`` or ``threshold`` makes no sense, or the Model has no threshold of unknown images.
        """
        self.check_rejection(unknown=unknown, threshold=threshold)
        found = self._predict_many(images, channel_order, top=top, unknown=unknown, threshold=threshold)
        return cast("Iterator[ClassPrediction | DataError]", found)

    def check_rejection(self, *, unknown: bool, threshold: float | None) -> None:
        """Raise if the Model cannot answer "unknown" in the way that is asked for.

        Args:
            unknown: By the Model's own threshold.
            threshold: By this probability.

        Raises:
            EngineError: If it has no threshold of unknown images, or the probability is not from 0 to 1.
        """
        if threshold is not None and not (is_number(threshold) and 0 <= threshold <= 1):
            raise EngineError(f"threshold must be a probability, from 0 to 1, not {threshold!r:.40}")
        task = self.model.task
        if unknown and isinstance(task, Classification):
            task.check_unknown()


def check_many(images: object) -> None:
    """Refuse a single image: an array of one would be taken for as many images as it has rows."""
    single = isinstance(images, str | bytes | bytearray | memoryview | PathLike | Image.Image) or hasattr(
        images, "read"
    )
    if single or not isinstance(images, Iterable):
        raise InputTypeError(f"predict_many takes several images, such as a list of paths, not {kind_of(images)}")
    paths = isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "UO"  # of a table's column
    if (
        isinstance(images, np.ndarray)
        and not paths
        and (images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4)))
    ):
        raise InputTypeError(
            f"predict_many takes several images, such as an array (N, H, W, 3), not {images.shape}; "
            "predict takes a single one"
        )


def _options(top: int | None, others: dict[str, Any]) -> dict[str, Any]:
    """What decodes outputs as a caller asks for."""
    if top is None:
        return others
    check_integer("top", top, EngineError, least=1)
    return {"top": top, **others}
