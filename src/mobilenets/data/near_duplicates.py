"""The same photograph twice in other files: encoded again, resized, or cropped by a few percent.

Every image becomes a thumbnail of 48×48 gray values, less its own blur, so that what counts is detail and not how light
is spread. Two images are nearly the same where the thumbnail of one correlates with that of a crop of the other, and
their colors agree. The crops that are tried leave out 5 % of the height, the width or both, or 5 % all around.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.image import ImageSource
from mobilenets.data.loading import CHUNK_SIZE, each
from mobilenets.errors import DataError

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
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
MOST_OF_ONE = 16
"""Partners of one image that are looked at with each crop, the likest: of a thousand copies not all pairs are."""
MOST_ALIGNED = 10_000
"""Pairs that are aligned more finely, the likest; of films, many thousands of frames are a little alike."""
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
_TOGETHER = 256


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
    blocks = range(0, len(kept), _TOGETHER)
    whole = np.concatenate([_signatures(thumbnails[begin : begin + _TOGETHER], CROPS[0]) for begin in blocks])
    limit = len(kept) if queries == 0 else int(np.searchsorted(kept, queries))
    candidates = _candidates(thumbnails, whole, limit, progress)
    candidates = candidates.take(np.flatnonzero(_median_apart(colors, candidates) <= MOST_DIFFERENT))
    unsure = np.flatnonzero(candidates.values < SAME)
    for number in unsure[np.argsort(-candidates.values[unsure], kind="stable")][:MOST_ALIGNED]:
        candidates.values[number] = _aligned(thumbnails, whole, candidates, int(number))
    return [
        NearPair(int(kept[min(one, other)]), int(kept[max(one, other)]), min(float(value), 1.0))
        for one, other, value in zip(candidates.ones, candidates.others, candidates.values, strict=True)
        if value >= SAME
    ]


@dataclass(frozen=True)
class _Candidates:
    """Pairs of a crop of the one and the whole of the other, each pair once and in order.

    Attributes:
        ones: int64 (N,), rows of thumbnails.
        others: int64 (N,), rows of thumbnails.
        values: float32 (N,), their correlations.
        crops: int64 (N,), positions in :data:`CROPS`.
    """

    ones: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]
    values: Floats
    crops: npt.NDArray[np.int64]

    def take(self, chosen: npt.NDArray[np.int64]) -> _Candidates:
        """Some of them."""
        return _Candidates(self.ones[chosen], self.others[chosen], self.values[chosen], self.crops[chosen])


def _candidates(thumbnails: Bytes, whole: Floats, limit: int, progress: Progress) -> _Candidates:
    """Pairs that may be nearly the same, each with the crop by which it correlates most."""
    best: list[_Candidates] = []
    with progress.task("comparing", len(CROPS), "crops") as task:
        for crop in range(len(CROPS)):
            best = [_each_once([*best, *_matches(thumbnails, whole, crop, limit)])]
            task.advance()
    return best[0]


def _each_once(found: Sequence[_Candidates]) -> _Candidates:
    """Candidates in order of their rows, of each pair the one that correlates most."""
    columns = zip(*((one.ones, one.others, one.values, one.crops) for one in found), strict=True)
    ones, others, values, crops = map(np.concatenate, columns)
    first, second = np.minimum(ones, others), np.maximum(ones, others)
    order = np.lexsort((crops, -values, second, first))
    first, second = first[order], second[order]
    new = np.ones(len(order), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return _Candidates(ones, others, values, crops).take(order[new])


def _median_apart(colors: Bytes, candidates: _Candidates) -> Floats:
    """By how many levels the colors of each pair differ."""
    cells = colors.reshape(len(colors), -1).astype(np.int16)
    found = np.empty(len(candidates.ones), np.float32)
    for begin in range(0, len(found), _TOGETHER):
        ones, others = candidates.ones[begin : begin + _TOGETHER], candidates.others[begin : begin + _TOGETHER]
        found[begin : begin + _TOGETHER] = np.median(np.abs(cells[ones] - cells[others]), axis=1)
    return found


def _aligned(thumbnails: Bytes, whole: Floats, candidates: _Candidates, number: int) -> float:
    """The highest correlation of a crop of one thumbnail with another as a whole, near a crop that was tried."""
    one, other = candidates.ones[number], candidates.others[number]
    value, ((top, height), (left, width)) = float(candidates.values[number]), CROPS[candidates.crops[number]]
    for down, right in product((-STEP, 0.0, STEP), repeat=2):
        if (down and height == 1) or (right and width == 1) or not (down or right):
            continue
        moved = (_inside(top + down, height), height), (_inside(left + right, width), width)
        value = max(value, float(_signatures(thumbnails[one : one + 1], moved)[0] @ whole[other]))
    return value


def _inside(begin: float, extent: float) -> float:
    return round(min(max(begin, 0.0), 1 - extent), 4)


def _matches(thumbnails: Bytes, whole: Floats, crop: int, limit: int) -> Iterator[_Candidates]:
    """Rows of either that correlate, of pairs with one of the first rows."""
    for begin in range(0, len(whole), _TOGETHER):
        stop = len(whole) if begin < limit else limit
        values = _signatures(thumbnails[begin : begin + _TOGETHER], CROPS[crop]) @ whole[:stop].T
        itself = np.arange(begin, min(begin + len(values), stop))
        values[itself - begin, itself] = 0
        if begin < limit:
            values[max(0, limit - begin) :, limit:] = 0
        crowded = np.flatnonzero(np.count_nonzero(values >= CANDIDATE, axis=1) > MOST_OF_ONE)
        if len(crowded):
            columns = np.argpartition(values[crowded], -MOST_OF_ONE, axis=1)[:, -MOST_OF_ONE:]
            likest = values[crowded[:, None], columns]
            values[crowded] = 0
            values[crowded[:, None], columns] = likest
        rows, columns = np.nonzero(values >= CANDIDATE)
        yield _Candidates(rows + begin, columns, values[rows, columns], np.full(len(rows), crop))


def _thumbnails(
    images: Sequence[ImageSource], unreadable: list[int], progress: Progress
) -> tuple[Bytes, Bytes, npt.NDArray[np.int64]]:
    """Gray thumbnails, mean colors of coarse cells, and the positions of the images that they are of."""
    found: list[tuple[Bytes, Bytes]] = []
    kept: list[int] = []
    with progress.task("looking for near duplicates", len(images), "images") as task:
        for position, (_, one) in enumerate(each(images, _thumbnail, chunk_size=CHUNK_SIZE)):
            task.advance()
            if isinstance(one, DataError):
                unreadable.append(position)
            elif one is not None and one[0].std() >= LEAST_CONTRAST:
                found.append(one)
                kept.append(position)
    if not found:
        return np.empty((0, SIDE, SIDE), np.uint8), np.empty((0, COLORS, COLORS, 3), np.uint8), np.array(kept)
    return np.stack([gray for gray, _ in found]), np.stack([color for _, color in found]), np.array(kept, np.int64)


def _thumbnail(image: ImageSource) -> tuple[Bytes, Bytes] | None:
    opened = image.open(2 * SIDE)
    if min(opened.size) < SIDE:
        return None
    smooth = Image.Resampling.BOX if min(opened.size) > 2 * SIDE else Image.Resampling.BILINEAR
    gray = opened.convert("L").resize((SIDE, SIDE), smooth)
    color = opened.resize((COLORS, COLORS), Image.Resampling.BOX)
    return np.asarray(gray), np.asarray(color)


def _signatures(thumbnails: Bytes, crop: Crop) -> Floats:
    """Detail of a crop of every thumbnail as a row of length 1."""
    (top, height), (left, width) = crop
    small = _rows(top, height) @ thumbnails.astype(np.float32) @ _rows(left, width).T
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
