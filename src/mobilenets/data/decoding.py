"""Decoding: an encoded image, or one that Pillow has opened, becomes upright RGB. There is no other way to pixels."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image, ImageFile, UnidentifiedImageError

from mobilenets.errors import DataError, ImageSizeError

JPEG_SIGNATURE = b"\xff\xd8\xff"
ORIENTATION, UPRIGHT = 0x0112, 1
"""EXIF tag that says how the camera was held, and its usual value."""
TURNED = frozenset({5, 6, 7, 8})
"""Values of it by which width and height change places."""

LARGEST_IMAGE = 178_956_970
"""Pixels beyond which an image is refused: decoded, it would take half a gigabyte."""

ASSUMPTION = "assumption"
"""Key of ``Image.info`` under which a decoded image says what was assumed of it, if anything was."""

FULL_SIZE = "full_size"
"""Key of ``Image.info`` under which an image that was decoded at a fraction of its size has its upright full size."""

CLOSED = "was closed before its pixels were read; give the path, or call its load() while the file is open"

_PROGRAMS = ("EPS", "WMF")
"""Formats that Pillow draws by starting another program, or by the system's own code."""

_WIDE = tuple((name, f"16{order}") for name in ("RGB", "RGBA", "RGBX", "LA") for order in "BLN")
"""Pillow's raw modes of 16-bit color, of which it keeps the upper eight bits."""


def decode_image(
    file: IO[bytes], name: str, shortest_side: int | None = None, most_pixels: int = LARGEST_IMAGE
) -> Image.Image:
    """Decode an image of any format that Pillow or pillow-heif knows into upright RGB.

    EXIF orientation is applied, transparency is laid over white, samples of more than eight bits are brought to eight
    (see :mod:`mobilenets.data.sample_range`), and of an animation the first frame is taken.

    Args:
        file: Its content, which can be sought.
        name: What messages call it.
        shortest_side: A JPEG may be decoded at a fraction of its size as long as its shorter side keeps this many
            pixels.
        most_pixels: Largest number of pixels, which the header is asked for before anything is decoded.

    Raises:
        ImageSizeError: If it has more pixels.
        DataError: If the content is not an image or is damaged.
    """

    def opened() -> Image.Image:
        file.seek(0)
        return _open(file, most_pixels)

    with _errors_named(name, file, most_pixels):
        try:
            image = opened()
        except UnidentifiedImageError:
            return _plain_tiff(file, most_pixels)
        _check_size(image.size, most_pixels)
        if image.format in _PROGRAMS:
            raise DataError(f"is {image.format}, a format of drawings, which is not read; convert it to PNG first")
        full_size = image.size
        if shortest_side is not None:
            image.draft("RGB", (shortest_side, shortest_side))
        if image.size == full_size:
            return _upright(_to_rgb(image, opened))
        turned = image.getexif().get(ORIENTATION, UPRIGHT) in TURNED
        upright = _upright(_to_rgb(image, opened))
        upright.info[FULL_SIZE] = full_size[::-1] if turned else full_size
        return upright


def image_header(file: IO[bytes], name: str) -> tuple[tuple[int, int], int]:
    """Size and orientation of an image, of which little more than the beginning is read.

    Args:
        file: Its content, which can be sought.
        name: What messages call it.

    Returns:
        Width and height as they are stored, and the EXIF orientation: 1 of an upright image, see :data:`TURNED`.

    Raises:
        DataError: If the content is not an image.
    """
    with _errors_named(name, file, LARGEST_IMAGE):
        try:
            image = _open(file, LARGEST_IMAGE)
        except UnidentifiedImageError:
            return _plain_tiff(file, LARGEST_IMAGE).size, UPRIGHT
        # Asking a PNG file for EXIF data that is not at its beginning would decode it.
        exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
        return image.size, int(exif.get(ORIENTATION, UPRIGHT))


def decode_pillow_image(image: Image.Image, name: str, shortest_side: int | None = None) -> Image.Image:
    """What :func:`decode_image` makes of the file, from an image that Pillow has opened or made.

    An image that has not been read yet is decoded from its file, and stays as it is: the pixels are those that its path
    would give.

    Args:
        image: Of any mode.
        name: What messages call it.
        shortest_side: As for :func:`decode_image`, where the image has not been read.

    Raises:
        DataError: If it has no pixels, is damaged or is too large.
    """
    if not image.width * image.height:
        raise DataError(f"{name} must have at least one pixel, not {image.height}×{image.width}")
    if _is_closed(image):
        raise DataError(f"{name} {CLOSED}")
    unread = isinstance(image, ImageFile.ImageFile) and image.tile and image.fp is not None and not image.tell()
    if unread and isinstance(image, ImageFile.ImageFile) and image.fp is not None:
        position = image.fp.tell()
        try:
            image.fp.seek(0)
            content = image.fp.read()
        except (OSError, ValueError) as error:
            raise DataError(f"{name} cannot be read: {error}") from None
        image.fp.seek(position)
        return decode_image(io.BytesIO(content), name, shortest_side)
    with _errors_named(name, None, LARGEST_IMAGE):
        _check_size(image.size, LARGEST_IMAGE)
        return _upright(_to_rgb(image, None))


