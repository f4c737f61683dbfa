"""``mobilenets quantize``: a report and a Model, or a refusal that helps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from tests.cli.conftest import RunCommand
from tests.support.fragile_models import make_fragile_place
from tests.support.quantization import CLASSES, Place, make_place, small_model, uneven_model

from mobilenets.compression.evaluation import compute_logits
from mobilenets.data.dataset import load_dataset
from mobilenets.model.file import load, save


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A float Model, and 24 images in three class folders."""
    return make_place(tmp_path)


def test_a_model_is_written_with_its_report(mobilenets: RunCommand, place: Place) -> None:
    outcome = mobilenets("quantize", place.model, "--calibration", place.images, "--force", "--json", "-q")
    assert outcome.code == 0
    written = load(outcome.json["model"])
    assert written.precision == "int8"
    assert outcome.json["calibration_images_used"] is True  # 24 images leave none over to evaluate on
    assert outcome.json["bytes_after"] < 0.5 * outcome.json["bytes_before"]
    entry: Any = written.provenance["quantization"]
    assert entry["calibration_images"] == 24
    found = outcome.json["agreement"]
    assert entry["quality"]["agreement"] == [found["count"], found["of"]]


def test_labeled_images_evaluate_by_accuracy(mobilenets: RunCommand, place: Place) -> None:
    arguments = ("--calibration", place.images, "--data", place.images, "--max-drop", "100", "--explain", "-q")
    outcome = mobilenets("quantize", place.model, *arguments, "--images", 8, "-o", place.folder / "out.safetensors")
    assert outcome.code == 0
    assert "top-1" in outcome.out
    assert re.search(r"^Gain of each technique, on \d+ images \(one is \d+\.\d\d %\):$", outcome.out, re.MULTILINE)
    techniques = ("chosen ranges", "equalization", "bias correction", "deviation correction", "reconstructed rounding")
    for name in techniques:
        row = re.search(rf"^{name} .*[+-]\d", outcome.out, re.MULTILINE)
        assert row, name
        assert len(row[0]) <= 80  # a terminal's usual width
    assert "block13.pointwise" not in outcome.out
    again = mobilenets("quantize", place.model, *arguments, "--verbose", "-o", place.folder / "again.safetensors")
    assert "block13.pointwise" in again.out
    assert load(place.folder / "out.safetensors").precision == "int8"


def test_top1_of_images_that_trained_the_model_is_not_printed(mobilenets: RunCommand, place: Place) -> None:
    dataset = load_dataset(place.images)
    data = {"source": str(place.images), "fingerprint": dataset.fingerprint, "seed": 0}
    model = load(place.model)
    save(replace(model, provenance={"data": data, "validation_joined": 2}), place.model)
    arguments = ("--calibration", place.images, "--data", place.images, "--max-drop", "100", "-q")
    outcome = mobilenets("quantize", place.model, *arguments)
    assert outcome.code == 0
    assert "though it was trained on these" in " ".join(outcome.out.split())
    figures = [line for line in outcome.out.splitlines() if line.startswith("top-1")]
    assert re.fullmatch(r"top-1 +\([+-]\d+\.\d\d points\)", figures[0])
    evaluated = mobilenets("evaluate", place.model, place.images, "--split", "train")
    assert evaluated.out.startswith("warning: these images trained the Model, so the figures are no test of it\n")
    assert "warning" not in mobilenets("evaluate", place.model, place.images).out  # its test images


def test_a_model_that_lost_too_much_is_not_written(mobilenets: RunCommand, tmp_path: Path) -> None:
    place = make_fragile_place(tmp_path)
    arguments = ("--calibration", place.images, "--data", place.images, "-q")
    outcome = mobilenets("quantize", place.model, *arguments)
    assert outcome.code == 1
    assert "is not good enough:" in outcome.err
    assert "Try percentile ranges (--ranges percentile), quantization-aware training (--qat), more" in outcome.err
    assert "calibration images (--images) or all of these in turn (--auto)" in outcome.err
    assert not place.model.with_suffix(".int8.safetensors").exists()
    assert mobilenets("quantize", place.model, *arguments, "--force").code == 0
    assert place.model.with_suffix(".int8.safetensors").exists()


