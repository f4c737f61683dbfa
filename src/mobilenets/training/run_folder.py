"""The folder that a run of ``fit`` writes into: the name of every file in it. No PyTorch is needed to read one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.suffixes import EXPORTED, taken_for
from mobilenets.errors import DataError, TrainingError
from mobilenets.model.file import save

if TYPE_CHECKING:
    from mobilenets.training.result import Fit

MODEL_FILE, METRICS_FILE, REPORT_FILE = "model.safetensors", "metrics.json", "report.html"
INT8_FILE = "model.int8.safetensors"
"""Beside a float32 Model, what was made from it."""
FLOAT_FILE = "model.float32.safetensors"
"""Beside an int8 Model, what it was made from."""
SUPERNET_FILE, PROFILE_FILE = "supernet.safetensors", "device.json"
"""Of a search: the supernet, and the latencies that were measured."""
CHECKPOINT_FILE = "checkpoint.safetensors"
"""Of an unfinished run."""


def fine_tuning_checkpoint(folder: Path, width: float, resolution: int) -> Path:
    """Checkpoint of the fine-tuning of a subnet."""
    return folder / f"fine-tune-{width:g}-{resolution}.checkpoint.safetensors"


def check_run_path(folder: Path) -> None:
    """Raise if the output of a run is a file, or would be taken for one.

    Raises:
        TrainingError: Naming the folder to give instead.
    """
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; the output must be a folder")
    other = None if folder.exists() else taken_for(folder, ())
    if other is not None:
        stem = folder.with_suffix("")
        then = (
            f", and then: mobilenets export {stem / MODEL_FILE} -o {folder}"
            if folder.suffix.lower() in EXPORTED
            else ""
        )
        raise TrainingError(
            f"{folder} has the name of {other}, and the output is a folder with {MODEL_FILE} in it: give {stem}{then}"
        )


def claim(folder: Path, *, resume: bool, replace_existing: bool, progress: Progress = SILENT) -> Path:
    """Check that the output folder can be written to, before any work is done.

    A folder that does not exist is made by what is first written into it, so that a run that fails before leaves none.

    Raises:
        TrainingError: If it cannot, or holds what must not be overwritten.
    """
    check_output(folder, resume=resume, replace_existing=replace_existing)
    unfinished = _unfinished(folder)
    if resume and not unfinished:
        progress.note(f"{folder} holds no unfinished run, so there is nothing to resume: training begins anew")
    absent = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink()
        for made in absent:
            made.rmdir()
        if replace_existing and not resume:
            for checkpoint in unfinished:
                checkpoint.unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from None
    return folder


def check_output(folder: Path, *, resume: bool, replace_existing: bool) -> None:
    """Raise if the output folder of a run holds what must not be overwritten; nothing is written.

    Args:
        folder: It need not exist.
        resume: Whether the run goes on from what is there.
        replace_existing: Whether it may be overwritten.

    Raises:
        TrainingError: If it is no folder, or holds a Model or an unfinished run.
    """
    check_run_path(folder)
    model, unfinished = folder / MODEL_FILE, _unfinished(folder)
    if not replace_existing and not resume:
        if unfinished:
            raise TrainingError(
                f"{folder} holds an unfinished run: go on with resume=True, or start anew with replace_existing=True"
            )
        if model.exists():
            raise TrainingError(
                f"{folder} holds a Model already: choose another folder, or overwrite it with replace_existing=True"
            )
    if resume and model.exists() and not unfinished:
        raise TrainingError(f"{folder} holds a finished Model; there is nothing to resume")


def _unfinished(folder: Path) -> list[Path]:
    """The checkpoints that a folder holds."""
    return sorted(folder.glob(f"*{CHECKPOINT_FILE}"))


def left_by_interruption(folder: Path) -> str:
    """What a run that was interrupted leaves in its folder, and how to go on, in a sentence.

    Args:
        folder: Of the run.
    """
    if not _unfinished(folder):
        return "no Model of this run is written yet; the same command begins anew"
    there = f"{folder / MODEL_FILE} is the first usable Model. " if (folder / MODEL_FILE).exists() else ""
    return f"{there}The same command goes on from here with resume=True; with time=1s too it ends with the best so far"


def left_after_training(folder: Path, *, int8: bool = False) -> str:
    """What a run whose Model is finished leaves where it is interrupted after that, and what makes the rest.

    Args:
        folder: Of the run.
        int8: Whether an int8 Model was asked for beside the Model, and was not made yet.
    """
    model = folder / MODEL_FILE
    quantize = f"mobilenets quantize {model} --data DATA --auto, and " if int8 else ""
    return f"{model} and {METRICS_FILE} are finished. What is left to do: {quantize}mobilenets report {folder}"


def is_of_run(path: Path) -> bool:
    """Whether a path is that of a Model that a run of fit has trained.

    Args:
        path: Of a file that somebody wants to write.
    """
    trained = path.name in (MODEL_FILE, FLOAT_FILE, SUPERNET_FILE) and path.is_file()
    return trained and ((path.parent / METRICS_FILE).exists() or bool(_unfinished(path.parent)))


def is_unfinished(folder: Path) -> bool:
    """Whether the folder holds a run that was interrupted."""
    return bool(_unfinished(folder))


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a Model that is trained to its end."""
    return (folder / MODEL_FILE).exists() and not any(folder.glob(f"*{CHECKPOINT_FILE}"))


def write_run(result: Fit, folder: Path) -> None:
    """Write Model and figures into a folder, and then drop the checkpoint that led to them.

    Raises:
        TrainingError: If the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / METRICS_FILE, _encode(result.to_json()))
        if result.float_model is not None:
            save(result.float_model, folder / FLOAT_FILE)
        save(result.model, folder / MODEL_FILE)
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from None


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """The figures of a finished run.

    Raises:
        DataError: If the folder holds none, or they cannot be read.
    """
    path = Path(folder) / METRICS_FILE
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except NotADirectoryError:
        raise DataError(f"{folder} is a file; expected the output folder of mobilenets fit") from None
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {METRICS_FILE}; expected the output folder of mobilenets fit") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not isinstance(metrics, dict):
        raise DataError(f"{path} cannot be read: it holds no figures")
    return metrics


def add_metrics(folder: str | Path, figures: Mapping[str, Any]) -> None:
    """Add to the figures of a finished run what only its caller knows.

    Args:
        folder: Of the run.
        figures: ``command``, the words by which it was called for, or ``compression``, what int8 lost.

    Raises:
        DataError: If the folder holds no figures.
        OSError: If the file cannot be written.
    """
    write_atomically(Path(folder) / METRICS_FILE, _encode({**read_metrics(folder), **figures}))


def _encode(metrics: Mapping[str, Any]) -> bytes:
    return json.dumps(metrics, indent=2, ensure_ascii=False).encode(errors="backslashreplace")
