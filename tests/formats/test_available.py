"""Which published weights are to be had, and which training begins from."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import shared

from mobilenets.errors import FormatError
from mobilenets.formats.available import available_weights, strongest
from mobilenets.formats.carried_weights import put_weights, weights_in
from mobilenets.formats.known_weights import fetch_weights


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))


def test_with_an_empty_cache_everything_can_be_fetched() -> None:
    known = available_weights()
    assert len({one.name for one in known}) == len(known) > 70
    assert [one.top1 for one in known] == sorted((one.top1 for one in known), reverse=True)
    assert {one.width_multiplier for one in available_weights(family="mobilenet_v1", width=0.25)} == {0.25}
    assert available_weights(family="squeezenet") == []


def test_what_the_cache_holds_is_all_that_is_asked_for() -> None:
    put_weights("keras:0.25-224", shared("weights/mobilenet_v1_0.25_224.h5"))
    assert [one.name for one in available_weights()] == ["keras:0.25-224"]


def test_files_are_known_by_what_they_hold_under_any_name() -> None:
    folder = shared("weights")
    assert weights_in(folder) == {
        "coral:0.25-128": folder / "mobilenet_v1_0.25_128_quant.tflite",
        "coral:0.5-160": folder / "mobilenet_v1_0.5_160_quant.tflite",
        "keras:0.25-224": folder / "mobilenet_v1_0.25_224.h5",
        "torchvision:mobilenet_v2.v1": folder / "mobilenet_v2_torchvision.pth",
    }
    file = folder / "mobilenet_v1_0.25_224.h5"
    assert weights_in(file) == {"keras:0.25-224": file}


def test_the_strongest_that_is_cheap_enough_is_chosen() -> None:
    known = available_weights(family="mobilenet_v1")

    def side(_: object) -> int:
        return 224

    most = strongest(known, most_macs=1e18, side=side)
    assert most is not None
    assert most.name.startswith("timm:mobilenetv1_125")
    some = strongest(known, most_macs=60e6, side=side)
    assert some is not None
    assert some.width_multiplier == 0.25
    least = strongest(known, most_macs=1.0, side=side)
    assert least is not None
    assert least.width_multiplier == 0.25
    assert strongest([], most_macs=1e18, side=side) is None


def test_nothing_is_fetched_where_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_OFFLINE", "1")
    with pytest.raises(FormatError, match=r"keras:0.25-224 is not in the cache, and .* MOBILENETS_OFFLINE is 1"):
        fetch_weights("keras:0.25-224")
