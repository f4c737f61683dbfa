"""What a file is that is no image, or one of a format that is not read, and what to do about it."""

from __future__ import annotations

HEAD_BYTES = 512
"""Bytes of the beginning of a file that tell what it is."""

PILLOW_HEIF = "install pillow-heif to read it: pip install 'mobilenets[formats]'"
CONVERT = "convert it to JPEG or PNG first"
AN_IMAGE_FORMAT = "is not an image of a format that can be read"

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw", ".srw", ".pef")

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "is a PDF document, not an image; export its pages as images first"),
    (b"version https://git-lfs", "is not an image but a pointer of Git LFS; fetch the file itself: git lfs pull"),
    (b"\x93NUMPY", "is not an image but a NumPy array; load it with numpy.load and give the array"),
    (b"PK\x03\x04", "is not an image but a zip archive; unpack it first"),
    (b"\x1f\x8b", "is not an image but compressed by gzip; unpack it first"),
    (b"\x1a\x45\xdf\xa3", "is a video, not an image; extract its frames first"),
    (b"v/1\x01", f"is an OpenEXR image, which is not read; {CONVERT}"),
    (b"#?RADIANCE", f"is a Radiance HDR image, which is not read; {CONVERT}"),
    (b"\xff\x0a", f"is a JPEG XL image, which is not read; {CONVERT}"),
    (b"\x00\x00\x00\x0cJXL ", f"is a JPEG XL image, which is not read; {CONVERT}"),
    (b"FUJIFILMCCD-RAW", f"is a camera's raw file, which is not read; {CONVERT}"),
    (b"IIRO", f"is a camera's raw file, which is not read; {CONVERT}"),
    (b"IIU\x00", f"is a camera's raw file, which is not read; {CONVERT}"),
    (b"data:image", "is not an image but a data URL; decode what follows its comma: base64.b64decode"),
    (b"/9j/", "is not an image but the base64 text of one; decode it first: base64.b64decode"),
    (b"iVBORw0KGgo", "is not an image but the base64 text of one; decode it first: base64.b64decode"),
)
_TAGS: tuple[tuple[bytes, str], ...] = (
    (b"<svg", f"is a vector image (SVG), which is not read; {CONVERT}"),
    (b"<html", "is a web page, not an image: a download that failed, perhaps"),
    (b"<!doctype html", "is a web page, not an image: a download that failed, perhaps"),
)


def what_it_is(head: bytes, name: str) -> str:
    """Say what a file is that could not be opened as an image.

    Args:
        head: Its first bytes, :data:`HEAD_BYTES` of them where it has as many.
        name: What messages call it; its suffix tells camera's raw files from other TIFF files.

    Returns:
        The rest of a sentence that begins with its name.

    >>> what_it_is(b"%PDF-1.7", "scan.jpg")
    'is a PDF document, not an image; export its pages as images first'
    """
    if not head:
        return "is empty, not an image"
    if head[4:8] == b"ftyp":
        return _of_brand(head)
    if name.lower().endswith(_RAW_SUFFIXES):
        return f"is a camera's raw file, which is not read; {CONVERT}"
    if head[128:132] == b"DICM":
        return f"is a DICOM file, which is not read; {CONVERT}"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "is a video, not an image; extract its frames first"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "is a TIFF image of samples or compression that Pillow does not read; save it with 8 bits per channel"
    for beginning, what in _BEGINNINGS:
        if head.startswith(beginning):
            return what
    text = head.lower()
    return next((what for tag, what in _TAGS if tag in text), AN_IMAGE_FORMAT)


def is_heif(head: bytes) -> bool:
    """Whether a file begins as a HEIC or HEIF image does."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def _of_brand(head: bytes) -> str:
    """What a file of the ISO base media format is."""
    if is_heif(head):
        return f"is a HEIC image; {PILLOW_HEIF}"
    brand = head[8:12]
    if brand in _AVIF_BRANDS:
        return "is an AVIF image, which Pillow reads from version 11.3; update it: pip install --upgrade pillow"
    if brand == b"crx ":
        return f"is a camera's raw file, which is not read; {CONVERT}"
    return "is a video, not an image; extract its frames first"
