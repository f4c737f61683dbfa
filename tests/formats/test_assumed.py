"""What an imported file says of its preprocessing, what is assumed, and what a caller says instead."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.conftest import shared
from tests.support.foreign import sequential_tensors, timm_tensors
from tests.support.random_models import random_model

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress
from mobilenets.errors import FormatError
from mobilenets.formats.assumed import PARTS, scaling_name, scaling_of, sources
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.input_statistics import scaling_by_statistics
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode
from mobilenets.tasks.classification import Classification


def small_model() -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    return random_model(np.random.default_rng(0), network)


def state_dict(folder: Path) -> Path:
    """The weights of a network as PyTorch saves them: they say nothing of the images."""
    path = folder / "weights.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in sequential_tensors(small_model()).items()}, path)
    return path


def timm_folder(folder: Path) -> Path:
    """The same as timm lays it out, whose configuration says the normalization and the crop."""
    save_file(
        {name: np.ascontiguousarray(value) for name, value in timm_tensors(small_model()).items()},
        folder / "model.safetensors",
    )
    config = {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3], "crop_pct": 0.9, "input_size": [3, 32, 32]}
    (folder / "config.json").write_text(json.dumps({"architecture": "mobilenetv1_100", "pretrained_cfg": config}))
    return folder


class Notes(Progress):
    """Collects what a user would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def test_what_a_state_dict_does_not_say_is_assumed_and_said(tmp_path: Path) -> None:
    notes = Notes()
    model = import_model(state_dict(tmp_path), resolution=32, progress=notes)
    assert sources(model) == dict.fromkeys(PARTS, "assumed")
    assert recognition(model)["input_scaling"].startswith("imagenet: ")
    assert recognition(model)["input_scaling"].endswith("[assumed]")
    (note,) = notes.said
    assert "does not say how pixels are scaled; imagenet is assumed" in note
    assert "input_scaling=SCALING" in note


def test_a_caller_says_all_four_parts_for_any_source(tmp_path: Path) -> None:
    (tmp_path / "timm").mkdir()
    for source in (state_dict(tmp_path), timm_folder(tmp_path / "timm")):
        notes = Notes()
        model = import_model(
            source,
            resolution=32,
            input_scaling="0..1",
            crop=1,
            resize="squash",
            interpolation="lanczos",
            progress=notes,
        )
        assert model.preprocessing == Preprocessing(
            (0.0,) * 3, (1.0,) * 3, ResizeMode.SQUASH, 1.0, Interpolation.LANCZOS
        )
        assert sources(model) == dict.fromkeys(PARTS, "given")
        assert not notes.said


def test_what_a_configuration_says_is_known_and_the_rest_assumed(tmp_path: Path) -> None:
    model = import_model(timm_folder(tmp_path))
    expected = {"input_scaling": "config.json", "crop": "config.json", "resize": "config.json"}
    assert sources(model) == {**expected, "interpolation": "assumed"}
    assert model.provenance["imported"]["preprocessing"]["crop"] == {"value": 0.9, "from": "config.json"}


def test_a_model_file_says_everything_but_what_was_assumed_when_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(small_model(), path)
    assert "assumed" not in sources(import_model(path)).values()
    save(import_model(state_dict(tmp_path), resolution=32, crop=0.9), path)
    again = sources(import_model(path))
    assert (again["input_scaling"], again["crop"], again["resize"]) == ("assumed", "given", "assumed")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0…1", "0..1"),
        ("−1..1", "-1..1"),
        ("[0..255]", "0..255"),
        ("ImageNet", "imagenet"),
        ("0.5/0.5", "-1..1"),
        ("tf", "-1..1"),
        ("[0.485, 0.456, 0.406] / [0.229, 0.224, 0.225]", "imagenet"),
        ("123.675,116.28,103.53/58.395,57.12,57.375", "imagenet"),  # of pixels from 0 to 255, as configurations have it
        ("127.5/127.5", "-1..1"),
        ("0/255", "0..1"),
        ("0/1", "0..1"),
    ],
)
def test_scalings_are_understood_as_people_write_them(text: str, name: str) -> None:
    mean, std = scaling_of(text)
    assert scaling_name(Preprocessing(mean=mean, std=std)) == name


