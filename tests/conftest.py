"""Where tests find the third-party images and weights, if they are there at all."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# The same examples on every run and every machine: a failure is then about the change, never about luck.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("suite")

# Training begins from published weights where they are to be had. The tests have none, wherever they run.
CACHE = tempfile.mkdtemp(prefix="mobilenets-cache-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ["MOBILENETS_CACHE"] = CACHE
os.environ["MOBILENETS_OFFLINE"] = "1"

# Results are read as programs read them, one sentence a line; what workers are told of a terminal is not theirs.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    """A file or folder of the shared data; the test is skipped where it is not present."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data {name} is not here")
    return path


COLOURS = {"blue": (40, 60, 200), "green": (30, 190, 60), "red": (220, 40, 50)}


def draw(folder: Path, each: int, height: int, width: int) -> Path:
    """Fill a folder with three classes of so many noisy images; a class is a colour."""
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir()
        for number in range(each):
            pixels = np.clip(rng.normal(colour, 40, (height, width, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes of 20 images of 40×36 pixels."""
    return draw(tmp_path_factory.mktemp("colours"), 20, 36, 40)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes of 30 images of 48×44 pixels: just enough to choose a network by."""
    return draw(tmp_path_factory.mktemp("images"), 30, 44, 48)
