"""Every kernel against the portable one, on this processor and on aarch64 under an emulator."""

from __future__ import annotations

import shutil

import pytest
from tests.native.build import NATIVE_ONLY, OPTIMIZED, build, require_compilers, run


def test_every_kernel_equals_the_portable_one() -> None:
    require_compilers("g++")
    folder = build("kernels", "kernels_test", *OPTIMIZED)
    printed = run([str(folder / "kernels_test"), "", "150"])
    assert printed.count(" ok ") == len([line for line in printed.splitlines() if "cases" in line])


def test_kernels_for_aarch64() -> None:
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    require_compilers("aarch64-linux-gnu-g++")
    if emulator is None:
        pytest.skip("qemu-user is not installed")
    folder = build(
        "aarch64",
        "kernels_test",
        *NATIVE_ONLY,
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )
    for processor, plain in (("cortex-a53", True), ("max", False)):
        printed = run([emulator, "-cpu", processor, str(folder / "kernels_test"), "", "12"])
        assert "FAILED" not in printed
        assert " ok " in printed
        # An old core has plain NEON only; "max" has dot products and the matrix extension too.
        assert ("neon_i8mm is not supported" in printed) == plain
