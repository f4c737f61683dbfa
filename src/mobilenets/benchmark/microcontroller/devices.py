"""What a Model's C file needs on microcontrollers: instructions, flash and RAM, by running it in an emulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.progress import SILENT, Progress
from mobilenets.benchmark.microcontroller.count import PROCESSORS, count_instructions
from mobilenets.engine.timing import random_pixels
from mobilenets.errors import FormatError
from mobilenets.formats.c.memory import STACK_BYTES
from mobilenets.formats.loading import load_model
from mobilenets.model import reference
from mobilenets.model.model import Model

FLOAT_TOLERANCE = 1e-4
"""Largest difference of float32 outputs, as a share of the largest value."""


@dataclass(frozen=True)
class DeviceCost:
    """What one inference takes on a microcontroller.

    Attributes:
        device: A name of :data:`~mobilenets.benchmark.microcontroller.count.PROCESSORS`.
        processor: What its maker calls it.
        instructions: Counted in an emulator; a processor takes more cycles than that, by how fast its memory is.
        flash_bytes: Weights and code.
        ram_bytes: Activations, the image included, and a kilobyte of stack.
    """

    device: str
    processor: str
    instructions: int
    flash_bytes: int
    ram_bytes: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def device_costs(
    model: Model | str | Path, devices: Sequence[str], *, max_ram: int | None = None, progress: Progress = SILENT
) -> list[DeviceCost]:
    """Compile a Model's C file for microcontrollers, run it once on each in an emulator, and check its outputs.

    Args:
        model: float32 or int8; a path, or the name of published weights, is loaded.
        devices: Names of :data:`~mobilenets.benchmark.microcontroller.count.PROCESSORS`.
        max_ram: Bytes of RAM to fit into, stack included; first layers are then computed by rows where they must.
        progress: Receives progress updates.

    Returns:
        The costs, in the order of the devices.

    Raises:
        FormatError: If a device is unknown, the Model is too large for the emulated board, or the outputs are not the
            Model's: the reference's bits, where the Model is int8.
        NoCompilerError: If the compiler, its C library or the emulator is not installed.
    """
    for device in devices:
        if device not in PROCESSORS:
            raise FormatError(f"device {device!r} must be one of {', '.join(PROCESSORS)}")
    model = load_model(model, progress=progress)
    pixels = random_pixels(model.network)
    outputs = reference.run_reference(model, pixels)
    costs = []
    with progress.task("counting", len(devices), "devices") as task:
        for device in devices:
            count = count_instructions(model, pixels[0], device, max_ram=max_ram)
            for name, values in outputs.items():
                _check(model, device, count.outputs[name].transpose(2, 0, 1).ravel(), values[0].ravel())
            ram = count.ram_bytes + STACK_BYTES
            costs.append(DeviceCost(device, PROCESSORS[device].title, count.instructions, count.flash_bytes, ram))
            task.advance()
    return costs


def _check(model: Model, device: str, found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    allowed = 0.0 if model.quantization is not None else FLOAT_TOLERANCE * float(np.abs(expected).max())
    difference = float(np.abs(found - expected).max())
    if not difference <= allowed:
        raise FormatError(f"{device}: the outputs differ from the Model's by {difference:.3g}")
