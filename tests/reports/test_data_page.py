"""What a report says of the images: parts, classes, what was left out, and copies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.support.image_folders import write_images, write_tree
from tests.support.runs import HOSTILE, make_run

from mobilenets.data.dataset import load_dataset
from mobilenets.data.description import dataset_to_json
from mobilenets.errors import DataError
from mobilenets.reports.finished_run import read_run
from mobilenets.reports.pages.data import DataFacts, data_section, leak_warning
from mobilenets.reports.pages.markup import to_html
from mobilenets.reports.run_report import run_page


def text(page: str) -> str:
    return re.sub("<[^>]+>", " ", page).replace("\u00a0", " ")


@pytest.fixture
def leaking(tmp_path: Path) -> DataFacts:
    """Two classes in three parts; all test images are copies, and some images lie beside the classes."""
    write_tree(tmp_path, {"train/cat": 12, "train/dog": 150, "val/cat": 4, "val/dog": 4})
    for label in ("cat", "dog"):
        (tmp_path / "test" / label).mkdir(parents=True)
        for number in range(5):
            copy = (tmp_path / "train" / label / f"{number:03}.png").read_bytes()
            (tmp_path / "test" / label / f"copy{number}.png").write_bytes(copy)
    write_images(tmp_path / "train", ["<b>loose.png"])
    return DataFacts.read(json.loads(json.dumps(dataset_to_json(load_dataset(tmp_path)))))


def test_the_section_names_parts_classes_leaks_and_what_is_left_out(leaking: DataFacts) -> None:
    page = to_html(data_section(leaking, "data"))
    assert "Read as part folders of class folders." in text(page)
    assert re.search(r"train\s+162\s+train", text(page))
    assert "10 of 10 test images are copies of training images" in text(page)
    assert "test/cat/copy0.png" in text(page)
    assert "and 5 more" in text(page)
    assert "1 image directly in" in text(page)
    assert "&lt;b&gt;loose.png" in page
    assert "dog has 150 training images, 12 times as many as cat with 12" in text(page)
    assert re.search(r"cat\s+12\s+4\s+5\s+dog\s+150\s+4\s+5", text(page))


def test_the_warning_stands_by_the_accuracy(leaking: DataFacts) -> None:
    warning = leak_warning(leaking, 10)
    assert warning is not None
    assert "10 of 10 test images are copies of training images" in text(to_html(warning))
    assert leak_warning(None, 10) is None


def test_the_report_of_a_run_has_the_section_and_one_of_an_older_release_has_not(tmp_path: Path) -> None:
    run = make_run(tmp_path, HOSTILE)
    assert 'id="data"' in run_page(read_run(run))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    facts = metrics.pop("data")
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert 'id="data"' not in run_page(read_run(run))
    damaged: object
    for damaged in ({**facts, "parts": {}}, {**facts, "findings": [{"kind": "other"}]}, [], {**facts, "labels": ["x"]}):
        (run / "metrics.json").write_text(json.dumps(metrics | {"data": damaged}), encoding="utf-8")
        with pytest.raises(DataError, match="are not those that fit writes"):
            read_run(run)
