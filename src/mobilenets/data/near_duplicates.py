"""The same photograph twice in other files: encoded again, resized, or cropped by a few percent.

Every image becomes a thumbnail of 48×48 gray values, less its own blur, so that what counts is detail and not how light
is spread. Two images are nearly the same where the thumbnail of one correlates with that of a crop of the other, and
their colors agree. The crops that are tried leave out 5 % of the height, the width or both, or 5 % all around.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.image import ImageSource
from mobilenets.data.loading import each
from mobilenets.data.subset import Subset
from mobilenets.data.targets import briefly
from mobilenets.errors import DataError

Floats = npt.NDArray[np.float32]
Crop = tuple[tuple[float, float], tuple[float, float]]

SIDE, DETAIL, BLUR = 48, 24, 2
"""Pixels of a thumbnail, of what is compared, and of the blur to each side."""
CANDIDATE, SAME = 0.75, 0.9
"""Correlation from which a pair is aligned more finely, and from which it is then called nearly the same."""
COLORS, MOST_DIFFERENT = 6, 15.0
"""Cells to each side whose mean colors are compared, and by how many levels the median of them may differ."""
STEP = 0.0125
"""Share of a side by which crops are moved to align a pair more finely."""
LEAST_CONTRAST = 1.0
"""Standard deviation, in gray levels, below which a thumbnail shows too little to be told from another."""
MOST_IMAGES = 12_000
"""Of more images only the validation and test images are compared with the others."""
_SHIFTS = ((0.0, 0.95), (0.025, 0.95), (0.05, 0.95))
_WHOLE = (0.0, 1.0)
CROPS = (
    (_WHOLE, _WHOLE),
    *product(_SHIFTS, _SHIFTS),
    ((0.05, 0.9), (0.05, 0.9)),
    *((shift, _WHOLE) for shift in (_SHIFTS[0], _SHIFTS[2])),
    *((_WHOLE, shift) for shift in (_SHIFTS[0], _SHIFTS[2])),
)
"""Begin and extent of each crop along the height and along the width."""
_TOGETHER = 1024


@dataclass(frozen=True)
class NearPair:
    """Two images that are nearly the same.

    Attributes:
        first: Position of the one, among all images.
        second: Position of the other, which is larger.
        correlation: From :data:`SAME` to 1.
    """

    first: int
    second: int
    correlation: float


def find_near_pairs(
    images: Sequence[ImageSource], *, queries: int = 0, unreadable: list[int] | None = None, progress: Progress = SILENT
) -> list[NearPair]:
    """Find images that are nearly the same.

    Args:
        images: The images. Those that cannot be read, show nothing, or have less than 48 pixels a side are left out.
        queries: If above 0, only pairs with one of so many first images are sought.
        unreadable: Receives the positions of images that cannot be decoded.
        progress: Receives progress updates.

    Returns:
        The pairs, in order.
    """
    thumbnails, colors, kept = _thumbnails(images, [] if unreadable is None else unreadable, progress)
    if len(kept) < 2:
        return []
    whole = _signatures(thumbnails, CROPS[0])
    limit = len(kept) if queries == 0 else int(np.searchsorted(kept, queries))
    best: dict[tuple[int, int], tuple[float, int, int, Crop]] = {}
    with progress.task("comparing", len(CROPS), "crops") as task:
        for crop in CROPS:
            for one, other, value in _matches(_signatures(thumbnails, crop), whole, limit):
                pair = (min(one, other), max(one, other))
                best[pair] = max(best.get(pair, (0.0, 0, 0, crop)), (value, one, other, crop))
            task.advance()
    found = [
        NearPair(int(kept[pair[0]]), int(kept[pair[1]]), _aligned(thumbnails, whole, *candidate))
        for pair, candidate in sorted(best.items())
        if np.median(np.abs(colors[pair[0]] - colors[pair[1]])) <= MOST_DIFFERENT
    ]
    return [pair for pair in found if pair.correlation >= SAME]


def _aligned(thumbnails: Floats, whole: Floats, value: float, one: int, other: int, crop: Crop) -> float:
    """The highest correlation of a crop of one thumbnail with another as a whole, near a crop that was tried."""
    (top, height), (left, width) = crop
    for down, right in product((-STEP, 0.0, STEP), repeat=2):
        if (down and height == 1) or (right and width == 1) or not (down or right):
            continue
        moved = (_inside(top + down, height), height), (_inside(left + right, width), width)
        value = max(value, float(_signatures(thumbnails[one : one + 1], moved)[0] @ whole[other]))
    return min(value, 1.0)


def _inside(begin: float, extent: float) -> float:
    return round(min(max(begin, 0.0), 1 - extent), 4)


def _matches(cropped: Floats, whole: Floats, limit: int) -> Iterator[tuple[int, int, float]]:
    """Rows of either that correlate, of pairs with one of the first rows."""
    for begin in range(0, len(whole), _TOGETHER):
        block = cropped[begin : begin + _TOGETHER]
        stop = len(whole) if begin < limit else limit
        values = block @ whole[:stop].T
        for row, column in zip(*np.nonzero(values >= CANDIDATE), strict=True):
            one, other = begin + int(row), int(column)
            if one != other and min(one, other) < limit:
                yield one, other, float(values[row, column])


def _thumbnails(
    images: Sequence[ImageSource], unreadable: list[int], progress: Progress
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Gray thumbnails, mean colors of coarse cells, and the positions of the images that they are of."""
    found: list[tuple[Floats, Floats]] = []
    kept: list[int] = []
    with progress.task("looking for near duplicates", len(images), "images") as task:
        for position, (_, one) in enumerate(each(images, _thumbnail)):
            task.advance()
            if isinstance(one, DataError):
                unreadable.append(position)
            elif one is not None and one[0].std() >= LEAST_CONTRAST:
                found.append(one)
                kept.append(position)
    if not found:
        return np.empty((0, SIDE, SIDE), np.float32), np.empty((0, COLORS, COLORS, 3), np.float32), np.array(kept)
    return np.stack([gray for gray, _ in found]), np.stack([color for _, color in found]), np.array(kept, np.int64)


