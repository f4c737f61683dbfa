"""The engine's crop and resize gives Pillow's bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mobilenets.data.resizing import FILTERS, resized
from mobilenets.engine.session import instruction_sets
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode
from mobilenets.native import _native

SETS = [name for name, supported in instruction_sets().items() if supported]


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """Black, white and everything between, side by side."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-100, 356, (height, width, 3)).clip(0, 255)
    return Image.fromarray(values.astype(np.uint8))


def lent(image: Image.Image) -> tuple[object, object]:
    """The image's own memory."""
    if not hasattr(image, "__arrow_c_array__"):
        pytest.skip("this Pillow does not lend its memory")
    schema, array = image.__arrow_c_array__()
    return schema, array


@settings(deadline=None, max_examples=100)
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    wanted=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    preprocessing=st.builds(
        Preprocessing,
        fit=st.sampled_from(ResizeMode),
        crop_fraction=st.floats(0.05, 1),
        interpolation=st.sampled_from(Interpolation),
    ),
    isa=st.sampled_from(SETS),
)
def test_the_bytes_are_those_of_pillow(
    size: tuple[int, int], wanted: tuple[int, int], preprocessing: Preprocessing, isa: str
) -> None:
    image = noise(*size)
    pixels = resized(image, preprocessing, *wanted, isa)
    assert np.array_equal(pixels, preprocessing.apply(image, *wanted))


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("interpolation", FILTERS)
def test_a_photograph_of_usual_size_is_resized_natively(isa: str, interpolation: Interpolation) -> None:
    image, preprocessing = noise(375, 500), Preprocessing(interpolation=interpolation)
    out = np.zeros((224, 224, 3), np.uint8)
    box = preprocessing.box(image.size, 224, 224)
    assert _native.resize(isa, lent(image), image.size, box, FILTERS[interpolation], out)
    assert np.array_equal(out, preprocessing.apply(image, 224, 224))


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 5, 9), (3, 0, 3, 5), (float("nan"), 0, 5, 5)])
def test_a_box_outside_the_image_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box"):
        _native.resize(
            "portable", lent(noise(8, 8)), (8, 8), box, FILTERS[Interpolation.BILINEAR], np.empty((4, 4, 3), np.uint8)
        )


def test_memory_of_another_shape_is_left_alone() -> None:
    out = np.zeros((4, 4, 3), np.uint8)
    grey, bilinear = Image.new("L", (8, 8), "white"), FILTERS[Interpolation.BILINEAR]
    assert not _native.resize("portable", lent(grey), (8, 8), (0, 0, 8, 8), bilinear, out)
    assert not _native.resize("portable", lent(noise(8, 8)), (8, 9), (0, 0, 8, 9), bilinear, out)
    assert not _native.resize("portable", lent(noise(8, 8))[::-1], (8, 8), (0, 0, 8, 8), bilinear, out)
    assert not out.any()
