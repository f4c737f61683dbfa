"""Folders of small images for tests of how data is understood."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, names: int | Iterable[str], seed: int = 0) -> list[Path]:
    """Colored noise, each image another: so many, called 000.png and so on, or of some names."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [f"{number:03}.png" for number in range(names)] if isinstance(names, int) else list(names)
    rng = np.random.default_rng([seed, *str(folder).encode()])
    for name in listed:
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(folder / name)
    return [folder / name for name in listed]


def write_masks(folder: Path, names: Iterable[str]) -> None:
    """Gray images of black and white squares."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.zeros((16, 16), np.uint8)
        pixels[number % 8 : number % 8 + 6, 4:10] = 255
        Image.fromarray(pixels).save(folder / name)


def write_tree(root: Path, counts: Mapping[str, int]) -> Path:
    """Folders by their path below a root, with so many images each."""
    root.mkdir(parents=True, exist_ok=True)
    for name, count in counts.items():
        write_images(root / name, count)
    return root
