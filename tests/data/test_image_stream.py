"""Images of folders, lists, archives and addresses, in the same order everywhere and without reading ahead."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support.image_folders import write_images, write_tree

from mobilenets.data import image_stream
from mobilenets.data.image import ImageSource
from mobilenets.data.image_stream import Shard, count_images, expand_sources, stream_images
from mobilenets.errors import DataError


def named(*sources: object) -> list[str]:
    return [image.name for image in stream_images(expand_sources(map(str, sources)))]


def pixels(image: ImageSource) -> bytes:
    return image.open().tobytes()


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_images(tmp_path / "photos", 5)


def write_tar(path: Path, images: list[Path], mode: str = "w") -> Path:
    """A shard as WebDataset has it: each image with its label, and what macOS puts beside them."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for number, image in enumerate(images):
            archive.add(image, f"{number:04}.png")
            for name in (f"{number:04}.cls", f"._{number:04}.png"):
                archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def write_list(path: Path, names: list[str]) -> Path:
    """A list of names in the format of the file's suffix."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"id": range(len(names)), "image": names}), path)
    elif path.suffix == ".arrow":
        import pyarrow

        table = pyarrow.table({"file_name": names})
        with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"label": "x", "file": name}) + "\n" for name in names))
    elif path.suffix in (".csv", ".tsv"):
        comma = "," if path.suffix == ".csv" else "\t"
        path.write_text(f"id{comma}Image Path\n" + "".join(f'{n}{comma}"{name}"\n' for n, name in enumerate(names)))
    else:
        path.write_text("\n".join(names) + "\n\n")
    return path


SUFFIXES = [".txt", ".csv", ".tsv", ".jsonl", ".parquet", ".arrow"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("place", ["whole", "beside the list", "in the current folder"])
def test_a_list_names_images_wherever_its_names_are_relative_to(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, place: str
) -> None:
    if suffix in (".parquet", ".arrow"):
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(images[0].parent if place == "in the current folder" else Path("/"))
    folder = tmp_path / "lists" if place == "in the current folder" else images[0].parent
    folder.mkdir(exist_ok=True)
    names = [str(image) if place == "whole" else image.name for image in images]
    listing = write_list(folder / f"list{suffix}", names)
    found = list(stream_images([str(listing)]))
    assert [pixels(image) for image in found] == [image.open() and pixels(image) for image in found]
    assert [Path(image.name).name for image in found] == [image.name for image in images]
    assert count_images([str(listing)]) == 5


def test_a_list_without_a_header_is_read_by_what_its_cells_look_like(images: list[Path]) -> None:
    listing = images[0].parent / "list.csv"
    listing.write_text("".join(f"{number};{image.name}\n" for number, image in enumerate(images)))
    assert [Path(name).name for name in named(listing)] == [image.name for image in images]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "x,y\n1,2\n",
            r"a.csv has no column of images: its columns are x, y; call the column .*file",
        ),
        ("a.jsonl", '{"x": 1}\n', "a.jsonl, line 1, names no image"),
        ("a.jsonl", '"a.png"\n{', "a.jsonl, line 2, is no JSON"),
        ("a.csv", "id,file\n1,a.png\n2\n", "the row '2' has no column 2"),
        ("a.parquet", "text", "a.parquet cannot be read: .*Parquet"),
        ("a.tar", "text", "a.tar is no tar archive, or is damaged"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        named(tmp_path / name)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_gives_its_images_and_nothing_else(images: list[Path], tmp_path: Path, mode: str) -> None:
    path = write_tar(tmp_path / ("shard.tar" if mode == "w" else "shard.tgz"), images, mode)
    found = list(stream_images([str(path)]))
    assert [image.name for image in found] == [f"{path}/{number:04}.png" for number in range(5)]
    expected = [pixels(image) for image in stream_images([str(images[0].parent)])]
    assert [pixels(image) for image in found] == expected
    assert [pixels(pickle.loads(pickle.dumps(image))) for image in found] == expected


@pytest.mark.parametrize("kind", ["bytes", "bytes and path"])
def test_a_parquet_file_may_hold_the_images_themselves(images: list[Path], tmp_path: Path, kind: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    contents = [image.read_bytes() for image in images]
    column = contents if kind == "bytes" else [{"bytes": one, "path": f"{n}.png"} for n, one in enumerate(contents)]
    path = tmp_path / "images.parquet"
    parquet.write_table(pyarrow.table({"label": range(5), "image": column}), path, row_group_size=2)
    found = list(stream_images([str(path)]))
    assert [image.digest() for image in found] == [image.digest() for image in stream_images([str(images[0].parent)])]
    endings = [f"{n}.png" if kind != "bytes" else str(n) for n in range(5)]
    assert [image.name for image in found] == [f"{path}/{ending}" for ending in endings]


def test_a_range_in_braces_stands_for_all_its_files(images: list[Path], tmp_path: Path) -> None:
    for number in (8, 9, 10):
        write_tar(tmp_path / f"shard-{number:03}.tar", images[: number - 7])
    assert len(named(tmp_path / "shard-{008..010}.tar")) == 6
    with pytest.raises(DataError, match=r"shard-007\.tar does not exist"):
        named(tmp_path / "shard-{007..010}.tar")


def test_more_names_than_memory_should_hold_are_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, {"b": 23, "a": 7, "a/c": 4})
    (tmp_path / "b" / os.fsdecode(b"\xff\n.png")).write_bytes(b"")  # any name that a file system has
    expected = named(tmp_path)
    assert len(expected) == 35
    for least in (1, 2, 5, 23, 24, 25):
        monkeypatch.setattr(image_stream, "NAMES_IN_MEMORY", least)
        assert named(tmp_path) == expected


def test_links_that_lead_in_circles_end(images: list[Path]) -> None:
    (images[0].parent / "again").symlink_to(images[0].parent, target_is_directory=True)
    (images[0].parent / "self.png").symlink_to("self.png")
    assert len(named(images[0].parent)) == 5


@pytest.mark.parametrize("count", [2, 3])
def test_whole_archives_are_shared_out_where_there_are_enough(images: list[Path], tmp_path: Path, count: int) -> None:
    archives = [str(write_tar(tmp_path / f"{number}.tar", images[: number + 1])) for number in range(3)]
    shares = [[image.name for image in stream_images(archives, Shard(n + 1, count))] for n in range(count)]
    assert sorted(name for share in shares for name in share) == sorted(named(*archives))
    folders = [{os.path.dirname(name) for name in share} for share in shares]
    assert not set.intersection(*folders)


@pytest.mark.parametrize("make", [lambda path: write_list(path / "l.txt", ["0"] * 100_000)])
def test_nothing_is_read_ahead(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    listing = make(tmp_path)
    images = stream_images([str(listing)])
    assert next(images).name.endswith("0")
    listing.write_text("")
    assert sum(1 for _ in images) < 10_000
    assert np.isscalar(count_images([str(listing)]))
