"""Make the profiles of microcontrollers that plan and fit choose by, and say how far they err.

Instructions of every layer of some networks are counted in QEMU; for each kernel and each kind of work
(mobilenets.formats.c.work), the factor is fitted to them. Networks of other sizes, which take no part in the fit, say
how far the sum of all layers errs. Needs arm-none-eabi-gcc, qemu-system-arm and scipy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from mobilenets.architecture.catalog import Specification
from mobilenets.benchmark.microcontroller.count import COMPILER, EMULATOR, PROCESSORS, LayerCounts, count_layers
from mobilenets.engine.timing import random_pixels
from mobilenets.errors import FormatError
from mobilenets.formats.c.kernels import kernel_of
from mobilenets.formats.c.memory import constant_bytes, int8_memory
from mobilenets.formats.c.work import KernelSet, work_of
from mobilenets.model.model import Model
from mobilenets.search.measuring import synthetic_model
from mobilenets.search.microcontroller import LAYER_CODE

KERNELS = {
    "cortex-m0plus": KernelSet.PLAIN,
    "cortex-m3": KernelSet.PLAIN,
    "cortex-m4": KernelSet.SIGNAL_PROCESSING,
    "cortex-m4-soft": KernelSet.SIGNAL_PROCESSING,
    "cortex-m7": KernelSet.SIGNAL_PROCESSING,
    "cortex-m55": KernelSet.VECTORS,
}
FITTED = (
    "mobilenet_v1@0.25-96", "mobilenet_v1@0.25-32", "mobilenet_v1@0.375-64", "mobilenet_v1@0.3-48",
    "mobilenet_v1@0.15-80", "mobilenet_v2@0.35-64", "mobilenet_v2@0.25-96", "mobilenet_v2@0.15-32",
    "mobilenet_v3_small@0.25-64", "mobilenet_v3_small@0.35-96", "mobilenet_v3_small@0.5-32",
    "mobilenet_v3_small_minimalistic@0.35-64", "mobilenet_v3_large@0.25-48", "mobilenet_v4_conv_small@0.25-64",
    "mobilenet_v4_conv_small@0.2-96",
)  # fmt: skip
HELD_OUT = (
    "mobilenet_v1@0.25-128", "mobilenet_v1@0.5-48", "mobilenet_v1@0.2-64", "mobilenet_v1@0.125-112",
    "mobilenet_v2@0.25-48", "mobilenet_v2@0.35-80", "mobilenet_v3_small@0.25-112", "mobilenet_v3_small@0.4-48",
    "mobilenet_v3_large@0.25-64", "mobilenet_v4_conv_small@0.25-80",
)  # fmt: skip
CLASSES = 10
LEAST = 2000
"""Instructions: smaller layers count as if they were so large, since the timer's ticks blur them."""


@dataclass(frozen=True, eq=False)
class Counted:
    """A network and what was counted of it."""

    name: str
    model: Model
    counts: LayerCounts


