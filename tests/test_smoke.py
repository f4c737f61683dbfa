"""What a wheel must do on every platform that it is built for: import, predict, evaluate, quantize, export, from files.

The commands run as a user runs them, each in a process of its own. None needs more than the base dependencies.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from tests.support.foreign import timm_tensors
from tests.support.random_models import random_model

from mobilenets import mobilenet_v1

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Foreign weights of three classes, and a folder of images of two of them, one image broken."""
    folder = tmp_path_factory.mktemp("smöke test")  # a blank and a letter beyond ASCII, as people's folders have
    rng = np.random.default_rng(0)
    model = random_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=64, classes=3))
    save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in timm_tensors(model).items()}, folder / "w.safetensors"
    )
    for label in ("0", "1"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (70, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
    (folder / "photos" / "0" / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def mobilenets(folder: Path) -> Run:
    """A function that runs a command with ``--json`` and gives what it prints."""

    def run(*arguments: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "mobilenets", *arguments, "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    return run


def test_weights_become_a_model_that_is_used_compressed_and_taken_elsewhere(folder: Path, mobilenets: Run) -> None:
    mobilenets("import", "w.safetensors", "--resolution", "64", "-o", "model.safetensors")
    predictions = mobilenets("predict", "model.safetensors", "photos", code=3)  # one of them is broken
    assert len(json.dumps(predictions)) > 24
    figures = mobilenets("evaluate", "model.safetensors", "photos", code=3)
    assert figures["images"] == 24
    assert len(figures["skipped"]) == 1
    mobilenets(
        "quantize",
        "model.safetensors",
        "--calibration",
        "photos",
        "--images",
        "16",
        "--force",
        "-o",
        "int8.safetensors",
    )
    assert mobilenets("evaluate", "int8.safetensors", "photos", code=3)["images"] == 24
    exported = mobilenets("export", "int8.safetensors", "--to", "c", "-o", "network.c")
    assert exported["ram_bytes"] > 0
    assert (folder / "network.c").read_text(encoding="utf-8").count("{") > 10
