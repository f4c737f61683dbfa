"""Resized images on disk: the same as in memory, made once, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.image_folders import write_images

from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.data.image import FileImage
from mobilenets.data.subset import Subset
from mobilenets.errors import DataError
from mobilenets.training import disk_cache
from mobilenets.training.image_cache import StoredImages, StreamedImages, cache_images


class Counting(Progress, ProgressTask):
    """Counts decoded images, and stops at one."""

    def __init__(self, stop: int = -1) -> None:
        self.decoded, self.stop = 0, stop
        self.notes: list[str] = []

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        yield self

    def advance(self, steps: float = 1, **figures: str) -> None:
        self.decoded += 1
        if self.decoded == self.stop:
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def subset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subset:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    images = write_images(tmp_path / "images", 30)
    images[7].write_bytes(b"")
    return Subset(tuple(map(FileImage, images)), np.arange(30) % 3)


ORDER = [np.array([3, 28, 0]), np.array([7, 8])]


def test_images_on_disk_are_those_that_are_decoded_as_needed(subset: Subset) -> None:
    on_disk, streamed = cache_images(subset, 32, memory_share=0), StreamedImages(subset, 40)
    assert isinstance(on_disk, disk_cache.DiskImages)
    assert on_disk.side == 40
    assert on_disk.positions.tolist() == cache_images(subset, 32).positions.tolist()
    assert (on_disk.targets == subset.targets[on_disk.positions]).all()
    expected = streamed.batches([on_disk.positions[indices] for indices in ORDER])
    smaller = on_disk.at(24)
    for found, wanted, (small, _) in zip(on_disk.batches(ORDER), expected, smaller.batches(ORDER), strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
        assert small.shape[1:] == (24, 24, 3)


def test_images_on_disk_are_those_that_are_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    files = [FileImage(tmp_path / f"{number}.jpg") for number in range(6)]
    for number, file in enumerate(files):
        pixels = rng.integers(0, 256, (90 + 37 * number, 180 - 20 * number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file.path)
    subset = Subset(tuple(files), np.arange(6) % 2)
    in_memory, on_disk = cache_images(subset, 32), cache_images(subset, 32, memory_share=0)
    assert isinstance(in_memory, StoredImages)
    assert isinstance(on_disk, disk_cache.DiskImages)
    (stored,), (read,) = (tuple(one.batches([np.arange(6)])) for one in (in_memory, on_disk))
    np.testing.assert_array_equal(read[0], stored[0])
    np.testing.assert_array_equal(read[1], stored[1])


def test_they_are_decoded_once_and_again_where_a_file_has_changed(subset: Subset, tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        counting = Counting()
        cache_images(subset, 32, memory_share=0, progress=counting)
        counts.append(counting.decoded)
        assert any("take" in note and "of disk" in note for note in counting.notes) == (len(counts) == 1)
    write_images(tmp_path / "images", ["000.png"], seed=1)
    counting = Counting()
    cache_images(subset, 32, memory_share=0, progress=counting)
    assert [*counts, counting.decoded] == [30, 0, 30]


def test_what_was_decoded_before_an_interrupt_is_kept(subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "CHUNK", 8)
    with pytest.raises(KeyboardInterrupt):
        cache_images(subset, 32, memory_share=0, progress=Counting(stop=20))
    counting = Counting()
    cached = cache_images(subset, 32, memory_share=0, progress=counting)
    assert counting.decoded == 14
    assert len(cached.targets) == 29


def test_without_room_images_are_decoded_as_needed(subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "SPARE_BYTES", 1 << 60)
    counting = Counting()
    assert isinstance(cache_images(subset, 32, memory_share=0, progress=counting), StreamedImages)
    why, what = (note.replace("\N{NO-BREAK SPACE}", " ") for note in counting.notes[:2])
    assert why == "30 resized images take 144 kB, and 0 B of memory are theirs (memory_share 0)"
    assert what.startswith("144 kB have no room in")


def test_a_disk_that_fills_up_is_said(subset: Subset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="is full; what is decoded is kept there, and the same call goes on"):
        cache_images(subset, 32, memory_share=0)
