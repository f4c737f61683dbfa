"""Words for the parts of a dataset."""

from __future__ import annotations

import pytest

from mobilenets.data.parts import part_name, part_of_word


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN", "train"),
        ("seg_train", "train"),
        ("training_set", "train"),
        ("asl_alphabet_train", "train"),
        ("Train_Data", "train"),
        ("trainingSet", "train"),
        ("train2017", "train"),
        ("Trainset", "train"),
        ("train_val", "train"),
        ("learn", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("validation-images", "validation"),
        ("2_dev", "validation"),
        ("test", "test"),
        ("Testing", "test"),
        ("test1", "test"),
        ("hold-out", "test"),
        ("Holdout", "test"),
        ("evaluation", "test"),
        ("contest", None),
        ("trainer", None),
        ("restrained", None),
        ("latest", None),
        ("invalid", None),
        ("medieval", None),
        ("steam", None),
        ("train_test", None),
    ],
)
def test_a_folder_names_a_part_by_a_word_of_its_own(name: str, part: str | None) -> None:
    found = part_name(name)
    assert (None if found is None else found.part) == part


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        ("test ", "test"),
        (" Train", "train"),
        ("VALIDATE", "validation"),
        ("test set", "test"),
        ("learn", "train"),
        ("holdout", "test"),
        ("eval", "test"),
        ("dev", "validation"),
        ("0", None),
        ("train2", None),
        ("group A", None),
        ("steam train", None),
        ("", None),
    ],
)
def test_a_split_word_is_known_in_any_case_and_with_blanks_or_not_at_all(cell: str, part: str | None) -> None:
    assert part_of_word(cell) == part
