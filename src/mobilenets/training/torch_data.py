"""PyTorch's Datasets and DataLoaders as data to fit to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils import data as torch_data

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.arrays import array_dataset
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import image_source
from mobilenets.errors import DataError

TorchData = torch_data.Dataset[Any] | torch_data.DataLoader[Any]


@typed(DataError)
def torch_dataset(
    train: TorchData,
    validation: TorchData | None = None,
    test: TorchData | None = None,
    *,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Dataset:
    """Make a Dataset of PyTorch's, for :func:`mobilenets.fit`.

    Images are decoded when they are needed, by asking for the item again; each item must be the same every time. Fit
    resizes, distorts and normalizes images itself, so a transform should do none of these.

    Args:
        train: Gives (image, target) for each position: a map-style Dataset, or a DataLoader of one, whose batches and
            order do not count. An image is what :func:`~mobilenets.data.arrays.array_dataset` takes, or a tensor (3, H,
            W): uint8, or float from 0 to 1. A target is a class, or 0 and 1 for each label.
        validation: The same for validation; None to draw a tenth of the training images.
        test: The same for the test; None to draw a tenth too.
        labels: Names of the classes, by their numbers; by default the Dataset's own ``classes``, or the numbers.
        seed: Another seed draws other images.
        progress: Receives progress updates.

    Returns:
        The images in three parts.

    Raises:
        DataError: If one of them has no length, an item is no pair, or a class has too few images.

    >>> pixels, classes = torch.rand(40, 3, 32, 32), torch.arange(40) % 2
    >>> torch_dataset(torch_data.TensorDataset(pixels, classes), labels=("cat", "dog"))
    Dataset('arrays', 2 classes, 32 train, 4 validation and 4 test images)
    """
    given = {"train": train, "validation": validation, "test": test}
    parts = {name: _map_style(one) for name, one in given.items() if one is not None}
    known = labels if labels is not None else getattr(parts["train"], "classes", None)
    images: list[Any] = []
    targets: list[Any] = []
    splits: list[str] = []
    for part, items in parts.items():
        for position in range(len(items)):
            images.append(_Item(items, position, f"{part} {position + 1}"))
            targets.append(_target(items, position))
            splits.append(part)
    return array_dataset(
        images,
        np.stack(targets) if targets and isinstance(targets[0], np.ndarray) else targets,
        labels=known,
        splits=None if len(parts) == 1 else splits,
        seed=seed,
        progress=progress,
    )


def _map_style(given: TorchData) -> Any:
    items: Any = given.dataset if isinstance(given, torch_data.DataLoader) else given
    if isinstance(items, torch_data.IterableDataset) or not hasattr(items, "__len__"):
        raise DataError("a Dataset that can only be iterated is not taken: give one with a length and positions")
    if not len(items):
        raise DataError("the Dataset is empty")
    _Item(items, 0, "the first image").open()  # says at once what is wrong with all
    return items


def _target(items: Any, position: int) -> Any:
    """The target of an item; of torchvision's Datasets it is known without decoding the image."""
    known = getattr(items, "targets", None)
    target = known[position] if known is not None and len(known) == len(items) else _pair(items, position)[1]
    if isinstance(target, torch.Tensor):
        target = target.numpy()
    if isinstance(target, np.ndarray):
        return target.item() if target.ndim == 0 else target
    return target


def _pair(items: Any, position: int) -> tuple[Any, Any]:
    item = items[position]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"item {position} of the Dataset must be (image, target), not {type(item).__name__}")
    return item[0], item[1]


class _Item:
    """The image of one item, asked for whenever it is needed."""

    def __init__(self, items: Any, position: int, name: str) -> None:
        self._items, self._position, self.name = items, position, name

    def open(self, shortest_side: int | None = None) -> Image.Image:
        given, _ = _pair(self._items, self._position)
        pixels = _pixels_of(given, self.name) if isinstance(given, torch.Tensor) else given
        return image_source(pixels, self.name).open(shortest_side)

    def digest(self) -> bytes:
        image = self.open()
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()


def _pixels_of(image: torch.Tensor, name: str) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, C) of a tensor (C, H, W)."""
    if image.ndim != 3 or image.shape[0] not in (1, 3, 4):
        raise DataError(f"{name} must be a tensor of shape (3, H, W), not {tuple(image.shape)}")
    values = image.detach().cpu()
    if values.dtype != torch.uint8:
        low, high = float(values.min()), float(values.max())
        if not (low >= -1e-4 and high <= 1 + 1e-4):
            raise DataError(
                f"{name} has values from {low:.2f} to {high:.2f}; a float tensor is taken from 0 to 1: leave "
                "normalization out of the transform, for fit does it"
            )
        values = (values.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy())
