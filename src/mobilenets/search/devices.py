"""The device that a budget holds on: by the name of a microcontroller, or by the file of a profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from mobilenets.architecture.network import Network
from mobilenets.errors import PlanningError
from mobilenets.formats.c.memory import STACK_BYTES
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Device
from mobilenets.search.microcontroller import PRECISION, Microcontroller, microcontrollers
from mobilenets.search.profile import PRECISIONS, DeviceProfile


def device_named(wanted: Device | str | Path | None, budget: Budget = Budget()) -> Device | None:
    """A device by its name.

    Args:
        wanted: A microcontroller, such as ``cortex-m4``, or the path of a device profile; a device, or None, is
            returned as it is.
        budget: Limits: networks that are too large for the RAM of a microcontroller are computed by rows there.

    Raises:
        PlanningError: If no microcontroller is called so, and no device profile lies there.

    >>> device_named("cortex-m4").device
    'Cortex-M4'
    """
    known = microcontrollers()
    if isinstance(wanted, str) and wanted in known:
        wanted = known[wanted]
    if isinstance(wanted, Microcontroller):
        return replace(wanted, ram=budget.max_memory_bytes, flash=budget.max_flash_bytes)
    if not isinstance(wanted, str | Path):
        return wanted
    if not Path(wanted).exists() and not Path(wanted).suffix:
        raise PlanningError(
            f"no device is called {str(wanted)!r}: known are {', '.join(known)}, and the files that mobilenets profile "
            "writes"
        )
    return DeviceProfile.load(wanted)


def microcontroller_named(name: str) -> Microcontroller:
    """A microcontroller by its name.

    Raises:
        PlanningError: If none is called so.
    """
    known = microcontrollers()
    if name not in known:
        raise PlanningError(f"no microcontroller is called {name!r}: known are {', '.join(known)}")
    return known[name]


def cost_by_rows(network: Network, arena: int, name: str = "cortex-m4") -> tuple[int, int] | None:
    """Instructions that a C file takes whole, and with its first layers by rows in an arena of so many bytes.

    Args:
        network: Of an int8 Model.
        arena: Bytes of the arena.
        name: A microcontroller.

    Returns:
        None where instructions of one of its layers have not been counted.
    """
    device = microcontroller_named(name)
    try:
        by_rows = replace(device, ram=arena + STACK_BYTES).cost_of(network)
        return device.cost_of(network).instructions, by_rows.instructions
    except PlanningError:
        return None


def check_budget(budget: Budget, device: Device | None, precisions: Sequence[str], threads: int) -> tuple[str, ...]:
    """The precisions that are considered for a device.

    Args:
        budget: Limits.
        device: What they hold on; None for this machine.
        precisions: Those that are asked for.
        threads: Threads that share one image.

    Raises:
        PlanningError: If the budget limits what the device does not have, or the device is not used so.
    """
    match device:
        case Microcontroller():
            _check_microcontroller(budget, device, precisions, threads)
            return (PRECISION,)
        case DeviceProfile() | None:
            if budget.microcontroller:
                limit = f"max_flash_bytes={budget.max_flash_bytes}"
                if budget.max_flash_bytes is None:
                    limit = f"max_instructions={budget.max_instructions}"
                raise PlanningError(
                    f"{limit} limits a microcontroller: say which, such as device=cortex-m4; known are "
                    f"{', '.join(microcontrollers())}"
                )
            return tuple(precisions)
    assert_never(device)


def _check_microcontroller(budget: Budget, device: Microcontroller, precisions: Sequence[str], threads: int) -> None:
    if budget.max_latency_ms is not None:
        raise PlanningError(
            f"of {device.device} instructions are known and not milliseconds, which depend on its clock and memory: "
            "say max_instructions=10000000 in place of a latency; a processor takes one to two cycles for each"
        )
    if threads > 1:
        raise PlanningError(f"{device.device} has one core: leave threads={threads} out")
    if PRECISION not in precisions:
        device.check_precision(precisions[0])
    assert set(precisions) <= set(PRECISIONS)
