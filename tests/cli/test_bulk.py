"""``mobilenets predict -o FILE``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import RunCommand
from tests.support.image_folders import write_images
from tests.support.random_models import random_model

from mobilenets import mobilenet_v1
from mobilenets.model.file import save


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save(random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)), path)
    write_images(tmp_path / "photos", 6)
    return path


def test_a_file_is_written_and_its_rows_are_counted(model: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    path = tmp_path / "labels.csv"
    found = mobilenets("predict", model, tmp_path / "photos", "-o", path, "--top", 1)
    assert (found.code, found.out) == (3, f"7 rows in {path}, 1 of them of images that could not be read\n")
    assert "7 images in" in found.err
    assert path.read_text().splitlines()[-1].endswith('empty.jpg is empty, not an image"')
    again = mobilenets("predict", model, tmp_path / "photos", "-o", path)
    assert (again.code, again.err) == (
        1,
        f"error: {path} is there already; replace it with --force, or name another\n",
    )
    (tmp_path / "photos" / "empty.jpg").unlink()
    assert mobilenets("predict", model, tmp_path / "photos", "-o", path, "--force", "--quiet").code == 0


def test_shards_and_dry_runs_say_what_there_would_be(model: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    path = tmp_path / "labels.parquet"
    found = mobilenets("predict", model, tmp_path / "photos", "-o", path, "--shard", "2/4", "--dry-run", "--json")
    assert found.json["images"] == 2
    assert found.json["file"] == str(tmp_path / "labels-2-of-4.parquet")
    said = mobilenets("predict", model, tmp_path / "photos", "-o", path, "--dry-run").out
    assert said.startswith(f"{path} would hold a row for each of 6 images; columns: image, label, probability")
    assert not list(tmp_path.glob("labels*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "1/2"], "--shard is for predictions in a file; give -o FILE too"),
        (["--ray"], "--ray is for predictions in a file; give -o FILE too"),
        (["-o", "x.csv", "--csv"], "run it apart from --csv"),
        (["-o", "x.csv", "--threads", "1", "--ray"], "the workers of --ray have one thread each"),
        (["-o", "x.csv", "--ray", "photos"], "'photos' is no address of a Ray cluster"),
        (["-o", "x.csv", "-"], "not standard input"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    model: Path, tmp_path: Path, mobilenets: RunCommand, arguments: list[str], message: str
) -> None:
    found = mobilenets("predict", model, tmp_path / "photos", *arguments)
    assert found.code == 2
    assert message in found.err


@pytest.mark.parametrize(
    ("name", "message"),
    [("x.png", "must end in .jsonl, .csv, .parquet"), ("no/x.csv", "x.csv cannot be written: there is no folder")],
)
def test_a_file_that_cannot_be_written_is_said_first(
    model: Path, tmp_path: Path, mobilenets: RunCommand, name: str, message: str
) -> None:
    found = mobilenets("predict", model, tmp_path / "photos", "-o", tmp_path / name)
    assert found.code == 1
    assert message in found.err
