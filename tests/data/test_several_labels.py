"""Tables and arrays that give an image several labels, or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenets.data.arrays import array_dataset
from mobilenets.data.dataset import Dataset, load_collection, load_dataset
from mobilenets.data.description import dataset_lines
from mobilenets.data.reading import Reading
from mobilenets.data.separators import find_separator
from mobilenets.errors import DataError

LABELS = ("red", "round", "wet")
SETS = [tuple(label for bit, label in enumerate(LABELS) if number >> bit & 1) for number in range(8)] * 6
"""What 48 images have: every combination, none among them."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(48):
        Image.new("RGB", (32, 32), (5 * number, 90, 255 - 5 * number)).save(folder / f"{number:02}.png")
    return folder


def table(folder: Path, name: str, header: str, rows: Sequence[str]) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *(f"{number:02}.png{row}" for number, row in enumerate(rows))]) + "\n")
    return path


def found(path: Path, reading: Reading = Reading()) -> list[tuple[str, ...]]:
    """The labels of every image, in order of name."""
    collection = load_collection(path, reading)
    assert (collection.task, collection.labels) == ("multilabel", LABELS)
    everything = collection.everything
    assert [Path(image.name).stem for image in everything.images] == [f"{number:02}" for number in range(48)]
    return [tuple(label for label, one in zip(LABELS, row, strict=True) if one) for row in everything.targets]


def test_columns_of_0_and_1(images: Path) -> None:
    rows = [f",{','.join(str(int(label in one)) for label in ('wet', 'red', 'round'))}" for one in SETS]
    path = table(images, "columns.csv", "file,wet,red,round", rows)
    assert found(path) == SETS
    assert "several labels an image" in load_collection(path).layout


@pytest.mark.parametrize("separator", [";", "|", ", ", ",", " "])
def test_several_names_in_a_cell(images: Path, separator: str) -> None:
    path = table(images, f"names{ord(separator[0])}.csv", "file,labels", [f',"{separator.join(one)}"' for one in SETS])
    assert found(path) == SETS


def test_a_list_in_json(images: Path) -> None:
    items = [f'{{"file": "{number:02}.png", "labels": {list(one)}}}' for number, one in enumerate(SETS)]
    (images / "lists.jsonl").write_text("\n".join(items).replace("'", '"'))
    assert found(images / "lists.jsonl") == SETS


def test_a_row_for_each_label_when_the_task_is_named(images: Path) -> None:
    rows = [(number, label) for number, one in enumerate(SETS) for label in one]
    lines = ["file,label", *(f"{number:02}.png,{label}" for number, label in rows)]
    lines += [f"{number:02}.png," for number, one in enumerate(SETS) if not one]
    (images / "rows.csv").write_text("\n".join(lines))
    assert found(images / "rows.csv", Reading(task="multilabel")) == SETS
    (images / "rows.csv").write_text("\n".join(line for line in lines if not line.endswith(",")))
    with pytest.raises(
        DataError, match=r"more than one class.*say Reading\(task='multilabel'\) if images have several"
    ):
        load_collection(images / "rows.csv")


def test_a_separator_that_is_named_separates(images: Path) -> None:
    path = table(images, "slashes.csv", "file,labels", [f",{' / '.join(one)}" for one in SETS])
    assert found(path, Reading(separator="/")) == SETS


@pytest.mark.parametrize(
    "cells",
    [
        ["tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, white shark"] * 5,
        ["golden retriever", "labrador retriever", "flat-coated retriever", "golden eagle"] * 5,
        ["New York", "New Jersey", "York"] * 5,
        ["a;b", "c;d"] * 5,
        ["cat", "dog"] * 5,
        ["cat"] * 30 + ["cat;dog"],
    ],
)
def test_names_of_several_words_are_one_class(cells: list[str]) -> None:
    assert find_separator(cells) is None


def test_a_table_may_be_read_as_of_one_class_against_its_looks(images: Path) -> None:
    path = table(images, "pairs.csv", "file,label", [f",{'a;b' if number % 2 else 'b;c'}" for number in range(48)])
    assert load_collection(path).labels == ("a;b", "b;c")
    rows = [f",{'a;b' if number % 3 else 'b'}" for number in range(48)]
    rows[0] = ",a"
    path = table(images, "pairs.csv", "file,label", rows)
    assert load_collection(path).task == "multilabel"
    assert load_collection(path, Reading(task="classification")).labels == ("a", "a;b", "b")


def test_parts_are_read_alike_even_where_one_has_single_labels_only(tmp_path: Path, images: Path) -> None:
    for part, sets in (("train", SETS[:40]), ("test", [("red",), ("wet",), ("round",), ()] * 2)):
        (tmp_path / part).mkdir()
        for number in range(len(sets)):
            (tmp_path / part / f"{number:02}.png").write_bytes((images / f"{number:02}.png").read_bytes())
        rows = [f",{','.join(str(int(label in one)) for label in LABELS)}" for one in sets]
        table(tmp_path / part, "_classes.csv", f"filename,{','.join(LABELS)}", rows)
    collection = load_collection(tmp_path)
    assert collection.task == "multilabel"
    assert collection.parts["test"].targets.sum(axis=0).tolist() == [2, 2, 2]
    assert len(collection.parts["test"]) == 8


def dataset_of(path: Path) -> Dataset:
    return load_dataset(path, seed=3)


def test_every_image_is_in_one_part_and_every_label_in_all(images: Path) -> None:
    path = table(images, "split.csv", "file,labels", [f",{';'.join(one)}" for one in SETS])
    dataset = dataset_of(path)
    names = [image.name for part in ("train", "validation", "test") for image in dataset.part(part).images]
    assert (len(names), len(set(names))) == (48, 48)
    assert all(dataset.part(part).targets.any(axis=0).all() for part in ("train", "validation", "test"))
    assert dataset.fingerprint == dataset_of(path).fingerprint
    lines = "\n".join(dataset_lines(dataset))
    assert "3 labels" in lines
    assert "images with each label (train/validation/test): red " in lines


def test_another_label_is_another_fingerprint(images: Path) -> None:
    rows = [f",{';'.join(one)}" for one in SETS]
    first = dataset_of(table(images, "first.csv", "file,labels", rows)).fingerprint
    rows[1] = ",red;wet"
    assert dataset_of(table(images, "second.csv", "file,labels", rows)).fingerprint != first


def test_arrays_with_lists_of_labels_or_a_column_for_each() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
    matrix = np.array([[int(label in one) for label in LABELS] for one in SETS])
    by_list = array_dataset(pixels, [list(one) for one in SETS])
    by_matrix = array_dataset(pixels, matrix, labels=LABELS)
    assert by_list.task == "multilabel"
    assert by_list.labels == LABELS
    assert by_list.fingerprint == by_matrix.fingerprint
    with pytest.raises(DataError, match="need 3 labels, none given"):
        array_dataset(pixels, matrix)
    with pytest.raises(DataError, match="must be 0 or 1"):
        array_dataset(pixels, 2 * matrix, labels=LABELS)
    with pytest.raises(DataError, match="need a list of them each, not 'red'"):
        array_dataset(pixels, [["red"], *["red"] * 47])
