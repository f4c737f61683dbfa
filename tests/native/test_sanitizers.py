"""The native half under sanitizers: kernels, whole Sessions over random networks, and the threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.native.build import build, require_compilers, run

COMPILER = ("-DCMAKE_CXX_COMPILER=g++", "-DCMAKE_CXX_FLAGS_RELEASE=-O0")
"""Bounds are the same at every level of optimisation, and this one compiles in a third of the time."""


def test_kernels_and_sessions_over_random_networks_stay_in_bounds() -> None:
    require_compilers("g++")
    options = ("-DMOBILENETS_TESTS=ON", "-DMOBILENETS_SANITIZE=address,undefined", *COMPILER)
    folder = build("asan", "kernels_test", *options)
    printed = run([str(folder / "kernels_test"), "", "25"])
    assert "FAILED" not in printed
    assert "portable" in printed
    build("asan", "_native", *options)
    library = next(folder.glob("_native*"))
    preloaded = " ".join(_library(name) for name in ("libasan.so", "libubsan.so"))
    # Python itself leaks on purpose, and is not what is tried here.
    run(
        [sys.executable, str(Path(__file__).with_name("random_sessions.py")), str(library)],
        LD_PRELOAD=preloaded,
        ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0",
        PYTHONPATH=f"{ROOT}:{ROOT / 'src'}",
    )


def test_threads_do_not_race() -> None:
    require_compilers("g++", "setarch")
    options = ("-DMOBILENETS_PYTHON=OFF", "-DMOBILENETS_TESTS=ON", "-DMOBILENETS_SANITIZE=thread", *COMPILER)
    folder = build("tsan", "threads_test", *options)
    # ThreadSanitizer refuses to begin under an address space layout that it does not know, as some kernels make them.
    printed = run(["setarch", "-R", str(folder / "threads_test")], TSAN_OPTIONS="halt_on_error=1")
    assert printed.strip().endswith("0 differences")


def _library(name: str) -> str:
    result = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return result.stdout.strip()
