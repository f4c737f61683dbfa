"""The int8 Model that ``fit --int8`` ends with: quantised after training, and trained with quantisation if need be."""

from __future__ import annotations

from dataclasses import replace

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quality import DEFAULT_MAX_DROP, Jury, Verdict, refuse
from mobilenets.compression.quantize import Options, quantize
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.data.sampling import spread
from mobilenets.model.model import Model
from mobilenets.training.quantization_aware import train

CALIBRATION = 128
"""Training images, evenly spread, that activation ranges come from."""


def to_int8(
    model: Model,
    dataset: Dataset,
    *,
    max_drop: float = DEFAULT_MAX_DROP,
    epochs: int | None = None,
    progress: Progress = SILENT,
) -> tuple[Model, Verdict]:
    """Quantise a Model with the images that it was fitted to.

    The training images calibrate, and train where that is needed; the validation images decide.

    Args:
        model: float32.
        dataset: What it was fitted to.
        max_drop: Points of top-1 that may be lost.
        epochs: Of quantisation-aware training, if the gate refuses what there is without; None leaves it to its recipe.
        progress: Told how far it is.

    Returns:
        The int8 Model and its verdict.

    Raises:
        GateError: If it lost more than it may even after training.
        CompressionError: If the Model cannot be quantised.
    """
    size = (model.network.height, model.network.width)
    learned = prepare(dataset.train, model.preprocessing, *size, progress=progress)
    judges = prepare(dataset.validation, model.preprocessing, *size, progress=progress)
    pixels, targets = learned.pixels, learned.targets
    chosen = pixels[spread(len(pixels), CALIBRATION)]
    jury = Jury.of(model, judges.pixels, judges.targets, progress=progress)
    options = Options()
    made = quantize(model, chosen, options, progress=progress)
    result, verdict = made.model, jury.judge(made.model, made.layers)
    reason = verdict.refusal(max_drop)
    if reason is not None:
        progress.note(f"{reason}; training with quantisation")
        trained = train(model, pixels, chosen, options, epochs=epochs, targets=targets, jury=jury, progress=progress)
        result, verdict = trained.model, jury.judge(trained.model, trained.layers)
        refuse(verdict, ["more epochs of it", "a wider network"], max_drop)
    entry = {"weight_bits": 8, "trained": reason is not None, "verdict": verdict.figures()}
    return replace(result, provenance={**model.provenance, "quantization": entry}), verdict
