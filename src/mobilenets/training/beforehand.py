"""What a run is refused for before PyTorch is imported, which takes seconds: words, names and the output folder."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mobilenets.architecture.catalog import Specification
from mobilenets.base.arguments import is_number
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import check_source
from mobilenets.errors import FormatError, TrainingError
from mobilenets.formats.loading import load_model
from mobilenets.training.recipe import recipe_named
from mobilenets.training.run_folder import MODEL_FILE, check_output

ARCHITECTURE = "mobilenet_v1"
"""What is trained from scratch where nobody names another."""
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")
PROCESSES = re.compile(r"(cpu|cuda):(all|[1-9]\d*)")
"""Several processes of a kind, one for each GPU."""
LogKind = Literal["csv", "tensorboard", "wandb"]
LOGS = "FILE.csv, tensorboard:FOLDER or wandb:PROJECT"
"""What a log may be."""
NARROWEST, WIDEST = 0.01, 2
"""Width multipliers of networks that are trained: V1 has 8 channels in every layer at the least, long before it."""
CHOSEN_BY_ITSELF = ("auto", "none")
"""Words for weights that are none by name."""


def check_beforehand(
    source: str,
    output: Path,
    *,
    weights: str = "auto",
    architecture: str | None = None,
    width: float | None = None,
    resolution: int | None = None,
    recipe: str = "default",
    device: str = "auto",
    precision: str = "auto",
    logs: tuple[str, ...] = (),
    several_weights: bool = False,
    resume: bool = False,
    replace_existing: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Raise what a run would fail for, as far as it can be told without PyTorch; nothing is written.

    Args:
        source: What is trained on.
        output: Folder of the run.
        weights: ``auto``, ``none``, or what :func:`~mobilenets.formats.loading.load_model` reads, which is read once,
            and fetched where it has to be.
        architecture: A name of the catalog, with or without width and resolution.
        width: α.
        resolution: Side of the input in pixels.
        recipe: Name of the recipe.
        device: What training shall run on, as :class:`~mobilenets.training.settings.Settings` has it, or several
            processes (``cuda:2``).
        precision: ``auto``, ``float32`` or ``bfloat16``.
        logs: What epochs are logged to.
        several_weights: Whether the weights may be a folder of several files, which a run within a budget compares.
        resume: Whether the run goes on from what the folder holds.
        replace_existing: Whether it overwrites that.
        progress: Receives progress updates of a download.

    Raises:
        DataError: If there is no such source.
        TrainingError: If a word is unknown, or the folder holds what must not be overwritten.
        ArchitectureError: If the architecture is unknown, or the width or resolution is out of range.
        ModelFileError: If nothing is called as the weights are.
        FormatError: If the weights cannot be read, or not be had.
    """
    check_source(source)
    recipe_named(recipe)
    check_words(device, precision)
    for one in logs:
        log_kind(one)
    check_width(width)
    if architecture is not None or resolution is not None:
        named = Specification.parse(architecture or ARCHITECTURE)
        check_width(named.width_multiplier)
        replace(
            named,
            width_multiplier=width or named.width_multiplier,
            resolution=named.resolution if resolution is None else resolution,
        ).network(classes=2)
    if weights not in CHOSEN_BY_ITSELF:
        _check_weights(weights, several=several_weights, progress=progress)
    if os.environ.get("RANK") is None:  # of several processes one looks into the folder, and they may start again
        check_output(output, resume=resume, replace_existing=replace_existing)


def _check_weights(weights: str, *, several: bool, progress: Progress) -> None:
    files = weight_files(Path(weights))
    if files and several:
        return
    try:
        load_model(weights, progress=progress)
    except FormatError:
        if not files:
            raise
        raise TrainingError(
            f"{weights} holds {plural(len(files), 'file')} of weights: name one of them, such as "
            f"weights={str(files[0])!r}; a run within a budget takes the folder, and compares them"
        ) from None


def weight_files(path: Path) -> list[Path]:
    """Files of weights in a folder that holds several; none where it is no such folder.

    Args:
        path: Of a file or a folder, which need not exist.
    """
    from mobilenets.formats.registry import readable

    if not path.is_dir() or (path / MODEL_FILE).is_file():
        return []
    suffixes = {suffix for row, _ in readable().values() for suffix in row.suffixes}
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    return files if len(files) > 1 else []


def check_width(width: float | None) -> None:
    """Raise if no network of such a width is trained.

    Args:
        width: α; None for a default.

    Raises:
        TrainingError: If it is out of range.

    >>> check_width(224)
    Traceback (most recent call last):
    ...
    mobilenets.errors.TrainingError: width must be from 0.01 to 2, not 224: it multiplies the channels, and published \
networks have 0.25 to 1.4; pixels are resolution=224
    """
    if width is None or (is_number(width) and NARROWEST <= width <= WIDEST):
        return
    given = f"{width:g}" if is_number(width) else repr(width)
    pixels = f"; pixels are resolution={given}" if is_number(width) and 32 <= width < math.inf else ""
    raise TrainingError(
        f"width must be from {NARROWEST} to {WIDEST}, not {given}: it multiplies the channels, and published networks "
        f"have 0.25 to 1.4{pixels}"
    )


def check_words(device: str, precision: str) -> None:
    """Raise if no device, or no precision, is called so.

    Args:
        device: One of :data:`DEVICES`, or several processes.
        precision: One of :data:`PRECISIONS`.

    Raises:
        TrainingError: Naming those that there are.
    """
    if device not in DEVICES and PROCESSES.fullmatch(device) is None:
        raise TrainingError(f"no device is called {device!r}; known are {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise TrainingError(f"no precision is called {precision!r}; known are {', '.join(PRECISIONS)}")


def log_kind(text: str) -> tuple[LogKind, str]:
    """What kind of log a text asks for, and where.

    Args:
        text: The path of a CSV file, ``tensorboard:FOLDER`` or ``wandb:PROJECT``.

    Raises:
        TrainingError: If it is none of these.

    >>> log_kind("tensorboard:runs"), log_kind("epochs.csv")
    (('tensorboard', 'runs'), ('csv', 'epochs.csv'))
    """
    kind, colon, rest = text.partition(":")
    if colon and rest:
        match kind:
            case "tensorboard" | "wandb":
                return kind, rest
    if text.lower().endswith(".csv"):
        return "csv", text
    raise TrainingError(f"a log is {LOGS}, not {text!r:.60}")
