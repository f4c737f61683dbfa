"""Published weights that come from another machine as files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import shared
from tests.support import foreign
from tests.support.published import weights_called
from tests.support.random_models import random_model

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.carried_weights import put_weights, weights_in
from mobilenets.formats.exporting import export
from mobilenets.formats.known_weights import known_weights
from mobilenets.formats.loading import load_model

KERAS, CORAL, TORCHVISION = (
    "mobilenet_v1_0.25_224.h5",
    "mobilenet_v1_0.25_128_quant.tflite",
    "mobilenet_v2_torchvision.pth",
)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))


def cached() -> set[str]:
    return {one.name for one in known_weights() if one.cached}


@pytest.mark.parametrize(
    ("name", "file", "reason"),
    [
        ("keras:0.25-224", CORAL, "is read as tflite; keras:0.25-224 is published as mobilenet_2_5_224_tf.h5"),
        ("keras:0.25-192", KERAS, "is keras:0.25-224 by its file's name, and not keras:0.25-192"),
        ("keras:0.25-224-notop", KERAS, "is a network with a classifier; keras:0.25-224-notop is one without"),
        ("coral:0.25-128", KERAS, "is read as keras; coral:0.25-128 is published as mobilenet_v1_0.25_128_quant"),
        ("coral:0.5-160", CORAL, "is a mobilenet_v1 of width 0.25; coral:0.5-160 is a mobilenet_v1 of width 0.5"),
        ("timm:mobilenetv2_100", TORCHVISION, "is torchvision:mobilenet_v2.v1, not timm:mobilenetv2_100.ra_in1k"),
        ("timm:tf_mobilenetv3_small_100", KERAS, "is read as keras; timm:tf_mobilenetv3_small_100 is published as"),
    ],
)
def test_a_file_of_other_weights_is_never_kept_under_a_name(name: str, file: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        put_weights(name, shared(f"weights/{file}"))
    assert reason in str(caught.value)
    assert cached() == set()


def test_a_file_that_this_package_wrote_is_not_a_publisher_s(tmp_path: Path) -> None:
    export(weights_called("keras:0.25-128"), tmp_path / "own.tflite", verify=False)
    with pytest.raises(FormatError, match=r"own.tflite was written by this package; keras:0.25-128 is published as"):
        put_weights("keras:0.25-128", tmp_path / "own.tflite")


def test_bytes_that_the_cache_has_under_one_name_are_not_taken_for_another(tmp_path: Path) -> None:
    put_weights("keras:0.25-224", shared(f"weights/{KERAS}"))
    renamed = tmp_path / "weights.h5"
    shutil.copyfile(shared(f"weights/{KERAS}"), renamed)
    with pytest.raises(FormatError, match=r"is keras:0.25-224, not keras:0.25-192: the cache has it, as "):
        put_weights("keras:0.25-192", renamed)
    put_weights("keras:0.25-224", renamed)
    assert cached() == {"keras:0.25-224"}


def test_half_a_file_is_damaged_whatever_it_is_called(tmp_path: Path) -> None:
    half = tmp_path / "mobilenet_2_5_224_tf.h5"
    half.write_bytes(shared(f"weights/{KERAS}").read_bytes()[:1_000_000])
    with pytest.raises(FormatError, match=r"cannot be keras:0.25-224: the HDF5 file is damaged at offset"):
        put_weights("keras:0.25-224", half)
    assert weights_in(half) == {}
    assert cached() == set()


def test_the_way_out_that_a_failed_fetch_names_is_one_for_every_name(tmp_path: Path) -> None:
    """Weights of which nobody printed an accuracy are in no table, and can be carried all the same."""
    h5py = pytest.importorskip("h5py")
    network = mobilenet_v1(width_multiplier=0.25, activation=Activation.RELU6, classes=1000)
    tensors = foreign.keras_tensors(random_model(np.random.default_rng(0), network))
    for name, kept in (("no_top", False), ("whole", True)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for one, value in tensors.items():
                if kept or "preds" not in one:
                    file.create_dataset(one, data=value)
    put_weights("keras:0.25-224-notop", tmp_path / "no_top.h5")
    assert load_model("keras:0.25-224-notop").network.gives_features
    with pytest.raises(FormatError, match=r"is a network with no classifier; keras:0\.25-160 is one with"):
        put_weights("keras:0.25-160", tmp_path / "no_top.h5")
    assert cached() == set()
    put_weights("keras:0.25-160", tmp_path / "whole.h5")
    assert cached() == {"keras:0.25-160"}
