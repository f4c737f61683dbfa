"""NumPy arrays as images: the shapes and types that are taken, and the order of their channels."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.errors import DataError

ACCEPTED_SHAPES = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"


NEARLY_BLACK = (
    "bytes of 0 and 1 only are nearly black; where 1 is white, give bool or floating-point numbers, or multiply by 255"
)


class ChannelOrder(StrEnum):
    """Which channel of an array comes first; OpenCV's come as BGR."""

    RGB = "rgb"
    BGR = "bgr"


def image_of_array(
    pixels: npt.NDArray[Any], name: str, order: ChannelOrder = ChannelOrder.RGB
) -> tuple[Image.Image, str | None]:
    """An array as an RGB image.

    Args:
        pixels: Gray (H, W) or (H, W, 1), color (H, W, 3), or color with alpha (H, W, 4), which is laid over white.
            What a masked array masks is black.
            uint8 and bool are taken as they are; of other integers and of floating-point numbers the range is found
            as :mod:`mobilenets.data.sample_range` says.
        name: What messages call it.
        order: Of the channels; alpha is the last in both.

    Returns:
        The image, and what was assumed of its range; None where nothing was.

    Raises:
        DataError: If the array is of another shape or type, or has no pixels.
    """
    _check_shape(pixels, name)
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if order is ChannelOrder.BGR and flat.ndim == 3:
        flat = flat[..., [2, 1, 0, 3][: flat.shape[2]]]
    if isinstance(flat, np.ma.MaskedArray):
        flat = flat.filled(0)
    assumption = None
    if flat.dtype == np.uint8:
        if flat.size > 1 and flat.max() == 1:
            assumption = NEARLY_BLACK
    else:
        from mobilenets.data.sample_range import as_bytes

        try:
            said = as_bytes(flat)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        flat, assumption = said.samples, said.assumption
    image = Image.fromarray(np.ascontiguousarray(flat))
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white, assumption
    return image.convert("RGB"), assumption


def _check_shape(pixels: npt.NDArray[Any], name: str) -> None:
    shape = pixels.shape
    if pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in (1, 3, 4)):
        if not pixels.size:
            raise DataError(f"{name} must have at least one pixel, not {shape[0]}×{shape[1]}")
        return
    hint = ""
    if pixels.ndim == 3 and shape[0] in (1, 3, 4):
        hint = "; its channels seem to come first: give pixels.transpose(1, 2, 0)"
    elif pixels.ndim == 4:
        hint = "; it seems to be a batch: give its images one by one, or all to predict_many"
    raise DataError(f"{name} must be an array of shape {ACCEPTED_SHAPES}, not {shape}{hint}")
