"""Tables beside class folders say which images are for training, or are named: no test image trains unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.image_folders import write_tree

from mobilenets.data.dataset import Collection, load_collection
from mobilenets.data.findings import Kind
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError

NAMES = [f"{label}/{number:03}.png" for label in ("cat", "dog") for number in range(6)]
HELD_BACK = {name for name in NAMES if name[4:7] in ("001", "004")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of six images; :data:`HELD_BACK` are for testing."""
    return write_tree(tmp_path / "data", {"cat": 6, "dog": 6})


def in_test(collection: Collection) -> set[str]:
    return {"/".join(Path(image.name).parts[-2:]) for image in collection.parts["test"].images}


def warnings(collection: Collection) -> list[str]:
    return [finding.message for finding in collection.findings if finding.kind is Kind.WARNING]


@pytest.mark.parametrize("place", ["", "meta"])
def test_tables_called_like_parts_are_the_parts(place: str, folder: Path) -> None:
    (folder / place).mkdir(exist_ok=True)
    for part in ("train", "test"):
        rows = [f"{name},{name[:3]}" for name in NAMES if (name in HELD_BACK) == (part == "test")]
        (folder / place / f"{part}.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    collection = load_collection(folder)
    assert in_test(collection) == HELD_BACK
    assert len(collection.parts["train"]) == 8
    assert collection.places["test"] == str(Path(place) / "test.csv")
    assert set(load_collection(folder, Reading(find_parts=False)).parts) == {"all"}


def with_column(folder: Path, column: str, words: tuple[str, str]) -> Path:
    rows = [f"{name},{name[:3]},{words[name in HELD_BACK]}" for name in NAMES]
    (folder / "labels.csv").write_text("\n".join([f"image,label,{column}", *rows]) + "\n")
    return folder


@pytest.mark.parametrize(("column", "words"), [("split", ("train", "test")), ("is_test", ("0", "1"))])
def test_a_column_of_the_split_is_read(column: str, words: tuple[str, str], folder: Path) -> None:
    collection = load_collection(with_column(folder, column, words))
    assert in_test(collection) == HELD_BACK
    assert collection.places["test"] == f"labels.csv, {column} {words[1]}"


def test_words_of_the_split_that_are_not_known_are_refused_with_the_ways_out(folder: Path) -> None:
    with_column(folder, "split", ("study", "exam"))
    with pytest.raises(DataError, match=r"study \(8\), exam \(4\).*split_words.*exclude=\('labels.csv',\)"):
        load_collection(folder)
    said = Reading(split_words={"study": "train", "exam": "test"})
    assert in_test(load_collection(folder, said)) == HELD_BACK
    assert set(load_collection(folder, Reading(exclude=("labels.csv",))).parts) == {"all"}


def test_numbered_lists_are_read_as_cub_has_them(folder: Path) -> None:
    (folder / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(NAMES, 1)))
    flags = "".join(f"{n} {int(name not in HELD_BACK)}\n" for n, name in enumerate(NAMES, 1))
    (folder / "train_test_split.txt").write_text(flags)
    collection = load_collection(folder)
    assert in_test(collection) == HELD_BACK
    assert not warnings(collection)


@pytest.mark.parametrize("name", ["split_zhou.json", "test.mat", "test.json", "val_annotations.txt", "fold1.npy"])
def test_a_split_that_cannot_be_read_is_named(name: str, folder: Path) -> None:
    (folder / name).write_text('{"cat": ["one"]}')
    (warning,) = warnings(load_collection(folder))
    assert warning.startswith(f"{name} is not read; if it says which images are for testing")
    assert not warnings(load_collection(folder, Reading(exclude=(name,))))


@pytest.mark.parametrize("name", ["training_log.csv", "classes.txt", "README.txt", "contest.json"])
def test_files_about_other_things_are_not_named(name: str, folder: Path) -> None:
    (folder / name).write_text("epoch,loss\n1,0.5\n")
    collection = load_collection(folder)
    assert not warnings(collection)
    assert set(collection.parts) == {"all"}
