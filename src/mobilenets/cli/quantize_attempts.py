"""The int8 Models that ``mobilenets quantize`` makes of a float one, and which of them it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mobilenets.base.progress import Progress
from mobilenets.cli.quantize_images import Images, prepared
from mobilenets.compression.data_free import quantize_without_images
from mobilenets.compression.quality import (
    QAT_STEP,
    Contribution,
    Jury,
    Stopwatch,
    Verdict,
    contributions,
    ladder,
    unjudged,
)
from mobilenets.compression.quantize import MOST_WALKED, Options, Quantized, quantize
from mobilenets.compression.sqnr import measure_noise
from mobilenets.errors import EngineError, MissingDependencyError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

DATA_FREE_LEVERS = ("equalisation", "bias absorption", "bias correction")
"""What can be switched off where there are no images."""


@dataclass(frozen=True)
class Attempt:
    """An int8 Model, how it was made, and what became of it.

    Attributes:
        made: The Model.
        options: What it was made with.
        verdict: What it lost.
        kind: ``calibrated``, ``trained`` or ``data-free``.
    """

    made: Quantized
    options: Options
    verdict: Verdict
    kind: str


@dataclass(frozen=True)
class Maker:
    """Makes int8 Models of one float Model, and has them judged.

    Attributes:
        model: float32.
        jury: Judges, if there are images for it.
        pixels: Calibration images.
        images: All images by what they are for.
        epochs: Of training; None leaves it to its recipe.
        progress: Told of everything.
    """

    model: Model
    jury: Jury | None
    pixels: Pixels
    images: Images
    epochs: int | None
    progress: Progress

    def calibrated(self, options: Options) -> Attempt:
        """Quantise after training."""
        made = quantize(self.model, self.pixels, options, progress=self.progress)
        return Attempt(made, options, self._judged(made), "calibrated")

    def trained(self, options: Options) -> Attempt:
        """Quantise, and train in integers.

        Raises:
            MissingDependencyError: If PyTorch is not installed.
        """
        try:
            from mobilenets.training.quantization_aware import train
        except ModuleNotFoundError as error:
            raise MissingDependencyError(error.name or "torch", "train") from None
        found = prepared(self.model, self.images.training, self.progress)
        made = train(
            self.model,
            found.pixels,
            self.pixels,
            options,
            epochs=self.epochs,
            targets=found.targets,
            jury=None if self.images.seen else self.jury,
            progress=self.progress,
        )
        return Attempt(made, options, self._judged(made), "trained")

    def without_images(self, options: Options) -> Attempt:
        """Quantise by what batch norms say."""
        made = quantize_without_images(self.model, options)
        if self.jury is not None:
            made = replace(made, layers=measure_noise(made.real, made.model, self.jury.pixels[:MOST_WALKED]))
        return Attempt(made, options, self._judged(made), "data-free")

    def first_that_passes(self, options: Options, max_drop: float, *, auto: bool) -> Attempt:
        """The first Model on the ladder that passes the gate, or the best one there is."""
        best = self.calibrated(options)
        for step, changed in ladder(options) if auto else ():
            refusal = best.verdict.refusal(max_drop)
            if refusal is None:
                break
            self.progress.note(f"{refusal}; trying {step}")
            tried = self.trained(changed) if step == QAT_STEP else self.calibrated(changed)
            if _merit(tried.verdict) > _merit(best.verdict):
                best = tried
        return best

    def explained(self, attempt: Attempt) -> list[Contribution]:
        """What is left without each lever that a Model was made with."""
        if self.jury is None:
            return []
        if attempt.kind == "data-free":
            return contributions(
                self.jury,
                lambda options: quantize_without_images(self.model, options),
                attempt.options,
                DATA_FREE_LEVERS,
            )
        return contributions(
            self.jury,
            lambda options: quantize(self.model, self.pixels, options, progress=self.progress),
            attempt.options,
        )

    def untrained(self, attempt: Attempt) -> Verdict:
        """On the Model before training, which is what levers made."""
        return attempt.verdict if attempt.kind != "trained" else self.calibrated(attempt.options).verdict

    def _judged(self, made: Quantized) -> Verdict:
        if self.jury is None:
            return unjudged(self.model, made.model, stopwatch())
        return self.jury.judge(made.model, made.layers)


def _merit(verdict: Verdict) -> tuple[float, float]:
    """What makes one Model better than another: accuracy, or agreement where there are no labels; then less noise."""
    share = verdict.top1_after or verdict.sure_agreement
    return (share.value if share.total else verdict.agreement.value, verdict.logits_snr_db)


def stopwatch() -> Stopwatch | None:
    """A function that times Models on the engine, or None where the engine is not built."""
    try:
        from mobilenets.engine.session import Session
    except EngineError:
        return None

    def latency_ms(models: Sequence[Model]) -> list[float]:
        sessions = [Session(model, threads=1) for model in models]
        network = models[0].network
        image = np.zeros((1, network.height, network.width, network.channels), np.uint8)
        times: list[list[float]] = [[] for _ in sessions]
        for _ in range(30):
            for session, measured in zip(sessions, times, strict=True):
                begun = time.perf_counter()
                session.run(image)
                measured.append(time.perf_counter() - begun)
        return [1000 * min(measured) for measured in times]

    return latency_ms
