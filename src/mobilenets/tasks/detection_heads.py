"""What the maps of a detector mean: boxes around anchors with a score a class, or objects' centres on a grid.

Heads are a closed set. Each reads the outputs of a network, in the order of
:attr:`~mobilenets.architecture.network.Network.outputs`, and gives the same two arrays: candidate boxes as shares of
the network's input, and their scores. Which candidates are kept is the task's matter.

Sources: anchors, Liu et al. 2016, arXiv:1512.02325; centres, Zhou et al. 2019, arXiv:1904.07850.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_integer, is_number
from mobilenets.errors import ModelError
from mobilenets.tasks.task import Outputs

Floats = npt.NDArray[np.float32]

BOX_NUMBERS = 4
"""Numbers that a box is predicted with: the centre's offset across and down, the logarithms of width and height."""
CODER = (10.0, 10.0, 5.0, 5.0)
"""What those are divided by, in every published SSD."""
MOST_LEVELS, MOST_SHAPES, MOST_ROWS, MOST_ANCHORS, MOST_CLASSES = 32, 64, 4096, 1 << 20, 1 << 16
"""Bounds on what a Model file may ask for."""
LARGEST_SIDE = 16.0
"""Of an anchor, in sides of the input."""
SMALLEST_STEP = 1e-6
LARGEST_LOGARITHM = math.log(1000 / 16)
"""A box is never more than so many times as large as its anchor: a wild network gives no infinite boxes."""


class ScoreMeaning(StrEnum):
    """How logits become scores."""

    SIGMOID = "sigmoid"
    """Each class has a score of its own."""
    SOFTMAX = "softmax"
    """Scores add to 1 with that of the background, whose logit stands first."""


