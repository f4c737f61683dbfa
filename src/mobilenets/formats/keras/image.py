"""What a Keras model says of its image: size, channels, resizing, and the scaling of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.keras.config import KerasCall, KerasConfiguration
from mobilenets.formats.keras.signal import ChannelAffine
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode


@dataclass(frozen=True)
class ImageInput:
    """The input of a model.

    Attributes:
        size: (height, width) in pixels; None where the file leaves it open.
        channels: 3 for color, 1 for grey.
        resizing: The layer that resizes the image, if there is one.
    """

    size: tuple[int, int] | None
    channels: int
    resizing: KerasCall | None


def image_input(configuration: KerasConfiguration) -> ImageInput:
    """Size and channels of the image of a configuration.

    Raises:
        FormatError: If its input is no image with channels last.
    """
    shape = configuration.input_shape
    if shape is None:
        return ImageInput(None, 3, None)
    if len(shape) != 4 or not all(side is None or type(side) is int for side in shape[1:]):
        raise FormatError(f"the Keras model's input is {shape}; (None, height, width, channels) is read")
    height, width, channels = shape[1:]
    channels = 3 if channels is None else channels
    if channels not in (1, 3):
        layout = "; its channels come first, and they must come last" if height in (1, 3) else "; 1 or 3 are read"
        raise FormatError(f"the Keras model's input is {shape}, of {channels} channels{layout}")
    resizing = next((call for call in configuration.calls if call.kind == "Resizing"), None)
    if resizing is not None:
        height, width = resizing.config["height"], resizing.config["width"]
    known = type(height) is int and type(width) is int
    return ImageInput((height, width) if known else None, channels, resizing)


def image_preprocessing(image: ImageInput, affine: ChannelAffine | None) -> tuple[Preprocessing, dict[str, str]]:
    """Preprocessing of a model, and what of it the file says.

    Args:
        image: The input.
        affine: What the model does to pixels from 0 to 255.

    Returns:
        The preprocessing, and the parts that are known, with where they stand.

    Raises:
        FormatError: If pixels are scaled by a number that is not positive, or resized as no Model does.
    """
    known: dict[str, str] = {}
    changes: dict[str, Any] = {"channels": image.channels}
    if affine is not None and not affine.same_as(ChannelAffine.nothing(image.channels)):
        if affine.scale.min() <= 0:
            raise FormatError(f"the model scales pixels by {affine.scale.tolist()}; positive numbers were expected")
        std = [round(float(1 / (255 * scale)), 9) for scale in affine.scale]
        mean = [
            round(float(-shift / (255 * scale)), 9) + 0.0  # no −0
            for shift, scale in zip(affine.shift, affine.scale, strict=True)
        ]
        changes |= {"mean": _three(mean), "std": _three(std)}
        known["input_scaling"] = "the model's own layers"
    if image.resizing is not None:
        config = image.resizing.config
        name = str(config.get("interpolation", "bilinear"))
        if name not in list(Interpolation):
            raise FormatError(
                f"layer {image.resizing.name!r} resizes by {name!r}; {', '.join(Interpolation)} are known"
            )
        crops = bool(config.get("crop_to_aspect_ratio"))
        changes |= {"fit": ResizeMode.CROP if crops else ResizeMode.SQUASH, "interpolation": Interpolation(name)}
        changes["crop_fraction"] = 1.0
        known |= dict.fromkeys(("crop", "resize", "interpolation"), f"the layer {image.resizing.name!r}")
    try:
        return Preprocessing(**changes), known
    except ModelError as error:
        raise FormatError(f"the model's scaling of pixels: {error}") from None


def _three(values: list[float]) -> tuple[float, float, float]:
    """Of red, green and blue; of grey three times the same."""
    red, green, blue = values * 3 if len(values) == 1 else values
    return red, green, blue
