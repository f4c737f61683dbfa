"""Decoding: every kind of image becomes upright RGB, and whatever is none is named in one clear error."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilenets.data.image import ArrayImage, BytesImage, FileImage
from mobilenets.errors import DataError

RED = (200, 30, 10)


def opened(image: Image.Image, path: Path, **options: Any) -> np.ndarray:
    image.save(path, **options)
    return np.asarray(FileImage(path).open())


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    rgb = Image.new("RGB", (6, 4), RED)
    assert opened(rgb, tmp_path / "rgb.png")[0, 0].tolist() == list(RED)
    assert opened(rgb.convert("P"), tmp_path / "palette.png").shape == (4, 6, 3)
    grey = Image.new("L", (6, 4), 77)
    assert opened(grey, tmp_path / "grey.png")[0, 0].tolist() == [77, 77, 77]
    one_bit = Image.new("1", (6, 4), 1)
    assert opened(one_bit, tmp_path / "bit.png")[0, 0].tolist() == [255, 255, 255]
    cmyk = opened(Image.new("CMYK", (6, 4), (0, 255, 255, 0)), tmp_path / "cmyk.jpg")
    red, green, blue = cmyk[0, 0].tolist()
    assert red > 200
    assert max(green, blue) < 60


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 0))
    image.putpixel((1, 0), (*RED, 255))
    assert opened(image, tmp_path / "alpha.png").tolist() == [[[255, 255, 255], list(RED)]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(orientation: int, tmp_path: Path) -> None:
    upright = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    assert opened(image, tmp_path / "turned.png", exif=exif)[:, :, 0].tolist() == upright.tolist()


def test_a_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (1600, 1200), RED).save(path)
    assert FileImage(path).open(150).size == (200, 150)
    assert FileImage(path).open(151).size == (400, 300)
    assert FileImage(path).open().size == (1600, 1200)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really a png, ünïcode.jpg"
    Image.new("RGB", (3, 3), RED).save(path, format="PNG")
    assert FileImage(path).open().getpixel((0, 0)) == RED


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"these are words", "not an image"),
        (_jpeg()[:900], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "damaged|not an image"),
    ],
)
def test_a_broken_image_is_named(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        BytesImage("holiday.jpg", content).open()
    assert "holiday.jpg" in str(caught.value)


def test_a_image_of_400_million_pixels_is_refused_unread() -> None:
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(1000)))
    png = b"\x89PNG\r\n\x1a\n"
    for chunk in chunks:
        png += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(DataError, match="more than 178 million pixels"):
        BytesImage("huge.png", png).open()


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg cannot be read: No such file"):
        FileImage(tmp_path / "gone.jpg").open()


def test_digests_follow_content(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (3, 3), RED).save(tmp_path / name)
    assert FileImage(tmp_path / "a.png").digest() == FileImage(tmp_path / "b.png").digest()
    wide, tall = np.zeros((1, 4, 3), np.uint8), np.zeros((4, 1, 3), np.uint8)
    assert ArrayImage("wide", wide).digest() != ArrayImage("tall", tall).digest()