@dataclass(frozen=True)
class AnchorLevel:
    """A map, and the anchors that stand at the centre of each of its cells.

    Attributes:
        rows: Height of the map.
        columns: Its width.
        shapes: Width and height of every anchor of a cell, in sides of the input, in the order of the channels.
    """

    rows: int
    columns: int
    shapes: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AnchorHead:
    """Boxes relative to anchors, at several levels.

    The network has two outputs for each level: boxes, 4 channels an anchor (across, down, log width, log height), then
    logits, a channel a class and anchor. The channels of an anchor follow each other.

    Attributes:
        levels: The maps, in the order of the outputs.
        scores: How logits become scores.
        coder: What the four numbers of a box are divided by.
        step: What the numbers of anchors are multiples of, in sides of the input, as a file holds them in bytes; None
            where they are as exact as float32.

    Raises:
        ModelError: If a number is out of range.

    >>> head = AnchorHead((AnchorLevel(1, 2, ((0.5, 0.5),)),))
    >>> head.anchors.tolist()
    [[0.25, 0.5, 0.5, 0.5], [0.75, 0.5, 0.5, 0.5]]
    >>> maps = [np.zeros((1, 4, 1, 2), np.float32), np.zeros((1, 3, 1, 2), np.float32)]
    >>> boxes, scores = head.decode(maps)
    >>> boxes[0].tolist(), scores.shape
    ([[0.0, 0.25, 0.5, 0.75], [0.5, 0.25, 1.0, 0.75]], (1, 2, 3))
    """

    levels: tuple[AnchorLevel, ...]
    scores: ScoreMeaning = ScoreMeaning.SIGMOID
    coder: tuple[float, float, float, float] = CODER
    step: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.levels) <= MOST_LEVELS:
            raise ModelError(f"a detector has 1 to {MOST_LEVELS} levels, not {len(self.levels)}")
        for level in self.levels:
            _check_level(level)
        if self.count > MOST_ANCHORS:
            raise ModelError(f"a detector has at most {MOST_ANCHORS} anchors, not {self.count}")
        if len(self.coder) != BOX_NUMBERS or not all(is_number(scale) and 0 < scale <= 1000 for scale in self.coder):
            raise ModelError(f"the coder of boxes must be four numbers above 0, not {self.coder!r:.60}")
        if not isinstance(self.scores, ScoreMeaning):
            raise ModelError(f"scores are {' or '.join(ScoreMeaning)}, not {self.scores!r:.40}")
        if self.step is not None and not (is_number(self.step) and SMALLEST_STEP <= self.step <= 1):
            raise ModelError(f"the step of anchors must be from {SMALLEST_STEP:g} to 1, not {self.step!r:.40}")

    @property
    def kind(self) -> str:
        """``anchors``."""
        return "anchors"

    @property
    def count(self) -> int:
        """Number of anchors."""
        return sum(level.rows * level.columns * len(level.shapes) for level in self.levels)

    @cached_property
    def anchors(self) -> Floats:
        """Every anchor's centre, width and height in sides of the input, float32 (A, 4).

        Level by level, row by row, cell by cell; the anchors of a cell in the order of its shapes.
        """
        exact = np.concatenate([_anchors_of(level) for level in self.levels])
        if self.step is None:
            return exact
        step = np.float32(self.step)
        return np.rint(exact / step) * step

    def channels(self, classes: int) -> tuple[tuple[int, int], ...]:
        """Channels of the two maps of every level: boxes and logits.

        >>> AnchorHead((AnchorLevel(1, 2, ((0.5, 0.5),)),), ScoreMeaning.SOFTMAX).channels(3)
        ((4, 4),)
        """
        logits = _logits_of(self.scores, classes)
        return tuple((BOX_NUMBERS * len(level.shapes), logits * len(level.shapes)) for level in self.levels)

    def check(self, network: Network, classes: int) -> None:
        """Raise if a network's outputs are not this head's.

        Raises:
            ModelError: If they are too few or too many, or one has the wrong shape.
        """
        _check_count(network, 2 * len(self.levels), "two for each level")
        for number, (level, channels) in enumerate(zip(self.levels, self.channels(classes), strict=True)):
            for name, wanted in zip(network.outputs[2 * number : 2 * number + 2], channels, strict=True):
                _check_map(network, name, (wanted, level.rows, level.columns))

    def flat(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """The outputs anchor by anchor.

        Args:
            outputs: The network's outputs for N images.

        Returns:
            float32 (N, A, 4), what a box is predicted with; float32 (N, A, logits), the background's first if there is
            one. In the order of :attr:`anchors`.
        """
        boxes = [_by_anchor(output, level) for output, level in zip(outputs[0::2], self.levels, strict=True)]
        logits = [_by_anchor(output, level) for output, level in zip(outputs[1::2], self.levels, strict=True)]
        return np.concatenate(boxes, axis=1), np.concatenate(logits, axis=1)

    def boxes_of(self, codes: Floats, anchors: Floats) -> Floats:
        """Boxes that are predicted relative to anchors.

        Args:
            codes: (…, 4), across, down, log width, log height.
            anchors: (…, 4), centre, width, height.

        Returns:
            (…, 4): left, top, right, bottom.
        """
        scale = np.array(self.coder, np.float32)
        scaled = codes / scale
        centre = anchors[..., :2] + scaled[..., :2] * anchors[..., 2:]
        half = anchors[..., 2:] * np.exp(np.minimum(scaled[..., 2:], np.float32(LARGEST_LOGARITHM))) / 2
        return np.concatenate([centre - half, centre + half], axis=-1)

    def codes_of(self, boxes: Floats, anchors: Floats) -> Floats:
        """What anchors would have to predict for boxes: the opposite of :meth:`boxes_of`.

        Args:
            boxes: (…, 4): left, top, right, bottom; wider and higher than 0.
            anchors: (…, 4), centre, width, height.
        """
        size = boxes[..., 2:] - boxes[..., :2]
        offset = ((boxes[..., :2] + boxes[..., 2:]) / 2 - anchors[..., :2]) / anchors[..., 2:]
        codes: Floats = np.concatenate([offset, np.log(size / anchors[..., 2:])], axis=-1) * np.array(
            self.coder, np.float32
        )
        return codes

    def decode(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """All candidates, before any is suppressed.

        Args:
            outputs: The network's outputs for N images.

        Returns:
            Boxes as shares of the input, left, top, right, bottom, float32 (N, A, 4); and scores, float32
            (N, A, classes).
        """
        codes, logits = self.flat(outputs)
        return self.boxes_of(codes, self.anchors), scores_of(logits, self.scores)

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        levels = [
            {"rows": level.rows, "columns": level.columns, "shapes": [list(shape) for shape in level.shapes]}
            for level in self.levels
        ]
        step = {} if self.step is None else {"step": self.step}
        return {"kind": self.kind, "levels": levels, "scores": str(self.scores), "coder": list(self.coder), **step}


@dataclass(frozen=True)
class CentreHead:
    """Objects' centres on a grid: the network has one output, a map of logits with the background's first.

    A cell says of which class the object is whose centre lies in it. How large the object is no output says: it is
    given the usual size of its class.

    Attributes:
        rows: Height of the map.
        columns: Its width.
        sizes: Usual width and height of every class, in sides of the input.

    Raises:
        ModelError: If a number is out of range.

    >>> head = CentreHead(1, 2, ((0.5, 0.5), (0.25, 0.5)))
    >>> boxes, scores = head.decode([np.array([[[[9, 0]], [[0, 0]], [[0, 9]]]], np.float32)])
    >>> boxes[0, 1].tolist(), scores[0].round(2).tolist()
    ([0.625, 0.25, 0.875, 0.75], [[0.0, 0.0], [0.0, 1.0]])
    """

    rows: int
    columns: int
    sizes: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        _check_level(AnchorLevel(self.rows, self.columns, self.sizes[:1]))
        if len(self.sizes) > MOST_CLASSES:
            raise ModelError(f"a detector has at most {MOST_CLASSES} classes, not {len(self.sizes)}")
        for size in self.sizes:
            _check_shape(size)

    @property
    def kind(self) -> str:
        """``centres``."""
        return "centres"

    @property
    def count(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    def check(self, network: Network, classes: int) -> None:
        """Raise if a network's output is not this head's.

        Raises:
            ModelError: If there is another, or it has the wrong shape.
        """
        if classes != len(self.sizes):
            raise ModelError(f"{classes} classes, and sizes of {len(self.sizes)}")
        _check_count(network, 1, "one map of centres")
        _check_map(network, network.outputs[0], (classes + 1, self.rows, self.columns))

    def flat(self, outputs: Outputs) -> Floats:
        """The logits cell by cell, float32 (N, cells, 1 + classes), the background's first."""
        return _by_anchor(outputs[0], AnchorLevel(self.rows, self.columns, self.sizes[:1]))

    def decode(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """All candidates, before any is suppressed.

        Args:
            outputs: The network's output for N images.

        Returns:
            A box a cell, of its likeliest class's size, as shares of the input, left, top, right, bottom, float32
            (N, cells, 4); and scores, float32 (N, cells, classes), 0 where a neighbouring cell has a higher one.
        """
        scores = scores_of(self.flat(outputs), ScoreMeaning.SOFTMAX)
        centres = _anchors_of(AnchorLevel(self.rows, self.columns, self.sizes[:1]))[:, :2]
        half = np.array(self.sizes, np.float32)[scores.argmax(axis=2)] / 2
        return np.concatenate([centres - half, centres + half], axis=2), self._peaks(scores)

    def _peaks(self, scores: Floats) -> Floats:
        """Scores that no cell beside theirs exceeds, and zeros: an object shows in several cells, and is meant once."""
        images, _, classes = scores.shape
        maps = scores.reshape(images, self.rows, self.columns, classes)
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.where(maps == windows.max(axis=(-2, -1)), maps, np.float32(0)).reshape(scores.shape)

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        sizes = [list(size) for size in self.sizes]
        return {"kind": self.kind, "rows": self.rows, "columns": self.columns, "sizes": sizes}


DetectionHead: TypeAlias = AnchorHead | CentreHead


def scores_of(logits: Floats, meaning: ScoreMeaning) -> Floats:
    """Scores of logits along the last axis, without the background's.

    >>> scores_of(np.zeros((1, 4), np.float32), ScoreMeaning.SOFTMAX).tolist()
    [[0.25, 0.25, 0.25]]
    """
    if meaning is ScoreMeaning.SIGMOID:
        with np.errstate(over="ignore"):  # the score of a very low logit is 0, and so is 1 / infinity
            chances: Floats = np.reciprocal(1 + np.exp(-logits))
            return chances
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = powers[..., 1:] / powers.sum(axis=-1, keepdims=True)
    return shares


def head_from_json(data: object) -> DetectionHead:
    """The head that :meth:`AnchorHead.encode` or :meth:`CentreHead.encode` wrote.

    Raises:
        ModelError: If it is something else.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    match data, kind:
        case {"levels": list() as levels, "scores": scores, "coder": coder, **others}, "anchors" if set(others) in (
            {"kind"},
            {"kind", "step"},
        ):
            if scores not in tuple(ScoreMeaning):
                raise ModelError(f"scores are {' or '.join(ScoreMeaning)}, not {scores!r:.40}")
            first, second, third, fourth = _numbers(coder, BOX_NUMBERS)
            read = tuple(map(_level, levels[: MOST_LEVELS + 1]))
            step: Any = others.get("step")
            return AnchorHead(read, ScoreMeaning(scores), (first, second, third, fourth), step)
        case {"rows": rows, "columns": columns, "sizes": list() as sizes, **others}, "centres" if len(others) == 1:
            return CentreHead(rows, columns, tuple(map(_pair, sizes)))
    raise ModelError(f"the head of a detector is {data!r:.60}; it must be one of anchors or of centres, and whole")


def _level(data: object) -> AnchorLevel:
    if not isinstance(data, Mapping) or set(data) != {"rows", "columns", "shapes"}:
        raise ModelError("a level of anchors must hold rows, columns and shapes")
    if not isinstance(data["shapes"], list):
        raise ModelError(f"the shapes of anchors must be a list, not {data['shapes']!r:.40}")
    return AnchorLevel(data["rows"], data["columns"], tuple(map(_pair, data["shapes"])))


def _pair(data: object) -> tuple[float, float]:
    width, height = _numbers(data, 2)
    return width, height


def _numbers(data: object, count: int) -> tuple[float, ...]:
    if not isinstance(data, list) or len(data) != count or not all(map(is_number, data)):
        raise ModelError(f"{count} numbers are needed, not {data!r:.60}")
    return tuple(data)


def _logits_of(scores: ScoreMeaning, classes: int) -> int:
    return classes if scores is ScoreMeaning.SIGMOID else classes + 1


def _check_level(level: AnchorLevel) -> None:
    for name, size in (("rows", level.rows), ("columns", level.columns)):
        if not is_integer(size) or not 1 <= size <= MOST_ROWS:
            raise ModelError(f"{name} of a map of boxes must be an integer from 1 to {MOST_ROWS}, not {size!r:.40}")
    if not 1 <= len(level.shapes) <= MOST_SHAPES:
        raise ModelError(f"a cell has 1 to {MOST_SHAPES} boxes, not {len(level.shapes)}")
    for shape in level.shapes:
        _check_shape(shape)


def _check_shape(shape: Sequence[object]) -> None:
    if len(shape) != 2 or not all(is_number(side) and 0 < side <= LARGEST_SIDE for side in shape):  # type: ignore[operator]
        raise ModelError(f"width and height must be above 0 and at most {LARGEST_SIDE:g}, not {shape!r:.60}")


def _check_count(network: Network, wanted: int, meaning: str) -> None:
    if len(network.outputs) != wanted:
        raise ModelError(f"{network.name} has {len(network.outputs)} outputs; the detector reads {wanted}: {meaning}")


def _check_map(network: Network, name: str, wanted: tuple[int, int, int]) -> None:
    if tuple(network.shapes[name]) != wanted:
        needed = "×".join(map(str, wanted))
        raise ModelError(f"output {name} of {network.name} is {network.shapes[name]}; the detector needs {needed}")


def _anchors_of(level: AnchorLevel) -> Floats:
    rows, columns, count = level.rows, level.columns, len(level.shapes)
    anchors = np.empty((rows, columns, count, 4), np.float32)
    anchors[..., 0] = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    anchors[..., 1] = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    anchors[..., 2:] = np.array(level.shapes)
    flat: Floats = anchors.reshape(-1, 4)
    return flat


def _by_anchor(output: npt.NDArray[Any], level: AnchorLevel) -> Floats:
    """(N, anchors of a cell · numbers, rows, columns) as (N, anchors, numbers); a map of one cell may be (N, C)."""
    images, cells = len(output), level.rows * level.columns
    channels = output.size // max(1, images * cells)
    moved = output.reshape(images, channels, cells).transpose(0, 2, 1)
    flat: Floats = moved.reshape(images, cells * len(level.shapes), channels // len(level.shapes))
    return flat
