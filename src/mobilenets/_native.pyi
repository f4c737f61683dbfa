"""Types of the extension. It is private to mobilenets.engine; what it does is written in native/."""

import enum
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

class Type(enum.Enum):
    UINT8 = 0
    FLOAT32 = 1

class LayerKind(enum.Enum):
    CONVOLUTION = 0
    DEPTHWISE = 1
    POINTWISE = 2
    LINEAR = 3
    MAX_POOL = 4
    AVERAGE_POOL = 5
    ADD = 6
    MULTIPLY = 7
    CONCATENATE = 8

class Activation(enum.Enum):
    NONE = 0
    RELU = 1
    RELU6 = 2
    HARD_SIGMOID = 3
    HARD_SWISH = 4

class Split(enum.Enum):
    BY_COST = 0
    ROWS = 1
    CHANNELS = 2

class Interpolation(enum.Enum):
    BOX = 0
    BILINEAR = 1
    BICUBIC = 2

class Layer:
    kind: LayerKind
    name: str
    inputs: Sequence[int]
    kernel: int
    stride: int
    stride_down: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int
    groups: int
    out_channels: int
    activation: Activation
    real_output: bool
    bounded: bool
    in_zero_point: int
    out_zero_point: int
    low: int
    high: int
    weight: npt.NDArray[Any] | None
    bias: npt.NDArray[Any] | None
    multiplier: npt.NDArray[Any] | None
    weight_zero_point: npt.NDArray[Any] | None
    table: npt.NDArray[np.uint8] | None
    def __init__(self, kind: LayerKind, name: str, inputs: Sequence[int]) -> None: ...

class PlanOptions:
    def __init__(
        self,
        *,
        value_type: Type,
        threads: int,
        tile_bytes: int = ...,
        whole_map_bytes: int = ...,
        guarded: bool = ...,
    ) -> None: ...

class Output:
    def __init__(self, *, map_number: int, scale: float = ..., zero_point: int = ...) -> None: ...

class ChainChoice:
    def __init__(self, *, tile_bytes: int = ..., split: Split = ...) -> None: ...
    @property
    def tile_bytes(self) -> int: ...
    @property
    def split(self) -> Split: ...

class PlanWriter:
    def __init__(
        self,
        *,
        instruction_set: str,
        channels: int,
        height: int,
        width: int,
        offset: npt.NDArray[np.float32],
        scale: npt.NDArray[np.float32],
        options: PlanOptions,
    ) -> None: ...
    def add(self, layer: Layer) -> int: ...
    def finish(self, outputs: Sequence[Output], processors: int) -> Runner: ...

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
    def arrange(self, choices: Sequence[ChainChoice]) -> None: ...
    def describe(self) -> list[StepDescription]: ...

def instruction_sets() -> list[tuple[str, bool]]: ...
def measure_peak(instruction_set: str, value_type: Type) -> float: ...

class SuppressionRule:
    def __init__(
        self, iou_threshold: float, score_threshold: float, most: int, most_candidates: int, class_agnostic: bool
    ) -> None: ...

class AnchorRule:
    def __init__(
        self, coder: tuple[float, float, float, float], largest_logarithm: float, background: bool, classes: int
    ) -> None: ...

def suppress(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    rule: SuppressionRule,
    boxes_out: npt.NDArray[np.float32],
    scores_out: npt.NDArray[np.float32],
    labels_out: npt.NDArray[np.int64],
) -> int: ...
def detect(
    codes: list[npt.NDArray[np.float32]],
    logits: list[npt.NDArray[np.float32]],
    shapes: list[int],
    anchors: npt.NDArray[np.float32],
    anchor_rule: AnchorRule,
    rule: SuppressionRule,
    boxes_out: npt.NDArray[np.float32],
    scores_out: npt.NDArray[np.float32],
    labels_out: npt.NDArray[np.int64],
) -> int: ...
def resize(
    instruction_set: str,
    lent: tuple[object, object],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    interpolation: Interpolation,
    out: npt.NDArray[np.uint8],
) -> bool: ...

class SharedSums:
    @staticmethod
    def bytes(processes: int) -> int: ...
    def __init__(self, memory: npt.NDArray[np.uint8], processes: int, own: int) -> None: ...
    def add_up(
        self, values: npt.NDArray[np.float32] | npt.NDArray[np.float64], waiting: Callable[[], None]
    ) -> None: ...
    def whole_moments(
        self,
        means: npt.NDArray[Any],
        variances: npt.NDArray[Any],
        positions: float,
        running_means: npt.NDArray[Any] | None,
        running_variances: npt.NDArray[Any] | None,
        momentum: float,
        waiting: Callable[[], None],
    ) -> float: ...

def stop_threads() -> None: ...
