"""Finding and splitting labeled images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import shared
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import Dataset, dataset_fitted_to, load_collection, load_dataset, reload_dataset
from mobilenets.data.loading import decode_all, prepare
from mobilenets.data.sources import images_of, images_under
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.provenance import Data, Provenance


def write_class(folder: Path, count: int, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    write_class(tmp_path / "images" / "cat", 30, 1)
    write_class(tmp_path / "images" / "hot dog ü", 50, 2)
    return tmp_path / "images"


def names(dataset: Dataset, part: str) -> set[str]:
    return {image.name for image in dataset.part(part).images}


def test_a_folder_of_class_folders_is_split_in_every_class(two_classes: Path) -> None:
    dataset = load_dataset(two_classes)
    assert dataset.labels == ("cat", "hot dog ü")
    assert np.bincount(dataset.train.targets).tolist() == [24, 40]
    assert np.bincount(dataset.validation.targets).tolist() == [3, 5]
    assert np.bincount(dataset.test.targets).tolist() == [3, 5]
    assert dataset.made_parts == ("train", "validation", "test")
    together = names(dataset, "train") | names(dataset, "validation") | names(dataset, "test")
    assert len(together) == 80


def test_the_split_follows_content_and_not_names(two_classes: Path, tmp_path: Path) -> None:
    before = load_dataset(two_classes)
    renamed = tmp_path / "renamed"
    new_names = {}
    for number, path in enumerate(reversed(images_under(two_classes))):
        target = renamed / Path(path.path).parent.name / f"x{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path.path).read_bytes())
        new_names[path.name] = str(target)
    after = load_dataset(renamed)
    assert {new_names[name] for name in names(before, "test")} == names(after, "test")
    assert before.fingerprint == after.fingerprint
    assert names(load_dataset(two_classes, seed=1), "test") != names(before, "test")
    assert load_dataset(two_classes, seed=1).fingerprint != before.fingerprint


def test_copies_of_a_image_stay_on_one_side(tmp_path: Path) -> None:
    for label in ("a", "b"):
        write_class(tmp_path / label, 10, ord(label))
        for path in list((tmp_path / label).iterdir()):
            for copy in range(3):
                path.with_name(f"{path.stem}-{copy}.png").write_bytes(path.read_bytes())
    dataset = load_dataset(tmp_path)
    digests = [{image.digest() for image in dataset.part(part).images} for part in ("train", "validation", "test")]
    assert not digests[0] & digests[1]
    assert not digests[0] & digests[2]
    assert not digests[1] & digests[2]


def test_given_parts_are_kept_and_missing_ones_drawn_from_train(tmp_path: Path) -> None:
    for label in ("a", "b"):
        write_class(tmp_path / "train" / label, 20, ord(label))
        write_class(tmp_path / "val" / label, 7, 100 + ord(label))
    dataset = load_dataset(tmp_path)
    assert len(dataset.validation) == 14
    assert len(dataset.test) == 4
    assert len(dataset.train) == 36
    assert dataset.made_parts == ("test",)


def test_digits_are_bundled() -> None:
    dataset = load_dataset("digits")
    assert dataset.labels == tuple("0123456789")
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 1797
    assert dataset.train.images[0].open().size == (8, 8)
    assert dataset.fingerprint == load_dataset("digits").fingerprint


def test_a_csv_is_a_source(two_classes: Path, tmp_path: Path) -> None:
    rows = [f"{path.path},{Path(path.path).parent.name}" for path in images_under(two_classes)]
    listing = tmp_path / "listing.csv"
    listing.write_text("file,class\n" + "\n".join(rows), encoding="utf-8")
    assert load_dataset(listing).fingerprint == load_dataset(two_classes).fingerprint


def test_the_labels_file_of_the_imagenet_sample_is_understood() -> None:
    collection = load_collection(shared("imagenet-sample"))
    assert len(collection.labels) == 100
    assert collection.class_indices is not None
    assert collection.class_indices[collection.labels.index("tench")] == 0
    assert collection.class_indices[collection.labels.index("zebra")] == 340


def test_loops_of_links_end(two_classes: Path) -> None:
    (two_classes / "cat" / "again").symlink_to(two_classes)
    (two_classes / "cat" / "itself").symlink_to(two_classes / "cat" / "itself")
    assert len(images_under(two_classes)) == 80


def test_other_files_are_passed_over_and_disguised_images_found(two_classes: Path) -> None:
    (two_classes / "cat" / "notes.txt").write_text("about cats")
    (two_classes / "cat" / ".hidden.png").write_bytes((two_classes / "cat" / "000.png").read_bytes())
    (two_classes / "cat" / "no suffix").write_bytes((two_classes / "cat" / "000.png").read_bytes())
    assert len(load_collection(two_classes).everything) == 81


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "holds no images in class folders"),
        ({"only": 5}, "one class only"),
        ({"a": 9, "b": 1}, r"class 'b' has 1 image; training, validation and test need at least 3: .*exclude=\('b',\)"),
        ({"a": 9, "b": 1, "c": 2}, r"class 'b' has 1 image \(and 1 more of the 3 classes fewer than 3\)"),
        ({"test/a": 3, "test/b": 3, "val/a": 3, "val/b": 3}, "no images to train"),
        ({"val/a": 3, "valid/a": 3, "train/a": 3}, "holds both val and valid"),
    ],
)
def test_a_folder_that_cannot_be_used_is_explained(classes: dict[str, int], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count in classes.items():
        write_class(folder / name, count)
    with pytest.raises(DataError, match=message):
        load_dataset(folder)


def test_what_is_no_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone does not exist"):
        load_dataset(tmp_path / "gone")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        load_dataset(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,kind,color\na,b,c\n", "which of its columns is the class cannot be told"),
        ("file,class\na.png,\n", "line 2: file or class is empty"),
        ("file,class,index\na.png,a,one\n", "index must be an integer"),
        ("file,class,split\na.png,a,train\nb.png,b,\n", "some rows name a split and some do not"),
        ("", "needs the columns"),
    ],
)
def test_a_bad_csv_is_explained(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_collection(path)


def test_a_few_broken_images_are_skipped_and_many_are_an_error(two_classes: Path) -> None:
    everything = load_collection(two_classes).everything
    for path in sorted((two_classes / "cat").iterdir())[:8]:
        path.write_bytes(b"")
    decoded = decode_all(everything, 5)
    assert len(decoded.skipped) == 8
    assert len(decoded.images) == len(decoded.targets) == 72
    prepared = prepare(everything, Preprocessing(), 32, 32)
    assert prepared.pixels.shape == (72, 32, 32, 3)
    assert set(prepared.names) | set(prepared.skipped) == {image.name for image in everything.images}
    (two_classes / "cat" / "029.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"9 of 80 images cannot be decoded, more than 10%"):
        decode_all(everything, 5)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root, or Windows, reads everything")
def test_an_unreadable_folder_is_named(two_classes: Path) -> None:
    (two_classes / "cat").chmod(0)
    with pytest.raises(DataError, match="cat cannot be listed"):
        load_collection(two_classes)
    (two_classes / "cat").chmod(0o755)


def test_unlabeled_images_are_found_wherever_they_are_named(two_classes: Path) -> None:
    found = images_of([two_classes / "cat" / "000.png", two_classes])
    assert len(found) == 81
    with pytest.raises(DataError, match="nowhere does not exist"):
        images_of(["nowhere"])
    for source in ("https://example.com/a.jpg", "gs://bucket/photos"):
        with pytest.raises(DataError, match=f"{source} is an address, which is not fetched; download it"):
            images_of([source])
    with pytest.raises(DataError, match=r"a\.jpg is an address, which is not fetched; download it"):
        load_collection("https://example.com/a.jpg")
    with pytest.raises(DataError, match="abacus://bucket/photos cannot be read: Protocol not known: abacus"):
        load_collection("abacus://bucket/photos")  # of shards
    (two_classes / "empty").mkdir()
    with pytest.raises(DataError, match="no images in"):
        images_of([two_classes / "empty"])


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\x1b[2J"])
def test_a_class_that_cannot_be_printed_or_saved_is_refused_before_any_work(tmp_path: Path, name: bytes) -> None:
    for folder in (name, b"cat"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + folder))
        path.mkdir()
        Image.new("RGB", (8, 8)).save(path / "1.png")
    with pytest.raises(DataError, match="holds a control character or is not Unicode; rename it"):
        load_collection(tmp_path)


def test_images_are_those_that_a_model_was_fitted_to_where_their_content_is(two_classes: Path) -> None:
    dataset = load_dataset(two_classes, seed=3)
    rng = np.random.default_rng(0)
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    data = Data(dataset.source, dataset.fingerprint, 3)
    model = replace(random_model(rng, network), provenance=Provenance(data=data).encode())
    found = dataset_fitted_to(model, two_classes)
    assert found is not None
    assert [image.name for image in found.test.images] == [image.name for image in dataset.test.images]
    assert reload_dataset(data).fingerprint == dataset.fingerprint
    assert dataset_fitted_to(random_model(rng, network), two_classes) is None
    assert dataset_fitted_to(replace(model, provenance={"data": replace(data, seed=4).encode()}), two_classes) is None
    with pytest.raises(DataError, match="is not what the Model was fitted to"):
        reload_dataset(replace(data, fingerprint="0"))
    with pytest.raises(DataError, match="does not say what it was fitted to"):
        reload_dataset(Data())


def test_the_split_of_an_ordinary_folder_is_the_same_for_ever(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(12):
            red = number if label == "cat" else 100 + number
            (tmp_path / label / f"{number:02}.ppm").write_bytes(b"P6 1 1 255\n" + bytes([red, 0, 0]))
    dataset = load_dataset(tmp_path)
    assert dataset.fingerprint == "90ba5a6bac26def1df66beaad0770510"
    drawn = [
        Path(name).relative_to(tmp_path).as_posix()
        for part in ("validation", "test")
        for name in sorted(names(dataset, part))
    ]
    assert drawn == ["cat/11.ppm", "dog/01.ppm", "cat/09.ppm", "dog/11.ppm"]