@pytest.mark.parametrize("text", ["fish", "0.5", "0.5/0", "1,2/3", "0.5/127.5", "nan/1", "0.5/0.5/0.5", ""])
def test_what_is_no_scaling_is_refused_before_anything_is_read(text: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"is no input scaling .*0\.\.1"):
        import_model(tmp_path / "not there", input_scaling=text)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("crop", 0, "above 0"), ("crop", "x", "number"), ("resize", "pad", "squash"), ("interpolation", "cubic", "box")],
)
def test_other_parts_are_refused_with_what_there_is(option: str, value: object, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        import_model("not there", **{option: value})  # type: ignore[arg-type]


def test_integers_fix_the_scaling_until_they_are_made_real() -> None:
    path = shared("weights/mobilenet_v1_0.25_128_quant.tflite")
    model = import_model(path)
    assert recognition(model)["input_scaling"].startswith("-1..1: ")
    assert sources(model)["input_scaling"] == "its quantized input"
    same = import_model(path, input_scaling="-1..1")
    assert same.preprocessing == model.preprocessing
    with pytest.raises(FormatError, match="dequantized=True"):
        import_model(path, input_scaling="0..1")
    real = import_model(path, input_scaling="0..1", dequantized=True)
    assert (real.precision, scaling_name(real.preprocessing)) == ("float32", "0..1")


@pytest.mark.parametrize("name", ["-1..1", "0..1", "imagenet", "0..255"])
def test_the_first_batch_norm_tells_how_photographs_were_scaled(name: str, tmp_path: Path) -> None:
    """The published network, rewritten for pixels of another scaling: it answers the same, and is imported so."""
    model = import_model(shared("weights/mobilenet_v1_0.25_224.h5"))
    mean, std = (np.array(values) for values in scaling_of(name))
    old_mean, old_std = np.array(model.preprocessing.mean), np.array(model.preprocessing.std)
    weight = model.parameters["stem.weight"]
    shift = (weight.sum(axis=(2, 3)) * ((mean - old_mean) / old_std)).sum(axis=1)
    parameters = {
        **model.parameters,
        "stem.weight": (weight * (std / old_std)[:, None, None]).astype(np.float32),
        "stem.batch_norm.running_mean": (model.parameters["stem.batch_norm.running_mean"] - shift).astype(np.float32),
    }
    path = tmp_path / "weights.safetensors"
    tensors = sequential_tensors(replace(model, parameters=parameters))
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path)
    found = import_model(path)
    assert scaling_name(found.preprocessing) == name
    assert sources(found)["input_scaling"] == "fits the first batch norm"


def test_random_statistics_of_few_channels_do_not_overrule_the_usual_scaling() -> None:
    """Of 500 random networks of 8 channels as Keras initializes them, 3 in 100 seemed to be scaled as for ImageNet."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    rng, usual = np.random.default_rng(0), Preprocessing()
    model = random_model(rng, network, preprocessing=usual)
    concluded = set()
    for _ in range(500):
        first = {
            "stem.weight": rng.uniform(-1, 1, (8, 3, 3, 3)) * np.sqrt(6 / 99),
            "stem.batch_norm.running_mean": rng.normal(0, 0.1, 8),
            "stem.batch_norm.running_var": rng.uniform(0.5, 1.5, 8),
        }
        parameters = {**model.parameters, **{name: value.astype(np.float32) for name, value in first.items()}}
        concluded.add(scaling_by_statistics(replace(model, parameters=parameters)))
    assert concluded <= {None, scaling_name(usual)}


def test_statistics_of_other_things_than_photographs_conclude_nothing() -> None:
    network = mobilenet_v1(
        width_multiplier=0.25,
        resolution=32,
        classes=3,
        activation=Activation.RELU,
        padding_policy=PaddingPolicy.SYMMETRIC,
    )
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert scaling_by_statistics(random_model(rng, network)) is None
    folded = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    assert scaling_by_statistics(Model(network, folded, Classification.numbered(network))) is None
