"""Tuning: it changes no answer, remembers what it found, and survives what lies in the cache folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import (
    random_int8_model,
    random_model,
    random_network,
    random_pixels,
    without_batch_norm,
)

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine import tuning
from mobilenets.engine.lowering import lower
from mobilenets.engine.session import Session, chosen_instruction_set
from mobilenets.model.model import Model
from mobilenets.native import _native


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path))
    return tmp_path / "tuning"


def small(precision: str) -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=5)
    rng = np.random.default_rng(0)
    return random_int8_model(rng, network) if precision == "int8" else random_model(rng, network)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_tuned_session_gives_the_same_bits_and_is_remembered(precision: str, cache: Path) -> None:
    model = small(precision)
    pixels = random_pixels(np.random.default_rng(1), model.network, 3)
    expected = Session(model, threads=2, tune=False).run(pixels)
    assert not cache.exists()
    assert np.array_equal(Session(model, threads=2, tune=True).run(pixels), expected)
    (remembered,) = cache.iterdir()
    before = remembered.stat().st_mtime_ns
    assert np.array_equal(Session(model, threads=2, tune=True).run(pixels), expected)
    assert remembered.stat().st_mtime_ns == before  # read, not measured again
    Session(model, threads=1, tune=True)
    assert len(list(cache.iterdir())) == 2  # other threads, other choices


def test_the_variable_tunes_sessions_that_are_not_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("int8")
    Session(model)
    monkeypatch.setenv("MOBILENETS_TUNE", "1")
    Session(model, tune=False)
    assert not cache.exists()
    Session(model)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b'{"choices": [{"tile_bytes": 1, "split": "ROWS"}]}',
        b'{"choices": [{"tile_bytes": -1, "split": "ROWS"}]}',
        b'{"choices": [{"tile_bytes": 1, "split": "BY_HAND"}]}',
        b'{"choices": [[1, 2]]}',
        b'{"choices": "no"}',
        b'{"choices": 3}',
    ],
)
def test_a_damaged_file_is_measured_anew(damage: bytes, cache: Path) -> None:
    model = small("int8")
    Session(model, threads=1, tune=True)
    (remembered,) = cache.iterdir()
    remembered.write_bytes(damage)
    Session(model, threads=1, tune=True)
    assert remembered.read_bytes() != damage


def test_a_cache_folder_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("MOBILENETS_CACHE", str(blocked))
    model = small("int8")
    Session(model, tune=True).run(random_pixels(np.random.default_rng(1), model.network, 1))


@pytest.mark.parametrize("seed", range(8))
def test_every_choice_gives_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_int8_model(rng, without_batch_norm(network)) if seed % 2 else random_model(rng, network)
    runner = lower(model, instruction_set=chosen_instruction_set(), threads=2, processors=2)
    pixels = random_pixels(rng, model.network, 1)

    def outputs() -> list[np.ndarray]:
        results = [np.empty(model.network.shapes[name], np.float32) for name in model.network.outputs]
        runner.run(pixels, results)
        return results

    expected, steps = outputs(), len(runner.describe())
    for _ in range(8):
        tiles, splits = rng.choice((1, *tuning.TILE_BYTES), steps), rng.integers(0, 3, steps)
        runner.arrange(
            [
                tuning.Choice(tile_bytes=int(tile), split=list(_native.Split)[split])
                for tile, split in zip(tiles, splits, strict=True)
            ]
        )
        assert all(np.array_equal(a, b) for a, b in zip(outputs(), expected, strict=True))


def test_choices_that_fit_no_plan_are_refused() -> None:
    runner = lower(small("int8"), instruction_set=chosen_instruction_set(), threads=1, processors=1)
    with pytest.raises(ValueError, match="one choice for each of its steps"):
        runner.arrange([tuning.Choice()])
    with pytest.raises(ValueError, match="over a gigabyte"):
        runner.arrange([tuning.Choice(tile_bytes=2 << 30)] * len(runner.describe()))
