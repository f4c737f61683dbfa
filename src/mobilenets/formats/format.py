"""What a format is to this package: how its files are recognized, read, written and run.

The formats themselves are the rows of :data:`mobilenets.formats.registry.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mobilenets.base.progress import Progress
from mobilenets.formats.source import Source
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Outputs = Mapping[str, npt.NDArray[Any]]
"""Outputs of a network by name, float32: (N, C) where an output is 1×1, else (N, C, H, W)."""
Resolution = int | tuple[int, int]
"""Input side in pixels, or (height, width)."""


@dataclass(frozen=True)
class Options:
    """Options of a writer: none. A format that has some derives a dataclass whose fields are made by :func:`option`.

    Each field becomes a keyword of :func:`mobilenets.formats.exporting.export` and a flag of ``mobilenets export``.
    """


def option(default: Any, text: str, *, float32_only: bool = False) -> Any:
    """A field of a subclass of :class:`Options`.

    Args:
        default: Its value where it is not given: ``False`` for a flag, or a text.
        text: What it does, for ``--help``, without a full stop.
        float32_only: Whether it means nothing to an int8 Model.
    """
    return field(default=default, metadata={"help": text, "float32_only": float32_only})


PROBABILITIES = (
    "Give probabilities, as predict prints them: by a softmax at the Model's temperature, or a sigmoid a label"
)
"""Help of the option ``probabilities``, which several formats have."""
SYMMETRIC = "Quantize weights with zero points anew without: faster, and the answers differ as the export says"
"""Help of the option ``symmetric_weights``, which several formats have."""


@dataclass(frozen=True)
class Footprint:
    """What a written network needs on a device.

    Attributes:
        flash_bytes: Constant arrays: weights, biases and multipliers. Code and labels come on top.
        ram_bytes: The static array of activations, the image included. The stack comes on top, below 1 KB.
        by_rows: Layers that are computed by rows of the image, which is then not included; 0 where all are whole.
    """

    flash_bytes: int
    ram_bytes: int
    by_rows: int = 0


@dataclass(frozen=True, eq=False)
class SecondRun:
    """What a further runtime makes of a written file.

    Attributes:
        outputs: Real outputs by name.
        ram_bytes: What it takes of the memory that it is given for tensors.
    """

    outputs: Outputs
    ram_bytes: int


@dataclass(frozen=True)
class SecondRuntime:
    """A further runtime that a written int8 file is run by, where it is installed.

    Attributes:
        title: What people call it.
        run: Runs a written file on pixels.
        most_images: On how many; reference kernels are slow.
        tolerance: Largest difference of the outputs, as a share of the largest value. Its arithmetic may be other than
            the Model's, so this only tells a wrong file from a right one.
    """

    title: str
    run: Callable[[Model, Path, Pixels], SecondRun]
    most_images: int = 2
    tolerance: float = 0.25


@dataclass(frozen=True)
class Reader:
    """How a format is imported.

    Attributes:
        sniff: Whether a source is of this format, told by its content.
        read: Reads a source; takes the keyword ``labels``, and ``resolution`` where that is open.
        covers: What is read, for the table in docs/import.md.
        assumes: What is taken for granted because the files do not say it, for the same table.
        open_resolution: Whether files of this format leave the resolution open.
    """

    sniff: Callable[[Source], bool]
    read: Callable[..., Model]
    covers: str
    assumes: str = "nothing"
    open_resolution: bool = False


@dataclass(frozen=True)
class Writer:
    """How a format is exported.

    Attributes:
        write: Writes a Model to a path; folds batch norms where the format has none.
        run: Outputs of a written file for pixels, uint8 (N, height, width, 3); None where it cannot be run here.
        options: What it can be asked for.
        float32: How float32 Models are written, for the table in docs/export.md.
        int8: How int8 Models are written, for the same table.
        runtime: What runs the file here, for the same table.
        int8_tolerance: Largest difference of an int8 file's outputs from the Model's, as a share of the largest value.
        run_at_defaults: The same as ``run`` at the runtime's default settings, where it needs other settings to compute
            int8 networks exactly.
        advice: What those settings are.
        prepare: Completes a Model by what it gives for images, before it is written: takes the Model, the options, a
            function that loads at most so many images, and the progress.
        bounds: Lowest and highest number that a written file can give, by output; what lies outside comes out as the
            nearer bound.
        notes: What a person must know to use a written file, one line each.
        also: A further runtime that int8 files are run by.
    """

    write: Callable[[Model, Path, Any], Footprint | None]
    run: Callable[[Model, Path, Pixels], Outputs] | None
    float32: str
    int8: str
    runtime: str
    options: type[Options] = Options
    int8_tolerance: float = 0.05
    run_at_defaults: Callable[[Model, Path, Pixels], Outputs] | None = None
    advice: str = ""
    prepare: Callable[[Model, Any, Callable[[int], Pixels], Progress], Model] | None = None
    bounds: Callable[[Model, Any], Mapping[str, tuple[float, float]]] | None = None
    notes: Callable[[Model, Any], tuple[str, ...]] | None = None
    also: SecondRuntime | None = None


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: What the command line calls it.
        title: What people call it.
        suffixes: What its files end in; a written file in the first.
        reader: How it is imported, if it is.
        writer: How it is exported, if it is.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    reader: Reader | None = None
    writer: Writer | None = None
