"""Files of other programs in the place of a model are called what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.image_folders import write_tree

from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS.*git lfs pull"),
        ("a.h5", b"\n<!DOCTYPE html><html>", "a web page: a download that failed"),
        ("a.pt", b"", "is empty"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "an image, where a model was expected: the model comes first"),
        ("a.tgz", b"\x1f\x8b\x08", "an archive.*unpack it"),
        ("a.pkl", b"\x80\x04\x95", "a pickle of Python, whose code is not run"),
        ("a.xml", b"<?xml version='1.0'?>", "OpenVINO.*convert it"),
        ("a.mlmodel", b"\x08\x01\x12\x02", "Core ML; convert it"),
        ("a.caffemodel", b"\n\x04test", "Caffe; convert it"),
        ("a.engine", b"ftrt", "TensorRT"),
    ],
)
def test_what_a_file_is_and_the_way_out(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=message):
        import_model(tmp_path / name)


def test_arrays_without_names_of_layers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weight=np.ones(3))
    with pytest.raises(FormatError, match="an archive of NumPy arrays"):
        import_model(tmp_path / "a.npz")


def test_a_folder_of_images_in_the_place_of_a_model_is_called_so(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"cat": 2, "dog": 2})
    with pytest.raises(FormatError, match="photos is a folder of images, and no model; the model is named before"):
        import_model(tmp_path / "photos")
