"""Microcontrollers: what the C file of a network takes of one, without an emulator.

RAM and the bytes of constants follow from the network. Instructions are a sum of what there is to do in every layer,
each kind of work times a factor that was found by counting instructions in QEMU; so is the size of the code. The
factors come with the package, in ``microcontrollers.json``, made by ``benchmarks/microcontroller_profiles.py``, with
what was counted and how far the sum errs on networks that the factors were not found by.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from mobilenets.architecture.layers import Layer
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, PlanningError
from mobilenets.formats.c.kernels import kernel_of
from mobilenets.formats.c.memory import STACK_BYTES, Memory, constant_bytes, int8_memory
from mobilenets.formats.c.rows import extra_work
from mobilenets.formats.c.work import KernelSet, Work, work_of
from mobilenets.model.folding import folded_network
from mobilenets.tasks.classification import class_count

PRECISION = "int8"
"""Of every network on a microcontroller."""
PROFILES = "microcontrollers.json"
LABEL_BYTES = 16
"""About what the name of a class takes of flash, and the pointer to it."""
ROWS_CODE = 500
"""Bytes of code that computing by rows adds."""
LAYER_CODE = "layer"
"""In the factors of code: what every layer takes, whatever its kernel."""


@dataclass(frozen=True)
class Microcontroller:
    """A microcontroller as a device that networks are chosen for, in int8.

    Attributes:
        name: What the command line calls it.
        device: What its maker calls it.
        kernels: Which kernels its compiler takes.
        instructions: By kernel and by kind of work, instructions for each.
        code: By kernel, bytes of its code, and of what every layer adds.
        engine: What was counted, and where.
        median_error: Median of the relative errors of instructions, on networks that were held out.
        largest_error: The largest of them.
        ram: Bytes of RAM, the stack included, that files should fit into: the first layers of a network that does not
            are computed by rows, as ``export --max-ram`` does it. None to compute all layers whole.
        flash: Bytes of flash: of a network that takes more, no way to take less RAM is looked for. None for no limit.
    """

    name: str
    device: str
    kernels: KernelSet
    instructions: Mapping[str, Mapping[str, float]]
    code: Mapping[str, float]
    engine: str
    median_error: float
    largest_error: float
    ram: int | None = None
    flash: int | None = None

    @property
    def how_counted(self) -> str:
        """How the instructions were counted, and how far their sum errs."""
        return (
            f"{self.engine}; predictions err by {100 * self.median_error:.1f} % at the median, and by "
            f"{100 * self.largest_error:.1f} % at most, on networks that were held out"
        )

    @property
    def steadiness(self) -> None:
        """Nothing was measured that could have been disturbed."""
        return None

    @property
    def interpolation_error(self) -> float:
        """Median of the relative errors of instructions, by the name that profiles of latencies have for theirs."""
        return self.median_error

    def check_precision(self, precision: str) -> None:
        """Refuse what is not counted.

        Raises:
            PlanningError: If the precision is not int8.
        """
        if precision != PRECISION:
            raise PlanningError(f"networks for {self.name} are counted in {PRECISION}, not in {precision}")

    def cost_of(self, network: Network) -> MicrocontrollerCost:
        """What the C file of a network takes in int8.

        Args:
            network: With its batch norms, if it has any.

        Raises:
            PlanningError: If instructions of one of its layers have not been counted.
        """
        return _cost(self.name, network, self.ram, self.flash)


@dataclass(frozen=True)
class MicrocontrollerCost:
    """What the C file of a network takes of a microcontroller.

    Attributes:
        instructions: Of one inference.
        flash_bytes: Weights, code and labels.
        memory_bytes: RAM: the activations, the image included, and the stack.
    """

    instructions: int
    flash_bytes: int
    memory_bytes: int


@lru_cache(maxsize=4096)
def _cost(name: str, network: Network, ram: int | None, flash: int | None) -> MicrocontrollerCost:
    device = microcontrollers()[name]
    folded = folded_network(network)
    try:
        constants = constant_bytes(folded)
        memory = int8_memory(network, ram if flash is None or constants <= flash else None)
        work = [one for layer in folded.layers for one in _work(folded, layer, memory, device.kernels)]
    except FormatError as error:
        raise PlanningError(f"{network.name}: {error}") from None
    missing = {one.kernel for one, _ in work} - device.instructions.keys()
    if missing:
        raise PlanningError(f"{network.name}: no instructions have been counted of {', '.join(sorted(missing))}")
    instructions = sum(
        device.instructions[one.kernel].get(kind, 0.0) * count * times
        for one, times in work
        for kind, count in one.counts.items()
    )
    if memory.rows is not None:
        instructions += extra_work(memory.rows)
    code = sum(device.code.get(kernel, 0.0) for kernel in {kernel_of(layer) for layer in folded.layers})
    code += device.code[LAYER_CODE] * len(folded.layers) + device.code["file"]
    code += ROWS_CODE if memory.rows is not None else 0
    labels = LABEL_BYTES * class_count(network)
    return MicrocontrollerCost(round(instructions), round(constants + code + labels), memory.plan.size + STACK_BYTES)


def _work(network: Network, layer: Layer, memory: Memory, kernels: KernelSet) -> list[tuple[Work, int]]:
    """What there is to do for a layer, and how often: once, or for every number of rows that calls make."""
    rows = memory.rows
    if rows is None or layer.name not in rows.layers:
        return [(work_of(network, layer, memory, kernels), 1)]
    calls = Counter(rows.calls[rows.layers.index(layer.name)])
    return [(work_of(network, layer, memory, kernels, rows=made), times) for made, times in calls.items()]


@cache
def microcontrollers() -> Mapping[str, Microcontroller]:
    """Every microcontroller that the package has a profile of, by its name."""
    data = json.loads(files("mobilenets.search").joinpath(PROFILES).read_text(encoding="utf-8"))
    engine = f"instructions counted in {data['emulator']}, not cycles"
    found = {name: _microcontroller(name, engine, one) for name, one in data["processors"].items()}
    return MappingProxyType(found)


def _microcontroller(name: str, engine: str, data: Mapping[str, Any]) -> Microcontroller:
    return Microcontroller(
        name=name,
        device=data["title"],
        kernels=KernelSet(data["kernels"]),
        instructions=data["instructions"],
        code=data["code"],
        engine=engine,
        median_error=data["median_error"],
        largest_error=data["largest_error"],
    )
