"""Tiles and thread splits of a plan, chosen by measuring them on this machine.

A plan decides by a small cost model how many rows fused layers hand each other at a time, and whether threads share a
step by rows or by channels. Tuning tries the other choices on random pixels for under a second, keeps one for a step
where it is faster by more than chance, and remembers the outcome by instruction set, processor, threads and network.
No choice changes a bit of the results.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.encoding import encode_network
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.cache import cache_folder, cache_key
from mobilenets.base.processors import processor_name
from mobilenets.engine.timing import random_pixels
from mobilenets.model.model import Model
from mobilenets.native import _native

Choice = _native.ChainChoice

VERSION = 3
"""Of what is remembered; goes up when kernels change enough to make it worthless."""

TILE_BYTES = tuple(kilobytes << 10 for kilobytes in (8, 16, 32, 64, 128, 256, 512))
PLAN_DECIDES = Choice()

SECONDS = 0.8
MOST_REPEATS = 30
LEAST_GAIN = 0.05
LEAST_TOTAL_GAIN = 0.01
"""Shares of a step's time, and in the end of all, that choices must save to be kept: less is chance."""
CONFIRMATIONS = 2


def tune(
    runner: _native.Runner, pixels: npt.NDArray[np.uint8], threads: int, *, seconds: float = SECONDS
) -> list[Choice]:
    """Measure a Runner's choices and leave it with the best.

    Args:
        runner: One that nobody else uses yet.
        pixels: An image, (1, height, width, channels).
        threads: Threads that will run it.
        seconds: How long to go on, after which what has not been tried is left out.

    Returns:
        The choice of every step.
    """
    end = time.perf_counter() + seconds
    steps = len(runner.describe())
    chosen: list[Choice] = [PLAN_DECIDES] * steps
    rounds = 1 + len(TILE_BYTES) + (2 if threads > 1 else 0) + 2 * CONFIRMATIONS
    repeats = _repeats(runner, pixels, threads, seconds / rounds)
    best = _seconds(runner, chosen, pixels, threads, repeats)
    for tile_bytes in TILE_BYTES:
        _try([Choice(tile_bytes=tile_bytes)] * steps, chosen, best, (runner, pixels, threads, repeats), end)
    for split in (_native.Split.ROWS, _native.Split.CHANNELS) if threads > 1 else ():
        tried = [Choice(tile_bytes=choice.tile_bytes, split=split) for choice in chosen]
        _try(tried, chosen, best, (runner, pixels, threads, repeats), end)
    # Steps share caches: what is best for each need not be for all. In doubt the plan's own choices stay.
    plan_decides = [PLAN_DECIDES] * steps
    if any(choice is not PLAN_DECIDES for choice in chosen):
        totals: list[list[float]] = [[], []]
        for _ in range(CONFIRMATIONS):
            for choices, total in zip((plan_decides, chosen), totals, strict=True):
                total.append(sum(_seconds(runner, choices, pixels, threads, repeats)))
        if min(totals[1]) > min(totals[0]) * (1 - LEAST_TOTAL_GAIN):
            chosen = plan_decides
    runner.arrange(chosen)
    return chosen


def _try(
    tried: list[Choice],
    chosen: list[Choice],
    best: list[float],
    measured_with: tuple[_native.Runner, npt.NDArray[np.uint8], int, int],
    end: float,
) -> None:
    """Measure one choice for every step, and take over those that are faster."""
    if time.perf_counter() >= end:
        return
    runner, pixels, threads, repeats = measured_with
    for step, seconds in enumerate(_seconds(runner, tried, pixels, threads, repeats)):
        if seconds < best[step] * (1 - LEAST_GAIN):
            best[step], chosen[step] = seconds, tried[step]


def _seconds(
    runner: _native.Runner, choices: list[Choice], pixels: npt.NDArray[np.uint8], threads: int, repeats: int
) -> list[float]:
    runner.arrange(choices)
    return runner.profile_steps(pixels, repeats, threads)


def _repeats(runner: _native.Runner, pixels: npt.NDArray[np.uint8], threads: int, seconds: float) -> int:
    runner.profile_steps(pixels, 1, threads)  # touches all memory
    once = sum(runner.profile_steps(pixels, 1, threads))
    return max(2, min(MOST_REPEATS, int(seconds / max(once, 1e-6))))


def tune_once(runner: _native.Runner, model: Model, instruction_set: str, threads: int) -> None:
    """Leave a Runner with its best choices: those remembered for this machine and network, or else measured now.

    What is remembered lies in the user's cache folder. If it cannot be read or makes no sense it is measured anew, and
    if it cannot be written it is forgotten.
    """
    path = cache_folder("tuning") / f"{_key(model, instruction_set, threads)}.json"
    try:
        runner.arrange(_read(path))
        return
    except (OSError, ValueError, TypeError, LookupError):
        pass
    chosen = tune(runner, random_pixels(model.network), threads)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _encode(chosen))


def _encode(choices: list[Choice]) -> bytes:
    listed = [{"tile_bytes": choice.tile_bytes, "split": choice.split.name} for choice in choices]
    return json.dumps({"choices": listed}).encode()


def _read(path: Path) -> list[Choice]:
    choices = json.loads(path.read_bytes())["choices"]
    return [Choice(tile_bytes=choice["tile_bytes"], split=_native.Split[choice["split"]]) for choice in choices]


def _key(model: Model, instruction_set: str, threads: int) -> str:
    precision = "float32" if model.quantization is None else "int8"
    return cache_key(VERSION, instruction_set, processor_name(), threads, precision, encode_network(model.network))