def test_auto_tries_every_step_up_to_training(mobilenets: RunCommand, tmp_path: Path) -> None:
    place = make_fragile_place(tmp_path)
    arguments = ("--calibration", place.images, "--data", place.images, "--no-equalize")
    outcome = mobilenets("quantize", place.model, *arguments, "--rounding", "nearest", "--auto", "--epochs", 1)
    assert outcome.code == 1
    for step in ("percentile ranges", "equalization", "reconstructed rounding", "quantization-aware training"):
        assert f"trying {step}" in outcome.err
    assert outcome.err.endswith("Try more epochs of training (--epochs) or more calibration images (--images)\n")


def test_auto_goes_up_only_as_far_as_it_must(mobilenets: RunCommand, tmp_path: Path) -> None:
    """Plain calibration ruins uneven channels, other ranges do not help, equalization does; nothing is trained."""
    model, pixels = uneven_model(np.random.default_rng(4))
    save(model, tmp_path / "model.safetensors")
    for number, label in enumerate(compute_logits(model, pixels).argmax(axis=1)):
        folder = tmp_path / "images" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(folder / f"{number}.png")
    off = ("equalize", "absorb", "bias-correction", "deviation-correction")
    plain = ("--ranges", "min-max", "--rounding", "nearest", *(f"--no-{technique}" for technique in off))
    images = ("--calibration", tmp_path / "images", "--data", tmp_path / "images", "--images", 30)
    arguments = ("quantize", tmp_path / "model.safetensors", *images, "--max-drop", 30, *plain)
    refused = mobilenets(*arguments, "-q")
    assert refused.code == 1
    assert "; at most 30 are allowed; lowest SQNR in " in refused.err
    assert "Try percentile ranges (--ranges percentile), equalization, reconstructed rounding" in refused.err
    outcome = mobilenets(*arguments, "--auto", "--json")
    assert outcome.code == 0
    assert "trying percentile ranges" in outcome.err
    assert "trying equalization" in outcome.err
    assert "trying reconstructed rounding" not in outcome.err
    assert outcome.json["drop"] <= 30
    entry: Any = load(outcome.json["model"]).provenance["quantization"]
    made = {name: entry[name] for name in ("made_by", "ranges", "equalize", "rounding")}
    assert made == {"made_by": "calibrated", "ranges": "percentile", "equalize": True, "rounding": "nearest"}


@pytest.mark.parametrize("bits", ["8", "4"])
def test_training_can_be_asked_for(mobilenets: RunCommand, place: Place, bits: str) -> None:
    arguments = ("--calibration", place.images, "--qat", "--epochs", 1, "--weight-bits", bits, "--force", "-q")
    outcome = mobilenets("quantize", place.model, *arguments)
    assert outcome.code == 0
    quantization = load(place.model.with_suffix(".int8.safetensors")).quantization
    assert quantization is not None
    assert quantization.bits("block13.pointwise") == int(bits)
    assert quantization.bits("stem") == 8


def test_a_model_is_quantized_without_images_only_by_force(mobilenets: RunCommand, place: Place) -> None:
    outcome = mobilenets("quantize", place.model, "--data-free", "-q")
    assert outcome.code == 1
    assert "is not evaluated: there are no images to evaluate it on" in outcome.err
    assert "--data" in outcome.err
    assert not place.model.with_suffix(".int8.safetensors").exists()
    outcome = mobilenets("quantize", place.model, "--data-free", "--force", "-q")
    assert outcome.code == 0
    assert "int8 was not evaluated: there are no images" in outcome.out
    written = load(place.model.with_suffix(".int8.safetensors"))
    assert written.precision == "int8"
    entry: Any = written.provenance["quantization"]
    assert entry["made_by"] == "data-free"
    assert "quality" not in entry