def _thumbnail(image: ImageSource) -> tuple[Floats, Floats] | None:
    opened = image.open(2 * SIDE)
    if min(opened.size) < SIDE:
        return None
    smooth = Image.Resampling.BOX if min(opened.size) > 2 * SIDE else Image.Resampling.BILINEAR
    gray = opened.convert("L").resize((SIDE, SIDE), smooth)
    color = opened.resize((COLORS, COLORS), Image.Resampling.BOX)
    return np.asarray(gray, np.float32), np.asarray(color, np.float32)


def _signatures(thumbnails: Floats, crop: Crop) -> Floats:
    """Detail of a crop of every thumbnail as a row of length 1."""
    (top, height), (left, width) = crop
    small = _rows(top, height) @ thumbnails @ _rows(left, width).T
    blur = _blur()
    detail = (small - blur @ small @ blur.T).reshape(len(small), -1)
    rows: Floats = detail / (np.linalg.norm(detail, axis=1, keepdims=True) + np.float32(1e-3))
    return rows


@cache
def _rows(begin: float, extent: float) -> Floats:
    """The matrix that averages a part of :data:`SIDE` pixels into :data:`DETAIL`."""
    edges = np.linspace(begin * SIDE, (begin + extent) * SIDE, DETAIL + 1)
    pixels = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    matrix = np.maximum(overlap, 0)
    shares: Floats = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


@cache
def _blur() -> Floats:
    """The matrix that averages each of :data:`DETAIL` pixels with its neighbors."""
    matrix = np.zeros((DETAIL, DETAIL), np.float32)
    for row in range(DETAIL):
        for column in range(row - BLUR, row + BLUR + 1):
            matrix[row, min(max(column, 0), DETAIL - 1)] += 1
    shares: Floats = matrix / matrix.sum(axis=1, keepdims=True)
    return shares


def near_duplicate_findings(
    parts: Mapping[str, Subset], labels: Sequence[str], *, progress: Progress = SILENT
) -> tuple[Finding, ...]:
    """Warnings of images that are nearly the same in two parts, or under two classes; and those that are damaged.

    Files that are equal to the last byte are another finding, and not among these.

    Args:
        parts: ``train``, ``validation`` and ``test``.
        labels: Names of the classes.
        progress: Receives progress updates.
    """
    order = ("test", "validation", "train")
    images = [image for name in order for image in parts[name].images]
    of_part = [name for name in order for _ in parts[name].images]
    said = [briefly(target, labels) for name in order for target in parts[name].targets]
    queries = 0 if len(images) <= MOST_IMAGES else len(parts["test"]) + len(parts["validation"])
    unreadable: list[int] = []
    pairs = [
        (pair.first, pair.second)
        for pair in find_near_pairs(images, queries=queries, unreadable=unreadable, progress=progress)
        if images[pair.first].digest() != images[pair.second].digest()
    ]
    findings = []
    if unreadable:
        damaged = [images[position].name for position in unreadable]
        message = f"{plural(len(damaged), 'image')} that cannot be decoded: {listed(damaged)}"
        findings.append(Finding(Kind.LEFT_OUT, message, len(damaged), examples_of(damaged)))
    for part, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        across = [(a, b) for a, b in pairs if (of_part[a], of_part[b]) == (part, other)]
        copies = dict(across)
        if copies:
            message = f"{len(copies):,} of {len(parts[part]):,} {part} images are nearly the same as {other} images"
            names = examples_of(f"{images[a].name} ~ {images[b].name}" for a, b in copies.items())
            findings.append(Finding(Kind.WARNING, f"{message} (encoded again, resized or cropped)", len(copies), names))
    boxes = any(subset.targets.dtype == object for subset in parts.values())  # drawn twice, they are never the same
    apart = [] if boxes else [(a, b) for a, b in pairs if said[a] != said[b]]
    if apart:
        names = examples_of(f"{images[a].name} ({said[a]}) ~ {images[b].name} ({said[b]})" for a, b in apart)
        message = f"{len(apart):,} pairs of images are nearly the same and of different classes"
        findings.append(Finding(Kind.WARNING, message, len(apart), names))
    return tuple(findings)
