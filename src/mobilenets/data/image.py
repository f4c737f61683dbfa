"""One image: where it is. Every source gives the same upright RGB pixels."""

from __future__ import annotations

import io
import os
from os import PathLike
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.arguments import word_of
from mobilenets.base.records import record
from mobilenets.data.array_image import ChannelOrder, image_of_array
from mobilenets.data.decoding import ASSUMPTION, LARGEST_IMAGE, decode_image, decode_pillow_image
from mobilenets.errors import DataError, InputTypeError

ENCODED = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
"""First bytes of encoded images."""
READ_BYTES = 1 << 16
"""Bytes of a file that are read at a time to hash it: most small images at once, in three calls of the system."""
ACCEPTED = (
    "a path, an encoded image (bytes, or a file opened in binary mode), a Pillow image or a NumPy array of pixels"
)
"""What :func:`image_source` takes, in words."""


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
        except (OSError, ValueError) as error:
            raise DataError(f"{self.name} cannot be read: {_reason(error)}") from None

    def digest(self) -> bytes:
        import hashlib

        try:
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                found, content = hashlib.sha256(), os.read(file, READ_BYTES)
                while content:
                    found.update(content)
                    content = os.read(file, READ_BYTES) if len(content) == READ_BYTES else b""
                return found.digest()
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.name} cannot be read: {_reason(error)}") from None


@record(frozen=True, eq=False)
class ArrayImage:
    """An image in memory, as an array of pixels.

    Attributes:
        name: What to call it in messages.
        pixels: What :func:`~mobilenets.data.array_image.image_of_array` takes, such as uint8 RGB (H, W, 3).
        channel_order: ``"rgb"`` or ``"bgr"``.

    Raises:
        DataError: If there is no such order of channels.
    """

    name: str
    pixels: npt.NDArray[Any]
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        word_of(ChannelOrder, self.channel_order, "channel order", DataError)

    def __repr__(self) -> str:
        return f"ArrayImage({self.name!r}, {self.pixels.dtype} {self.pixels.shape})"

    def open(self, shortest_side: int | None = None) -> Image.Image:
        image, assumption = image_of_array(self.pixels, self.name, ChannelOrder(self.channel_order))
        if assumption is not None:
            image.info[ASSUMPTION] = assumption
        return image

    def digest(self) -> bytes:
        import hashlib

        kind = repr(self.pixels.shape)
        if self.pixels.dtype != np.uint8 or self.channel_order != ChannelOrder.RGB:
            kind += f"{self.pixels.dtype.str} {self.channel_order}"
        return hashlib.sha256(kind.encode() + self.pixels.tobytes()).digest()


@record(frozen=True, eq=False)
class BytesImage:
    """An encoded image in memory, such as one read from standard input.

    Attributes:
        name: What to call it in messages.
        content: Its file's content.
        most_pixels: Largest number of pixels that are decoded.
    """

    name: str
    content: bytes
    most_pixels: int = LARGEST_IMAGE

    def __repr__(self) -> str:
        return f"BytesImage({self.name!r}, {len(self.content)} bytes)"

    def open(self, shortest_side: int | None = None) -> Image.Image:
        return decode_image(io.BytesIO(self.content), self.name, shortest_side, self.most_pixels)

    def digest(self) -> bytes:
        import hashlib

        return hashlib.sha256(self.content).digest()


@record(frozen=True, eq=False)
class PillowImage:
    """An image that Pillow has opened or made."""

    name: str
    image: Image.Image

    def open(self, shortest_side: int | None = None) -> Image.Image:
        return decode_pillow_image(self.image, self.name, shortest_side)

    def digest(self) -> bytes:
        import hashlib

        image = self.open()
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()


