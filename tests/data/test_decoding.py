"""One photo, encoded in every way that cameras, scanners and programs have: the same RGB pixels each time."""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from tests.support.encoded_images import gray_photo, photo, png16, tiff

from mobilenets.data.decoding import ASSUMPTION, FULL_SIZE, decode_image
from mobilenets.data.image import ArrayImage, BytesImage, FileImage, image_source
from mobilenets.errors import DataError, ImageSizeError, InputTypeError

PHOTO, GRAY = photo(), gray_photo()
RGB_IMAGE = Image.fromarray(PHOTO)
GRAY_RGB = np.dstack([GRAY] * 3)


def decoded(content: bytes) -> Image.Image:
    return BytesImage("photo", content).open()


def pillow(image: Image.Image, suffix: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, suffix, **options)
    return buffer.getvalue()


def opaque(samples: Any, white: int) -> Any:
    return np.dstack([samples, np.full(samples.shape[:2], white, samples.dtype)])


def deep(pixels: Any, bits: int) -> Any:
    return np.round(pixels * ((2**bits - 1) / 255)).astype(np.uint16)


def difference(content: bytes, expected: Any) -> int:
    pixels = np.asarray(decoded(content)).astype(int)
    assert pixels.shape == expected.shape
    return int(np.abs(pixels - expected).max())


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(
    "encode",
    [
        png16,
        tiff,
        lambda samples: tiff(samples, order=">"),
        lambda samples: tiff(samples, deflate=True),
        lambda samples: tiff(samples, order=">", deflate=True),
    ],
)
def test_deep_samples_in_sixteen_bits(encode: Callable[[Any], bytes], bits: int) -> None:
    assert difference(encode(deep(PHOTO, bits)), PHOTO) == 0
    assert difference(encode(deep(GRAY, bits)), GRAY_RGB) == 0
    assert difference(encode(opaque(deep(PHOTO, bits), 2**bits - 1)), PHOTO) == 0
    said = decoded(encode(deep(GRAY, bits))).info.get(ASSUMPTION)
    assert said is None if bits == 16 else f"read as {bits}-bit" in str(said)


@pytest.mark.parametrize(
    "content",
    [
        tiff(deep(PHOTO, 12), planes=True),
        tiff(deep(PHOTO, 16), planes=True, order=">"),
        tiff(deep(PHOTO, 16), planes=True, deflate=True),
        pillow(Image.fromarray(PHOTO), "PPM"),
        b"P6 60 40 65535\n" + deep(PHOTO, 16).astype(">u2").tobytes(),
        b"P6 60 40 4095\n" + deep(PHOTO, 12).astype(">u2").tobytes(),
        pillow(RGB_IMAGE, "TIFF", compression="tiff_lzw"),
        pillow(RGB_IMAGE, "BMP"),
        pillow(RGB_IMAGE, "PNG"),
        pillow(RGB_IMAGE.convert("RGBA"), "PNG"),
        pillow(RGB_IMAGE.convert("RGBA"), "TIFF"),
    ],
)
def test_color_without_loss(content: bytes) -> None:
    assert difference(content, PHOTO) == 0


@pytest.mark.parametrize(
    ("content", "most"),
    [
        (tiff(GRAY.astype(np.float32) / 255), 0),
        (tiff(GRAY.astype(np.float32)), 0),
        (tiff(GRAY.astype(np.float32) * 257), 0),
        (tiff(GRAY.astype(np.float32) / 127.5 - 1), 0),
        (tiff(GRAY.astype(np.float32) / 255, order=">"), 0),
        (tiff(GRAY.astype(np.int32) * 16), 0),
        (tiff(GRAY.astype(np.uint32) * 16843009), 0),
        (tiff(GRAY.astype(np.int16) * 128), 0),
        (tiff(deep(255 - GRAY, 16), photometric=0), 0),
        (tiff(deep(GRAY, 12), bits=12), 0),
        (b"P5 60 40 4095\n" + deep(GRAY, 12).astype(">u2").tobytes(), 0),
        (pillow(Image.fromarray(GRAY), "PNG"), 0),
        (pillow(Image.fromarray(GRAY).convert("LA"), "PNG"), 0),
        (pillow(Image.fromarray(GRAY), "GIF"), 0),
        (png16(np.dstack([deep(GRAY, 12), np.full(GRAY.shape, 4095, np.uint16)])), 0),
    ],
)
def test_gray_in_every_type(content: bytes, most: int) -> None:
    assert difference(content, GRAY_RGB) <= most


