"""One image: where it is, and how it becomes upright RGB."""

from __future__ import annotations

import io
import warnings
from os import PathLike
from typing import IO, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mobilenets.base.records import record
from mobilenets.errors import DataError

JPEG_SIGNATURE = b"\xff\xd8\xff"
ORIENTATION, UPRIGHT = 0x0112, 1
"""EXIF tag that says how the camera was held, and its usual value."""

LARGEST_IMAGE = 178_956_970
"""Pixels beyond which an image is refused: decoded, it would take half a gigabyte."""


@runtime_checkable
class ImageSource(Protocol):
    """Anything that can be opened as an image."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    def open(self, shortest_side: int | None = None) -> Image.Image:
        """The image, upright, as RGB.

        Args:
            shortest_side: A JPEG may be decoded at a fraction of its size as long as its shorter side keeps this many
                pixels. Other formats ignore it.

        Raises:
            DataError: If it cannot be decoded; the message names it.
        """

    def digest(self) -> bytes:
        """Hash of the content: the same image has the same digest on every machine.

        Raises:
            DataError: If it cannot be read.
        """


@record(frozen=True)
class FileImage:
    """An image in a file."""

    path: str | PathLike[str]

    @property
    def name(self) -> str:
        return str(self.path)

    def open(self, shortest_side: int | None = None) -> Image.Image:
        try:
            with open(self.path, "rb") as file:
                return decode_image(file, self.name, shortest_side)
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror}") from None

    def digest(self) -> bytes:
        import hashlib

        try:
            with open(self.path, "rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror}") from None


@record(frozen=True, eq=False)
class ArrayImage:
    """An image in memory: uint8 (H, W, 3), neither side zero; anything else cannot be opened."""

    name: str
    pixels: npt.NDArray[np.uint8]

    def open(self, shortest_side: int | None = None) -> Image.Image:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise DataError(f"{self.name}: pixels must be uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}")
        if not pixels.size:
            raise DataError(f"{self.name} must have at least one pixel, not {pixels.shape[0]}×{pixels.shape[1]}")
        return Image.fromarray(pixels)

    def digest(self) -> bytes:
        import hashlib

        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).digest()


@record(frozen=True, eq=False)
class BytesImage:
    """An encoded image in memory, such as one read from standard input."""

    name: str
    content: bytes

    def open(self, shortest_side: int | None = None) -> Image.Image:
        return decode_image(io.BytesIO(self.content), self.name, shortest_side)

    def digest(self) -> bytes:
        import hashlib

        return hashlib.sha256(self.content).digest()


def decode_image(file: IO[bytes], name: str, shortest_side: int | None = None) -> Image.Image:
    """Decode an image of any format that Pillow knows into upright RGB.

    EXIF orientation is applied, transparency is laid over white, 16-bit gray keeps its upper eight bits, and of an
    animation the first frame is taken.

    Raises:
        DataError: If the content is not an image, is damaged or is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked or raised here anyway
            image = _open(file)
            if image.width * image.height > LARGEST_IMAGE:
                raise Image.DecompressionBombError
            if shortest_side is not None:
                image.draft("RGB", (shortest_side, shortest_side))
            image.load()
            return _upright(_to_rgb(image))
    except Image.DecompressionBombError:
        raise DataError(
            f"{name} has more than {LARGEST_IMAGE // 1_000_000} million pixels and is not decoded"
        ) from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is not an image of a format that can be read{_hint(name)}") from None
    except Exception as error:  # damaged images raise whatever the format's plugin stumbles over
        raise DataError(f"{name} is damaged: {error or type(error).__name__}") from None


def _hint(name: str) -> str:
    return "; convert it to JPEG first" if name.lower().endswith((".heic", ".heif", ".raw", ".dng")) else ""


def _open(file: IO[bytes]) -> Image.Image:
    """An image of which the header has been read."""
    signature = file.read(len(JPEG_SIGNATURE))
    file.seek(0)
    if signature == JPEG_SIGNATURE:
        # Image.open would first import all the common formats, which takes as long as decoding one photograph.
        from PIL import JpegImagePlugin

        try:
            return JpegImagePlugin.JpegImageFile(file)
        except SyntaxError:  # Pillow's word for a broken header
            raise UnidentifiedImageError from None
    return Image.open(file)


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF data says that the camera was held."""
    if image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB pixels, with the EXIF data still attached."""
    if image.mode == "RGB":
        return image
    exif = image.getexif()
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        deep = image.mode.startswith("I;16") or values.max(initial=0) > 255
        converted = Image.fromarray(np.clip(values / (256 if deep else 1), 0, 255).astype(np.uint8)).convert("RGB")
    elif image.has_transparency_data:
        transparent = image.convert("RGBA")
        converted = Image.new("RGB", image.size, "white")
        converted.paste(transparent, mask=transparent.getchannel("A"))
    else:
        converted = image.convert("RGB")
    converted.info["exif"] = exif.tobytes() if exif else b""
    return converted
