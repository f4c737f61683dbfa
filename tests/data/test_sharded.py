"""Labeled images in shards: what was written is read again, wherever it lies."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.image_folders import write_images, write_tree

from mobilenets.data import packs
from mobilenets.data.dataset import load_collection, load_dataset
from mobilenets.data.shard_writer import evenly_mixed, write_shards
from mobilenets.errors import DataError

pyarrow = pytest.importorskip("pyarrow")
parquet: Any = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "pets", {"cat": 30, "dog": 20})


def write_table(path: Path, images: list[Path], labels: list[Any], names: list[str] | None = None) -> Path:
    """A shard as the libraries of Hugging Face write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": image.read_bytes(), "path": image.name} for image in images]
    table = pyarrow.table({"label": labels, "image": rows})
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=3)
    return path


def write_tar(path: Path, images: list[Path], labels: list[str], how: str) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            if how == "folders":
                archive.add(image, f"{label}/{number}.png")
                continue
            content = json.dumps({"label": label}).encode() if how == "json" else label.encode()
            member = tarfile.TarInfo(f"{number:04}.{how}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            archive.add(image, f"{number:04}.png")
    return path


@pytest.mark.parametrize("how", ["cls", "json", "folders"])
@pytest.mark.parametrize("name", ["pets.tar", "pets.tgz"])
def test_an_archive_has_the_label_of_each_image_beside_it_or_as_its_folder(
    folder: Path, tmp_path: Path, how: str, name: str
) -> None:
    images = sorted(folder.rglob("*.png"))
    path = write_tar(tmp_path / name, images, [image.parent.name for image in images], how)
    found = load_collection(path)
    assert found.labels == ("cat", "dog")
    expected = load_collection(folder).everything
    assert [image.digest() for image in found.everything.images] == [image.digest() for image in expected.images]
    assert found.everything.targets.tolist() == expected.targets.tolist()
    assert load_dataset(path).fingerprint == load_dataset(folder).fingerprint, "the parts depend on content only"


def test_a_folder_of_parquet_shards_is_read_by_part_and_class_names(folder: Path, tmp_path: Path) -> None:
    for part, rows in (("train", slice(0, 40)), ("validation", slice(40, 45)), ("test", slice(45, 50))):
        images = sorted(folder.rglob("*.png"))[rows]
        numbers = [int(image.parent.name == "dog") for image in images]
        write_table(tmp_path / "data" / f"{part}-00000-of-00001.parquet", images, numbers, ["cat", "dog"])
    found = load_collection(tmp_path / "data")
    assert found.labels == ("cat", "dog")
    assert {name: len(subset) for name, subset in found.parts.items()} == {"train": 40, "validation": 5, "test": 5}
    image = found.parts["train"].images[0]
    assert image.name.endswith("/000.png")
    assert image.open().size == (6, 6)


def test_shards_at_an_address_are_read_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    images = sorted(folder.rglob("*.png"))
    labels = [image.parent.name for image in images]
    memory.pipe_file("/bucket/a.parquet", write_table(tmp_path / "a.parquet", images[:25], labels[:25]).read_bytes())
    memory.pipe_file("/bucket/b.tar", write_tar(tmp_path / "b.tar", images[25:], labels[25:], "cls").read_bytes())
    try:
        found = load_collection("memory://bucket")
        assert (found.labels, len(found.everything)) == (("cat", "dog"), 50)
        memory.pipe_file("/bucket/b.tar", b"no archive")  # of another size: it is read anew
        with pytest.raises(DataError, match="no tar archive, or is damaged"):
            load_collection("memory://bucket")
    finally:
        memory.store.clear()


def test_a_disk_without_room_is_said_before(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = sorted(folder.rglob("*.png"))
    path = write_table(tmp_path / "a.parquet", images, ["a"] * 50)
    monkeypatch.setattr(packs, "SPARE_BYTES", 1 << 60)
    with pytest.raises(DataError, match=r"take \d.* and .* has 0.B to spare: free some, or set MOBILENETS_CACHE"):
        load_collection(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x"]}, "has no column of labels: its columns are image; call it label"),
        ({"label": ["a"]}, "has no column of images"),
        ({"label": ["a"], "image": ["a.png"]}, "holds names of images, not images"),
    ],
)
def test_a_table_without_what_is_needed_says_so(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path / "a.parquet")


def test_what_is_written_as_shards_is_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "large.png").write_bytes(write_images(tmp_path / "other", ["x.png"])[0].read_bytes())
    before = load_dataset(folder)
    written = write_shards(folder, tmp_path / "shards", side=4, shard_images=9)
    after = load_dataset(tmp_path / "shards")
    assert (written.images, after.labels, after.made_parts) == (51, before.labels, ())
    for part in ("train", "validation", "test"):
        assert np.bincount(after.part(part).targets).tolist() == np.bincount(before.part(part).targets).tolist()
    assert {image.open().size for image in after.train.images} == {(4, 4)}
    assert len(written.files) == 7


def test_writing_goes_on_with_what_is_missing(folder: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    written = write_shards(folder, shards, side=4, shard_images=9)
    contents = {name: (shards / name).read_bytes() for name in written.files}
    times = {name: (shards / name).stat().st_mtime_ns for name in written.files}
    (shards / written.files[2]).unlink()
    assert write_shards(folder, shards, side=4, shard_images=9) == written
    assert {name: (shards / name).read_bytes() for name in written.files} == contents
    changed = [name for name in written.files if (shards / name).stat().st_mtime_ns != times[name]]
    assert changed == [written.files[2]]
    with pytest.raises(DataError, match="holds shards of other images or of another side"):
        write_shards(folder, shards, side=5, shard_images=9)


def test_every_stretch_has_its_share_of_each_class() -> None:
    targets = np.repeat([0, 1, 2], [600, 300, 100])
    order = evenly_mixed(targets, 0)
    assert sorted(order) == list(range(1000))
    for start in range(0, 1000, 100):
        assert np.abs(np.bincount(targets[order[start : start + 100]]) - [60, 30, 10]).max() <= 1
