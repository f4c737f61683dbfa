"""From an image to the pixels that a network was trained on. Every Model carries its own.

How an image is cropped, resized and normalized moves top-1 by half a point, so none of it is left to the caller.
Pixels stay bytes here; training applies the normalization, and every runtime folds it into its first layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import check_fields, check_number
from mobilenets.base.records import record
from mobilenets.errors import ModelError

RGB_CHANNELS = 3
"""Channels of an image."""
GREY_CHANNELS = 1
"""Channels of an image without its colors."""
Pixels = npt.NDArray[np.uint8]


class Interpolation(StrEnum):
    """Filter of the one resize; all of them average over what they shrink."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"


class ResizeMode(StrEnum):
    """How an image of any shape meets the network's input."""

    CROP = "crop"
    """The largest centred box of the input's shape, less the crop fraction."""
    SQUASH = "squash"
    """The whole image, stretched."""
    LETTERBOX = "letterbox"
    """The whole image at its own aspect ratio, in the middle; what is left is filled with the mean color."""


REDUCING_GAP = 3.0
"""Images of at least twice as many times the wanted size are first reduced by whole factors, which saves time."""

_FILTERS = {
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.LANCZOS: Image.Resampling.LANCZOS,
    Interpolation.BOX: Image.Resampling.BOX,
}


@record(frozen=True)
class Preprocessing:
    """How images become input.

    Attributes:
        mean: Per channel (red, green, blue), on the scale where white is 1.
        std: Likewise. The network sees (pixel / 255 − mean) / std. One of grey images has the same number three times.
        fit: Crop, squash or letterbox.
        crop_fraction: Share of the largest centred box that is kept, by side.
        interpolation: Filter of the resize.
        channels: 3, or 1 for a network of grey images: 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).

    Raises:
        ModelError: If a number is not finite, a standard deviation is not above 0, the crop fraction is not above 0 and
            at most 1, or the channels are neither 1 nor 3.

    >>> preprocessing = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    >>> pixels = preprocessing.apply(Image.new("RGB", (640, 480), "white"), 224, 224)
    >>> pixels.shape, pixels.dtype
    ((224, 224, 3), dtype('uint8'))
    >>> [round(float(value), 2) for value in preprocessing.normalize(pixels)[0, 0]]
    [2.25, 2.43, 2.64]
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    fit: ResizeMode = ResizeMode.CROP
    crop_fraction: float = 0.875
    interpolation: Interpolation = Interpolation.BILINEAR
    channels: int = RGB_CHANNELS

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        check_number("crop_fraction", self.crop_fraction, ModelError, above=0, most=1)
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(math.isfinite(number) for number in numbers):
            raise ModelError(f"preprocessing needs three finite means and standard deviations, got {self}")
        if min(self.std) <= 0:
            raise ModelError(f"preprocessing needs standard deviations above 0, got {self.std}")
        if self.channels not in (GREY_CHANNELS, RGB_CHANNELS):
            raise ModelError(f"preprocessing makes 1 or 3 channels of an image, not {self.channels}")
        if self.channels == GREY_CHANNELS and (len(set(self.mean)), len(set(self.std))) != (1, 1):
            raise ModelError(f"preprocessing of grey images needs one mean and standard deviation, got {self}")

    def box(self, size: tuple[int, int], height: int, width: int) -> tuple[float, float, float, float]:
        """The part of an image that is used, as (left, top, right, bottom) in its pixels.

        With letterboxing it reaches beyond the image.

        Args:
            size: The image's (width, height).
            height: Input height of the network.
            width: Input width of the network.

        >>> Preprocessing(crop_fraction=1.0).box((640, 480), 224, 224)
        (80.0, 0.0, 560.0, 480.0)
        """
        image_width, image_height = size
        box_width, box_height = float(image_width), float(image_height)
        match self.fit:
            case ResizeMode.CROP:
                scale = min(image_width / width, image_height / height) * self.crop_fraction
                box_width, box_height = width * scale, height * scale
            case ResizeMode.SQUASH:
                pass
            case ResizeMode.LETTERBOX:
                before, above, inner_width, inner_height = letterbox(size, height, width)
                across, down = image_width / inner_width, image_height / inner_height
                return -before * across, -above * down, (width - before) * across, (height - above) * down
            case _:
                assert_never(self.fit)
        # Kept inside the image: at a crop fraction of 1 the quotient above can round up past its edge.
        box_width, box_height = min(box_width, image_width), min(box_height, image_height)
        left, top = (image_width - box_width) / 2, (image_height - box_height) / 2
        return left, top, left + box_width, top + box_height

    def apply(self, image: Image.Image, height: int, width: int) -> Pixels:
        """Crop and resize in one call.

        Args:
            image: An upright RGB image (see :func:`mobilenets.data.decoding.decode_image`).
            height: Input height of the network, in pixels.
            width: Input width of the network, in pixels.

        Returns:
            uint8, (height, width, channels).
        """
        if self.channels == GREY_CHANNELS:
            image = image.convert("L")
        if self.fit is ResizeMode.LETTERBOX:
            return self._letterboxed(image, height, width)
        resized = image.resize(
            (width, height),
            _FILTERS[self.interpolation],
            box=self.box(image.size, height, width),
            reducing_gap=REDUCING_GAP,
        )
        return np.asarray(resized, dtype=np.uint8).reshape(height, width, self.channels)

    def _letterboxed(self, image: Image.Image, height: int, width: int) -> Pixels:
        left, top, inner_width, inner_height = letterbox(image.size, height, width)
        inner = image.resize((inner_width, inner_height), _FILTERS[self.interpolation], reducing_gap=REDUCING_GAP)
        padding = np.round(255 * np.clip(self.mean[: self.channels], 0, 1)).astype(np.uint8)
        canvas = np.empty((height, width, self.channels), np.uint8)
        canvas[...] = padding
        shape = (inner_height, inner_width, self.channels)
        canvas[top : top + inner_height, left : left + inner_width] = np.asarray(inner, np.uint8).reshape(shape)
        return canvas

    def normalize(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """What the network sees: (pixel / 255 − mean) / std.

        Args:
            pixels: From 0 to 255, of any shape whose last axis is the channels.

        Returns:
            float32, of the same shape.
        """
        scale, offset = pixel_scale_and_offset(self, pixels.shape[-1])
        return pixels.astype(np.float32) * scale + offset

    def encode(self) -> dict[str, Any]:
        """JSON-ready values; the channels only where they are not three."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if (name, value) != ("channels", RGB_CHANNELS)}

    @staticmethod
    def decode(data: object) -> Preprocessing:
        """Read what :meth:`encode` wrote.

        Args:
            data: JSON values.

        Raises:
            ModelError: If a field is missing, unknown or out of range.
        """
        needed = {"mean", "std", "fit", "crop_fraction", "interpolation"}
        if not isinstance(data, Mapping) or set(data) - {"channels"} != needed:
            raise ModelError("preprocessing must hold exactly mean, std, fit, crop_fraction and interpolation")
        try:
            return Preprocessing(
                mean=_three(data["mean"]),
                std=_three(data["std"]),
                fit=ResizeMode(data["fit"]),
                crop_fraction=float(data["crop_fraction"]),
                interpolation=Interpolation(data["interpolation"]),
                channels=data.get("channels", RGB_CHANNELS),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"preprocessing is not readable: {error}") from None


