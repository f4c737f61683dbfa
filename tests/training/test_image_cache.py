"""Cached images show the same images from memory and from files, and survive broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenets.base.progress import Progress
from mobilenets.data.image import ArrayImage, BytesImage, FileImage, ImageSource
from mobilenets.data.subset import Subset
from mobilenets.errors import DataError
from mobilenets.training.image_cache import StoredImages, StreamedImages, cache_images


class Listener(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def noise(number: int, height: int, width: int) -> ArrayImage:
    rng = np.random.default_rng(number)
    return ArrayImage(f"image {number}", rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def subset_of(*images: ImageSource) -> Subset:
    return Subset(images, np.arange(len(images), dtype=np.int64) % 2)


def test_small_images_of_one_size_are_cached_as_they_are() -> None:
    images = [noise(number, 36, 36) for number in range(4)]
    cached = cache_images(subset_of(*images), 32)
    assert isinstance(cached, StoredImages)
    [(pixels, aspects)] = cached.batches([np.array([2, 0])])
    np.testing.assert_array_equal(pixels, [images[2].pixels, images[0].pixels])
    assert aspects.tolist() == [1, 1]


def test_images_are_squashed_and_remember_their_shape() -> None:
    cached = cache_images(subset_of(noise(0, 100, 200), noise(1, 300, 150)), 32)
    assert cached.side == 40
    [(pixels, aspects)] = cached.batches([np.array([0, 1])])
    assert pixels.shape == (2, 40, 40, 3)
    np.testing.assert_allclose(aspects, [2, 0.5])


def test_tiny_images_are_blown_up_to_the_resolution() -> None:
    assert cache_images(subset_of(noise(0, 8, 8), noise(1, 8, 8)), 32).side == 32


def test_cached_images_know_their_positions() -> None:
    images: list[ImageSource] = [noise(number, 40, 40) for number in range(12)]
    images[3] = BytesImage("broken", b"no image")
    cached = cache_images(subset_of(*images), 32)
    assert cached.positions.tolist() == cached.at(20).positions.tolist() == [0, 1, 2, *range(4, 12)]


def test_streamed_images_are_the_stored_ones(tmp_path: Path) -> None:
    files: list[ImageSource] = []
    for number in range(10):
        path = tmp_path / f"{number}.png"
        Image.fromarray(noise(number, 40, 40).pixels).save(path)
        files.append(FileImage(path))
    order = [np.array([7, 1, 3]), np.array([0, 9, 2]), np.array([4, 5, 6])]
    stored = cache_images(subset_of(*files), 32)
    streamed = StreamedImages(subset_of(*files), 40)
    for expected, found in zip(stored.batches(order), streamed.batches(order), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    assert streamed.at(20).side == stored.at(20).side == 20


def test_a_broken_image_is_named_once_and_another_of_its_class_takes_its_place() -> None:
    images: list[ImageSource] = [noise(number, 40, 40) for number in range(12)]
    images[4] = BytesImage("broken", b"not an image")
    listener = Listener()
    cached = StreamedImages(subset_of(*images), 40, listener)
    for _ in range(2):
        [(pixels, _)] = cached.batches([np.array([4, 5])])
        np.testing.assert_array_equal(pixels[0], noise(6, 40, 40).pixels)
        np.testing.assert_array_equal(pixels[1], noise(5, 40, 40).pixels)
    assert len(listener.notes) == 1
    assert "broken" in listener.notes[0]


def test_many_broken_images_are_an_error() -> None:
    images: list[ImageSource] = [noise(number, 40, 40) for number in range(8)]
    images[3] = BytesImage("broken", b"")
    cached = StreamedImages(subset_of(*images), 40)
    with pytest.raises(DataError, match="1 of 8 images cannot be decoded"):
        list(cached.batches([np.array([3])]))
