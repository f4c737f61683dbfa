"""``mobilenets fit --train-on cpu:2``: several processes from one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import RunCommand
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--train-on", "cpu:all"], 1, "cpu:2 starts two processes"),
        (["--ray"], 2, "--ray trains several networks beside each other: give a budget or --cross-validate"),
        (["--train-on", "cpu:0"], 1, "no device is called 'cpu:0'"),
    ],
)
def test_what_several_processes_do_not_do_is_said_at_once(
    colours: Path, tmp_path: Path, mobilenets: RunCommand, arguments: list[str], code: int, message: str
) -> None:
    found = mobilenets("fit", colours, "-o", tmp_path / "run", *arguments)
    assert (found.code, (tmp_path / "run").exists()) == (code, False)
    assert message in " ".join(found.err.split())


def test_more_gpus_than_there_are_is_an_error(
    colours: Path, tmp_path: Path, mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    refused = mobilenets("fit", colours, "--train-on", "cuda:all").err
    assert "cuda:all needs GPUs, and PyTorch finds none here; cpu:2 trains in two processes without" in refused
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "cuda:3 needs 3 GPUs, and PyTorch finds 2 here" in mobilenets("fit", colours, "--train-on", "cuda:3").err


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
def test_one_command_starts_two_processes_and_one_of_them_speaks(colours: Path, tmp_path: Path) -> None:
    options = "--train-on cpu:2 --width 0.25 --resolution 32 --epochs 1 --weights none --training-threads 1 --json"
    done = subprocess.run(
        [sys.executable, "-m", "mobilenets", "fit", str(colours), "-o", str(tmp_path / "run"), *options.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["best_epoch"] == 1
    assert (tmp_path / "run" / "report.html").exists()
