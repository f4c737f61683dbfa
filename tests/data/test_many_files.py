"""Fifty thousand files, of which forty are broken."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from mobilenets.data.dataset import load_dataset
from mobilenets.data.loading import each
from mobilenets.errors import DataError

BROKEN = 40
BYTES_PER_FILE = 3_000
"""Name, position, digest and class; a decoded image of a phone is ten thousand times as large."""


@pytest.mark.parametrize("files", [1_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_many_files_take_little_memory_and_the_broken_ones_are_named(files: int, tmp_path: Path) -> None:
    side = 24
    for number in range(files):
        folder = tmp_path / f"class{number % 10}"
        folder.mkdir(exist_ok=True)
        pixels = number.to_bytes(3, "big") * side * side
        (folder / f"{number:05}.ppm").write_bytes(b"P6 24 24 255\n" + pixels)
    for number in range(BROKEN):
        (tmp_path / f"class{number % 10}" / f"broken{number:02}.jpg").write_bytes(b"\xff\xd8\xff%d" % number)
    tracemalloc.start()
    try:
        dataset = load_dataset(tmp_path)
        everything = dataset.train + dataset.validation + dataset.test
        failed = [
            image.name
            for image, found in each(everything.images, lambda image: image.open().size, threads=2)
            if isinstance(found, DataError)
        ]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(everything) == files + BROKEN
    assert dataset.duplicates.repeated == 0
    assert sorted(Path(name).name for name in failed) == [f"broken{number:02}.jpg" for number in range(BROKEN)]
    assert peak < BYTES_PER_FILE * files + 5_000_000
