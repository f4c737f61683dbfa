"""Sorting images into folders: nothing is overwritten, whatever the labels and the files are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilenets.data.sorting import SortedFolders, folder_names
from mobilenets.errors import DataError


def test_files_of_one_name_get_numbers_and_the_same_file_stays(tmp_path: Path) -> None:
    images = []
    for number, content in enumerate((b"one", b"two", b"one")):
        (tmp_path / str(number)).mkdir()
        images.append(tmp_path / str(number) / "a.jpg")
        images[-1].write_bytes(content)
    folders = SortedFolders(tmp_path / "sorted", ["cat"])
    found = [folders.add(image, "cat").name for image in images]
    assert found == ["a.jpg", "a-2.jpg", "a.jpg"]
    assert [(tmp_path / "sorted" / "cat" / name).read_bytes() for name in found] == [b"one", b"two", b"one"]


def test_a_file_that_was_there_before_is_kept(tmp_path: Path) -> None:
    (tmp_path / "sorted" / "cat").mkdir(parents=True)
    (tmp_path / "sorted" / "cat" / "a.jpg").write_bytes(b"mine")
    (tmp_path / "a.jpg").write_bytes(b"yours")
    for link in (False, True):
        assert SortedFolders(tmp_path / "sorted", ["cat"], link=link).add(tmp_path / "a.jpg", "cat").name == "a-2.jpg"
    assert (tmp_path / "sorted" / "cat" / "a.jpg").read_bytes() == b"mine"


def test_no_label_leads_out_of_the_folder(tmp_path: Path) -> None:
    labels = ["..", "../x", "/etc", ".", "a/../../b", "C:\\x", "con.", "", " ", "é", "E\u0301"]
    names = folder_names(labels)
    assert len({name.casefold() for name in names.values()}) == len(labels)
    for name in names.values():
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="is a file, not a folder"):
        SortedFolders(tmp_path / "file", ["cat"])
    with pytest.raises(DataError, match="lies within"):
        SortedFolders(tmp_path / "in", ["cat"], sources=[tmp_path])
    folders = SortedFolders(tmp_path / "sorted", ["cat"])
    with pytest.raises(DataError, match=r"gone.jpg cannot be put into .*: No such file"):
        folders.add(tmp_path / "gone.jpg", "cat")
