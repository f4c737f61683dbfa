"""What is trained beside each other on a Ray cluster is what one process trains, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.benchmark.comparison import compare
from mobilenets.errors import PlanningError
from mobilenets.model.file import save
from mobilenets.search.budget import Budget
from mobilenets.search.search import search
from mobilenets.training.cross_validation import cross_validate
from mobilenets.training.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mobilenets[ray]'"),
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters of several nodes on one machine need Unix"),
]

MODELS = ("mobilenet_v1@0.25", "mobilenet_v2@0.25")
TWO_NODES = """
import json
import sys

import ray
from ray.cluster_utils import Cluster

from mobilenets.base.progress import Progress
from mobilenets.benchmark.comparison import compare
from mobilenets.errors import EngineError
from mobilenets.search.budget import Budget
from mobilenets.search.search import search
from mobilenets.training.cross_validation import cross_validate
from mobilenets.training.settings import Settings


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


if __name__ == "__main__":
    images, weights, folder, *models = sys.argv[1:]
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    small, notes = Settings(resolution=32, epochs=1, threads=1, weights=None), Notes()
    compare(images, models, folder + "/compared", small, ray=True, progress=notes)
    searched = Settings(resolution=40, epochs=2, threads=1, batch_size=16, weights=weights)
    found = search(images, folder + "/found", Budget(max_macs=2_000_000), searched, precisions="float32", ray=True)
    folds = cross_validate(images, 2, Settings(width=0.25, resolution=32, epochs=1, threads=1, weights=None), ray=True)
    try:
        compare(images, models, folder + "/wide", Settings(epochs=1, threads=64, weights=None), ray=True)
    except EngineError as error:
        refusal = str(error)
    said = {"notes": notes.notes, "record": found.search.to_json(), "folds": folds.to_json(), "refusal": refusal}
    print(json.dumps(said))
    ray.shutdown()
    nodes.shutdown()
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Model that was trained for other classes."""
    path = tmp_path_factory.mktemp("weights") / "v1.safetensors"
    network = Specification("mobilenet_v1", 0.25, 64).network(classes=7)
    save(random_model(np.random.default_rng(0), network), path)
    return path


@pytest.fixture(scope="module")
def on_two_nodes(colours: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folders of what a cluster of two nodes of one core trained, and what was said."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", TWO_NODES, str(colours), str(weights), str(folder), *MODELS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def test_compared_networks_are_the_same_bits(
    on_two_nodes: tuple[Path, dict[str, Any]], colours: Path, tmp_path: Path
) -> None:
    folder, said = on_two_nodes
    compare(colours, MODELS, tmp_path / "here", Settings(resolution=32, epochs=1, threads=1, weights=None))
    for name in MODELS:
        here, there = (place / name / "model.safetensors" for place in (tmp_path / "here", folder / "compared"))
        assert there.read_bytes() == here.read_bytes(), name
    assert "a Ray cluster of 2 nodes: up to 2 trainings beside each other, of 1 thread each" in said["notes"]
    done = sorted(note.partition(",")[0] for note in said["notes"] if note.startswith("trained"))
    assert done == [f"trained: {name}" for name in MODELS]


def test_a_search_tries_chooses_and_trains_the_same(
    on_two_nodes: tuple[Path, dict[str, Any]], colours: Path, weights: Path, tmp_path: Path
) -> None:
    folder, said = on_two_nodes
    settings = Settings(resolution=40, epochs=2, threads=1, batch_size=16, weights=weights)
    found = search(colours, tmp_path / "here", Budget(max_macs=2_000_000), settings, precisions="float32")
    assert len([one for one in said["record"]["candidates"] if one["tuned_top1"] is not None]) >= 2
    assert said["record"] == json.loads(json.dumps(found.search.to_json()))
    assert (folder / "found/model.safetensors").read_bytes() == (tmp_path / "here/model.safetensors").read_bytes()


def test_folds_are_the_same(on_two_nodes: tuple[Path, dict[str, Any]], colours: Path) -> None:
    settings = Settings(width=0.25, resolution=32, epochs=1, threads=1, weights=None)
    assert on_two_nodes[1]["folds"] == json.loads(json.dumps(cross_validate(colours, 2, settings).to_json()))


def test_a_training_of_more_threads_than_a_node_has_cores_is_refused(
    on_two_nodes: tuple[Path, dict[str, Any]],
) -> None:
    assert on_two_nodes[1]["refusal"] == (
        "no node of the Ray cluster has 64 cores for a training of as many threads; the largest has 1: say how many "
        "threads it shall have (training_threads)"
    )


def test_what_is_one_training_is_refused(colours: Path) -> None:
    with pytest.raises(PlanningError, match="of a supernet that is trained from scratch there is one: leave ray out"):
        search(colours, None, Budget(max_macs=2_000_000), Settings(weights=None), ray=True)
