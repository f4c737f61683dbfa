"""Class names that stand beside the weights of checkpoints, in any of the forms in which training scripts save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support import foreign

from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress
from mobilenets.formats.importing import import_model
from mobilenets.formats.saved_labels import fitting_labels, saved_labels
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.imagenet import synset_indices

torch = pytest.importorskip("torch")

PETS = ("cat", "dog", "owl")
BY_NAME, BY_NUMBER = {"owl": 2, "cat": 0, "dog": 1}, {2: "owl", 0: "cat", 1: "dog"}


def model(classes: int = 3) -> Model:
    network = mobilenet_v1(
        width_multiplier=0.25,
        classes=classes,
        activation=Activation.RELU,
        batch_norm=BatchNorm(1e-5),
        padding_policy=PaddingPolicy.SYMMETRIC,
    )
    parameters = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    return Model(network, parameters, Classification.numbered(network))


def checkpoint(path: Path, count: int = 3, **beside: Any) -> Path:
    tensors = foreign.sequential_tensors(model(count))
    torch.save({"state_dict": {name: torch.from_numpy(value) for name, value in tensors.items()}, **beside}, path)
    return path


class Notes(Progress):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize(
    "beside",
    [
        {"class_to_idx": BY_NAME},
        {"classToIdx": BY_NAME},
        {"idx_to_class": BY_NUMBER},
        {"id2label": {str(number): name for number, name in BY_NUMBER.items()}},
        {"classes": PETS},
        {"class_names": list(PETS), "names": ["resnet", "mobilenet", "vgg"]},
        {"hyper_parameters": {"lr": 0.1, "data": {"label_names": list(PETS)}}},
        {"meta": {"CLASSES": PETS}, "optimizer": {"state": {0: {"step": 3}}}},
        {"labels": [0, 1, 2, 1, 0], "categories": list(PETS)},
        {"idx_to_label": {1: "cat", 2: "dog", 3: "owl"}},
        {"args": {"names": '["cat", "dog", "owl"]'}},
    ],
)
def test_names_beside_the_weights_are_the_labels(tmp_path: Path, beside: dict[str, Any]) -> None:
    assert import_model(checkpoint(tmp_path / "m.pth", **beside)).labels == PETS


def test_names_of_other_classes_are_noted_and_not_taken(tmp_path: Path) -> None:
    notes = Notes()
    path = checkpoint(tmp_path / "m.pth", class_to_idx={"cat": 0, "dog": 1})
    assert import_model(path, progress=notes).labels == ("0", "1", "2")
    assert any("class_to_idx in the file names 2 classes, and the network gives 3" in text for text in notes.texts)


def test_labels_that_are_given_count_more(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.pth", class_to_idx=BY_NAME)
    assert import_model(path, labels=("a", "b", "c")).labels == ("a", "b", "c")


def test_two_names_make_two_classes_of_one_logit(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.pth", count=1, class_to_idx={"bad": 0, "good": 1})
    assert import_model(path).labels == ("bad", "good")


@pytest.mark.parametrize("text", ['{"cat": 0, "owl": 2, "dog": 1}', "{0: 'cat', 1: 'dog', 2: 'owl'}", "cat, dog, owl"])
def test_text_in_the_metadata_of_safetensors(tmp_path: Path, text: str) -> None:
    tensors = foreign.sequential_tensors(model())
    save_file(tensors, tmp_path / "m.safetensors", {"format": "pt", "classes": text})
    assert import_model(tmp_path / "m.safetensors").labels == PETS


@pytest.mark.parametrize(
    "value",
    [
        ["cat", "cat", "owl"],
        {"cat": "a", "dog": "b"},
        {0: 1, 1: 2},
        {"cat": 0, "dog": 7_000_000},
        ["", "dog", "owl"],
        [{"id": 1}, ["x"]],
        "no names",
        "__import__('os').system('true')",
        "[" * 100_000,
        None,
        3,
    ],
)
def test_what_is_no_list_of_names_is_none(value: Any) -> None:
    assert saved_labels({"classes": value}) == []


def test_dictionaries_within_themselves_end() -> None:
    ring: dict[str, Any] = {"classes": list(PETS)}
    ring["again"] = ring
    assert [one.key for one in saved_labels(ring)] == ["classes"]


def test_synsets_are_given_their_names() -> None:
    (saved,) = saved_labels({"class_to_idx": dict(synset_indices())})
    labels = fitting_labels([saved], 1000)
    assert labels is not None
    assert labels[0] == "tench, Tinca tinca"
