"""What is said of a dataset before it is trained on."""

from __future__ import annotations

from pathlib import Path

from tests.support.image_folders import write_images, write_tree

from mobilenets.base.progress import Progress
from mobilenets.data.dataset import load_dataset
from mobilenets.data.description import all_findings, dataset_lines, dataset_to_json, described_dataset
from mobilenets.data.findings import Kind
from mobilenets.data.reading import Reading


class Notes(Progress):
    """What was noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def test_layout_parts_and_classes_fit_into_eighty_columns(tmp_path: Path) -> None:
    tree = {"seg_train/seg_train/sea": 20, "seg_train/seg_train/street": 30, "seg_pred/seg_pred": 4}
    write_tree(tmp_path, tree | {"seg_test/seg_test/sea": 5, "seg_test/seg_test/street": 6})
    notes = Notes()
    described_dataset(tmp_path, 0, Reading(), notes)
    joined = "\n".join(notes.lines)
    assert "part folders of class folders, 2 classes" in joined.replace("\n  ", " ")
    assert "  train             45 images  seg_train/seg_train" in notes.lines
    assert "  validation         5 images  drawn, a tenth of each class" in notes.lines
    assert "  test              11 images  seg_test/seg_test" in notes.lines
    assert "classes (train/validation/test): sea 18/2/5, street 27/3/6" in notes.lines
    assert "left out: 4 images in" in joined
    assert all(len(line) <= 80 for line in notes.lines if str(tmp_path) not in line)


def test_many_classes_are_abbreviated(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path, {f"class{number:02}": 4 + number for number in range(30)}))
    assert "training images of a class: 2 (class00) to 27 (class29), median" in "\n".join(dataset_lines(dataset))
    assert not any("class15" in line for line in dataset_lines(dataset))
    assert dataset_to_json(dataset)["parts"]["train"]["classes"]["class15"] == 15


def test_classes_of_few_images_and_uneven_ones_are_warned_of(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path, {"circle": 400, "square": 8, "triangle": 3}))
    warnings = [finding.message for finding in all_findings(dataset) if finding.kind is Kind.WARNING]
    assert warnings == [
        "2 classes with fewer than 10 training images, too few to learn from: triangle 1, square 6",
        "2 classes with fewer than 3 test images, too few to test by: square 1, triangle 1",
        "uneven classes: circle has 320 training images, 320 times as many as triangle with 1; "
        "a Model answers with large classes too often",
    ]
    assert not all_findings(load_dataset(write_tree(tmp_path / "even", {"a": 40, "b": 50})))


def test_left_out_comes_first_and_warnings_last(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 20, "dog": 20, "dog/puppies": 2})
    write_images(tmp_path, 1)
    (tmp_path / "cat" / "copy.png").write_bytes((tmp_path / "dog" / "000.png").read_bytes())
    (tmp_path / "dog" / "copy.png").write_bytes((tmp_path / "dog" / "000.png").read_bytes())
    dataset = load_dataset(tmp_path)
    findings = all_findings(dataset)
    kinds = [finding.kind for finding in findings]
    assert kinds == sorted(kinds, key=[Kind.LEFT_OUT, Kind.NOTE, Kind.WARNING].index)
    text = "\n".join(finding.message for finding in findings)
    assert "3 images with a copy in another class" in text
    facts = dataset_to_json(dataset)
    assert facts["duplicates"]["contradictions"]["images"] == 3
    assert {finding["kind"] for finding in facts["findings"]} == {"left-out", "note", "warning"}
