"""Shapes of anchors: as published, or by the boxes of some data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel

Shapes = tuple[tuple[float, float], ...]
Map = tuple[int, int]
"""Rows and columns."""

SMALLEST_SCALE, LARGEST_SCALE = 0.2, 0.95
RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
FIRST = ((0.1, 1.0), (SMALLEST_SCALE, 2.0), (SMALLEST_SCALE, 0.5))
"""Scale and ratio of the three anchors of the first level."""
SHAPES_A_LEVEL = 3
CELLS_A_SIDE = 2.5
"""An anchor is put on the coarsest map of which its side spans so many cells."""
MOST_ROUNDS = 100
OFF_GRID = 1e-4
"""Share of the input's side by which a listed anchor may miss its place: what float32 loses in a subtraction or two."""


def tensorflow_shapes(levels: int = 6) -> tuple[Shapes, ...]:
    """The shapes of TensorFlow's SSD on MobileNet: three on the first level, six on each of the others.

    Args:
        levels: At least two.

    Source: TensorFlow Object Detection API, ``ssd_anchor_generator`` with its reduced lowest level.

    >>> [len(shapes) for shapes in tensorflow_shapes()]
    [3, 6, 6, 6, 6, 6]
    >>> tensorflow_shapes()[0][0], tensorflow_shapes()[-1][0]
    ((0.1, 0.1), (0.95, 0.95))
    """
    scales = [
        *(SMALLEST_SCALE + (LARGEST_SCALE - SMALLEST_SCALE) * level / (levels - 1) for level in range(levels)),
        1.0,
    ]
    first = tuple(_shape(scale, ratio) for scale, ratio in FIRST)
    others = (
        (*(_shape(scale, ratio) for ratio in RATIOS), _shape(math.sqrt(scale * larger), 1.0))
        for scale, larger in pairwise(scales[1:])
    )
    return (first, *others)


def torchvision_shapes(levels: int = 6) -> tuple[Shapes, ...]:
    """The shapes of torchvision's SSDLite: six on each level.

    Source: torchvision, ``DefaultBoxGenerator`` with ratios 2 and 3 and scales from 0.2 to 0.95.

    >>> [[round(side, 3) for side in shape] for shape in torchvision_shapes()[0][:3]]
    [[0.2, 0.2], [0.265, 0.265], [0.283, 0.141]]
    """
    scales = [
        *(SMALLEST_SCALE + (LARGEST_SCALE - SMALLEST_SCALE) * level / (levels - 1) for level in range(levels)),
        1.0,
    ]
    result = []
    for scale, larger in pairwise(scales):
        middle = math.sqrt(scale * larger)
        shapes = [(scale, scale), (middle, middle)]
        for ratio in (2.0, 3.0):
            wide = _shape(scale, ratio)
            shapes += [wide, wide[::-1]]
        # No default box is larger than the image.
        result.append(tuple((min(width, 1.0), min(height, 1.0)) for width, height in shapes))
    return tuple(result)


def _shape(scale: float, ratio: float) -> tuple[float, float]:
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)


def published_levels(shapes: Sequence[Shapes], maps: Sequence[Map]) -> tuple[AnchorLevel, ...]:
    """Levels of anchors of published shapes, on the maps of a network."""
    return tuple(AnchorLevel(rows, columns, each) for (rows, columns), each in zip(maps, shapes, strict=True))


def listed_levels(
    anchors: npt.NDArray[np.float32], maps: Sequence[Map], counts: Sequence[int], *, step: float | None = None
) -> tuple[AnchorLevel, ...]:
    """Levels of anchors that a file lists one by one.

    Args:
        anchors: (A, 4), centre across, centre down, width and height in sides of the input; level by level, row by row.
        maps: Rows and columns of every level.
        counts: Anchors of a cell at every level.
        step: What the numbers are multiples of, where a file holds them in bytes.

    Raises:
        ModelError: If they are not so many, do not stand at the centres of the cells, or their shapes differ from cell
            to cell.

    >>> two = np.array([[0.25, 0.5, 0.5, 0.4], [0.75, 0.5, 0.5, 0.4]], np.float32)
    >>> listed_levels(two, [(1, 2)], [1])
    (AnchorLevel(rows=1, columns=2, shapes=((0.5, 0.4),)),)
    """
    sizes = [rows * columns * count for (rows, columns), count in zip(maps, counts, strict=True)]
    if anchors.shape != (sum(sizes), 4):
        raise ModelError(f"the anchors have shape {anchors.shape}; the maps of the network have {sum(sizes)} anchors")
    levels, begin = [], 0
    for (rows, columns), count, size in zip(maps, counts, sizes, strict=True):
        given = anchors[begin : begin + size]
        shapes = tuple((float(f"{width:.7g}"), float(f"{height:.7g}")) for width, height in given[:count, 2:].tolist())
        level = AnchorLevel(rows, columns, shapes)
        apart = float(np.abs(AnchorHead((level,), step=step).anchors - given).max())
        if not apart <= OFF_GRID:
            raise ModelError(
                f"the anchors of the map of {rows}×{columns} lie {apart:.2g} of the input's side from the centres of "
                "its cells, or have other shapes from cell to cell, which no detector of this package has"
            )
        levels.append(level)
        begin += size
    return tuple(levels)


