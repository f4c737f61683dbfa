"""Datasets and DataLoaders of PyTorch as data to fit to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from mobilenets.data.arrays import array_dataset
from mobilenets.errors import DataError
from mobilenets.training.fit import fit
from mobilenets.training.settings import Settings
from mobilenets.training.torch_data import torch_dataset

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 32, 24, 3), dtype=np.uint8)
CLASSES = np.arange(40) % 2
AS_TENSORS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
SETTINGS = Settings(weights=None, width=0.25, resolution=32, epochs=1, threads=2)


class Folder(Dataset[Any]):
    """As torchvision's ImageFolder: Pillow images, ``classes`` and ``targets``."""

    classes = ("cat", "dog")

    def __init__(self, kind: str) -> None:
        self.kind, self.opened = kind, 0
        self.targets = CLASSES.tolist()

    def __len__(self) -> int:
        return 40

    def __getitem__(self, position: int) -> tuple[Any, int]:
        self.opened += 1
        pixels = PIXELS[position]
        images: dict[str, Any] = {
            "pillow": Image.fromarray(pixels),
            "array": pixels,
            "tensor": torch.from_numpy(pixels).permute(2, 0, 1),
        }
        return images[self.kind], int(CLASSES[position])


@pytest.mark.parametrize("kind", ["pillow", "array", "tensor"])
def test_images_come_as_they_are(kind: str) -> None:
    given = Folder(kind)
    found = torch_dataset(given)
    assert found.labels == ("cat", "dog")
    assert found.fingerprint == torch_dataset(Folder("pillow")).fingerprint
    by_name = {image.name: image for image in (found.train + found.validation + found.test).images}
    assert len(by_name) == 40
    opened = next(image for name, image in by_name.items() if name.endswith("train 7")).open()
    np.testing.assert_array_equal(np.asarray(opened), PIXELS[6])


def test_floats_from_0_to_1_and_bytes_are_the_same_images() -> None:
    by_bytes = torch_dataset(TensorDataset(AS_TENSORS, torch.from_numpy(CLASSES)))
    by_floats = torch_dataset(TensorDataset(AS_TENSORS.float() / 255, torch.from_numpy(CLASSES)))
    assert by_bytes.fingerprint == by_floats.fingerprint
    assert by_bytes.labels == ("0", "1")


def test_a_loader_is_its_dataset_whatever_its_batches() -> None:
    loader = DataLoader(TensorDataset(AS_TENSORS, torch.from_numpy(CLASSES)), batch_size=7, shuffle=True)
    assert torch_dataset(loader).fingerprint == torch_dataset(loader.dataset).fingerprint
    result = fit(loader, settings=SETTINGS)
    assert result.evaluation.images == 4


def test_parts_are_kept_apart() -> None:
    everything = TensorDataset(AS_TENSORS, torch.from_numpy(CLASSES))
    parts = [Subset(everything, range(begin, end)) for begin, end in ((0, 24), (24, 34), (34, 40))]
    found = torch_dataset(*parts, labels=["cat", "dog"])
    assert (len(found.train), len(found.validation), len(found.test)) == (24, 10, 6)


def test_several_labels_an_image() -> None:
    rows = torch.tensor([[one & 1, one >> 1 & 1, one >> 2 & 1] for one in range(8)] * 5)
    found = torch_dataset(TensorDataset(AS_TENSORS, rows), labels=("a", "b", "c"))
    assert found.task == "multilabel"
    assert (found.train + found.validation + found.test).targets.sum(axis=0).tolist() == [20, 20, 20]


def test_it_is_the_data_that_arrays_are() -> None:
    by_torch = fit(torch_dataset(TensorDataset(AS_TENSORS, torch.from_numpy(CLASSES))), settings=SETTINGS)
    by_array = fit(array_dataset(PIXELS, CLASSES), settings=SETTINGS)
    assert by_torch.evaluation.images == by_array.evaluation.images


class Stream(IterableDataset[Any]):
    """Has no length."""

    def __iter__(self) -> Any:
        yield from zip(AS_TENSORS, CLASSES, strict=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Stream(), "can only be iterated is not taken: give one with a length"),
        (DataLoader(Stream()), "can only be iterated"),
        (TensorDataset(AS_TENSORS[:0], torch.zeros(0)), "the Dataset is empty"),
        (TensorDataset(AS_TENSORS), r"item 0 of the Dataset must be \(image, target\), not tuple"),
        (TensorDataset(AS_TENSORS.float() / 64 - 2, torch.from_numpy(CLASSES)), "leave normalization out"),
        (TensorDataset(AS_TENSORS[:, :2], torch.from_numpy(CLASSES)), r"of shape \(3, H, W\), not \(2, 32, 24\)"),
    ],
)
def test_what_cannot_be_taken_is_refused(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        torch_dataset(given)