def test_labeled_images_evaluate_a_model_that_was_quantized_without_any(mobilenets: RunCommand, place: Place) -> None:
    arguments = ("--data-free", "--data", place.images, "--max-drop", "100", "-q")
    outcome = mobilenets("quantize", place.model, *arguments, "--explain", "--json")
    assert outcome.code == 0
    assert outcome.json["agreement"]["of"] == 24
    assert outcome.json["calibration_images_used"] is False
    assert len(outcome.json["layers"]) == len(small_model().network.layers)
    assert (outcome.json["refusal"], outcome.json["doubt"]) == (None, None)
    assert set(outcome.json["without"]) == {"equalization", "bias absorption", "bias correction"}


@pytest.mark.parametrize(
    "option",
    [
        ("--auto",),
        ("--qat",),
        ("--images", 5),
        ("--ranges", "mse"),
        ("--rounding", "nearest"),
        ("--no-deviation-correction",),
    ],
)
def test_without_images_nothing_that_needs_them_may_be_asked(
    mobilenets: RunCommand, place: Place, option: tuple[object, ...]
) -> None:
    outcome = mobilenets("quantize", place.model, "--data-free", *option)
    assert outcome.code == 2
    assert f"--data-free calibrates without images; {option[0]} needs them" in " ".join(outcome.err.split())


def test_it_must_be_said_whether_there_are_images(mobilenets: RunCommand, place: Place) -> None:
    assert "give --calibration FOLDER" in mobilenets("quantize", place.model).err
    outcome = mobilenets("quantize", place.model, "--data-free", "--calibration", place.images)
    assert outcome.code == 2
    assert "--data-free calibrates without images; --calibration needs them" in " ".join(outcome.err.split())


def test_no_image_calibrates_and_evaluates_where_there_are_enough(mobilenets: RunCommand, place: Place) -> None:
    """24 labeled images: 8 calibrate, so 16 are left to evaluate on; of 20 that calibrate too few would be left."""
    arguments = ("--calibration", place.images, "--data", place.images, "--max-drop", "100", "--json", "-q")
    apart = mobilenets("quantize", place.model, *arguments, "--images", 8).json
    assert (apart["agreement"]["of"], apart["calibration_images_used"]) == (16, False)
    mixed = mobilenets("quantize", place.model, *arguments, "--images", 20).json
    assert (mixed["agreement"]["of"], mixed["calibration_images_used"]) == (24, True)


