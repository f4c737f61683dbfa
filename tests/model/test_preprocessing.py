"""Cropping, resizing and normalizing, by hand and by property."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mobilenets.errors import ModelError
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode, letterbox


@pytest.mark.parametrize(
    ("size", "target", "crop_fraction", "box"),
    [
        ((400, 400), (224, 224), 1.0, (0, 0, 400, 400)),
        ((400, 400), (224, 224), 0.875, (25, 25, 375, 375)),
        ((400, 300), (224, 224), 1.0, (50, 0, 350, 300)),
        ((300, 400), (224, 224), 1.0, (0, 50, 300, 350)),
        ((400, 400), (100, 200), 1.0, (0, 100, 400, 300)),  # twice as wide as high
        ((400, 400), (200, 100), 0.5, (150, 100, 250, 300)),
    ],
)
def test_crop_takes_the_largest_centred_box_less_its_fraction(
    size: tuple[int, int], target: tuple[int, int], crop_fraction: float, box: tuple[float, ...]
) -> None:
    assert Preprocessing(crop_fraction=crop_fraction).box(size, *target) == pytest.approx(box)


def test_squash_takes_the_whole_image() -> None:
    assert Preprocessing(fit=ResizeMode.SQUASH, crop_fraction=0.5).box((640, 480), 224, 224) == (0, 0, 640, 480)


SIDES = st.integers(1, 2000)


@given(SIDES, SIDES, SIDES, SIDES, st.floats(0.01, 1), st.sampled_from([ResizeMode.CROP, ResizeMode.SQUASH]))
def test_the_box_is_inside_the_image_centred_and_of_the_right_shape(
    width: int, height: int, target_width: int, target_height: int, crop_fraction: float, fit: ResizeMode
) -> None:
    preprocessing = Preprocessing(crop_fraction=crop_fraction, fit=fit)
    left, top, right, bottom = preprocessing.box((width, height), target_height, target_width)
    assert left >= -1e-9
    assert top >= -1e-9
    assert right <= width * (1 + 1e-12)
    assert bottom <= height * (1 + 1e-12)
    assert (left + right, top + bottom) == pytest.approx((width, height))
    if fit is ResizeMode.CROP:
        assert (right - left) * target_height == pytest.approx((bottom - top) * target_width)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40), st.sampled_from(Interpolation))
def test_any_image_becomes_pixels_of_the_networks_size(
    width: int, height: int, target_width: int, target_height: int, interpolation: Interpolation
) -> None:
    image = Image.new("RGB", (width, height), (10, 200, 90))
    pixels = Preprocessing(interpolation=interpolation).apply(image, target_height, target_width)
    assert pixels.shape == (target_height, target_width, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (10, 200, 90)).all()


def test_a_image_of_the_right_size_is_left_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    pixels = Preprocessing(crop_fraction=1.0).apply(Image.fromarray(noise), 24, 32)
    assert np.array_equal(pixels, noise)


def test_resizing_is_that_of_pillow_on_the_box() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8))
    expected = noise.crop((15, 0, 65, 50)).resize((20, 20), Image.Resampling.BILINEAR)
    pixels = Preprocessing(crop_fraction=1.0).apply(noise, 20, 20)
    # Only at the edge of the box do the two differ: the box's filter sees the pixels beyond it, the crop's does not.
    assert np.array_equal(pixels[:, 1:-1], np.asarray(expected)[:, 1:-1])


@pytest.mark.parametrize(
    ("preprocessing", "black", "white"),
    [
        (Preprocessing(), (-1, -1, -1), (1, 1, 1)),
        (
            Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
            (-2.117904, -2.035714, -1.804444),
            (2.248908, 2.428571, 2.64),
        ),
        (Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)), (0, 0, 0), (1, 1, 1)),
    ],
)
def test_normalization_of_black_and_white(
    preprocessing: Preprocessing, black: tuple[float, ...], white: tuple[float, ...]
) -> None:
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    normalized = preprocessing.normalize(pixels)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized[0], [black, white], rtol=1e-5, atol=1e-6)


NUMBERS = st.floats(-10, 10)
POSITIVE = st.floats(0.001, 10)
PREPROCESSINGS = st.builds(
    Preprocessing,
    mean=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    std=st.tuples(POSITIVE, POSITIVE, POSITIVE),
    fit=st.sampled_from(ResizeMode),
    crop_fraction=st.floats(0.01, 1),
    interpolation=st.sampled_from(Interpolation),
)


@given(PREPROCESSINGS)
def test_decoding_undoes_encoding(preprocessing: Preprocessing) -> None:
    assert Preprocessing.decode(json.loads(json.dumps(preprocessing.encode()))) == preprocessing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": (0.5, 0.0, 0.5)}, "standard deviations above 0"),
        ({"mean": (0.5, float("nan"), 0.5)}, "three finite means|mean must be 3 values, each a number"),
        ({"mean": (0.5, 0.5)}, "three finite means|mean must be 3 values, each a number"),
        ({"crop_fraction": 0.0}, "crop_fraction must be above 0 and at most 1, not 0.0"),
        ({"crop_fraction": 1.5}, "crop_fraction must be above 0 and at most 1, not 1.5"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Preprocessing(**changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mean", [0.5, 0.5]),
        ("mean", "abc"),
        ("mean", None),
        ("std", [1, 1, 0]),
        ("std", [10**400, 1, 1]),
        ("fit", "stretch"),
        ("fit", []),
        ("crop_fraction", None),
        ("interpolation", "nearest"),
        ("stranger", 1),
    ],
)
def test_hostile_values_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ModelError):
        Preprocessing.decode(Preprocessing().encode() | {field: value})


@pytest.mark.parametrize("data", [None, [], "x", {}, {"mean": [0, 0, 0]}])
def test_no_other_value_is_a_preprocessing(data: Any) -> None:
    with pytest.raises(ModelError, match="preprocessing must hold exactly"):
        Preprocessing.decode(data)


@pytest.mark.parametrize("size", [(640, 480), (33, 90), (1, 500), (320, 320), (7, 3)])
def test_a_letterboxed_image_is_whole_and_the_rest_has_the_mean_color(size: tuple[int, int]) -> None:
    preprocessing = Preprocessing(mean=(0.2, 0.4, 0.6), fit=ResizeMode.LETTERBOX)
    pixels = preprocessing.apply(Image.new("RGB", size, "white"), 64, 96)
    left, top, width, height = letterbox(size, 64, 96)
    assert (pixels[top : top + height, left : left + width] == 255).all()
    padding = np.ones((64, 96), bool)
    padding[top : top + height, left : left + width] = False
    assert (pixels[padding] == (51, 102, 153)).all()
    assert width == 96 or height == 64


def test_the_box_of_a_letterboxed_image_says_where_its_pixels_came_from() -> None:
    box = Preprocessing(fit=ResizeMode.LETTERBOX).box((640, 480), 320, 320)
    assert box == (0, -80, 640, 560)
    tall = Preprocessing(fit=ResizeMode.LETTERBOX).box((30, 90), 64, 64)
    left, top, width, height = letterbox((30, 90), 64, 64)
    assert ((0 - tall[0]) / (tall[2] - tall[0]) * 64, (30 - tall[0]) / (tall[2] - tall[0]) * 64) == (left, left + width)
    assert (tall[1], tall[3]) == (0, 90)
    assert (top, height) == (0, 64)