def image_source(given: object, name: str = "image", channel_order: str = "rgb") -> ImageSource:
    """Whatever a caller has, as the source of an image.

    Args:
        given: A path, the bytes of an encoded image, a binary file that is open, a Pillow image, an array of pixels
            (NumPy's, or anything that NumPy can take as one, such as a memory view), the bytes of an encoded image in
            an array, or a source already.
        name: What messages call an image that has no name of its own.
        channel_order: Of arrays: ``"rgb"`` or ``"bgr"``.

    Raises:
        InputTypeError: If it is none of these.
        DataError: If a file cannot be read, or there is no such order of channels.
    """
    match given:
        case str():
            return _file_image(given)
        case PathLike():
            return FileImage(given)
        case memoryview() if given.ndim > 1:
            return ArrayImage(name, np.asarray(given), channel_order)
        case bytes() | bytearray() | memoryview():
            return BytesImage(name, bytes(given))
        case Image.Image():
            return PillowImage(name, given)
        case np.ndarray() if _is_encoded(given):
            return BytesImage(name, given.tobytes())
        case np.ndarray():
            return ArrayImage(name, given, channel_order)
        case ImageSource():
            return given
        case list() | tuple():
            hint = ": give several images to predict_many, and pixels as a NumPy array"
        case None:
            hint = ": a camera or a video that has no frame gives None"
        case _ if hasattr(given, "read"):
            return _bytes_of_file(given, name)
        case _ if hasattr(given, "__array__"):
            return ArrayImage(name, _as_array(given, name), channel_order)
        case _:
            hint = ""
    raise InputTypeError(f"{name} must be {ACCEPTED}, not {kind_of(given)}{hint}")


def _is_encoded(given: npt.NDArray[Any]) -> bool:
    """Whether an array holds the bytes of a file, as OpenCV's ``imencode`` and ``numpy.fromfile`` give them."""
    line = given.ndim == 1 or (given.ndim == 2 and 1 in given.shape)
    return line and given.dtype == np.uint8 and given.ravel()[:4].tobytes().startswith(ENCODED)


def name_of(given: object, name: str = "image") -> str:
    """What messages call an image that a caller has.

    Args:
        given: As for :func:`image_source`.
        name: What one without a name of its own is called.
    """
    match given:
        case str() | PathLike():
            return str(given)
        case _:
            own = getattr(given, "name", None)
            return own if isinstance(own, str) else name


def kind_of(given: object) -> str:
    """What a message calls a thing of the wrong kind."""
    return "None" if given is None else f"a value of type {type(given).__name__}"


def _file_image(path: str) -> FileImage:
    if path.startswith(("http://", "https://")):
        raise DataError(f"{path} is an address, which is not fetched; download it and give its bytes or path")
    if path.startswith("data:"):
        raise DataError("a data URL is not a path; give the bytes: base64.b64decode(url.partition(',')[2])")
    return FileImage(path)


def _bytes_of_file(file: Any, name: str) -> BytesImage:
    """What a file holds from its beginning, or all that is left of a stream; its position stays where it was."""
    own_name = file.name if isinstance(getattr(file, "name", None), str) else name
    try:
        seekable = hasattr(file, "seek") and (not hasattr(file, "seekable") or file.seekable())
        position = file.tell() if seekable else 0
        if seekable:
            file.seek(0)
        content = file.read()
        if seekable:
            file.seek(position)
    except (OSError, ValueError) as error:
        raise DataError(f"{own_name} cannot be read: {_reason(error)}") from None
    if isinstance(content, bytes | bytearray | memoryview):
        return BytesImage(own_name, bytes(content))
    if isinstance(content, str):
        raise InputTypeError(f"{own_name} is open as text; open it as open(path, 'rb')")
    raise InputTypeError(f"{own_name}.read() gave {kind_of(content)}, not bytes; give the bytes themselves")


def _as_array(given: Any, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(given)
    except Exception as error:  # a tensor on a GPU, or one that needs its gradient: the library says what to do
        raise InputTypeError(f"{name} cannot be taken as a NumPy array: {error}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