def fitted_levels(
    sizes: npt.NDArray[np.float32], maps: Sequence[Map], *, count: int = 2 * SHAPES_A_LEVEL
) -> tuple[AnchorLevel, ...]:
    """Levels of anchors whose shapes are the usual ones of some boxes, found by k-means.

    Each shape is put on the coarsest map of which it spans some cells, so that neighbouring objects have cells of their
    own. Maps behind the last one that gets any are left out; the first two always have some.

    Args:
        sizes: (n, 2), width and height of boxes in sides of the network's input.
        maps: Rows and columns of every map that a network may have, the finest first; two at least.
        count: Number of shapes.

    Raises:
        DataError: If there are no boxes.

    Source: J. Redmon and A. Farhadi 2017, arXiv:1612.08242, for k-means by intersection over union.

    >>> boxes = np.array([[0.1, 0.2]] * 5 + [[0.6, 0.5]] * 5, np.float32)
    >>> [level.shapes for level in fitted_levels(boxes, [(20, 20), (10, 10), (5, 5), (3, 3)], count=2)]
    [((0.1, 0.2),), ((0.6, 0.5),), ((0.6, 0.5),)]
    """
    shapes = usual_shapes(sizes, count)
    by_level: list[list[tuple[float, float]]] = [[] for _ in maps]
    for width, height in shapes:
        spanned = [math.sqrt(width * columns * height * rows) for rows, columns in maps]
        fitting = [level for level, cells in enumerate(spanned) if cells >= CELLS_A_SIDE]
        by_level[max(fitting, default=0)].append((width, height))
    last = max(1, *(level for level, some in enumerate(by_level) if some))
    levels = []
    for number, (rows, columns) in enumerate(maps[: last + 1]):
        own = by_level[number] or [_nearest(shapes, rows, columns)]
        levels.append(AnchorLevel(rows, columns, tuple(own)))
    return tuple(levels)


def _nearest(shapes: Shapes, rows: int, columns: int) -> tuple[float, float]:
    """Of some shapes the one that spans a level's cells best."""
    return min(
        shapes, key=lambda shape: abs(math.log(math.sqrt(shape[0] * columns * shape[1] * rows) / CELLS_A_SIDE / 1.4))
    )


def usual_shapes(sizes: npt.NDArray[np.float32], count: int) -> Shapes:
    """The shapes that some boxes have most often, the smallest first: k-means with 1 − intersection over union.

    Args:
        sizes: (n, 2), widths and heights.
        count: Number of shapes; fewer where fewer sizes differ.

    Raises:
        DataError: If there are no boxes.

    >>> usual_shapes(np.array([[0.1, 0.1], [0.5, 0.25], [0.5, 0.25]], np.float32), 2)
    ((0.1, 0.1), (0.5, 0.25))
    """
    given = sizes.astype(np.float64)
    given = given[(given > 0).all(axis=1)]
    if not len(given):
        raise DataError("anchors are fitted to boxes, and there are none")
    order = np.argsort(given.prod(axis=1), kind="stable")
    distinct = np.unique(given, axis=0)
    count = min(count, len(distinct))
    # Begun at even quantiles of the area, so that the same boxes always give the same shapes.
    places = ((np.arange(count) + 0.5) * len(given) / count).astype(int)
    centres = np.unique(given[order[places]], axis=0)
    for _ in range(MOST_ROUNDS):
        nearest = _overlap(given, centres).argmax(axis=1)
        moved = np.array([np.median(given[nearest == one], axis=0) for one in np.unique(nearest)])
        if moved.shape == centres.shape and np.allclose(moved, centres):
            break
        centres = moved
    centres = centres[np.argsort(centres.prod(axis=1), kind="stable")]
    return tuple((float(f"{width:.4g}"), float(f"{height:.4g}")) for width, height in centres)


def _overlap(sizes: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes with one common centre, (n, k)."""
    shared = np.minimum(sizes[:, None], centres[None]).prod(axis=2)
    overlap: npt.NDArray[np.float64] = shared / (sizes.prod(axis=1)[:, None] + centres.prod(axis=1) - shared)
    return overlap
