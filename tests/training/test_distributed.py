"""Training in several processes is training in one: the same steps, whoever computes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.support.distributed_training import (
    DETECTORS,
    OBJECTIVES,
    trained,
    trained_detector,
    trained_in_integers,
)
from tests.support.drawn_objects import drawn_objects, write_boxes
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.errors import TrainingError
from mobilenets.model.file import load, save
from mobilenets.training.distributed import Launch
from mobilenets.training.fit import fit
from mobilenets.training.run_folder import CHECKPOINT_FILE
from mobilenets.training.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed"),
    pytest.mark.skipif(sys.platform != "linux", reason="torchrun's processes are found by /proc"),
]


def torchrun(processes: int, *program: object, restarts: int = 0) -> list[str]:
    """A command that starts so many processes."""
    options = ["--standalone", "--nproc-per-node", str(processes), "--max-restarts", str(restarts)]
    return [sys.executable, "-m", "torch.distributed.run", *options, *map(str, program)]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1", **changes}


@pytest.fixture(scope="module")
def three_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What three processes found."""
    path = tmp_path_factory.mktemp("processes") / "found.json"
    command = torchrun(3, "-m", "tests.support.distributed_training", path)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_three_processes_take_the_steps_of_one_with_every_objective(three_processes: dict[str, Any]) -> None:
    found = three_processes
    for name, objective in [*((one, one) for one in OBJECTIVES), ("on three machines", "cross-entropy")]:
        alone = trained(objective)
        np.testing.assert_allclose(found[name]["losses"], alone["losses"], rtol=1e-8, err_msg=name)
        assert found[name]["right"] == alone["right"]
        for key, total in alone["sums"].items():
            np.testing.assert_allclose(found[name]["sums"][key], total, rtol=1e-5, atol=1e-7, err_msg=f"{name} {key}")


def test_three_processes_train_in_integers_as_one_does(three_processes: dict[str, Any]) -> None:
    # In float32: a value that lies between two integers may be rounded to the other.
    np.testing.assert_allclose(three_processes["in integers"], trained_in_integers(), rtol=1e-3)


def test_three_processes_take_the_steps_of_one_with_boxes(three_processes: dict[str, Any]) -> None:
    for name in DETECTORS:
        found, alone = three_processes[name], trained_detector(name)
        np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-8, err_msg=name)
        for key, total in alone["sums"].items():
            np.testing.assert_allclose(found["sums"][key], total, rtol=1e-5, atol=1e-7, err_msg=f"{name} {key}")


def test_one_process_leads_and_the_others_help_where_it_asks(three_processes: dict[str, Any]) -> None:
    led = {"alone": 1, "together": [3, 3], "failed": "first", "again": [3, 3]}
    assert three_processes["led"] == led
    assert three_processes["led to fail"] == "second"
    assert three_processes["same everywhere"]


def test_two_processes_find_the_network_of_a_budget(images: Path, tmp_path: Path) -> None:
    network = Specification("mobilenet_v1", 0.25, 64).network(classes=7)
    save(random_model(np.random.default_rng(0), network), tmp_path / "v1.safetensors")
    options = "--resolution 40 --epochs 1 --batch-size 16 --training-threads 1 --max-macs 2M --precision int8 --json"
    words = ["-m", "mobilenets", "fit", images, "-o", tmp_path / "run", *options.split()]
    command = torchrun(2, *words, "--weights", tmp_path / "v1.safetensors")
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["search"]["choice"]["macs"] <= 2e6
    assert len(found["search"]["candidates"]) >= 2
    assert load(tmp_path / "run/model.safetensors").quantization is not None
    assert (tmp_path / "run/report.html").exists()
    assert not list((tmp_path / "run").glob("*checkpoint*"))


def test_a_detector_that_one_process_began_is_finished_by_two_and_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, run = tmp_path / "boxes", tmp_path / "run"
    write_boxes(boxes, drawn_objects(24))
    options = (
        "--architecture ssdlite_mobilenet_v1@0.25-64 --weights none --epochs 3 --batch-size 5 --training-threads 1"
    )
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    settings = Settings(
        "ssdlite_mobilenet_v1@0.25-64", weights="none", epochs=3, batch_size=5, threads=1, validation_apart=True
    )
    with pytest.raises(KeyboardInterrupt):
        fit(boxes, run, settings, progress=Interruption(epoch=2))
    words = ["-m", "mobilenets", "fit", boxes, "-o", run, *options.split(), "--resume", "--int8", "--train-on", "cpu:2"]
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "in 2 processes where it was begun in 1: the result is as good, but not the same bits" in done.stderr
    assert len(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["epochs"]) == 3
    assert load(run / "model.safetensors").task.kind == "detection"
    assert not (run / CHECKPOINT_FILE).exists()


def workers_of(agent: int) -> list[int]:
    """Processes that torchrun has started."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(child) for child in children if b"mobilenets" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_worker_that_is_killed_is_started_again_and_the_run_goes_on(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(width=0.25, resolution=32, epochs=6, threads=1, weights=None)
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):  # begun by one process, so that two go on
        fit(colours, run, settings, progress=Interruption(epoch=2))
    checkpoint = run / CHECKPOINT_FILE
    before = checkpoint.stat().st_mtime_ns
    options = "--width 0.25 --resolution 32 --epochs 6 --training-threads 1 --weights none --resume"
    command = torchrun(2, "-m", "mobilenets", "fit", colours, "-o", run, *options.split(), restarts=2)
    process = subprocess.Popen(
        command,
        env=environment(MOBILENETS_CHECKPOINT_SECONDS="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < until:
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
            break
        time.sleep(0.005)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "in 2 processes where it was begun in 1: the result is as good, but not the same bits" in err
    assert out.count("validation top-1") == 1, "one process speaks"
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert [epoch["number"] for epoch in metrics["epochs"]] == list(range(1, 7))
    assert not checkpoint.exists()


def test_what_torchrun_says_is_read() -> None:
    said = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    said["TORCHELASTIC_RESTART_COUNT"] = "2"
    assert Launch.of(said) == Launch(rank=5, count=8, local_rank=1, local_count=4, restarts=2)
    assert Launch.of({}) == Launch()
    with pytest.raises(TrainingError, match="must be numbers, as torchrun sets them"):
        Launch.of({"RANK": "first"})
