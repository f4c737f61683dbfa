"""Builds of the native half for tests, kept in build/ so that the second run is quick."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

fcntl = pytest.importorskip("fcntl", reason="native tests lock their build folders as POSIX systems do")

SEARCHED = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""Where programs are looked for: CMake and Ninja come with the environment that runs the tests."""

VARIABLE = "MOBILENETS_NATIVE_TESTS"
"""Set to have the native half built in other ways and tested in each: minutes of compiling."""


NATIVE_ONLY = ("-DMOBILENETS_PYTHON=OFF", "-DMOBILENETS_TESTS=ON")

OPTIMIZED = (*NATIVE_ONLY, "-DCMAKE_CXX_COMPILER=g++")
"""The native half as it is shipped; every test of it is given the same, so that it is compiled once."""


def require_compilers(*programs: str) -> None:
    """Skip the test where it was not asked for, or a program that it needs is not installed."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"compiles for minutes; set {VARIABLE}=1 to run it")
    require_programs(*programs)


def require_programs(*programs: str) -> None:
    """Skip the test where CMake, Ninja or another program that it needs is not installed."""
    for program in ("cmake", "ninja", *programs):
        if shutil.which(program, path=SEARCHED) is None:
            pytest.skip(f"{program} is not installed")


def build(name: str, target: str, *options: str) -> Path:
    """Configure and build one target, while other processes that run tests wait.

    Args:
        name: Folder under build/.
        target: CMake target.
        options: Given to CMake.

    Returns:
        The build folder.
    """
    folder = ROOT / "build" / name
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run([*configure, *options])
        run(["cmake", "--build", str(folder), "--target", target])
    return folder


def run(command: list[str], **environment: str) -> str:
    """Output of a command; the test fails with all of it if the command does."""
    result = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PATH": SEARCHED} | environment,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(command)}:\n{result.stdout[-4000:]}"
    return result.stdout
