"""Images of colored rectangles on a noisy ground, with their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ArrayImage
from mobilenets.data.subset import Subset
from mobilenets.tasks.boxes import GroundTruth, as_targets

LABELS = ("blue", "red")
_COLORS = ((40, 60, 220), (220, 50, 40))


def drawn_objects(count: int, *, width: int = 80, height: int = 64, seed: int = 0, prefix: str = "") -> Subset:
    """Images with up to three rectangles each; the class of a rectangle is its color."""
    rng = np.random.default_rng(seed)
    images, truths = [], []
    for number in range(count):
        pixels = rng.integers(100, 150, (height, width, 3)).astype(np.uint8)
        boxes, labels = [], []
        for _ in range(rng.integers(1, 4)):
            wide, high = (int(side) for side in rng.integers(16, 36, 2))
            left, top = int(rng.integers(0, width - wide)), int(rng.integers(0, height - high))
            label = int(rng.integers(0, 2))
            pixels[top : top + high, left : left + wide] = _COLORS[label]
            boxes.append((left, top, left + wide, top + high))
            labels.append(label)
        images.append(ArrayImage(f"{prefix}{number}", pixels))
        truths.append(GroundTruth.of(boxes, labels, (width, height)))
    return Subset(tuple(images), as_targets(truths))


def write_boxes(folder: Path, objects: Subset) -> Path:
    """A folder of such images and ``boxes.csv``."""
    folder.mkdir(parents=True)
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for image, truth in zip(objects.images, objects.targets, strict=True):
        image.open().save(folder / f"{image.name}.png")
        for box, label in zip(truth.boxes, truth.labels, strict=True):
            rows.append(",".join([f"{image.name}.png", LABELS[label], *(f"{side:g}" for side in box)]))
    (folder / "boxes.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def drawn_dataset(train: int = 48, validation: int = 12, test: int = 12, *, width: int = 80) -> Dataset:
    """Parts of such images."""
    counts = (train, validation, test)
    trained, validated, tested = (
        drawn_objects(count, seed=seed, width=width, prefix=f"{seed}-") for seed, count in enumerate(counts)
    )
    return Dataset(LABELS, trained, validated, tested, fingerprint="drawn", source="drawn", task="detection")