def _is_closed(image: Image.Image) -> bool:
    """Whether the pixels of an image can no longer be read."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return False
    file: object = image.fp
    return file is None or bool(getattr(file, "closed", False))


@contextmanager
def _errors_named(name: str, file: IO[bytes] | None, most_pixels: int) -> Iterator[None]:
    """Whatever is raised becomes a DataError that begins with the image's name, and Pillow's warnings are not shown."""
    try:
        with _pillow_warnings_ignored():
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = f"{most_pixels // 1_000_000} million" if most_pixels >= 1_000_000 else f"{most_pixels:,}"
        raise ImageSizeError(f"{name} has more than {most} pixels and is not decoded") from None
    except UnidentifiedImageError:
        from mobilenets.data.unreadable import AN_IMAGE_FORMAT, HEAD_BYTES, what_it_is

        if file is None:
            raise DataError(f"{name} {AN_IMAGE_FORMAT}") from None
        file.seek(0)
        raise DataError(f"{name} {what_it_is(file.read(HEAD_BYTES), name)}") from None
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except MemoryError:  # nothing is wrong with the image, so it is not skipped
        raise MemoryError(f"decoding {name}") from None
    except Exception as error:  # damaged images raise whatever the format's plugin stumbles over
        raise DataError(f"{name} is damaged: {error or type(error).__name__}") from None


def _check_size(size: tuple[int, int], most_pixels: int) -> None:
    width, height = size
    if width * height > most_pixels:
        raise Image.DecompressionBombError
    if not width * height:
        raise DataError(f"it must have at least one pixel, not {height}×{width}")


def _open(file: IO[bytes], most_pixels: int) -> Image.Image:
    """An image of which the header has been read."""
    head = file.read(12)
    file.seek(0)
    if head.startswith(JPEG_SIGNATURE):
        # Image.open would first import all the common formats, which takes as long as decoding one photograph.
        from PIL import JpegImagePlugin

        try:
            return JpegImagePlugin.JpegImageFile(file)
        except SyntaxError:  # Pillow's word for a broken header
            raise UnidentifiedImageError from None
    if head[4:8] == b"ftyp":
        from mobilenets.data.unreadable import is_heif

        if is_heif(head):
            return _open_heif(file, most_pixels)
    return Image.open(file)


def _plain_tiff(file: IO[bytes], most_pixels: int) -> Image.Image:
    """A TIFF image of samples that Pillow does not know."""
    file.seek(0)
    if not file.read(4).startswith((b"II*\0", b"MM\0*")):
        raise UnidentifiedImageError
    from mobilenets.data.array_image import image_of_array
    from mobilenets.data.plain_tiff import read_plain_tiff

    file.seek(0)
    read = read_plain_tiff(file, most_pixels)
    if read is None:
        raise UnidentifiedImageError
    samples, orientation = read
    image, assumption = image_of_array(samples, "it")
    if orientation != UPRIGHT:
        image.getexif()[ORIENTATION] = orientation
        image = _upright(image)
    if assumption is not None:
        image.info[ASSUMPTION] = assumption
    return image


def _open_heif(file: IO[bytes], most_pixels: int) -> Image.Image:
    """A phone's image; the library turns it upright itself."""
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise UnidentifiedImageError from None
    opened = pillow_heif.open_heif(file)
    _check_size(opened.size, most_pixels)
    image: Image.Image = opened.to_pillow()
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF data says that the camera was held."""
    if image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image, reopen: Callable[[], Image.Image] | None) -> Image.Image:
    """RGB pixels, with the EXIF data still attached."""
    raw_mode = None if reopen is None else _wide_raw_mode(image)
    image.load()
    if image.mode == "RGB" and raw_mode is None and "transparency" not in image.info:
        return image
    exif, assumption = image.getexif(), None
    if image.format == "TIFF" and image.mode in ("L", "P"):
        from mobilenets.data.deep_image import tiff_bytes

        eight_bits, assumption = tiff_bytes(image)
    elif raw_mode is not None or image.mode == "F" or image.mode.startswith("I"):
        from mobilenets.data.deep_image import deep_to_eight_bits

        eight_bits, assumption = deep_to_eight_bits(image, raw_mode, reopen)
    else:
        eight_bits = image
    converted = _opaque(eight_bits)
    converted.info["exif"] = exif.tobytes() if exif else b""
    if assumption is not None:
        converted.info[ASSUMPTION] = assumption
    return converted


def _wide_raw_mode(image: Image.Image) -> str | None:
    """How an image that was opened but not read stores 16-bit color, as Pillow names it: ``RGB;16B``; else None."""
    for tile in image.tile if isinstance(image, ImageFile.ImageFile) else ():
        raw_mode = str(tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0])
        if raw_mode.partition(";")[::2] in _WIDE:
            return raw_mode
        if raw_mode == "R" and isinstance(image, ImageFile.ImageFile):
            from mobilenets.data.deep_image import separate_planes_raw_mode

            return separate_planes_raw_mode(image)
    return None


def _opaque(image: Image.Image) -> Image.Image:
    """An image of eight bits as RGB, what is transparent laid over white."""
    if image.has_transparency_data:
        transparent = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(transparent, mask=transparent.getchannel("A"))
        return white
    if image.mode == "LAB":
        from PIL import ImageCms

        converted = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return image if converted is None else converted
    return image.convert("RGB")


_lock = threading.Lock()
_decoding = 0
_filters = warnings.catch_warnings()


@contextmanager
def _pillow_warnings_ignored() -> Iterator[None]:
    """Pillow warns of what is checked or raised here anyway. Filters belong to the process, and threads overlap."""
    global _decoding, _filters
    with _lock:
        _decoding += 1
        if _decoding == 1:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if _decoding == 0:
                _filters.__exit__(None, None, None)


def _forget_other_threads() -> None:
    """Threads that decode while the process forks are not there in the child."""
    global _lock, _decoding
    if _decoding:
        _filters.__exit__(None, None, None)
    _lock, _decoding = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