def letterbox(size: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """Where a whole image stands in an input that keeps its aspect ratio.

    Args:
        size: The image's (width, height).
        height: Input height, in pixels.
        width: Input width, in pixels.

    Returns:
        Left, top, width and height of the image, in pixels of the input.

    >>> letterbox((640, 480), 320, 320)
    (0, 40, 320, 240)
    """
    image_width, image_height = size
    scale = min(width / image_width, height / image_height)
    inner_width = min(width, max(1, round(image_width * scale)))
    inner_height = min(height, max(1, round(image_height * scale)))
    return (width - inner_width) // 2, (height - inner_height) // 2, inner_width, inner_height


def normalization(
    preprocessing: Preprocessing, channels: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of every input channel, on the scale where white is 1.

    Args:
        preprocessing: Whose mean and std are those of red, green and blue, or of grey.
        channels: Input channels of the network. Where the preprocessing does not make as many, the network takes
            pixels from 0 to 1: mean 0, std 1.

    Returns:
        float64 (channels,), twice.
    """
    if channels == preprocessing.channels:
        mean, std = preprocessing.mean[:channels], preprocessing.std[:channels]
        return np.array(mean, dtype=np.float64), np.array(std, dtype=np.float64)
    return np.zeros(channels), np.ones(channels)


def pixel_scale_and_offset(
    preprocessing: Preprocessing, channels: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Normalization as ``pixel · scale + offset``.

    Returns:
        float32 (channels,), twice.
    """
    mean, std = normalization(preprocessing, channels)
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def check_pixels(network: Network, pixels: object) -> None:
    """Raise if pixels are not a batch of a network's input.

    Args:
        network: The network.
        pixels: What should be uint8 (N, height, width, channels).

    Raises:
        ModelError: If they are no array, or one of another type or shape.
    """
    expected = (network.height, network.width, network.channels)
    if (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.ndim == 4
        and pixels.shape[1:] == expected
    ):
        return  # before any message is written: small networks take less than a tenth of a millisecond
    needed = f"{network.name} needs uint8 (N, {', '.join(map(str, expected))})"
    if not isinstance(pixels, np.ndarray):
        raise ModelError(f"pixels must be a NumPy array, not {type(pixels).__name__}; {needed}")
    hint = "; give a single image as pixels[None]" if pixels.shape == expected else ""
    raise ModelError(f"pixels are {pixels.dtype} {pixels.shape}; {needed}, from 0 to 255 and not normalized{hint}")


def _three(value: Any) -> tuple[float, float, float]:
    red, green, blue = (float(item) for item in value)
    return red, green, blue
