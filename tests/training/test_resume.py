"""A run that was killed, at any moment and however often, ends with the same Model, bit for bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import TrainingError
from mobilenets.training.fit import fit
from mobilenets.training.run_folder import CHECKPOINT_FILE
from mobilenets.training.settings import Settings

PROGRAM = """
import sys
from dataclasses import replace
from mobilenets.training.fit import fit
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.settings import Settings
recipe = replace(DEFAULT, batch=16, mixup=0.2, cutmix=1.0, dropout=0.1, growth=((0.5, 0.67), (0.5, 1.0)))
settings = Settings(width=0.25, resolution=72, epochs=6, threads=1, recipe=recipe)
fit(sys.argv[1], sys.argv[2], settings, resume=True)
"""


def begin(data: Path, output: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(data), str(output)],
        stderr=subprocess.PIPE,
        env={**os.environ, "MOBILENETS_CHECKPOINT_SECONDS": "0.02"},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def wait_for_new_checkpoint(process: subprocess.Popen[bytes], path: Path, older: int) -> None:
    """Until the run has written something of its own."""
    while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == older):
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_kills_at_random_moments_change_nothing(colours: Path, tmp_path: Path) -> None:
    finish(begin(colours, tmp_path / "whole"))
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    chances = random.Random(time.time_ns())
    output, kills = tmp_path / "killed", 0
    for _ in range(2):
        checkpoint = output / CHECKPOINT_FILE
        older = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = begin(colours, output)
        wait_for_new_checkpoint(process, checkpoint, older)
        delay = chances.uniform(0, 0.4)
        time.sleep(delay)
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        kills += 1
    if not (output / "model.safetensors").exists():
        finish(begin(colours, output))
    assert kills >= 1
    assert (output / "model.safetensors").read_bytes() == expected
    assert sorted(path.name for path in output.iterdir() if not path.name.startswith(".")) == [
        "metrics.json",
        "model.safetensors",
    ]


def test_an_interrupt_leaves_a_run_that_can_go_on(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(width=0.25, resolution=32, epochs=3, threads=1)
    whole = fit(colours, None, settings)
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt):
        fit(colours, tmp_path, settings, progress=Interruption(epoch=2))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    with pytest.raises(TrainingError, match="holds an unfinished run: go on with resume=True"):
        fit(colours, tmp_path, settings)
    with pytest.raises(TrainingError, match="was begun with epochs 3, not 4"):
        fit(colours, tmp_path, Settings(width=0.25, resolution=32, epochs=4, threads=1), resume=True)
    resumed = fit(colours, tmp_path, settings, resume=True)
    assert resumed.history == whole.history
    for name, values in whole.model.parameters.items():
        assert (resumed.model.parameters[name] == values).all(), name


def test_a_run_does_not_go_on_with_other_images(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(colours, tmp_path / "data")
    settings = Settings(width=0.25, resolution=32, epochs=2, threads=1)
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "data", tmp_path / "run", settings, progress=Interruption(epoch=1))
    before = (tmp_path / "run" / CHECKPOINT_FILE).read_bytes()
    first = sorted((tmp_path / "data" / "red").iterdir())[0]
    Image.new("RGB", (40, 36), (200, 40, 40)).save(first)
    with pytest.raises(
        TrainingError,
        match=r"was begun with other images, classes or parts \(fingerprint [0-9a-f]{8}, not [0-9a-f]{8}\)",
    ):
        fit(tmp_path / "data", tmp_path / "run", settings, resume=True)
    assert (tmp_path / "run" / CHECKPOINT_FILE).read_bytes() == before, "it can go on where the images are back"


def test_a_run_goes_on_after_the_validation_images_have_joined(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    start = random_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    settings = Settings(epochs=5, threads=1, weights=start)
    whole = fit(colours, None, settings)
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt):
        fit(colours, tmp_path, settings, progress=Interruption(epoch=5))
    resumed = fit(colours, tmp_path, settings, resume=True)
    assert resumed.history == whole.history
    for name, values in whole.model.parameters.items():
        assert (resumed.model.parameters[name] == values).all(), name


def test_a_damaged_checkpoint_is_an_error_and_not_a_new_start(colours: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(TrainingError, match="cannot be read"):
        fit(colours, tmp_path, Settings(width=0.25, resolution=32, epochs=1, threads=1), resume=True)
