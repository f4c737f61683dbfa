"""Predictions of any number of images in a file: every image has one row, whatever happens on the way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.detectors import detector
from tests.support.image_folders import write_images, write_tree
from tests.support.random_models import random_model
from tests.support.stub_task import StrongestChannel

from mobilenets import Classifier, Detector, Model, mobilenet_v1, predict_to_file
from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.engine.bulk import output
from mobilenets.errors import DataError
from mobilenets.model.file import save
from mobilenets.tasks.classification import Classification

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)


@pytest.fixture(scope="module")
def model() -> Model:
    made = random_model(np.random.default_rng(0), NETWORK)
    return Model(NETWORK, made.parameters, Classification(("cat", "dog", "newt")))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """20 images in folders, one of which is damaged, and a file that is none."""
    write_tree(tmp_path / "photos", {"a": 9, "b/c": 10})
    (tmp_path / "photos" / "b" / "damaged.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


class Stopped(Progress):
    """Interrupts the prediction after so many rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def task(self, description: str, total: float, unit: str = "") -> Any:
        from contextlib import nullcontext

        stopped = self

        class Task(ProgressTask):
            def advance(self, steps: float = 1, **figures: str) -> None:
                stopped.rows -= 1
                if stopped.rows == 0:
                    raise KeyboardInterrupt

        return nullcontext(Task())


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, empty cells left out."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(path).to_pylist()
    return [{name: cell for name, cell in row.items() if cell not in ("", None)} for row in rows]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_image_has_a_row_with_the_labels_that_the_classifier_gives(
    model: Model, photos: Path, tmp_path: Path, suffix: str
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"labels{suffix}"
    done = predict_to_file(model, photos, path, top=2)
    rows = read(path)
    assert (done.images, done.failed, done.earlier) == (20, 1, 0)
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
    (failed,) = (row for row in rows if "error" in row)
    assert failed["image"] == str(photos / "b" / "damaged.jpg")
    assert "damaged" in failed["error"]
    classifier = Classifier(model)
    for row in rows:
        if "error" in row:
            continue
        expected = classifier.predict(row["image"], top=2)
        if suffix == ".jsonl":
            assert row == expected.to_json()
        else:
            assert (row["label"], row["label_2"]) == tuple(label for label, _ in expected.labels)
            assert float(row["probability"]) == expected.probability
    assert list(tmp_path.glob("*.partial")) == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_run_that_was_stopped_goes_on_and_gives_the_same_file(
    model: Model, photos: Path, tmp_path: Path, suffix: str
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    whole, stopped = tmp_path / f"whole{suffix}", tmp_path / f"stopped{suffix}"
    predict_to_file(model, photos, whole)
    for rows in (1, 7, 5):
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, photos, stopped, progress=Stopped(rows))
        assert not stopped.exists()
    done = predict_to_file(model, photos, stopped)
    assert (done.images, done.failed, done.earlier) == (20, 1, 13)
    assert read(stopped) == read(whole)


PROGRAM = """
import sys
from mobilenets.engine.bulk import output, prediction

output.ROWS = 3  # a part is written often, so that a kill falls between and into writes
prediction.predict_to_file(sys.argv[1], sys.argv[2], sys.argv[3], threads=1)
"""


def test_a_run_that_was_killed_at_any_moment_loses_no_row_and_has_none_twice(model: Model, tmp_path: Path) -> None:
    folder, saved, path = tmp_path / "photos", tmp_path / "model.safetensors", tmp_path / "labels.jsonl"
    images = write_images(folder, 300)
    save(model, saved)
    command = [sys.executable, "-c", PROGRAM, str(saved), str(folder), str(path)]
    progress = tmp_path / "labels.jsonl.partial" / "progress.json"
    for least in (1, 40, 90, 150):  # rows that are safe when the kill comes
        process = subprocess.Popen(command)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if progress.exists() and json.loads(progress.read_bytes())["images"] >= least:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        process.wait()
    assert subprocess.run(command, check=False).returncode == 0
    assert [row["image"] for row in read(path)] == [str(image) for image in images]


def test_what_a_stopped_run_follows_from_must_be_the_same(model: Model, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(model, photos, path, progress=Stopped(5))
    other = random_model(np.random.default_rng(1), NETWORK)
    for changed, how in (("model", {"model": other}), ("options", {"top": 1}), ("sources", {"sources": photos / "a"})):
        given: dict[str, Any] = {"model": model, "sources": photos, **how}
        with pytest.raises(DataError, match=f"was begun with another {changed}; .*replace_existing=True"):
            predict_to_file(output=path, **given)
    (photos / "a" / "000.png").unlink()
    with pytest.raises(DataError, match=r"rows of 5 images, and the sources no longer begin with those"):
        predict_to_file(model, photos, path)
    assert predict_to_file(model, photos, path, replace_existing=True).images == 19


def test_a_file_that_is_there_is_kept(model: Model, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    predict_to_file(model, photos, path)
    before = path.read_bytes()
    with pytest.raises(DataError, match="is there already"):
        predict_to_file(model, photos / "a", path)
    assert path.read_bytes() == before
    predict_to_file(model, photos / "a", path, replace_existing=True)
    assert len(read(path)) == 9


@pytest.mark.parametrize("count", [1, 3, 20, 23])
def test_shards_hold_every_image_once(model: Model, photos: Path, tmp_path: Path, count: int) -> None:
    names: list[str] = []
    for number in range(1, count + 1):
        done = predict_to_file(model, photos, tmp_path / "labels.csv", shard=f"{number}/{count}")
        assert done.file.endswith(f"labels-{number}-of-{count}.csv" if count > 1 else "labels.csv")
        names += [row["image"] for row in read(Path(done.file))]
    assert sorted(names) == sorted(str(path) for path in photos.rglob("*") if path.suffix in (".png", ".jpg"))


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3"])
def test_a_shard_that_is_none_is_refused(model: Model, photos: Path, tmp_path: Path, shard: str) -> None:
    with pytest.raises(DataError, match="shard"):
        predict_to_file(model, photos, tmp_path / "labels.csv", shard=shard)


def test_a_full_disk_keeps_what_was_written(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, replace = [0], os.replace

    def full(source: str, target: str) -> None:
        written[0] += 1
        if written[0] == 6:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(output, "ROWS", 4)
    monkeypatch.setattr(os, "replace", full)
    path = tmp_path / "labels.csv"
    with pytest.raises(DataError, match="No space left on device; what was written is kept, and the same call goes on"):
        predict_to_file(model, photos, path)
    monkeypatch.setattr(os, "replace", replace)
    done = predict_to_file(model, photos, path)
    assert done.earlier >= 8
    assert len({row["image"] for row in read(path)}) == len(read(path)) == 20


def test_two_processes_do_not_write_the_same_file(model: Model, photos: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path, parts = tmp_path / "labels.csv", tmp_path / "labels.csv.partial"
    parts.mkdir()
    with (parts / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="is being written by another process"):
            predict_to_file(model, photos, path)


def test_another_task_has_its_answers_as_json(photos: Path, tmp_path: Path) -> None:
    made = random_model(np.random.default_rng(0), NETWORK)
    model = Model(NETWORK, made.parameters, StrongestChannel())
    predict_to_file(model, photos / "a", tmp_path / "channels.csv")
    rows = read(tmp_path / "channels.csv")
    assert list(rows[0]) == ["image", "prediction"]
    assert all(isinstance(json.loads(row["prediction"]), dict) for row in rows)


def test_a_dry_run_counts_and_writes_nothing(model: Model, photos: Path, tmp_path: Path) -> None:
    done = predict_to_file(model, photos, tmp_path / "labels.parquet", dry_run=True, shard="1/3")
    assert (done.images, done.columns[:3]) == (7, ("image", "label", "probability"))
    assert {path.name for path in tmp_path.iterdir()} == {"photos"}


def test_addresses_are_read_and_written(model: Model, photos: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in photos.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/bucket/{path.relative_to(photos)}", path.read_bytes())
    try:
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, "memory://bucket", "memory://out/labels.csv", progress=Stopped(8))
        done = predict_to_file(model, "memory://bucket", "memory://out/labels.csv")
        assert (done.images, done.failed, done.earlier) == (20, 1, 8)
        rows = memory.cat_file("/out/labels.csv").decode().splitlines()
        assert sorted(row.split(",")[0] for row in rows[1:]) == sorted(
            f"memory:/{path}" for path in memory.find("/bucket") if "notes" not in path
        )
        assert memory.find("/out") == ["/out/labels.csv"]
    finally:
        memory.store.clear()


@pytest.fixture(scope="module")
def finder() -> Model:
    """A detector that finds things at random."""
    network, task = detector()
    made = random_model(np.random.default_rng(3), network, task=task)
    return Model(network, made.parameters, task)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_detector_has_a_row_for_each_box_and_one_for_an_image_without(
    finder: Model, photos: Path, tmp_path: Path, suffix: str
) -> None:
    images = sorted(photos.rglob("*.[pj][np]g"))
    scores = [
        one.score for image in images if image.name != "damaged.jpg" for one in Detector(finder).predict(image).boxes
    ]
    least = float(np.median(scores))  # so that some images have several boxes, and some may have none
    done = predict_to_file(finder, photos, tmp_path / f"boxes{suffix}", threshold=least)
    assert (done.images, done.failed) == (20, 1)
    if suffix == ".csv":
        rows: list[dict[str, Any]] = list(csv.DictReader((tmp_path / "boxes.csv").read_text().splitlines()))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "boxes.parquet").to_pylist()
    expected: list[list[object]] = []
    for image in images:
        if image.name == "damaged.jpg":
            expected.append([str(image), None, None, None])
            continue
        found = Detector(finder).predict(image, threshold=least).to_json()["detections"]
        expected += [[str(image), one["label"], one["score"], one["bbox"]] for one in found] or [
            [str(image), None, None, None]
        ]

    def numbers(row: dict[str, Any]) -> list[float] | None:
        sides = [row[name] for name in ("left", "top", "width", "height")]
        return None if sides[0] in ("", None) else [float(side) for side in sides]

    given = [
        [row["image"], row["label"] or None, float(row["score"]) if row["score"] else None, numbers(row)]
        for row in rows
    ]
    assert given == expected
    assert [row["image"] for row in rows if row["error"]] == [str(photos / "b" / "damaged.jpg")]


def test_boxes_of_a_stopped_run_are_neither_lost_nor_twice(finder: Model, photos: Path, tmp_path: Path) -> None:
    whole = predict_to_file(finder, photos, tmp_path / "whole.csv", threshold=0)
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(finder, photos, tmp_path / "boxes.csv", threshold=0, progress=Stopped(7))
    done = predict_to_file(finder, photos, tmp_path / "boxes.csv", threshold=0)
    assert 0 < done.earlier < (whole.images or 0) == done.images
    assert (tmp_path / "boxes.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_folder_of_shards_is_its_shards(model: Model, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for name in ("a", "b"):
        with tarfile.open(tmp_path / f"shards/{name}.tar", "w") as file:
            file.add(photos / name, name)
    done = predict_to_file(model, tmp_path / "shards", tmp_path / "labels.jsonl")
    assert (done.images, done.failed) == (20, 1)
    assert len(read(tmp_path / "labels.jsonl")) == 20
