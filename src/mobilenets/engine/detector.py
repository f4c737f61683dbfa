"""From images to boxes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import cast

from mobilenets.base.arguments import is_number, typed
from mobilenets.engine.predictor import GivenImage, Predictor
from mobilenets.errors import DataError, EngineError
from mobilenets.model.model import Model
from mobilenets.tasks.box_matching import MOST_DETECTIONS
from mobilenets.tasks.detection import Detection, DetectionPrediction


class Detector(Predictor):
    """A detector that takes images in files, from Pillow, or as arrays.

    Args:
        model: A Model; or what :func:`mobilenets.load` reads: the path of a Model file or of a foreign one.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run, or is no detector.

    >>> import numpy as np
    >>> from mobilenets import Detection, Model, mobilenet_v1
    >>> from mobilenets.architecture.networks.ssd import centres
    >>> from mobilenets.tasks.detection_heads import CentreHead
    >>> network = centres(mobilenet_v1(width_multiplier=0.25, resolution=64), classes=1)
    >>> parameters = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> parameters["centres.logits.bias"] = np.array([0, 2], np.float32)  # sees an object wherever it looks
    >>> task = Detection(("cell",), CentreHead(8, 8, ((0.125, 0.125),)))
    >>> detector = Detector(Model(network, parameters, task))
    >>> prediction = detector.predict(np.zeros((480, 480, 3), np.uint8), top=1)
    >>> [(one.label, round(one.score, 3), one.box) for one in prediction.boxes]
    [('cell', 0.881, (30.0, 30.0, 82.5, 82.5))]
    """

    @typed(EngineError)
    def __init__(self, model: Model | str | PathLike[str], threads: int | None = None) -> None:
        super().__init__(model, threads)
        if not isinstance(self.model.task, Detection):
            raise EngineError(f"the Model is no detector: its task is {self.model.task.kind}, which gives no boxes")

    def predict(
        self,
        image: GivenImage,
        *,
        top: int | None = MOST_DETECTIONS,
        channel_order: str = "rgb",
        threshold: float | None = None,
    ) -> DetectionPrediction:
        """Find the objects of one image.

        Args:
            image: What :meth:`mobilenets.engine.predictor.Predictor.predict` takes.
            top: Largest number of objects, at least 1.
            channel_order: Of an array: ``"rgb"``, or ``"bgr"`` as OpenCV has it.
            threshold: Least score, from 0 to 1; None for the Model's own.

        Returns:
            The objects, highest score first, with boxes in pixels of the image.

        Raises:
            InputTypeError: If the image is none of these; it is a TypeError and a DataError.
            DataError: If it cannot be decoded.
            EngineError: If ``top`` or ``threshold`` makes no sense.
        """
        check_score(threshold)
        return cast("DetectionPrediction", self._predict(image, channel_order, top=top, threshold=threshold))

    def predict_many(
        self,
        images: Iterable[GivenImage],
        *,
        top: int | None = MOST_DETECTIONS,
        channel_order: str = "rgb",
        threshold: float | None = None,
    ) -> Iterator[DetectionPrediction | DataError]:
        """Find the objects of many images, in order, on all cores.

        Args:
            images: What :meth:`predict` takes, many times.
            top: Largest number of objects of each, at least 1.
            channel_order: Of arrays: ``"rgb"``, or ``"bgr"`` as OpenCV has it.
            threshold: Least score, from 0 to 1; None for the Model's own.

        Returns:
            For each image its objects, or the error that says why there are none.

        Raises:
            InputTypeError: If a single image is given, or none.
            EngineError: If ``top`` or ``threshold`` makes no sense.
        """
        check_score(threshold)
        found = self._predict_many(images, channel_order, top=top, threshold=threshold)
        return cast("Iterator[DetectionPrediction | DataError]", found)


def check_score(threshold: object) -> None:
    """Raise if a least score is none.

    Raises:
        EngineError: If it is neither None nor a number from 0 to 1.
    """
    if threshold is not None and not (is_number(threshold) and 0 <= threshold <= 1):  # type: ignore[operator]
        raise EngineError(f"threshold must be a score, from 0 to 1, not {threshold!r:.40}")
