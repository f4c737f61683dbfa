"""Small images that are learnt in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
