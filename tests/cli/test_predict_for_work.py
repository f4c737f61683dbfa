"""``predict`` in daily work: tables, sorted folders, features, and images that fail among others that do not."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.features import features
from mobilenets.engine.predictor import Classifier
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    made = random_model(np.random.default_rng(0), network)
    (tmp_path / "pets").mkdir()
    path = tmp_path / "pets" / "model.safetensors"
    save(Model(network, made.parameters, Classification(("cat", "dog", "a/b")), made.preprocessing), path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for number in range(12):
        folder = tmp_path / "photos" / f"day{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        height, width = rng.integers(20, 90, 2)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(folder / f"{number // 2}.png")
    return tmp_path / "photos"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_has_a_row_for_each_image_and_the_failures_too(
    model: Path, photos: Path, mobilenets: RunCommand
) -> None:
    (photos / "day0" / "0.png").write_bytes(b"words")
    outcome = mobilenets("predict", model, photos, "gone, with a comma.png", "--csv", "--top", 2)
    assert outcome.code == 3
    found = rows(outcome.out)
    assert list(found[0]) == ["image", "label", "probability", "label_2", "probability_2", "error"]
    assert [bool(row["error"]) for row in found] == [True, *[False] * 11, True]
    assert found[-1]["image"] == "gone, with a comma.png"
    assert "No such file" in found[-1]["error"]
    expected = Classifier(model).predict(photos / "day0" / "1.png")
    assert (found[1]["label"], float(found[1]["probability"])) == (expected.label, expected.probability)


def test_json_goes_on_after_a_file_that_is_missing(model: Path, photos: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", model.parent, photos / "day0" / "1.png", "gone.png", "--json")
    assert outcome.code == 3
    assert [list(one) for one in outcome.json] == [["image", "labels"], ["image", "error"]]
    assert mobilenets("predict", model, "gone.png", "lost.png").err == "error: gone.png does not exist\n"


def test_how_fast_it_was_is_said_at_the_end(model: Path, photos: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", model, photos)
    assert outcome.err.startswith("12 images in ")
    assert outcome.err.endswith(" images/s\n")
    assert mobilenets("predict", model, photos, "--quiet").err == ""


def test_images_are_copied_into_a_folder_for_each_label(
    model: Path, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    sorted_into = tmp_path / "sorted"
    outcome = mobilenets("predict", model, photos, "--sort-into", sorted_into, "--csv")
    assert outcome.code == 0
    copies = sorted(path for path in sorted_into.rglob("*") if path.is_file())
    assert len(copies) == 12  # both folders of photos have files of the same names
    assert {path.parent.name for path in copies} <= {"cat", "dog", "a_b"}
    originals = {path.read_bytes() for path in photos.rglob("*.png")}
    assert {path.read_bytes() for path in copies} == originals
    for row in rows(outcome.out):
        folder = sorted_into / row["label"].replace("/", "_")
        assert Path(row["image"]).read_bytes() in {path.read_bytes() for path in folder.iterdir()}
    assert "of before this run" not in outcome.err
    again = mobilenets("predict", model, photos, "--sort-into", sorted_into)
    assert again.code == 0
    assert f"{sorted_into} holds 12 files of before this run too" in again.err
    assert sorted(path for path in sorted_into.rglob("*") if path.is_file()) == copies  # again, and nothing is doubled


def test_images_are_linked_where_that_is_asked_for(
    model: Path, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    assert mobilenets("predict", model, photos, "--sort-into", tmp_path / "sorted", "--link").code == 0
    links = [path for path in (tmp_path / "sorted").rglob("*") if path.is_symlink()]
    assert {path.resolve() for path in links} == {path.resolve() for path in photos.rglob("*.png")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--link"], "give that too"),
        (["--layer", "stem"], "give that too"),
        (["--csv", "--json"], "give one"),
        (["--features", "f.npy", "--csv"], "run them apart"),
        (["--features", "f.npy", "--top", "3"], "which --top is about; leave it out"),
        (["--features", "f.npy", "--threshold", "0.5"], "which --threshold is about; leave it out"),
        (["--features", "f.txt"], "must end in .npy or .parquet"),
        (["--features", "nowhere/f.npy"], "there is no folder nowhere"),
    ],
)
def test_options_that_contradict_each_other_are_misuse(
    model: Path, photos: Path, mobilenets: RunCommand, options: list[str], message: str
) -> None:
    outcome = mobilenets("predict", model, photos, *options)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())


def test_sorting_into_the_photos_themselves_is_refused(model: Path, photos: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", model, photos, "--sort-into", photos / "sorted")
    assert outcome.code == 1
    assert "another run would find them twice; name a folder outside it" in outcome.err
    assert not (photos / "sorted").exists()


def test_features_are_written_with_the_names_of_their_images(
    model: Path, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    (photos / "day1" / "3.png").write_bytes(b"")
    outcome = mobilenets("predict", model, photos, "--features", tmp_path / "f.npy", "--json")
    assert outcome.code == 3
    written = np.load(tmp_path / "f.npy")
    assert (written.dtype, written.shape) == (np.float32, (11, 256))
    assert outcome.json["shape"] == [11, 256]
    assert [Path(one["image"]).name for one in outcome.json["failures"]] == ["3.png"]
    names = [row["image"] for row in rows((tmp_path / "f.images.csv").read_text())]
    again = features(model, names)
    assert again.images == tuple(names)
    assert np.array_equal(again, written)
    plain = mobilenets("predict", model, photos, "--features", tmp_path / "f.npy", "--layer", "block3.pointwise")
    assert plain.out.startswith("32×8×8 features of 11 images are written to ")
    assert np.load(tmp_path / "f.npy").shape == (11, 32, 8, 8)


def test_features_as_parquet_are_read_as_a_table(
    model: Path, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert mobilenets("predict", model, photos, "--features", tmp_path / "f.parquet").code == 0
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["image", "features"]
    values = np.array(table["features"].to_pylist(), np.float32)
    assert np.array_equal(values, features(model, table["image"].to_pylist()))


def test_unknown_images_are_told_once_the_model_is_calibrated(
    model: Path, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    refused = mobilenets("predict", model, photos, "--unknown")
    assert refused.code == 1
    assert "mobilenets calibrate MODEL DATA adds one" in refused.err
    for number, label in enumerate(("cat", "dog")):
        (tmp_path / "data" / label).mkdir(parents=True)
        for path in photos.glob(f"day{number}/*.png"):
            (tmp_path / "data" / label / path.name).write_bytes(path.read_bytes())
    done = mobilenets("calibrate", model, tmp_path / "data", "--split", "all")
    assert "unknown is what has less energy than" in done.out
    found = mobilenets("predict", model, photos, "--unknown", "--json").json
    assert sum(one["unknown"] for one in found) == 1  # 5 % of 12, rounded up
    table = rows(mobilenets("predict", model, photos, "--unknown", "--csv", "--top", 1).out)
    assert [row["unknown"] for row in table].count("True") == 1
    mobilenets("predict", model, photos, "--unknown", "--sort-into", tmp_path / "sorted")
    assert len(list((tmp_path / "sorted" / "unknown").iterdir())) == 1


def test_a_probability_may_be_asked_for(model: Path, photos: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("predict", model, photos, "--threshold", 1)
    assert all(line.split()[1] == "unknown" for line in outcome.out.splitlines())
    assert "never calibrated: mobilenets calibrate MODEL DATA does it" in outcome.err
    assert mobilenets("predict", model, photos, "--threshold", 60).code == 2
