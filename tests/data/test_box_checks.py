"""Every box is checked: mended or left out, counted and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.box_folders import Box, voc_of

from mobilenets.data.dataset import load_collection
from mobilenets.errors import DataError
from mobilenets.tasks.boxes import GroundTruth

GOOD: list[Box] = [("cat", number, 2, number + 5, 30) for number in range(20)]


def checked(folder: Path, *boxes: Box, size: tuple[int, int] | None = (100, 80)) -> tuple[GroundTruth, list[str]]:
    """What becomes of boxes in an image of 100×80 pixels that holds twenty good ones too, and the warnings."""
    collection = load_collection(voc_of(folder, {"one": [*boxes], "two": GOOD}, size))
    warnings = [f"{finding.message}: {finding.examples[0]}" for finding in collection.findings]
    return collection.parts["all"].targets[0], warnings


@pytest.mark.parametrize(
    ("box", "kept", "warning"),
    [
        ((10, 20, 40, 60), [10, 20, 40, 60], None),
        ((0, 0, 100, 80), [0, 0, 100, 80], None),
        ((1, 1, 101, 81), [1, 1, 100, 80], None),  # counted from 1
        ((40, 60, 10, 20), [10, 20, 40, 60], "1 box with swapped corners, which were put in order"),
        ((40, 20, 10, 60), [10, 20, 40, 60], "1 box with swapped corners"),
        ((-30, 20, 40, 60), [0, 20, 40, 60], "1 box reaching beyond the image, clipped to it"),
        ((10, 20, 400, 60), [10, 20, 100, 60], "1 box reaching beyond the image"),
        ((110, 20, 140, 60), None, "1 box wholly outside of the image, left out"),
        ((10, 80, 40, 90), None, "1 box wholly outside of the image"),
        ((-20, 10, 0, 20), None, "1 box wholly outside of the image"),
        ((10, 20, 10, 60), None, "1 box without an area, left out"),
        ((float("nan"), 20, 40, 60), None, "1 box with NaN or infinite coordinates, left out"),
        ((10, 20, float("inf"), 60), None, "1 box with NaN or infinite coordinates"),
    ],
)
def test_a_box_is_kept_mended_or_left_out(
    box: tuple[float, float, float, float], kept: list[float] | None, warning: str | None, tmp_path: Path
) -> None:
    truth, warnings = checked(tmp_path, ("cat", *box))
    assert truth.boxes.tolist() == ([] if kept is None else [kept])
    if warning is None:
        assert warnings == []
    else:
        (said,) = warnings
        assert said.startswith(warning)
        assert f"{tmp_path / 'one.xml'}, object 1 (cat " in said


def test_a_box_that_stands_there_twice_counts_once_but_not_of_another_class(tmp_path: Path) -> None:
    one: Box = ("cat", 10, 20, 40, 60)
    truth, warnings = checked(tmp_path, one, one, ("dog", 10, 20, 40, 60))
    assert len(truth.boxes) == 2
    assert warnings[0].startswith("1 box equal to another of its class, left out")


def test_many_bad_boxes_are_an_error_that_counts_them(tmp_path: Path) -> None:
    far: list[Box] = [("cat", 500, number, 600, number + 9) for number in range(4)]
    with pytest.raises(DataError, match=r"4 of the 24 boxes of .* cannot be used: 4 wholly outside of the image"):
        checked(tmp_path, *far)


def test_images_that_were_resized_after_they_were_annotated_have_their_boxes_scaled(tmp_path: Path) -> None:
    collection = load_collection(voc_of(tmp_path, {"one": [("cat", 20, 40, 80, 120)]}, size=(200, 160)))
    assert collection.parts["all"].targets[0].boxes.tolist() == [[10, 20, 40, 60]]
    assert "1 image annotated at another size: their boxes were scaled" in collection.findings[0].message


def test_a_size_of_another_shape_is_warned_of(tmp_path: Path) -> None:
    truth, warnings = checked(tmp_path, ("cat", 10, 20, 40, 60), size=(300, 80))
    assert truth.boxes.tolist() == [[10, 20, 40, 60]]
    assert "2 images annotated at a size of another shape" in warnings[0]


def test_an_annotation_without_a_size_is_taken_as_it_is(tmp_path: Path) -> None:
    truth, warnings = checked(tmp_path, ("cat", 10, 20, 40, 60), size=None)
    assert (truth.boxes.tolist(), truth.size, warnings) == ([[10, 20, 40, 60]], (100, 80), [])


def test_difficult_objects_are_ignored(tmp_path: Path) -> None:
    source = voc_of(tmp_path, {"one": [("cat", 10, 20, 40, 60), ("cat", 50, 20, 70, 60)]})
    text = (source / "one.xml").read_text().replace("<difficult>0", "<difficult>1", 1)
    (source / "one.xml").write_text(text)
    assert load_collection(source).parts["all"].targets[0].ignored.tolist() == [True, False]


def test_an_image_of_nothing_has_arrays_of_no_rows(tmp_path: Path) -> None:
    truth, _ = checked(tmp_path)
    assert (truth.boxes.shape, truth.labels.shape, truth.ignored.shape) == ((0, 4), (0,), (0,))
    assert truth.labels.dtype == np.int64
