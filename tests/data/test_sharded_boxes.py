"""Images with boxes in Parquet shards: as the libraries of Hugging Face have them, and as they are written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.box_folders import FORMS, HEIGHT, LABELS, WIDTH, coco_of, write_image

from mobilenets.data.dataset import Collection, load_collection, load_dataset
from mobilenets.data.shard_writer import write_shards
from mobilenets.errors import DataError

pyarrow = pytest.importorskip("pyarrow")
parquet: Any = pytest.importorskip("pyarrow.parquet")

SIDES = [[[10.0, 20.0, 30.0, 40.0], [50.0, 10.0, 40.0, 60.0]], [[60.0, 50.0, 40.0, 30.0]], []]
"""Left, top, width and height of the boxes of three images."""
CLASSES = [[0, 1], [1], []]
CORNERS = [[[x, y, x + w, y + h] for x, y, w, h in boxes] for boxes in SIDES]
NAMES = {"info": {"features": {"objects": {"feature": {"category": {"names": [*LABELS], "_type": "ClassLabel"}}}}}}


def shard(folder: Path, columns: dict[str, Any], names: dict[str, Any] | None = NAMES) -> Path:
    """A shard of three images with some more columns."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [write_image(folder.parent / "images" / f"{number}.jpg") for number in range(3)]
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    table = pyarrow.table({"image": images, **columns})
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    parquet.write_table(table, folder / "train-00000-of-00001.parquet")
    return folder


def boxes_of(collection: Collection) -> list[list[tuple[object, ...]]]:
    return [
        [
            (collection.labels[label], *np.round(box, 3).tolist())
            for label, box in zip(truth.labels, truth.boxes.astype(float), strict=True)
        ]
        for truth in collection.parts["train"].targets
    ]


def objects(boxes: list[Any], classes: list[Any], name: str = "category") -> dict[str, Any]:
    return {"objects": [{"bbox": one, name: labels} for one, labels in zip(boxes, classes, strict=True)]}


EXPECTED = [
    [(LABELS[c], *map(float, box)) for c, box in zip(*row, strict=True)] for row in zip(CLASSES, CORNERS, strict=True)
]
SIZE = {"width": [WIDTH] * 3, "height": [HEIGHT] * 3}
WORDS = [[LABELS[c] for c in row] for row in CLASSES]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (objects(SIDES, CLASSES), NAMES),
        (objects(SIDES, CLASSES) | SIZE, NAMES),
        (objects(SIDES, WORDS, "categories"), None),
        (objects(CORNERS, CLASSES) | SIZE, NAMES),
        (objects(CORNERS, WORDS, "label"), None),
        ({"bboxes": SIDES, "labels": WORDS}, None),
        (
            {
                "objects": [
                    [{"bbox": b, "label": c} for b, c in zip(*row, strict=True)]
                    for row in zip(SIDES, WORDS, strict=True)
                ]
            },
            None,
        ),
        (
            objects(
                [[[n / s for n, s in zip(box, (100, 80) * 2, strict=True)] for box in row] for row in SIDES], CLASSES
            ),
            NAMES,
        ),
    ],
    ids=["dict", "sized", "words", "corners", "corners-unsized", "columns", "list", "shares"],
)
def test_columns_of_objects_are_read(columns: dict[str, Any], names: dict[str, Any] | None, tmp_path: Path) -> None:
    collection = load_collection(shard(tmp_path / "shards", columns, names))
    assert (collection.task, collection.labels) == ("detection", LABELS)
    assert boxes_of(collection) == EXPECTED


def test_classes_without_names_are_their_numbers(tmp_path: Path) -> None:
    collection = load_collection(shard(tmp_path / "shards", objects(SIDES, CLASSES), None))
    assert collection.labels == ("0", "1")
    assert "classes are numbers, and nothing says their names: 0, 1" in [one.message for one in collection.findings]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (objects(SIDES, [[0, 7], [1], []]), "row 0 has an object of class 7; the classes are 0 to 1"),
        (objects(SIDES, [[0], [1], []]), "row 0 has 2 boxes and 1 classes"),
        (objects([[[1.0, 2.0]], [], []], [[0], [], []]), "object 1 has the box .*; expected four numbers"),
        ({"labels": CLASSES}, "column labels holds several values an image, and shards are read for one class each"),
    ],
)
def test_damaged_shards_say_what_is_wrong(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_collection(shard(tmp_path / "shards", columns))


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    source = FORMS["voc"](tmp_path / "boxes")
    written = write_shards(source, tmp_path / "shards")
    assert (written.images, len(written.files)) == (4, 3)
    dataset, again = load_dataset(source), load_dataset(tmp_path / "shards")
    assert again.labels == dataset.labels
    for part in ("train", "validation", "test"):
        for given, expected in zip(again.part(part).targets, dataset.part(part).targets, strict=True):
            np.testing.assert_allclose(given.boxes, expected.boxes, atol=1e-4)
            assert given.labels.tolist() == expected.labels.tolist()


def test_boxes_of_smaller_images_are_smaller_and_crowds_stay_ignored(tmp_path: Path) -> None:
    write_image(tmp_path / "boxes" / "one.jpg")
    boxes = [{"id": 1, "image_id": 5, "category_id": 1, "bbox": [10, 20, 30, 40], "iscrowd": 1}]
    boxes.append(boxes[0] | {"id": 2, "bbox": [50, 10, 40, 60], "iscrowd": 0})
    names = [{"id": 1, "name": "cat"}]
    source = coco_of(tmp_path / "boxes", [{"id": 5, "file_name": "one.jpg"}], boxes, names)
    for number in range(9):  # so that every part has an image
        write_image(source / f"{number}.jpg")
    listed = [{"id": 5, "file_name": "one.jpg"}, *({"id": 10 + n, "file_name": f"{n}.jpg"} for n in range(9))]
    more = [{"id": 10 + n, "image_id": 10 + n, "category_id": 1, "bbox": [0, 0, 50, 40]} for n in range(9)]
    coco_of(source, listed, [*boxes, *more], names)
    write_shards(source, tmp_path / "shards", side=40)
    again = load_dataset(tmp_path / "shards")
    truths = [truth for part in ("train", "validation", "test") for truth in again.part(part).targets]
    assert {truth.size for truth in truths} == {(50, 40)}
    (crowded,) = [truth for truth in truths if truth.ignored.any()]
    assert crowded.boxes.tolist() == [[5, 10, 20, 30], [25, 5, 45, 35]]
    assert crowded.ignored.tolist() == [True, False]
