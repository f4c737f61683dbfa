"""The folder that a training run writes into."""

from __future__ import annotations

import json
from pathlib import Path

from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import TrainingError
from mobilenets.model.file import save
from mobilenets.training import checkpoint as checkpoints
from mobilenets.training.curve import draw_curve
from mobilenets.training.result import Fit

MODEL_FILE, METRICS_FILE, CURVE_FILE = "model.safetensors", "metrics.json", "training.png"
FLOAT_FILE = "model.float32.safetensors"
"""Beside an int8 Model, what it was made from."""


def claim(folder: Path, *, resume: bool, replace_existing: bool) -> Path:
    """The output folder, made and known to be writable, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; the output must be a folder")
    model, unfinished = folder / MODEL_FILE, folder / checkpoints.FILE_NAME
    if not replace_existing and not resume:
        if unfinished.exists():
            raise TrainingError(f"{folder} holds an unfinished run: go on with --resume, or start anew with --force")
        if model.exists():
            raise TrainingError(
                f"{folder} holds a Model already: choose another --output, or overwrite it with --force"
            )
    if resume and model.exists() and not unfinished.exists():
        raise TrainingError(f"{folder} holds a finished Model; there is nothing to resume")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink()
        if replace_existing and not resume:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from None
    return folder


def write(result: Fit, folder: Path) -> None:
    """Write Model, figures and curve into a folder, and then drop the checkpoint that led to them.

    Raises:
        TrainingError: If the folder cannot be written to.
    """
    try:
        metrics = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
        write_atomically(folder / METRICS_FILE, metrics.encode(errors="backslashreplace"))
        title = f"{result.dataset.source}: test top-1 {100 * result.evaluation.top1:.2f} %"
        draw_curve(result.history, result.best_epoch, title, folder / CURVE_FILE)
        if result.float_model is not None:
            save(result.float_model, folder / FLOAT_FILE)
        save(result.model, folder / MODEL_FILE)
        (folder / checkpoints.FILE_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from None
