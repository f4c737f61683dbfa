"""Bulk prediction on a Ray cluster of two nodes, which run on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.support.image_folders import write_images
from tests.support.random_models import random_model

from mobilenets import mobilenet_v1, predict_to_file
from mobilenets.model.file import save

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mobilenets[ray]'"),
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters of several nodes on one machine need Unix"),
]

PROGRAM = """
import sys
from contextlib import contextmanager

import ray
from ray.cluster_utils import Cluster

from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.engine.bulk import cluster, prediction

cluster.BLOCK = 4
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
other = nodes.add_node(num_cpus=1)
ray.init(address=nodes.address, log_to_driver=False)


class Killing(Progress, ProgressTask):
    rows = 0

    @contextmanager
    def task(self, description, total, unit=""):
        yield self

    def advance(self, steps=1, **figures):
        self.rows += 1
        if self.rows == 40:
            nodes.remove_node(other, allow_graceful=False)


if __name__ == "__main__":
    assert len(ray.nodes()) == 2
    done = prediction.predict_to_file(*sys.argv[1:], ray=True, progress=Killing())
    alive = [node for node in ray.nodes() if node["Alive"]]
    print(done.images, done.failed, len(alive))
    ray.shutdown()
    nodes.shutdown()
"""


def test_every_image_has_one_row_where_a_node_is_lost_midway(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    saved, folder = tmp_path / "model.safetensors", tmp_path / "photos"
    save(model, saved)
    images = write_images(folder, 400)
    images[123].write_bytes(b"")
    predict_to_file(model, folder, tmp_path / "here.csv")
    command = [sys.executable, "-c", PROGRAM, str(saved), str(folder), str(tmp_path / "there.csv")]
    # Workers of Ray give way to everything else on the machine unless told otherwise.
    environment = {**os.environ, "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "400 1 1"
    assert "streaming_executor" not in done.stderr + done.stdout, "Ray Data says nothing on the terminal"
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