def main() -> None:
    """Count, fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processors", default=",".join(KERNELS), help="separated by commas")
    parser.add_argument("-o", "--output", type=Path, help="write the profiles to this JSON file")
    chosen = parser.parse_args()
    models = {name: _model(name) for name in (*FITTED, *HELD_OUT)}
    profiles = {}
    print("| processor | held-out networks | median error | largest |\n|---|---|---|---|")
    for processor in chosen.processors.split(","):
        counted = [found for name, model in models.items() if (found := _count(name, model, processor)) is not None]
        profile = _profile(processor, counted)
        profiles[processor] = profile
        median, largest = 100 * profile["median_error"], 100 * profile["largest_error"]
        held = len(profile["held_out"])
        print(f"| {profile['title']} | {held} | {median:.1f} % | {largest:.1f} % |", flush=True)
    data = {
        "emulator": _version(EMULATOR).replace("emulator version ", ""),
        "compiler": f"{_version(COMPILER)}, -O2",
        "processors": profiles,
    }
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _model(name: str) -> Model:
    return synthetic_model(Specification.parse(name).network(classes=CLASSES), "int8")


def _count(name: str, model: Model, processor: str) -> Counted | None:
    """None where the network is too large for the emulated board."""
    try:
        return Counted(name, model, count_layers(model, random_pixels(model.network)[0], processor))
    except FormatError as error:
        print(f"{name} on {processor}: {error}", file=sys.stderr)
        return None


def _profile(processor: str, counted: Sequence[Counted]) -> dict[str, Any]:
    kernels = KERNELS[processor]
    fitted = [one for one in counted if one.name in FITTED]
    instructions = _instructions(fitted, kernels)
    found = {one.name: (_predicted(one.model, kernels, instructions), _total(one)) for one in counted}
    for name, (predicted, total) in found.items():
        held = "held out" if name in HELD_OUT else ""
        error = 100 * (predicted / total - 1)
        print(f"  {processor} {name}: {total / 1e6:.2f} M, {error:+.1f} % {held}", file=sys.stderr)
    errors = [abs(predicted / total - 1) for name, (predicted, total) in found.items() if name in HELD_OUT]
    return {
        "title": PROCESSORS[processor].title,
        "kernels": str(kernels),
        "fitted": [one.name for one in fitted],
        "held_out": [one.name for one in counted if one.name in HELD_OUT],
        "median_error": round(statistics.median(errors), 4),
        "largest_error": round(max(errors), 4),
        "instructions": instructions,
        "code": _code(counted),
    }


def _total(one: Counted) -> int:
    return sum(one.counts.instructions.values())


def _instructions(counted: Sequence[Counted], kernels: KernelSet) -> dict[str, dict[str, float]]:
    """Factors of every kernel."""
    rows: dict[str, list[tuple[Mapping[str, float], int]]] = {}
    for one in counted:
        network = one.model.network
        memory = int8_memory(network)
        for layer in network.layers:
            work = work_of(network, layer, memory, kernels)
            rows.setdefault(work.kernel, []).append((work.counts, one.counts.instructions[layer.name]))
    return {kernel: _factors(found) for kernel, found in rows.items()}


def _factors(rows: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """Factors, none below zero, for which the largest relative errors are small."""
    names = list(dict.fromkeys(name for counts, _ in rows for name in counts))
    matrix = np.array([[counts.get(name, 0.0) for name in names] for counts, _ in rows])
    wanted = np.array([count for _, count in rows], float)
    weight = 1 / np.maximum(wanted, LEAST)
    factors, _ = nnls(matrix * weight[:, None], wanted * weight)
    return {name: float(f"{factor:.6g}") for name, factor in zip(names, factors, strict=True) if factor > 0}


def _predicted(model: Model, kernels: KernelSet, instructions: Mapping[str, Mapping[str, float]]) -> float:
    network = model.network
    memory = int8_memory(network)
    work = [work_of(network, layer, memory, kernels) for layer in network.layers]
    return sum(instructions[one.kernel].get(kind, 0.0) * count for one in work for kind, count in one.counts.items())


def _code(counted: Sequence[Counted]) -> dict[str, float]:
    """Bytes of every kernel's code, of each layer, and of what every file has."""
    rows = []
    for one in counted:
        network = one.model.network
        used: dict[str, float] = {kernel_of(layer): 1 for layer in network.layers}
        labels = CLASSES * (4 + 2)  # a pointer, a digit and its end
        code = one.counts.flash_bytes - constant_bytes(network) - labels
        rows.append(({"file": 1, LAYER_CODE: len(network.layers), **used}, code))
    names = list(dict.fromkeys(name for counts, _ in rows for name in counts))
    matrix = np.array([[counts.get(name, 0.0) for name in names] for counts, _ in rows])
    factors, _ = nnls(matrix, np.array([code for _, code in rows], float))
    errors = matrix @ factors - [code for _, code in rows]
    print(f"  code: within {np.abs(errors).max():.0f} bytes", file=sys.stderr)
    return {name: round(float(factor), 1) for name, factor in zip(names, factors, strict=True) if factor > 0}


def _version(program: str) -> str:
    lines = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()
    return lines[0].split(" (Debian")[0]


if __name__ == "__main__":
    main()
