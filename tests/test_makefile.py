"""What ``make`` would install, without installing it: PyTorch's build for processors where there is no NVIDIA GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import ROOT

CPU_BUILDS = "--extra-index-url https://download.pytorch.org/whl/cpu"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def commands(folder: Path, *, system: str, gpu: bool, variables: tuple[str, ...] = ("ANSWERS=true",)) -> str:
    """What ``make demo`` would run on a machine, which has an environment of its own in the folder."""
    programs = folder / "programs"
    programs.mkdir()
    for name, line in {"uname": f"echo {system}", **({"nvidia-smi": "true"} if gpu else {})}.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    for name in ("sh", "python3"):
        (programs / name).symlink_to(shutil.which(name) or name)
    words = [str(shutil.which("make")), "-n", "demo", f"VENV={folder / 'environment'}", *variables]
    environment = {**os.environ, "PATH": str(programs)}
    environment.pop("PIP_FLAGS", None)
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_machine_without_an_nvidia_gpu_gets_the_build_for_processors(tmp_path: Path) -> None:
    assert CPU_BUILDS in commands(tmp_path, system="Linux", gpu=False)


@pytest.mark.parametrize(
    ("system", "gpu", "variables"),
    [
        ("Linux", True, ("ANSWERS=true",)),
        ("Darwin", False, ("ANSWERS=true",)),
        ("Linux", False, ("ANSWERS=false",)),
        ("Linux", False, ("ANSWERS=python3 -c 'raise OSError(1)'",)),  # what it says is no flag
        ("Linux", False, ("ANSWERS=true", "PIP_FLAGS=--quiet")),
    ],
)
def test_other_machines_get_what_pip_is_set_up_for(
    system: str, gpu: bool, variables: tuple[str, ...], tmp_path: Path
) -> None:
    printed = commands(tmp_path, system=system, gpu=gpu, variables=variables)
    assert "pip install" in printed
    assert CPU_BUILDS not in printed
    assert "OSError" not in printed
