"""``fit`` from a folder to a Model: what it writes, that it repeats itself, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import draw
from tests.support.interruption import Interruption
from tests.support.provenance import untyped
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.networks.mobilenet_v1 import TABLE_1, mobilenet_v1
from mobilenets.architecture.rescale import with_resolution
from mobilenets.data.augmentation import UNDISTORTED, Flip
from mobilenets.data.dataset import load_dataset
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import ArchitectureError, DataError, ModelFileError, TrainingError
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.classification import Classification, class_count
from mobilenets.tasks.unknown import UnknownThreshold
from mobilenets.training.fine_tuning import fine_tune
from mobilenets.training.fit import fit
from mobilenets.training.head import early_layers
from mobilenets.training.recipe import DEFAULT, PAPER, suited_to
from mobilenets.training.result import Fit
from mobilenets.training.run_folder import CHECKPOINT_FILE
from mobilenets.training.selection import Totals, Validation
from mobilenets.training.settings import Settings, fine_tuning_side, working_side

SMALL = Settings(width=0.25, resolution=32, epochs=4, threads=1, recipe=replace(DEFAULT, batch=16))


@pytest.fixture(scope="module")
def fitted(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fit, Path]:
    folder = tmp_path_factory.mktemp("fitted") / "new" / "folder"
    recipe = replace(DEFAULT, batch=8, learning_rate=0.03, mixup=0.0, cutmix=0.0, augmentation=UNDISTORTED)
    return fit(colours, folder, replace(SMALL, epochs=16, recipe=recipe)), folder


def test_colours_are_learnt(fitted: tuple[Fit, Path]) -> None:
    result, _ = fitted
    assert result.evaluation.primary.value >= 5 / 6
    assert result.history[-1].loss < result.history[0].loss


def test_it_writes_model_and_figures_and_nothing_else(fitted: tuple[Fit, Path]) -> None:
    result, folder = fitted
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "model.safetensors"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["top1"] == result.evaluation.primary.value
    assert [row["label"] for row in metrics["test"]["classes"]] == ["blue", "green", "red"]
    assert np.array(metrics["test"]["confusion"]).sum() == metrics["images"]["test"] == 6
    assert len(metrics["epochs"]) == 16
    assert untyped(result.model) == []


def test_the_model_on_disk_is_the_model_that_was_tested(fitted: tuple[Fit, Path]) -> None:
    result, folder = fitted
    model = load(folder / "model.safetensors")
    assert model.labels == ("blue", "green", "red")
    assert model.provenance["data"]["fingerprint"] == result.dataset.fingerprint
    assert model.provenance["metrics"]["test_top1"] == result.evaluation.primary.value
    again = evaluate(Classifier(model), result.dataset.test)
    assert again.to_json()["confusion"] == result.evaluation.to_json()["confusion"]


def test_the_model_has_the_temperature_of_the_epoch_that_was_kept(fitted: tuple[Fit, Path]) -> None:
    result, folder = fitted
    task = load(folder / "model.safetensors").task
    assert isinstance(task, Classification)
    assert task.temperature == result.history[result.best_epoch].validation_temperature != 1
    assert json.loads((folder / "metrics.json").read_text())["test"]["expected_calibration_error"] is not None


def test_the_same_seed_gives_the_same_file(colours: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(colours, tmp_path / name, replace(SMALL, epochs=2))
    fit(colours, tmp_path / "c", replace(SMALL, epochs=2, seed=1))
    first, again, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_the_papers_recipe_trains(colours: Path) -> None:
    result = fit(colours, None, replace(SMALL, epochs=2, recipe=replace(PAPER, batch=16)))
    assert result.model.provenance["recipe"]["optimizer"] == "rmsprop"
    assert np.isfinite(result.history[-1].loss)


def test_bfloat16_and_mixing_and_growth_train(colours: Path) -> None:
    recipe = replace(DEFAULT, batch=16, mixup=0.2, cutmix=1.0, dropout=0.1, growth=((0.5, 0.67), (0.5, 1.0)))
    result = fit(colours, None, replace(SMALL, resolution=96, epochs=2, precision="bfloat16", recipe=recipe))
    assert [epoch.resolution for epoch in result.history] == [64, 96]


def test_how_long_to_train_is_decided_from_the_data(colours: Path) -> None:
    recipe = replace(DEFAULT, batch=16, samples_seen=48 * 64)
    result = fit(colours, None, replace(SMALL, epochs=None, recipe=recipe))
    assert len(result.history) == 12  # 64 · (32 / 128) ** 1.25 = 11.3


def test_a_name_may_say_width_and_resolution_and_other_architectures_train(colours: Path) -> None:
    settings = replace(SMALL, width=None, resolution=None, architecture="squeezenet@0.25-33", epochs=1)
    model = fit(colours, None, settings).model
    assert (model.network.name, model.network.width_multiplier, model.network.height) == ("squeezenet", 0.25, 33)
    tuned = fit(
        colours,
        None,
        replace(settings, architecture=None, weights=replace(model, task=Classification(tuple("abc")))),
    )
    assert tuned.model.network == with_resolution(model.network, 80, 80)
    assert tuned.model.labels == ("blue", "green", "red")


@pytest.mark.parametrize("architecture", ["alexnet@0.05-75", "vgg16@0.05-96"])
def test_images_do_not_grow_where_a_linear_layer_reads_a_whole_map(colours: Path, architecture: str) -> None:
    recipe = replace(DEFAULT, batch=16, growth=((0.5, 0.5), (0.5, 1.0)))
    settings = Settings(architecture=architecture, width=None, epochs=2, threads=1, recipe=recipe)
    assert len({epoch.resolution for epoch in fit(colours, None, settings).history}) == 1


def test_broken_images_are_skipped_and_named(colours: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for image in colours.rglob("*.png"):
        target = data / image.parent.name / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(image.read_bytes())
    (data / "red" / "broken.png").write_bytes((data / "red" / "1.png").read_bytes()[:100])
    (data / "red" / "empty.png").write_bytes(b"")
    result = fit(data, None, replace(SMALL, epochs=1))
    assert sum(len(result.dataset.part(name)) for name in ("train", "validation", "test")) >= 60


# Starting from another Model ------------------------------------------------------------------------------------------


def starting_model(labels: tuple[str, ...], width: float = 0.25) -> Model:
    rng = np.random.default_rng(0)
    model = random_model(rng, mobilenet_v1(width_multiplier=width, resolution=32, classes=len(labels)))
    return replace(model, task=Classification(labels))


def test_other_classes_get_a_classifier_on_frozen_features_first(colours: Path) -> None:
    start = starting_model(("cat", "dog"))
    settings = replace(SMALL, width=None, resolution=None, epochs=2, validation_apart=True)
    seen: list[tuple[Model, Totals]] = []

    def first(model: Model, score: Totals) -> None:
        seen.append((model, score))

    dataset = load_dataset(colours)
    begun = replace(start, network=with_resolution(start.network, 64, 64))
    fine_tune(begun, dataset, settings, first=first)
    ((model, score),) = seen
    assert model.labels == ("blue", "green", "red")
    assert model.preprocessing == replace(start.preprocessing, crop_fraction=1.0)  # as trained from scratch
    assert score.primary == evaluate(Classifier(model), dataset.validation).top1
    for name, values in start.parameters.items():
        if not name.startswith("classifier."):
            np.testing.assert_array_equal(model.parameters[name], values)


def test_the_first_usable_model_is_written_and_said_before_training(colours: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, width=None, resolution=None, epochs=2, weights=starting_model(("cat", "dog")))
    with pytest.raises(KeyboardInterrupt):
        fit(colours, tmp_path, settings, progress=Interruption(epoch=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT_FILE, "model.safetensors"]
    assert load(tmp_path / "model.safetensors").labels == ("blue", "green", "red")
    with pytest.raises(TrainingError, match="holds an unfinished run"):
        fit(colours, tmp_path, settings)
    whole = fit(colours, None, settings)
    resumed = fit(colours, tmp_path, settings, resume=True)
    assert resumed.history == whole.history
    for name, values in whole.model.parameters.items():
        np.testing.assert_array_equal(resumed.model.parameters[name], values)


STILL = replace(DEFAULT, batch=16, learning_rate=1e-9)
"""A recipe by which weights stay what they are."""


@pytest.mark.parametrize(("epochs", "zeros"), [(13, False), (14, True)])
def test_an_output_layer_of_zeros_is_trained_if_there_are_steps_enough(colours: Path, epochs: int, zeros: bool) -> None:
    settings = replace(SMALL, width=None, resolution=None, epochs=epochs, recipe=STILL)
    result = fit(colours, None, replace(settings, weights=starting_model(("cat", "dog"))))
    assert (np.abs(result.model.parameters["classifier.weight"]).max() < 1e-5) == zeros


def test_a_wide_network_is_fine_tuned_in_smaller_steps(colours: Path) -> None:
    def rate(width: float) -> float:
        start = starting_model(("cat", "dog"), width)
        settings = replace(SMALL, width=None, resolution=None, epochs=1, weights=start)
        return max(epoch.learning_rate for epoch in fit(colours, None, settings).history)

    assert rate(0.5) == pytest.approx(0.515 * rate(0.25), rel=0.01)


def test_the_first_usable_model_is_kept_where_time_was_over_too_early(colours: Path) -> None:
    settings = replace(SMALL, width=None, resolution=None, epochs=2000, recipe=STILL, time=0.1)
    result = fit(colours, None, replace(settings, weights=starting_model(("cat", "dog"))))
    assert len(result.history) < 14
    assert result.best_epoch == -1
    assert result.evaluation.primary.value > 1 / 3


def test_the_first_usable_model_is_kept_where_few_steps_made_it_worse(colours: Path) -> None:
    settings = replace(SMALL, width=None, resolution=None, recipe=replace(STILL, learning_rate=0.5))
    result = fit(colours, None, replace(settings, weights=starting_model(("cat", "dog"))))
    assert len(result.history) == 4
    assert result.best_epoch == -1
    assert Provenance.of(result.model).training.validation_joined is None
    assert result.evaluation.primary.value > 1 / 3


@pytest.mark.parametrize(("architecture", "last"), [("alexnet", "convolution1"), ("vgg16", "convolution3_3")])
def test_early_layers_of_any_architecture(architecture: str, last: str) -> None:
    network = Specification.parse(architecture).network()
    assert early_layers(network, 4)[-1] == last
    assert early_layers(network, 0) == ()


def test_the_same_classes_keep_their_head(colours: Path, tmp_path: Path) -> None:
    start = starting_model(("blue", "green", "red"))
    save(start, tmp_path / "start.safetensors")
    settings = replace(SMALL, width=None, resolution=None, epochs=1, weights=tmp_path / "start.safetensors")
    result = fit(colours, None, settings)
    difference = result.model.parameters["classifier.weight"] - start.parameters["classifier.weight"]
    assert 0 < np.abs(difference).max() < 0.05


def test_weights_of_another_width_are_refused(colours: Path) -> None:
    with pytest.raises(TrainingError, match=r"network of width 0\.25; width 0\.5 was asked"):
        fit(colours, None, replace(SMALL, weights=starting_model(("a", "b")), width=0.5, resolution=None))


def test_weights_of_one_resolution_go_on_at_another(colours: Path) -> None:
    start = starting_model(("blue", "green", "red"))
    result = fit(colours, None, replace(SMALL, width=None, resolution=48, epochs=1, weights=start))
    assert result.model.network == mobilenet_v1(width_multiplier=0.25, resolution=48, classes=3)
    difference = result.model.parameters["classifier.weight"] - start.parameters["classifier.weight"]
    assert 0 < np.abs(difference).max() < 0.05


@pytest.mark.parametrize(
    ("images", "trained", "used"), [(250, 176, 208), (150, 144, 176), (128, 128, 144), (100, 96, 112), (30, 64, 80)]
)
def test_a_network_is_trained_at_the_size_of_the_images_and_used_a_little_larger(
    images: int, trained: int, used: int
) -> None:
    for own in (128, 224):
        network = mobilenet_v1(width_multiplier=0.05, resolution=own, classes=3)
        assert working_side(network, images) == used
        assert fine_tuning_side(network, used) == trained


def test_a_network_of_one_size_is_trained_at_that() -> None:
    network = Specification.parse("alexnet@0.05-227").network()
    assert working_side(network, 100) == fine_tuning_side(network, 227) == 227


def test_weights_learn_from_images_of_their_own_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    start = random_model(rng, mobilenet_v1(width_multiplier=0.05, resolution=224, classes=2))
    data = draw(tmp_path, 10, 100, 90)
    result = fit(data, None, replace(SMALL, width=None, resolution=None, epochs=1, weights=start))
    assert [epoch.resolution for epoch in result.history] == [80]
    assert (result.model.network.height, result.model.network.width) == (96, 96)


def test_validation_images_are_trained_on_in_the_last_third(
    fitted: tuple[Fit, Path], colours: Path, tmp_path: Path
) -> None:
    start = replace(fitted[0].model, task=Classification(tuple("abc")))
    recipe = replace(DEFAULT, batch=16, learning_rate=1e-4)
    settings = replace(SMALL, width=None, epochs=3, weights=start, recipe=recipe)
    result = fit(colours, tmp_path, settings)
    assert [epoch.validation_primary is None for epoch in result.history] == [False, False, True]
    assert result.best_epoch == 2
    assert result.model.provenance["validation_joined"] == 3
    assert result.model.provenance["metrics"]["validation_top1"] == result.history[1].validation_primary
    apart = fit(colours, None, replace(settings, validation_apart=True))
    assert None not in [epoch.validation_primary for epoch in apart.history]
    assert Provenance.of(apart.model).training.validation_joined is None


def test_images_that_were_trained_on_set_no_threshold_of_unknown_images(tmp_path: Path) -> None:
    folder = draw(tmp_path, 40, 36, 40)
    settings = replace(SMALL, width=None, resolution=None, epochs=9, weights=starting_model(("cat", "dog")))
    result = fit(folder, None, settings)
    assert [epoch.validation_energy is None for epoch in result.history] == 6 * [False] + 3 * [True]
    task = result.model.task
    assert isinstance(task, Classification)
    assert task.unknown == UnknownThreshold(result.history[5].validation_energy or 0, 12)
    assert task.temperature == result.history[5].validation_temperature


def test_they_stay_apart_from_a_run_that_went_wrong(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([Totals(1.0, 0.5, 12), Totals(0.1, 2.0, 12), Totals(0.2, 2.0, 12)])
    monkeypatch.setattr(Validation, "__call__", lambda *_: next(scores))
    settings = replace(SMALL, width=None, resolution=None, epochs=3, weights=starting_model(("cat", "dog")))
    result = fit(colours, None, settings)
    assert [epoch.validation_primary for epoch in result.history] == [1.0, 0.1, 0.2]
    assert result.best_epoch == 0
    assert Provenance.of(result.model).training.validation_joined is None


def test_a_single_epoch_does_not_see_the_validation_images(colours: Path) -> None:
    settings = replace(SMALL, width=None, resolution=None, epochs=1, weights=starting_model(("cat", "dog")))
    assert fit(colours, None, settings).history[0].validation_primary is not None


def test_weights_of_another_task_are_refused(colours: Path) -> None:
    rng = np.random.default_rng(0)
    settings = replace(SMALL, width=None, resolution=None)
    classifier = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    several = replace(classifier, outputs=("classifier", "block3.pointwise"))
    with pytest.raises(TrainingError, match="has 2 outputs"):
        fit(colours, None, replace(settings, weights=random_model(rng, several)))
    with pytest.raises(ModelFileError, match="does not exist"):
        fit(colours, None, replace(settings, weights="missing.safetensors"))


# What cannot be trained -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"width": 0.0}, TrainingError, "width must be from 0.01 to 2, not 0"),
        ({"width": float("nan")}, TrainingError, "width must be"),
        ({"resolution": 16}, ArchitectureError, "resolution must be at least 32 pixels, not 16"),
        ({"epochs": 0}, TrainingError, "epochs must be at least 1, not 0"),
        ({"epochs": 1.5}, TrainingError, "epochs must be an integer, not 1.5"),
        ({"threads": 0}, TrainingError, "threads must be from 1 to 256"),
        ({"seed": 1.5}, TrainingError, "seed must be an integer, not 1.5"),
        ({"threads": "2"}, TrainingError, "threads must be an integer, not '2'"),
        ({"flip": "bogus"}, TrainingError, "no flip is called 'bogus'; known are none, horizontal, any"),
        ({"architecture": "mobilenet_v9"}, ArchitectureError, "did you mean mobilenet_v"),
        ({"recipe": "papper"}, TrainingError, "did you mean paper"),
        ({"device": "abacus"}, TrainingError, "no device is called 'abacus'"),
        ({"precision": "float8"}, TrainingError, "no precision is called 'float8'"),
    ],
)
def test_settings_that_make_no_sense(
    colours: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(colours, tmp_path / "out", replace(SMALL, **changes))


def test_a_flip_may_be_given_as_text() -> None:
    text: Any = "none"
    settings = Settings(flip=text)
    assert settings.flip is Flip.NONE
    assert suited_to(DEFAULT, ("glass", "paper"), settings.flip).augmentation.flip is Flip.NONE


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "data" / "only").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(tmp_path / "data" / "only" / "a.png")
    with pytest.raises(DataError, match="one class only"):
        fit(tmp_path / "data", None, SMALL)


def test_training_that_diverges_says_so(colours: Path) -> None:
    recipe = replace(DEFAULT, batch=16, learning_rate=1e30, warmup=0.0)
    with pytest.raises(TrainingError, match="training diverged; try a learning rate below"):
        fit(colours, None, replace(SMALL, recipe=recipe, epochs=20))


# Where the result cannot be written -----------------------------------------------------------------------------------


def test_a_file_where_the_folder_should_be(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(TrainingError, match="is a file; the output must be a folder"):
        fit(colours, tmp_path / "out", SMALL)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_that_cannot_be_written_to(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # a superuser may write anywhere

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

        monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(TrainingError, match="cannot be written to: Permission denied"):
        fit(colours, folder, SMALL)


def test_a_disk_that_fills_up_loses_nothing(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SMALL, epochs=2)
    expected = fit(colours, None, settings).model
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    real, calls = os.fsync, [0]

    def full(handle: int) -> None:
        calls[0] += 1
        if calls[0] > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors cannot be written: No space left on device"):
        fit(colours, tmp_path, settings)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    monkeypatch.setattr(os, "fsync", real)
    resumed = fit(colours, tmp_path, settings, resume=True).model
    for name, values in expected.parameters.items():
        np.testing.assert_array_equal(resumed.parameters[name], values)


def test_nothing_is_overwritten_unasked(fitted: tuple[Fit, Path], colours: Path) -> None:
    _, folder = fitted
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="holds a Model already"):
        fit(colours, folder, SMALL)
    with pytest.raises(TrainingError, match="there is nothing to resume"):
        fit(colours, folder, SMALL, resume=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_network_of_ones_own_is_trained(colours: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.5, resolution=64, classes=1000, rows=TABLE_1[:6])
    found = fit(colours, settings=replace(SMALL, architecture=network, width=0.25, epochs=1)).model
    assert class_count(found.network) == 3
    assert (found.network.width_multiplier, found.network.height) == (0.25, 32)
    assert len(found.network.layers) == len(network.layers)
    own = fit(colours, settings=replace(SMALL, architecture=network, width=None, resolution=None, epochs=1)).model
    assert (own.network.width_multiplier, own.network.height) == (0.5, 64)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architecture": mobilenet_v1}, "architecture"),
        ({"architecture": 3}, "architecture"),
        ({"architecture": mobilenet_v1(), "batch_norm": True}, "a Network has the layers that it has"),
        ({"architecture": replace(mobilenet_v1(), channels=2)}, "takes 2 channels; images have 3, or 1 in grey"),
        ({"architecture": mobilenet_v1(width_multiplier=0.25), "width": 0.5}, "0.5"),
    ],
)
def test_architectures_that_cannot_be_trained_are_refused_before_anything_is_read(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises((TrainingError, ArchitectureError), match=message):
        fit("nowhere", settings=replace(SMALL, **({"width": None} | changed)))
