"""The int8 pipeline with this package's quantization-aware training: :func:`mobilenets.quantize`.

:mod:`mobilenets.compression.pipeline` stands below training and takes the function that trains as an argument; here it
gets one. PyTorch is imported when that function is called, so all that needs no training works without it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.compression import pipeline
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.detector_evaluation import DetectorEvaluation
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.pipeline import CALIBRATION_IMAGES, TrainingImages, quantize_quickly
from mobilenets.compression.quality import DEFAULT_MAX_DROP
from mobilenets.compression.quantize import Quantized
from mobilenets.compression.result import CompressionResult, Method
from mobilenets.compression.techniques import Technique
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.data.reading import Reading
from mobilenets.data.splitting import spread
from mobilenets.errors import CompressionError, MissingDependencyError
from mobilenets.model.model import Model

FITTED_STEPS = ("more epochs of training", "a wider network")
"""What is left to try for a Model that was fitted here."""
FITTED_TECHNIQUES = (Technique.TRAINING,)
"""What is tried for a Model that was fitted here, where calibration alone loses too much."""
FITTED_CALIBRATION_IMAGES = 128
"""Training images, evenly spread, that calibrate a Model that was fitted to them."""
TRIED_IMAGES = 2
"""Images that tell how long quantization takes, where its time is limited, ..."""
FEWEST_CALIBRATION_IMAGES = 8
"""... and those that calibrate however short it is."""
FITTED_DETECTOR_IMAGES = 32
"""The same of a detector, whose maps have many more positions."""


@typed(CompressionError)
def quantize(
    model: Model,
    *,
    calibration: str | Path | None = None,
    data: str | Path | Dataset | None = None,
    reading: Reading | None = None,
    method: Method | str = Method.CALIBRATED,
    config: QuantizationConfig = QuantizationConfig(),
    techniques: str | Sequence[str] = (),
    calibration_images: int = CALIBRATION_IMAGES,
    max_drop: float = DEFAULT_MAX_DROP,
    epochs: int | None = None,
    explain: bool = False,
    progress: Progress = SILENT,
) -> CompressionResult:
    """Quantize a float32 Model to int8 and evaluate what it lost.

    Args:
        model: float32.
        calibration: Folder of images like those that the Model will see, without labels. By default the training
            images of ``data``.
        data: Labeled images: a folder of class folders, a CSV, or a Dataset. The validation images evaluate, and the
            training images train. Without them, calibration images evaluate that do not calibrate.
        reading: How ``data`` is read; None for how it was read when the Model was fitted to it, or as usual.
        method: How the Model is made first: ``Method.CALIBRATED``, ``TRAINED`` or ``DATA_FREE``, or its text.
        config: Which techniques are in use, and the bits of the weights.
        techniques: What to try, one after another, until the Model is good enough;
            :data:`mobilenets.compression.techniques.FALLBACK_ORDER` for everything.
        calibration_images: How many images calibrate.
        max_drop: Percentage points of top-1 that may be lost, from 0 to 100; infinity accepts any Model. Without
            labels, the Models must agree on 97 % of the images on which the float Model is sure.
        epochs: Epochs of quantization-aware training; None leaves them to its recipe.
        explain: Whether to find what each technique contributes, by making the Model without it.
        progress: Receives progress updates.

    Returns:
        The best int8 Model that was made, with its quality report. Whether it is good enough is in
        :attr:`~mobilenets.compression.result.CompressionResult.refusal`.

    Raises:
        CompressionError: If the Model is int8 already or broken, or the arguments are unknown words, out of range or
            contradict each other.
        DataError: If images cannot be read, or the labels are not the Model's.
        EngineError: If the engine cannot run the Model.
        MissingDependencyError: If something is to be trained and PyTorch is not installed.

    Sources: Jacob et al. 2018, arXiv:1712.05877 (int8 arithmetic, training); Nagel et al. 2019, arXiv:1906.04721
    (data-free); Nagel et al. 2020, arXiv:2004.10568 (rounding of weights).

    >>> import numpy as np
    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> from mobilenets.tasks.classification import Classification
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=10)
    >>> rng = np.random.default_rng(0)
    >>> parameters = {
    ...     name: rng.normal(1.0 if name.endswith("running_var") else 0.1, 0.1, shape).astype(np.float32)
    ...     for name, shape in network.parameter_shapes().items()
    ... }
    >>> model = Model(network, parameters, Classification.numbered(network))
    >>> quantize(model, method=Method.DATA_FREE).model.precision
    'int8'
    """
    if epochs is not None:
        check_integer("epochs", epochs, CompressionError, least=1)
    pipe = partial(
        pipeline.quantize_and_evaluate,
        model,
        calibration=calibration,
        data=data,
        reading=reading,
        method=method,
        config=config,
        techniques=techniques,
        calibration_images=calibration_images,
        max_drop=max_drop,
        explain=explain,
        train=_Training(epochs),
        progress=progress,
    )
    if os.environ.get("WORLD_SIZE", "1") == "1":  # PyTorch is not imported where nothing is trained
        return pipe()
    from torch import device

    from mobilenets.training.distributed import joined_processes
    from mobilenets.training.leading import led

    with joined_processes(device("cpu")):
        return led(pipe)


def quantize_fitted(
    model: Model,
    dataset: Dataset,
    *,
    max_drop: float = DEFAULT_MAX_DROP,
    epochs: int | None = None,
    techniques: Sequence[Technique] = FITTED_TECHNIQUES,
    seconds: float | None = None,
    progress: Progress = SILENT,
) -> CompressionResult:
    """Quantize a Model with the images that it was fitted to.

    The training images calibrate, and train where calibration alone loses too much; the validation images decide.

    Args:
        model: float32.
        dataset: What it was fitted to.
        max_drop: Percentage points of top-1 that may be lost.
        epochs: Epochs of quantization-aware training; None leaves them to its recipe.
        techniques: What is tried where calibration alone loses too much.
        seconds: What it may take, about: as many images calibrate as that is enough for, and none of the techniques is
            tried. None for no limit.
        progress: Receives progress updates.

    Returns:
        The best int8 Model, and what it lost. Whether that is too much is in
        :attr:`~mobilenets.compression.result.CompressionResult.refusal`.

    Raises:
        CompressionError: If the Model cannot be quantized.
    """
    usual = FITTED_DETECTOR_IMAGES if model.task.kind == "detection" else FITTED_CALIBRATION_IMAGES
    count = usual if seconds is None else min(usual, _calibrated_within(model, dataset, seconds))
    if count < min(usual, len(dataset.train)):
        progress.note(f"{plural(count, 'image calibrates', 'images calibrate')} int8, of {usual}: the time is short")
    result = quantize(
        model,
        data=dataset,
        techniques=techniques if seconds is None else (),
        calibration_images=count,
        max_drop=max_drop,
        epochs=epochs,
        progress=progress,
    )
    if result.doubt is not None:
        progress.note(f"the int8 Model is kept: {result.doubt}")
    return replace(result, next_steps=FITTED_STEPS)


def _calibrated_within(model: Model, dataset: Dataset, seconds: float) -> int:
    """How many images can calibrate a Model in a time, as a few of them tell."""
    few = dataset.train.take(spread(len(dataset.train), TRIED_IMAGES))
    begun = time.monotonic()
    pixels = prepare(few, model.preprocessing, model.network.height, model.network.width).pixels
    quantize_quickly(model, pixels)
    took = time.monotonic() - begun
    return max(FEWEST_CALIBRATION_IMAGES, int((seconds - took) * len(pixels) / took))


@dataclass(frozen=True)
class _Training:
    """Quantization-aware training for some epochs; None leaves them to its recipe."""

    epochs: int | None

    def __call__(
        self, model: Model, images: TrainingImages, config: QuantizationConfig, *, progress: Progress
    ) -> Quantized:
        """Quantize and train; see :class:`mobilenets.compression.pipeline.Trainer`.

        Raises:
            MissingDependencyError: If PyTorch is not installed.
        """
        try:
            return self._trained(model, images, config, progress)
        except ModuleNotFoundError as error:
            raise MissingDependencyError(error.name or "torch", "train") from None

    def _trained(
        self, model: Model, images: TrainingImages, config: QuantizationConfig, progress: Progress
    ) -> Quantized:
        from mobilenets.training.leading import together

        match images.evaluation:
            case DetectorEvaluation() | None if model.task.kind == "detection":
                from mobilenets.training.detection.quantization_aware import train_quantized_detector

                return together(
                    train_quantized_detector,
                    model,
                    images.pixels,
                    images.calibration,
                    config,
                    epochs=self.epochs,
                    evaluation=images.evaluation,
                    progress=progress,
                )
            case EvaluationSet() | None:
                from mobilenets.training.quantization_aware import train_quantized

                return together(
                    train_quantized,
                    model,
                    images.pixels,
                    images.calibration,
                    config,
                    epochs=self.epochs,
                    targets=images.targets,
                    evaluation=images.evaluation,
                    progress=progress,
                )
            case _:
                raise CompressionError(f"a {model.task.kind} Model is not compared by boxes")
