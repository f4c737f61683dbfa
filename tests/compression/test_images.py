"""Which images calibrate, evaluate and train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.support.quantization import Place, make_place, small_model

from mobilenets.compression.images import choose_images
from mobilenets.data.dataset import load_dataset
from mobilenets.data.subset import UNKNOWN


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


def test_images_train_with_the_classes_that_are_known(place: Place) -> None:
    extra = place.folder / "extra"
    extra.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (40, 40)).save(extra / f"{name}.png")
    labeled = str(place.images)
    chosen = choose_images(small_model(), extra, labeled, 2, trains=True)
    assert (len(chosen.evaluation), len(chosen.training)) == (12, 14)
    for image, target in zip(chosen.training.images, chosen.training.targets.tolist(), strict=True):
        folder = Path(image.name).parent.name
        assert target == (UNKNOWN if folder in ("", "extra") else int(folder)), image.name
    alike = choose_images(small_model(), labeled, labeled, 8, trains=True)  # labels of the same files are known
    assert (alike.training.targets != UNKNOWN).all()
    alone = choose_images(small_model(), labeled, None, 8, trains=True)
    assert (alone.training.targets == UNKNOWN).all()


def test_a_table_calibrates_with_the_images_that_it_names(place: Place, tmp_path: Path) -> None:
    named = sorted(place.images.rglob("*.*"))[:6]
    table = tmp_path / "calibration.csv"
    table.write_text("file,class\n" + "".join(f"{path},{n % 2}\n" for n, path in enumerate(named) if path.is_file()))
    chosen = choose_images(small_model(), table, None, 64, trains=False)
    assert {Path(image.name) for image in chosen.calibration.images} == {path for path in named if path.is_file()}


@pytest.mark.parametrize("joined", [None, 3])
def test_validation_and_test_images_of_a_fitted_model_do_not_calibrate(place: Place, joined: int | None) -> None:
    dataset = load_dataset(place.images)
    data = {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": 0}
    model = replace(small_model(), provenance={"data": data, "validation_joined": joined})
    chosen = choose_images(model, place.images, place.images, 24, trains=False)
    assert {one.name for one in chosen.calibration.images} == {one.name for one in dataset.train.images}
    assert len(chosen.evaluation) == len(dataset.validation) > 0
    assert not chosen.calibration_overlap
    assert chosen.trained_on is (joined is not None)


def test_the_training_images_of_a_dataset_calibrate_by_default(place: Place) -> None:
    dataset = load_dataset(place.images)
    chosen = choose_images(small_model(), None, dataset, 10, trains=True)
    names = [image.name for image in dataset.train.images]
    assert len(chosen.calibration) == 10
    assert [image.name for image in chosen.calibration.images] == [
        name for name in names if name in {image.name for image in chosen.calibration.images}
    ]
    assert [image.name for image in chosen.training.images] == names
    assert {image.name for image in chosen.evaluation.images} == {image.name for image in dataset.validation.images}
    other = choose_images(small_model(), place.images / "0", dataset, 4, trains=False)
    assert {Path(image.name).parent.name for image in other.calibration.images} == {"0"}


def test_data_free_quantization_has_no_calibration_images(place: Place) -> None:
    chosen = choose_images(small_model(), None, place.images, 0, trains=False)
    assert len(chosen.calibration) == 0
    assert len(chosen.evaluation) == 24
    assert not chosen.calibration_overlap


def test_the_bundled_digits_calibrate_too() -> None:
    chosen = choose_images(small_model(), "digits", None, 8, trains=False)
    assert len(chosen.calibration) == 8
    assert all(image.name.startswith("digits/") for image in chosen.calibration.images)