@pytest.mark.parametrize("joined", [None, 3])
def test_it_says_whether_fit_trained_on_the_images_that_evaluate(
    mobilenets: RunCommand, place: Place, joined: int | None
) -> None:
    dataset = load_dataset(place.images)
    data = {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": 0}
    model = replace(small_model(), provenance={"data": data, "validation_joined": joined})
    save(model, place.model)
    arguments = ("--calibration", place.images, "--data", place.images, "--max-drop", 100, "-q")
    outcome = mobilenets("quantize", place.model, *arguments)
    assert ("fit trained the float Model on these too" in outcome.out) is (joined is not None)


def test_options_that_would_do_nothing_are_refused(mobilenets: RunCommand, place: Place) -> None:
    arguments = ("quantize", place.model, "--calibration", place.images)
    for more, message in (
        (("--max-drop", "0.5"), "--max-drop is of top-1, which only labeled images can tell"),
        (("--data", place.images, "--max-drop", "nan"), "nan is not a finite number"),
        (("--data", place.images, "--max-drop", "-1"), "-1.0 is not in the range 0<=x<=100"),
        (("--epochs", "3"), "give --qat or --auto too"),
        (("-o", place.model), "--output would overwrite"),
    ):
        outcome = mobilenets(*arguments, *more)
        assert outcome.code == 2
        assert message in " ".join(outcome.err.split())


def test_a_folder_too_small_to_be_split_evaluates_a_fitted_model_as_a_whole(
    mobilenets: RunCommand, place: Place
) -> None:
    save(replace(small_model(), provenance={"data": {"fingerprint": "of other images", "seed": 0}}), place.model)
    few = place.folder / "few"
    for label in range(CLASSES):
        (few / str(label)).mkdir(parents=True)
        (place.images / str(label) / "0.png").rename(few / str(label) / "0.png")
    arguments = ("--calibration", place.images, "--data", few, "--max-drop", 100, "--json", "-q")
    outcome = mobilenets("quantize", place.model, *arguments)
    assert outcome.code == 0
    assert outcome.json["agreement"]["of"] == CLASSES


def test_bad_input_is_refused(mobilenets: RunCommand, place: Place) -> None:
    def error(*arguments: object) -> str:
        outcome = mobilenets("quantize", *arguments, "-q")
        assert outcome.code == 1
        return outcome.err

    empty = place.folder / "empty"
    empty.mkdir()
    assert "no images in" in error(place.model, "--calibration", empty)
    assert "does not exist" in error(place.model, "--calibration", place.folder / "nowhere")
    (empty / "broken.png").write_bytes(b"not an image")
    assert "1 of 1 images cannot be decoded" in error(place.model, "--calibration", empty)
    grey = place.folder / "grey"
    grey.mkdir()
    Image.new("RGB", (40, 40), (9, 9, 9)).save(grey / "one.png")
    assert "single colour" in error(place.model, "--calibration", grey)
    strangers = place.folder / "strangers"
    (place.images / "0").rename(place.images / "stranger")
    place.images.rename(strangers)
    assert "the data has the class 'stranger'" in error(place.model, "--calibration", strangers, "--data", strangers)
    assert mobilenets("quantize", place.model, "--calibration", strangers, "--force", "-q").code == 0
    written = place.model.with_suffix(".int8.safetensors")
    assert "int8 already" in error(written, "--calibration", strangers)
    nowhere = place.folder / "nowhere" / "out.safetensors"
    outcome = mobilenets("quantize", place.model, "--calibration", strangers, "-o", nowhere)
    assert outcome.code == 2
    assert "there is no folder" in " ".join(outcome.err.split())
    model = small_model()
    sound, broken = place.folder / "sound.safetensors", place.folder / "broken.safetensors"
    save(model, sound)
    with safe_open(sound, framework="numpy") as file:  # this package writes no such Model
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for value in (np.nan, np.inf):
        tensors["stem.weight"].flat[7] = value
        save_file(tensors, broken, metadata)
        assert "stem.weight holds 1 NaN or infinite values of 216" in error(broken, "--calibration", strangers)
    dead = {
        **model.parameters,
        "block3.depthwise.batch_norm.weight": np.zeros(32, np.float32),
        "block3.depthwise.batch_norm.bias": np.full(32, -1, np.float32),
    }
    save(model.with_parameters(dead), place.folder / "dead.safetensors")
    assert "block3.depthwise gives nothing but zero" in error(
        place.folder / "dead.safetensors", "--calibration", strangers
    )


def test_dead_channels_are_counted_by_layer(mobilenets: RunCommand, place: Place) -> None:
    model = small_model()
    factor = model.parameters["block2.pointwise.batch_norm.weight"].copy()
    factor[[1, 4]] = 0
    save(model.with_parameters({**model.parameters, "block2.pointwise.batch_norm.weight": factor}), place.model)
    outcome = mobilenets("quantize", place.model, "--calibration", place.images, "--force", "-q", "--verbose")
    assert outcome.code == 0
    assert re.search(r"^block2.pointwise +pointwise +[\d.]+ +2 *$", outcome.out, re.MULTILINE)
