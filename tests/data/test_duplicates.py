"""The same image in two parts, in two classes, or twice in one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.image_folders import write_tree

from mobilenets.data.dataset import load_dataset


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    return write_tree(tmp_path, {f"{part}/{label}": 6 for part in ("train", "val", "test") for label in ("cat", "dog")})


def test_different_images_have_no_duplicates(parts: Path) -> None:
    duplicates = load_dataset(parts).duplicates
    assert duplicates.to_json() == {
        "leaks": [],
        "contradictions": {"images": 0, "examples": []},
        "repeated": {"images": 0, "examples": []},
    }


def test_copies_of_training_images_are_counted_in_the_part_that_they_spoil(parts: Path) -> None:
    copy(parts / "train/cat/000.png", parts / "test/cat/a.png")
    copy(parts / "train/cat/001.png", parts / "test/cat/b.png")
    copy(parts / "val/dog/000.png", parts / "test/dog/c.png")
    duplicates = load_dataset(parts).duplicates
    assert [(leak.part, leak.other, leak.images, leak.total) for leak in duplicates.leaks] == [
        ("test", "train", 2, 15),
        ("test", "validation", 1, 15),
    ]
    leak = duplicates.leak("test")
    assert leak is not None
    assert leak.examples[0] == (str(parts / "test/cat/a.png"), str(parts / "train/cat/000.png"))
    assert duplicates.leak("validation") is None


def test_an_image_in_two_classes_is_a_contradiction(parts: Path) -> None:
    copy(parts / "train/cat/000.png", parts / "train/dog/a.png")
    duplicates = load_dataset(parts).duplicates
    assert duplicates.contradictions == 2
    assert duplicates.contradiction_examples[0] == (
        str(parts / "train/cat/000.png"),
        "cat",
        str(parts / "train/dog/a.png"),
        "dog",
    )


def test_copies_within_a_class_are_counted_once_less(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 10, "dog": 10})
    for number in range(3):
        copy(tmp_path / "cat/000.png", tmp_path / "cat" / f"copy{number}.png")
    duplicates = load_dataset(tmp_path).duplicates
    assert duplicates.repeated == 3
    assert duplicates.leaks == ()


def test_a_drawn_split_keeps_copies_of_an_image_together_in_two_classes_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    for number in range(7):
        shutil.copyfile(tmp_path / "cat" / f"{number}.png", tmp_path / "dog" / f"again-{number}.png")
    for seed in range(5):
        dataset = load_dataset(tmp_path, seed=seed)
        assert dataset.duplicates.leaks == ()
        assert dataset.duplicates.contradictions == 14
        for part in (dataset.train, dataset.validation, dataset.test):
            assert set(part.targets) == {0, 1}
