"""What ``fit`` begins from, where nobody says: weights of the cache; the reason is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import draw, shared

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.errors import TrainingError
from mobilenets.formats.carried_weights import put_weights
from mobilenets.model.provenance import Provenance
from mobilenets.training.fit import fit
from mobilenets.training.recipe import DEFAULT, PAPER
from mobilenets.training.settings import Settings
from mobilenets.training.start import choose_start


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        yield ProgressTask()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(draw(tmp_path_factory.mktemp("large"), 8, 80, 70))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(cache: Path) -> None:
    folder = shared("weights")
    put_weights("keras:0.25-224", folder / "mobilenet_v1_0.25_224.h5")
    put_weights("coral:0.5-160", folder / "mobilenet_v1_0.5_160_quant.tflite")


@pytest.mark.usefixtures("weights")
def test_the_most_accurate_weights_of_the_cache_are_begun_from(dataset: Dataset) -> None:
    notes = Notes()
    start = choose_start(Settings(), dataset, DEFAULT, progress=notes)
    assert start.model is not None
    network = start.model.network
    assert (start.name, network.width_multiplier, network.height) == ("coral:0.5-160", 0.5, 80)
    assert start.model.precision == "float32"
    assert notes.notes == [
        "begins from coral:0.5-160 (in the cache): the most accurate of 2 networks; weights='none' trains from scratch"
    ]


@pytest.mark.usefixtures("weights")
def test_width_architecture_and_resolution_are_kept_to(dataset: Dataset) -> None:
    narrow = choose_start(Settings(width=0.25, resolution=96), dataset, DEFAULT)
    assert narrow.model is not None
    assert (narrow.name, narrow.model.network.height) == ("keras:0.25-224", 96)
    other = choose_start(Settings(architecture="mobilenet_v2"), dataset, DEFAULT)
    assert other.model is None
    with pytest.raises(TrainingError, match=r"are of a mobilenet_v1, and the architecture mobilenet_v2 was asked for"):
        choose_start(Settings("mobilenet_v2", weights="keras:0.25-224"), dataset, DEFAULT)
    with pytest.raises(TrainingError, match=r"are of a network of 3 channels; 1 was asked for"):
        choose_start(Settings(channels=1, weights="keras:0.25-224"), dataset, DEFAULT)
    with pytest.raises(TrainingError, match=r"width 0\.25; width 0\.5 was asked"):
        choose_start(Settings(weights="keras:0.25-224", width=0.5), dataset, DEFAULT)


@pytest.mark.usefixtures("cache")
def test_where_none_can_be_had_one_line_says_so_and_training_is_from_scratch(dataset: Dataset) -> None:
    notes = Notes()
    settings = Settings(width=0.25, resolution=32, epochs=1, threads=1)
    result = fit(dataset, None, settings, progress=notes)
    (line,) = (one for one in notes.notes if "scratch" in one)
    assert line.startswith("trains from scratch: no published weights are in the cache, and ")
    assert "MOBILENETS_OFFLINE" in line
    same = fit(dataset, None, replace(settings, weights="none"))
    assert Provenance.of(same.model).training.weights is None
    for name, values in result.model.parameters.items():
        assert (values == same.model.parameters[name]).all()


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(channels=1), "grey"),
        (Settings(recipe=PAPER), "the paper's recipe"),
        (Settings(architecture=mobilenet_v1(width_multiplier=0.25)), "one of your own"),
        (Settings(architecture="squeezenet"), "nobody has published weights of squeezenet"),
    ],
)
def test_what_published_weights_do_not_fit_is_trained_from_scratch(
    dataset: Dataset, settings: Settings, reason: str
) -> None:
    recipe = settings.recipe if not isinstance(settings.recipe, str) else DEFAULT
    start = choose_start(settings, dataset, recipe)
    assert start.model is None
    assert reason in start.reason


@pytest.mark.usefixtures("weights")
def test_width_and_resolution_in_the_name_of_the_architecture_are_kept_to(dataset: Dataset) -> None:
    result = fit(dataset, None, Settings("mobilenet_v1@0.25-64", epochs=1, threads=1))
    network = result.model.network
    assert (network.width_multiplier, network.height, network.width) == (0.25, 64, 64)
    assert Provenance.of(result.model).training.weights == "keras:0.25-224"


@pytest.mark.usefixtures("weights")
def test_the_model_says_what_it_began_from(dataset: Dataset) -> None:
    result = fit(dataset, None, Settings(width=0.25, epochs=1, threads=1))
    assert Provenance.of(result.model).training.weights == "keras:0.25-224"
    limited = fit(dataset, None, Settings(width=0.25, time=0.5, threads=1))
    assert result.model.network == limited.model.network


@pytest.mark.parametrize("time", [0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(time: float) -> None:
    with pytest.raises(TrainingError, match="time must be"):
        Settings(time=time)
