"""The native half under sanitizers: kernels, whole Sessions over random networks, and the threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.native.build import build, require_compilers, run

NATIVE_ONLY = ("-DMOBILENETS_PYTHON=OFF", "-DMOBILENETS_TESTS=ON", "-DCMAKE_CXX_COMPILER=g++")


def test_kernels_stay_in_bounds() -> None:
    require_compilers("g++")
    folder = build("asan", "kernels_test", *NATIVE_ONLY, "-DMOBILENETS_SANITIZE=address,undefined")
    printed = run([str(folder / "kernels_test"), "", "60"])
    assert "FAILED" not in printed
    assert "portable" in printed


def test_sessions_over_random_networks_stay_in_bounds() -> None:
    require_compilers("g++")
    folder = build("asan-python", "_native", "-DMOBILENETS_SANITIZE=address,undefined", "-DCMAKE_CXX_COMPILER=g++")
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
    folder = build("tsan", "threads_test", *NATIVE_ONLY, "-DMOBILENETS_SANITIZE=thread")
    # ThreadSanitizer refuses to begin under an address space layout that it does not know, as some kernels make them.
    printed = run(["setarch", "-R", str(folder / "threads_test")], TSAN_OPTIONS="halt_on_error=1")
    assert printed.strip().endswith("0 differences")


def _library(name: str) -> str:
    result = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return result.stdout.strip()
