"""Segmentation masks that lie beside images: images of labels, not images of a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from mobilenets.data.parts import tokens_of
from mobilenets.data.tree import Folder
from mobilenets.model.preprocessing import Pixels

MASK_WORDS = frozenset(
    str.split(
        "mask masks annotation annotations label labels seg segmentation segmentations groundtruth gt trimap "
        "trimaps matte mattes saliency"
    )
)
"""Words of folders that may hold masks. Any of them may be a class too, so the images decide."""
LOOKED_AT = 8
"""Images of a folder that are opened."""
FEW_COLORS = 0.97
"""Share of pixels in the eight most frequent of 32,768 colors from which on an image may be a mask."""
GRAY = 8
"""Largest difference between the channels of a gray image."""
SAME_STEMS = 0.8
"""Share of a folder's images that are called like images beside it from which on it may be about them."""

_MASK_FILE = re.compile(r"(?P<stem>.+?)[ _-](?:mask|seg|segmentation|label|gt|groundtruth)s?(?:[ _-]?\d+)?", re.I)


def has_mask_word(name: str) -> bool:
    """Whether a folder is called as folders of masks are.

    >>> has_mask_word("train_masks"), has_mask_word("SegmentationClass"), has_mask_word("damask")
    (True, True, False)
    """
    tokens = tokens_of(name)
    pairs = [first + second for first, second in pairwise(tokens)]
    return not MASK_WORDS.isdisjoint([*tokens, *pairs])


def holds_masks(folder: Folder, beside: Sequence[Folder]) -> bool:
    """Whether a folder holds masks of the images beside it.

    It does if it is called so, and its images have few colors as masks do, or are gray and called like the images
    beside it.

    Args:
        folder: The folder.
        beside: Its siblings, and its parent if that holds images itself.
    """
    if not has_mask_word(folder.name):
        return False
    images = folder.all_images
    others = [other for other in beside if other is not folder and not has_mask_word(other.name)]
    if not images or not others:
        return False
    some = images[:: max(1, len(images) // LOOKED_AT)][:LOOKED_AT]
    pixels = [small for path in some if (small := _small(path)) is not None]
    if not pixels:
        return False
    if all(map(_has_few_colors, pixels)):
        return True
    stems = {path.stem for other in others for path in other.all_images}
    own = {_stem_of_image(path) or path.stem for path in images}
    return all(map(_is_gray, pixels)) and len(own & stems) >= SAME_STEMS * len(own)


def mask_files(folder: Folder) -> set[Path]:
    """Images of a folder that are masks of others in it: ``7_mask.png`` beside ``7.png``."""
    stems = {path.stem for path in folder.images}
    named = [path for path in folder.images if _stem_of_image(path) in stems]
    return {path for path in named if looks_like_mask(path)}


def _stem_of_image(mask: Path) -> str | None:
    """Name of the image that a mask is of, by its own name."""
    match = _MASK_FILE.fullmatch(mask.stem)
    return match["stem"] if match else None


def _small(path: Path) -> Pixels | None:
    """64×64 pixels of an image, not mixed with their neighbors; None if it cannot be read, which is reported later."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (128, 128))
            small = image.resize((64, 64), Image.Resampling.NEAREST)
            if small.mode.startswith(("I", "F")):
                values = np.asarray(small, np.float64)
                gray = np.clip(255 * values / max(1.0, float(values.max())), 0, 255).astype(np.uint8)
                return np.stack([gray] * 3, axis=-1)
            return np.asarray(small.convert("RGB"))
    except Exception:  # whatever a damaged image raises
        return None


def _is_gray(pixels: Pixels) -> bool:
    return bool(np.ptp(pixels.astype(np.int64), axis=-1).max() <= GRAY)


def _has_few_colors(pixels: Pixels) -> bool:
    levels = (pixels // 8).astype(np.int64).reshape(-1, 3)
    _, counts = np.unique(levels @ np.array([1024, 32, 1]), return_counts=True)
    return bool(np.sort(counts)[-8:].sum() >= FEW_COLORS * counts.sum())


def looks_like_mask(path: Path) -> bool:
    """Whether an image has few colors, as masks do and photographs do not."""
    pixels = _small(path)
    return pixels is not None and _has_few_colors(pixels)
