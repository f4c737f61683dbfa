"""Settings of custom operators, as the official writer writes them and damaged."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.errors import FormatError
from mobilenets.formats.containers.flexbuffer import read_numbers

SETTINGS = {"classes": 90, "many": 1 << 40, "below": -3, "scale": 0.1, "half": 0.5, "on": True, "off": False}


def test_numbers_of_a_map() -> None:
    flexbuffers = pytest.importorskip("flatbuffers.flexbuffers")
    found = read_numbers(bytes(flexbuffers.Dumps({**SETTINGS, "name": "text", "list": [1, 2]})))
    assert found == pytest.approx(SETTINGS, rel=1e-6)
    assert found["on"] is True
    small = {"a": 1, "b": 0.25}
    assert read_numbers(bytes(flexbuffers.Dumps(small))) == small


def test_damaged_maps_give_numbers_or_an_error() -> None:
    flexbuffers = pytest.importorskip("flatbuffers.flexbuffers")
    sound, rng = bytes(flexbuffers.Dumps(SETTINGS)), np.random.default_rng(0)
    with pytest.raises(FormatError, match="where a map was expected"):
        read_numbers(bytes(flexbuffers.Dumps([1, 2])))
    for _ in range(500):
        damaged = bytearray(sound[: rng.integers(0, len(sound) + 1)])
        for place in rng.integers(0, max(1, len(damaged)), 3):
            if place < len(damaged):
                damaged[place] = rng.integers(0, 256)
        try:
            read_numbers(bytes(damaged))
        except FormatError:
            continue
