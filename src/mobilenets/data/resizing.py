"""Crop and resize as Preprocessing says, by the engine's own loops where they know how: the same bytes in less time."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mobilenets.model.preprocessing import REDUCING_GAP, RGB_CHANNELS, Interpolation, Pixels, Preprocessing, ResizeMode
from mobilenets.native import _native

FILTERS = {
    Interpolation.BOX: _native.Interpolation.BOX,
    Interpolation.BILINEAR: _native.Interpolation.BILINEAR,
    Interpolation.BICUBIC: _native.Interpolation.BICUBIC,
}
"""Those that the engine knows."""


def resized(image: Image.Image, preprocessing: Preprocessing, height: int, width: int, instruction_set: str) -> Pixels:
    """What :meth:`Preprocessing.apply` gives, byte for byte.

    Args:
        image: An upright RGB image.
        preprocessing: What to keep of it, and the filter.
        height: Input height of the network, in pixels.
        width: Input width of the network, in pixels.
        instruction_set: One that this processor has.

    Returns:
        uint8, (height, width, channels).
    """
    if preprocessing.fit is ResizeMode.LETTERBOX:
        return preprocessing.apply(image, height, width)
    left, top, right, bottom = box = preprocessing.box(image.size, height, width)
    shrinking = (right - left) / width, (bottom - top) / height
    # Pillow first reduces what is much larger by whole factors, and may begin with the columns where an image loses
    # many more rows than columns.
    reduced = max(shrinking) >= 2 * REDUCING_GAP
    by_rows = image.height - height < 2 * (image.width - width)
    color = preprocessing.channels == RGB_CHANNELS
    if color and preprocessing.interpolation in FILTERS and min(shrinking) >= 1 and by_rows and not reduced:
        out = np.empty((height, width, RGB_CHANNELS), np.uint8)
        lent = _lent(image)
        if lent and _native.resize(instruction_set, lent, image.size, box, FILTERS[preprocessing.interpolation], out):
            return out
    return preprocessing.apply(image, height, width)


def _lent(image: Image.Image) -> tuple[object, object] | None:
    """The image's own memory, where it is in one piece and Pillow lends it: from 11.2, in the way of Arrow."""
    if not hasattr(image, "__arrow_c_array__"):
        return None
    try:
        schema, array = image.__arrow_c_array__()
    except ValueError:
        return None
    return schema, array
