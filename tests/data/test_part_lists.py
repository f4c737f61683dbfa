"""Lists of files beside class folders say which images are for training: images of the test are never trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.image_folders import write_tree

from mobilenets.data.dataset import Collection, load_collection
from mobilenets.data.findings import Kind
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of six images, ``000.png`` to ``005.png``."""
    return write_tree(tmp_path / "data", {"images/cat": 6, "images/dog": 6})


def lines(numbers: range, form: str) -> str:
    return "\n".join(form.format(label=label, number=f"{n:03}") for label in ("cat", "dog") for n in numbers) + "\n"


def in_part(collection: Collection, part: str) -> set[str]:
    return {"/".join(Path(image.name).parts[-2:]) for image in collection.parts[part].images}


@pytest.mark.parametrize(
    "form",
    [
        "images/{label}/{number}.png",
        "{label}/{number}",  # Food-101
        "./{label}/{number}.png 3",
        "{label}\\{number}.PNG",
        "/home/bob/data/images/{label}/{number}.png\tcat",
    ],
)
@pytest.mark.parametrize("place", ["", "meta"])
def test_lists_of_files_are_the_parts(form: str, place: str, folder: Path) -> None:
    (folder / place).mkdir(exist_ok=True)
    (folder / place / "train.txt").write_text(lines(range(4), form))
    (folder / place / "test.txt").write_text(lines(range(4, 6), form))
    (folder / place / "classes.txt").write_text("cat\ndog\n")
    collection = load_collection(folder)
    assert list(collection.parts) == ["train", "test"]
    assert in_part(collection, "test") == {f"{label}/{n:03}.png" for label in ("cat", "dog") for n in (4, 5)}
    assert len(collection.parts["train"]) == 8
    assert collection.labels == ("cat", "dog")
    assert collection.places["test"] == str(Path(place) / "test.txt")


def test_what_no_list_names_is_left_out_and_said(folder: Path) -> None:
    (folder / "TrainImages.txt").write_text(lines(range(3), "{label}/{number}.png"))
    (folder / "TestImages.txt").write_text(lines(range(4, 6), "{label}/{number}.png"))
    collection = load_collection(folder)
    assert {part: len(subset) for part, subset in collection.parts.items()} == {"train": 6, "test": 4}
    (finding,) = (one for one in collection.findings if one.kind is Kind.LEFT_OUT)
    assert finding.message == "2 images in none of TrainImages.txt, TestImages.txt"


@pytest.mark.parametrize(("name", "others"), [("test.txt", "train"), ("train.txt", "test")])
def test_of_one_list_the_others_are_the_other_part(name: str, others: str, folder: Path) -> None:
    (folder / name).write_text(lines(range(2), "{label}/{number}.png"))
    collection = load_collection(folder)
    assert len(collection.parts[others]) == 8
    assert collection.places[others] == f"all that {name} does not list"


def test_lists_that_contradict_each_other_are_refused_with_the_way_out(folder: Path) -> None:
    (folder / "train.txt").write_text(lines(range(5), "{label}/{number}.png"))
    (folder / "test.txt").write_text(lines(range(4, 6), "{label}/{number}.png"))
    with pytest.raises(DataError, match=r"test.txt and train.txt both list 2 images, such as .*cat/004.png"):
        load_collection(folder)
    (folder / "train.txt").write_text(lines(range(4), "{label}/{number}.png"))
    (folder / "trainval.txt").write_text(lines(range(4), "{label}/{number}.png"))
    with pytest.raises(DataError, match=r"two lists of images for train: train.txt and trainval.txt"):
        load_collection(folder)
    assert set(load_collection(folder, Reading(exclude=("trainval.txt",))).parts) == {"train", "test"}
    assert set(load_collection(folder, Reading(find_parts=False)).parts) == {"all"}


def test_other_texts_are_not_lists(folder: Path) -> None:
    (folder / "train.txt").write_text("how this was made\n" * 5)
    (folder / "test.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "notes.txt").write_text(lines(range(4), "{label}/{number}.png"))
    assert set(load_collection(folder).parts) == {"all"}
