"""Types of the extension. It is private to mobilenets.engine; what it does is written in native/."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

class LayerDescription(TypedDict):
    name: str
    kernel: str
    gathers: bool
    macs: int
    weight_bytes: int
    output_bytes: int
    rows_at_a_time: int
    ring_bytes: int

class StepDescription(TypedDict):
    layers: list[LayerDescription]
    output_offset: int
    split: str

class Runner:
    @property
    def arena_bytes(self) -> int: ...
    @property
    def scratch_bytes(self) -> int: ...
    @property
    def packed_bytes(self) -> int: ...
    def run(
        self, pixels: npt.NDArray[np.uint8], results: Sequence[npt.NDArray[np.float32]], threads: int = ...
    ) -> None: ...
    def run_poisoned(
        self, pixels: npt.NDArray[np.uint8], results: Sequence[npt.NDArray[np.float32]], byte: int
    ) -> bool: ...
    def profile(self, pixels: npt.NDArray[np.uint8], repeats: int, threads: int) -> list[float]: ...
    def profile_steps(self, pixels: npt.NDArray[np.uint8], repeats: int, threads: int) -> list[float]: ...
    def arrange(self, choices: Sequence[tuple[int, int]]) -> None: ...
    def describe(self) -> list[StepDescription]: ...

class PlanWriter:
    def __init__(
        self,
        instruction_set: str,
        integers: bool,
        threads: int,
        shape: tuple[int, int, int],
        offset: npt.NDArray[np.float32],
        scale: npt.NDArray[np.float32],
        guarded: bool = ...,
        tile_bytes: int = ...,
        whole_map_bytes: int = ...,
    ) -> None: ...
    def add(
        self,
        kind: int,
        name: str,
        inputs: Sequence[int],
        window: Sequence[int],
        out_channels: int,
        real_output: bool,
        bounded: bool,
        levels: Sequence[int],
        low_real: float,
        high_real: float,
        weight: npt.NDArray[Any] | None = ...,
        bias: npt.NDArray[Any] | None = ...,
        multiplier: npt.NDArray[Any] | None = ...,
        weight_zero_point: npt.NDArray[Any] | None = ...,
    ) -> int: ...
    def finish(self, outputs: Sequence[tuple[int, float, int]], processors: int) -> Runner: ...

def instruction_sets() -> list[tuple[str, bool]]: ...
def measure_peak(instruction_set: str, integers: bool) -> float: ...
def resize(
    instruction_set: str,
    lent: tuple[object, object],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    interpolation: int,
    out: npt.NDArray[np.uint8],
) -> bool: ...
def stop_threads() -> None: ...