@pytest.mark.parametrize(
    ("content", "most"),
    [
        (pillow(RGB_IMAGE, "JPEG", quality=95), 12),
        (pillow(RGB_IMAGE, "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))]), 40),
        (pillow(RGB_IMAGE, "JPEG2000"), 3),
        (pillow(RGB_IMAGE, "WEBP", lossless=True), 0),
        (pillow(RGB_IMAGE, "WEBP", save_all=True, lossless=True, append_images=[Image.new("RGB", (60, 40))]), 0),
        (pillow(RGB_IMAGE, "TIFF", save_all=True, append_images=[Image.new("RGB", (60, 40))]), 0),
        (pillow(RGB_IMAGE, "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40))]), 60),
        (pillow(RGB_IMAGE.quantize(256), "PNG"), 60),
        (pillow(RGB_IMAGE.convert("CMYK"), "JPEG", quality=95), 16),
        (pillow(RGB_IMAGE.convert("CMYK"), "TIFF"), 2),
        (pillow(RGB_IMAGE.convert("YCbCr"), "JPEG", quality=95), 12),
        (pillow(RGB_IMAGE.convert("YCbCr"), "TIFF"), 6),
    ],
)
def test_color_with_the_loss_of_its_encoding(content: bytes, most: int) -> None:
    assert difference(content, PHOTO) <= most


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif() -> None:
    assert difference(pillow(RGB_IMAGE, "AVIF", quality=95, subsampling="4:4:4"), PHOTO) <= 16


@pytest.mark.parametrize("encode", [lambda x: tiff(x), lambda x: tiff(x, order=">"), lambda x: tiff(x, deflate=True)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_tiff_as_programs_write_it(encode: Callable[[Any], bytes], dtype: Any) -> None:
    for pixels, expected in ((PHOTO, PHOTO), (GRAY, GRAY_RGB)):
        assert difference(encode((pixels / 255).astype(dtype)), expected) <= 1
        assert difference(encode(pixels.astype(dtype)), expected) == 0
    assert difference(tiff((PHOTO / 255).astype(dtype), planes=True), PHOTO) <= 1
    assert difference(encode(opaque(PHOTO / 255, 1).astype(dtype)), PHOTO) <= 1


def test_integers_of_64_bits_and_an_orientation_in_a_tiff() -> None:
    assert difference(tiff(GRAY.astype(np.uint64) * 257), GRAY_RGB) == 0
    assert difference(tiff(GRAY.astype(np.uint32), order=">"), GRAY_RGB) == 0
    assert difference(tiff(PHOTO / 255, tags={274: 3}), PHOTO[::-1, ::-1]) <= 1


def test_lab() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(RGB_IMAGE, to_lab)
    assert lab is not None
    pixels = np.asarray(decoded(pillow(lab, "TIFF"))).astype(int)
    assert np.abs(pixels - PHOTO).mean() < 2, "eight bits of L, a and b are coarse in the dark"


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(RGB_IMAGE).save(tmp_path / "phone.heic", quality=95, exif=exif.tobytes())
    image = FileImage(tmp_path / "phone.heic").open()
    assert image.size == (40, 60)
    assert np.abs(np.asarray(image).astype(int) - np.rot90(PHOTO, -1)).max() <= 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_an_image_of_more_pixels_than_are_wanted_is_refused(kind: str) -> None:
    file, image = io.BytesIO(), Image.new("RGB", (64, 50))
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").from_pillow(image).save(file)
    else:
        image.save(file, kind)
    assert BytesImage("even", file.getvalue(), most_pixels=3200).open().size == (64, 50)
    with pytest.raises(ImageSizeError, match="odd has more than 3,199 pixels and is not decoded"):
        BytesImage("odd", file.getvalue(), most_pixels=3199).open()


def test_heic_without_the_library_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"phone.jpg is a HEIC image; install pillow-heif .* 'mobilenets\[formats\]'"):
        BytesImage("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(100)).open()


@pytest.mark.parametrize(
    ("tags", "brightest"),
    [({281: 4080}, 31), ({341: 4080}, 31), ({281: 65535}, 127), ({280: 0, 281: 1020}, 127), ({}, 127)],
)
def test_the_range_that_a_tiff_states(tags: dict[int, int], brightest: int) -> None:
    dark = GRAY.astype(np.uint16) * 2
    assert np.asarray(decoded(tiff(dark, tags=tags))).max() in (brightest, brightest + 1)


def test_what_was_not_measured_is_black_and_leaves_the_range_of_the_rest() -> None:
    stated, usual, huge = ((GRAY / 255).astype(np.float32) for _ in range(3))
    stated[0, :9], usual[0, :9], huge[0, :9] = -1, -9999, -3.4e38
    expected = GRAY.copy()
    expected[0, :9] = expected[1:].min()
    for samples, tags, said in (
        (stated, {42113: b"-1"}, None),
        (usual, {}, "samples of -9999 are read as not measured"),
        (huge, {}, "samples beyond 1e+30 are read as black"),
    ):
        image = decoded(tiff(samples, tags=tags))
        assert np.abs(np.asarray(image)[..., 0].astype(int) - expected).max() <= 1
        assert said is None or said in image.info[ASSUMPTION]


def test_signed_bytes_and_color_maps_of_eight_bits_in_a_tiff() -> None:
    signed = decoded(tiff((GRAY.astype(int) - 128).astype(np.int8)))
    assert np.abs(np.asarray(signed)[..., 0].astype(int) - GRAY).max() <= 2
    assert "8-bit samples are read from the smallest" in signed.info[ASSUMPTION]
    image = Image.fromarray(GRAY)
    image.putpalette([level for level in range(256) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    assert difference(buffer.getvalue(), GRAY_RGB) == 0, "a color map of 16 bits, as Pillow writes it"
    of_eight = tiff(GRAY, photometric=3, tags={320: tuple(range(256)) * 3})
    assert difference(of_eight, GRAY_RGB) == 0, "and one of 8, as older programs do"


def test_a_few_bright_samples_that_make_the_rest_black_are_said() -> None:
    samples = deep(GRAY, 12)
    samples[0, 0] = 65535
    assert "though only 1 of" in decoded(png16(samples)).info[ASSUMPTION]
    assert ASSUMPTION not in decoded(png16(deep(GRAY, 16))).info


def test_the_bits_that_a_png_states() -> None:
    dark = GRAY.astype(np.uint16)  # 255 of 4095
    assert np.asarray(decoded(png16(dark, (b"sBIT\x0c",)))).max() == 15
    assert ASSUMPTION not in decoded(png16(dark, (b"sBIT\x0c",))).info
    assert np.asarray(decoded(png16(dark << 4, (b"sBIT\x08",)))).max() == 15, "of the upper bits"


def test_transparent_samples_of_sixteen_bits_are_laid_over_white() -> None:
    samples = np.array([[0, 65535, 30_000]], np.uint16)
    assert np.asarray(decoded(png16(samples, (b"tRNS\0\0",))))[0, :, 0].tolist() == [255, 255, 30_000 >> 8]
    colors = np.dstack([samples, samples, samples])
    assert np.asarray(decoded(png16(colors, (b"tRNS" + bytes(6),))))[0, :, 0].tolist() == [255, 255, 30_000 >> 8]


def test_transparency_of_every_mode_is_laid_over_white() -> None:
    alpha = Image.new("L", RGB_IMAGE.size, 0)
    for image in (
        Image.merge("RGBA", (*RGB_IMAGE.split(), alpha)),
        Image.merge("LA", (Image.fromarray(GRAY), alpha)),
        Image.merge("LA", (Image.fromarray(GRAY), alpha)).convert("La"),
        Image.merge("RGBA", (*RGB_IMAGE.split(), alpha)).convert("RGBa"),
        Image.merge("RGBA", (*RGB_IMAGE.split(), alpha)).convert("PA"),
    ):
        assert np.asarray(image_source(image).open()).min() == 255


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, not an image"),
        (b"%PDF-1.7 ...", "is a PDF document"),
        (b"<!DOCTYPE html><html><body>404", "is a web page, not an image"),
        (b"<?xml version='1.0'?>\n<svg xmlns=", "is a vector image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "AVIF|damaged"),
        (b"\0\0\0\x18ftypmp42" + bytes(20), "is a video, not an image"),
        (b"\0\0\0\x0cJXL \r\n", "is a JPEG XL image"),
        (b"#?RADIANCE\n", "is a Radiance HDR image"),
        (b"/9j/4AAQSkZJRg", "base64"),
        (b"data:image/png;base64,iVBOR", "data URL"),
        (bytes(128) + b"DICM", "DICOM"),
        (
            tiff(PHOTO.astype(np.float64), tags={317: 3}),
            "a TIFF image of samples or compression that",
        ),
        (tiff(PHOTO.astype(np.float64))[:5000], "damaged|not an image|does not read"),
        (tiff(deep(PHOTO, 12), planes=True, deflate=True), "save it uncompressed"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "EPS"),
    ],
)
def test_what_is_no_image_is_said_with_the_way_out(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decoded(content)
    assert str(caught.value).startswith("photo")


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_file_cut_short_is_damaged(suffix: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = pillow(noise, suffix)
    with pytest.raises(DataError, match=r"photo (is damaged|is not an image)"):
        decoded(content[: len(content) // 2])


def test_every_source_of_a_file_gives_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(photo(300, 400))
    files = {
        "turned.jpg": pillow(large, "JPEG", exif=exif),
        "deep.png": png16(deep(PHOTO, 12)),
        "deep.tif": tiff(deep(GRAY, 10), order=">"),
        "clear.png": pillow(Image.merge("RGBA", (*RGB_IMAGE.split(), Image.fromarray(GRAY))), "PNG"),
        "palette.gif": pillow(RGB_IMAGE, "GIF"),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        expected = np.asarray(FileImage(path).open(64))
        with path.open("rb") as file, Image.open(path) as image:
            size = image.size
            file.seek(5)
            given: list[Any] = [str(path), path, content, bytearray(content), memoryview(content), file]
            for one in (*given, io.BytesIO(content), image, Image.open(io.BytesIO(content))):
                assert np.array_equal(np.asarray(image_source(one).open(64)), expected), (name, type(one))
            assert file.tell() == 5
            assert image.size == size, "the caller's image is left as it was"
            image.load()
            assert image_source(image).open().size == FileImage(path).open().size


def test_an_image_that_pillow_has_read_is_turned_and_brought_to_eight_bits() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.open(io.BytesIO(pillow(RGB_IMAGE, "PNG", exif=exif)))
    image.load()
    assert np.array_equal(np.asarray(image_source(image).open()), PHOTO[::-1, ::-1])
    for pixels in (deep(GRAY, 12), GRAY.astype(np.int32) * 257, (GRAY / 255).astype(np.float32)):
        assert np.array_equal(np.asarray(image_source(Image.fromarray(pixels)).open()), GRAY_RGB)
    big_endian = Image.frombytes("I;16B", (60, 40), deep(GRAY, 16).astype(">u2").tobytes())
    assert np.array_equal(np.asarray(image_source(big_endian).open()), GRAY_RGB)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (PHOTO, PHOTO),
        (PHOTO[:, ::2], PHOTO[:, ::2]),
        (GRAY, GRAY_RGB),
        (GRAY[..., None], GRAY_RGB),
        (opaque(PHOTO, 255), PHOTO),
        (opaque(PHOTO, 0), np.full_like(PHOTO, 255)),
        (deep(PHOTO, 16), PHOTO),
        (deep(PHOTO, 12), PHOTO),
        (PHOTO / 255, PHOTO),
        (PHOTO.astype(np.float32), PHOTO),
        (PHOTO.astype(np.int64), PHOTO),
        (GRAY > 127, np.where(GRAY_RGB > 127, 255, 0)),
    ],
)
def test_arrays_of_every_type_and_shape(pixels: Any, expected: Any) -> None:
    assert np.array_equal(np.asarray(image_source(pixels).open()), expected)


def test_channels_as_opencv_has_them() -> None:
    for pixels in (PHOTO[..., ::-1], opaque(PHOTO, 255)[..., [2, 1, 0, 3]], GRAY):
        expected = GRAY_RGB if pixels.ndim == 2 else PHOTO
        assert np.array_equal(np.asarray(image_source(pixels, channel_order="bgr").open()), expected)
    with pytest.raises(DataError, match="no channel order is called 'grb'; known are rgb, bgr"):
        ArrayImage("x", PHOTO, "grb")


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((3, 40, 60), r"its channels seem to come first: give pixels.transpose\(1, 2, 0\)"),
        ((2, 40, 60, 3), "it seems to be a batch"),
        ((40, 60, 5), r"not \(40, 60, 5\)"),
        ((7,), r"not \(7,\)"),
        ((), r"not \(\)"),
    ],
)
def test_arrays_of_another_shape_are_refused_with_the_way_out(shape: tuple[int, ...], hint: str) -> None:
    with pytest.raises(DataError, match=r"image must be an array of shape \(H, W\), .*" + hint):
        image_source(np.zeros(shape, np.uint8)).open()


class Coroutine:
    """A file of an asynchronous framework."""

    def read(self) -> object:
        return object()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "image must be a path, .*, not None: a camera or a video that has no frame gives None"),
        (3, "not a value of type int"),
        ({"a": 1}, "not a value of type dict"),
        (["a.png"], "not a value of type list: give several images to predict_many"),
        (io.StringIO("text"), r"is open as text; open it as open\(path, 'rb'\)"),
        (Coroutine(), r"read\(\) gave a value of type object, not bytes"),
    ],
)
def test_other_types_are_a_type_error_that_says_what_is_taken(given: object, message: str) -> None:
    for kind in (TypeError, DataError, InputTypeError):
        with pytest.raises(kind, match=message):
            image_source(given)


def test_addresses_and_data_urls_are_no_paths() -> None:
    with pytest.raises(DataError, match="is an address, which is not fetched"):
        image_source("https://example.com/cat.jpg")
    with pytest.raises(DataError, match="a data URL is not a path"):
        image_source("data:image/png;base64,AAAA")


def test_encoded_bytes_and_memory_views_in_every_form() -> None:
    encoded = pillow(RGB_IMAGE, "PNG")
    line = np.frombuffer(encoded, np.uint8)
    for given in (line, line[:, None], line[None], memoryview(encoded), PHOTO.data, bytearray(encoded)):
        assert np.array_equal(np.asarray(image_source(given).open()), PHOTO)
    masked = np.ma.masked_array(PHOTO, mask=PHOTO > 100)
    assert np.array_equal(np.asarray(image_source(masked).open()), np.where(PHOTO > 100, 0, PHOTO))


def test_bytes_of_zero_and_one_are_said_to_be_nearly_black() -> None:
    image = image_source((PHOTO > 100).astype(np.uint8)).open()
    assert "bytes of 0 and 1 only are nearly black" in image.info[ASSUMPTION]
    assert ASSUMPTION not in image_source(np.zeros((4, 4, 3), np.uint8)).open().info


def test_an_image_that_was_closed_before_it_was_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(pillow(RGB_IMAGE, "PNG"))
    with Image.open(path) as left:
        pass
    closed = Image.open(path)
    closed.close()
    with path.open("rb") as file:
        without_file = Image.open(file)
    for image in (left, closed, without_file):
        with pytest.raises(DataError, match="image was closed before its pixels were read; give the path, or call"):
            image_source(image).open()
    with Image.open(path) as read:
        read.load()
    assert np.array_equal(np.asarray(image_source(read).open()), PHOTO)


def test_streams_that_cannot_be_sought() -> None:
    read_end, write_end = os.pipe()
    with open(write_end, "wb") as out:
        out.write(pillow(RGB_IMAGE, "PNG"))
    with open(read_end, "rb") as stream:
        assert np.array_equal(np.asarray(image_source(stream).open()), PHOTO)


def test_decoding_in_threads_leaves_the_warnings_filters_as_they_were() -> None:
    content = pillow(RGB_IMAGE, "JPEG")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decoded(content) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


@pytest.mark.parametrize(("orientation", "full"), [(1, (640, 480)), (3, (640, 480)), (6, (480, 640)), (8, (480, 640))])
def test_a_reduced_jpeg_says_its_upright_full_size(orientation: int, full: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "red").save(file, "JPEG", exif=exif)
    reduced = decode_image(file, "a.jpg", 100)
    assert reduced.size == (full[0] // 4, full[1] // 4)
    assert reduced.info[FULL_SIZE] == full
    assert FULL_SIZE not in decode_image(file, "a.jpg").info
