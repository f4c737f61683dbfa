"""Ctrl-C in the phases of ``mobilenets fit``, in a process of its own: what is said, what is left, how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import RunCommand
from tests.conftest import ROOT
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.model.file import load, save

WORDS = ("--resolution", "40", "--epochs", "2", "--training-threads", "1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two Models that were trained for other classes."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, width in enumerate((0.25, 0.375)):
        network = Specification("mobilenet_v1", width, 64).network(classes=7)
        save(random_model(np.random.default_rng(seed), network), folder / f"{width}.safetensors")
    return folder


def interrupted(words: list[str], line: str) -> tuple[int, list[str]]:
    """Send SIGINT when a command prints a line that holds some words; its exit code, and all lines after that one."""
    command = [sys.executable, "-c", "from mobilenets.cli.main import main; main()", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MOBILENETS_CHECKPOINT_SECONDS": "0"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        seen: list[str] = []
        for text in process.stdout:
            if line in text:
                process.send_signal(signal.SIGINT)
                return_lines = [one.rstrip() for one in process.stdout]
                return process.wait(), return_lines
            seen.append(text)
    raise AssertionError(f"{line!r} was not printed in {''.join(seen)}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("within the budget to be told apart", "no Model of this run is written yet; the same command begins anew"),
        (
            "shortly, 2 of",
            "model.safetensors is the first usable Model. The same command goes on from here with --resume",
        ),
        ("are written", "are finished. What is left to do: mobilenets report"),
    ],
)
def test_ctrl_c_ends_a_search_with_what_there_is_and_the_way_to_go_on(
    line: str, said: str, images: Path, weights: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    search = ["fit", str(images), "-o", str(run), "--weights", str(weights), "--max-macs", "3M", *WORDS]
    code, lines = interrupted(search, line)
    assert code == 130
    assert any(said in one for one in lines)
    assert lines[-1] == "interrupted"
    assert not any("Traceback" in one for one in lines)
    if "first usable" in said:
        assert load(run / "model.safetensors").labels == ("blue", "green", "red")
        done = subprocess.run(
            [sys.executable, "-c", "from mobilenets.cli.main import main; main()", *search, "--resume", "--time", "1s"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(run.glob("*checkpoint*")) == []


def test_a_folder_of_several_weights_is_for_a_budget(
    images: Path, weights: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("fit", images, "-o", tmp_path / "run", "--weights", weights)
    assert outcome.code == 1
    assert "holds 2 files of weights: name one of them, such as --weights " in outcome.err
    assert "0.25.safetensors; a run within a budget takes the folder, and compares them" in outcome.err
    assert not (tmp_path / "run").exists()
