"""Models, Sessions and Classifiers in other processes: pickled, copied, spawned and forked."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.engine.session import Session
from mobilenets.model.file import load, save
from mobilenets.model.model import Model

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=7)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(np.random.default_rng(0), NETWORK)


def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def test_a_session_is_pickled_and_copied_with_its_settings(model: Model) -> None:
    batch = random_pixels(np.random.default_rng(2), NETWORK, 3)
    for session in (Session(model), Session(model, 3), Session(model, 1, tune=False)):
        for made in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session), copy.copy(session)):
            assert made.threads == session.threads
            assert np.array_equal(made.run(batch), session.run(batch))


def test_an_int8_session_is_pickled() -> None:
    rng = np.random.default_rng(3)
    session = Session(random_int8_model(rng, random_network(rng)), 2)
    batch = random_pixels(rng, session.model.network, 2)
    assert np.array_equal(pickle.loads(pickle.dumps(session)).run(batch), session.run(batch))


@pytest.mark.parametrize("kind", [Classifier, Predictor])
def test_a_classifier_of_a_file_is_pickled(model: Model, kind: type[Predictor], tmp_path: Path) -> None:
    save(model, tmp_path / "model.safetensors")
    predictor = kind(tmp_path / "model.safetensors", threads=2)
    content = pickle.dumps(predictor)
    (tmp_path / "model.safetensors").unlink()
    made = pickle.loads(content)
    assert type(made) is kind
    assert made.model is made.session.model, "the tensors are there once"
    assert len(content) < 1.2 * model.parameter_bytes + 20_000
    assert made.predict(pixels()) == predictor.predict(pixels())
    assert copy.deepcopy(predictor).predict(pixels()) == predictor.predict(pixels())


def test_a_session_without_a_number_of_threads_takes_those_of_its_new_home(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pickle.dumps(Session(model))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert pickle.loads(content).threads == 1


def label(classifier: Classifier) -> tuple[tuple[str, float], ...]:
    """Runs in another process."""
    return classifier.predict(pixels()).labels


def test_spawned_workers_take_a_classifier(model: Model) -> None:
    classifier = Classifier(model, threads=1)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(label, [classifier] * 3)) == [label(classifier)] * 3


@pytest.fixture
def running(model: Model) -> Iterator[Classifier]:
    """A classifier that other threads keep busy."""
    classifier, done = Classifier(model, threads=2), threading.Event()
    image = pixels()

    def run() -> None:
        while not done.is_set():
            list(classifier.predict_many([image] * 4))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield classifier
    done.set()
    for thread in threads:
        thread.join()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python warns of forks beside threads
def test_children_that_are_forked_while_threads_predict_do_not_hang(running: Classifier) -> None:
    expected = label(running)
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if label(running) == expected and len(list(running.predict_many([pixels()] * 5))) == 5 else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_of_a_data_loader_may_use_the_parents_session(model: Model) -> None:
    data = pytest.importorskip("torch.utils.data")
    session = Session(model, 2)
    batch = random_pixels(np.random.default_rng(2), NETWORK, 6)
    expected = session.run(batch)

    class Logits(data.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return len(batch)

        def __getitem__(self, index: int) -> np.ndarray:
            logits: np.ndarray = session.run(batch[index : index + 1])[0]
            return logits

    loader = data.DataLoader(Logits(), batch_size=3, num_workers=2, multiprocessing_context="fork")
    assert np.allclose(np.concatenate([np.asarray(part) for part in loader]), expected, atol=1e-4)


def test_a_loaded_model_is_pickled_whole(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    made = pickle.loads(pickle.dumps(loaded))
    assert made.network == loaded.network
    assert made.labels == loaded.labels
    assert all(np.array_equal(made.parameters[name], loaded.parameters[name]) for name in loaded.parameters)
