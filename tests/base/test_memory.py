"""Running out of memory is one line that says what to lower, in programs and on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilenets.base.memory import cgroup_memory, is_out_of_memory, memory_of_machine, out_of_memory_as
from mobilenets.errors import TrainingError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 411041792 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139 GiB"),
        RuntimeError("could not create a primitive"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_every_way_to_say_it_is_understood(error: Exception) -> None:
    assert is_out_of_memory(error)
    says = r"^there is not enough memory to train; lower the batch size$"
    with pytest.raises(TrainingError, match=says), out_of_memory_as(TrainingError, "to train; lower the batch size"):
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes cannot be multiplied"), ValueError("out of memory"), KeyError(1)]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), out_of_memory_as(TrainingError, "to train"):
        raise error


def test_memory_that_numpy_and_torch_cannot_have_is_understood() -> None:
    with pytest.raises(MemoryError) as from_numpy:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(from_numpy.value)
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as from_torch:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert is_out_of_memory(from_torch.value)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_command_says_it_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "data" / name / "1.png")
    command = f"ulimit -v 450000; exec {sys.executable} -m mobilenets fit data -o model"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: there is not enough memory")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/user.slice/run-1.scope\n", {"user.slice/memory.max": "3000", "user.slice/run-1.scope/memory.max": "2000"},
         [2000, 3000]),
        ("0::/\n", {"memory.max": "1000\n"}, [1000]),
        ("4:memory:/jobs/7\n0::/\n", {"memory/jobs/memory.limit_in_bytes": "5000"}, [5000]),
        ("9:cpu:/jobs\n", {"memory/jobs/memory.limit_in_bytes": "5000"}, []),
        ("0::/free\n", {"free/memory.max": "max\n"}, []),
        (None, {}, []),
    ],
)  # fmt: skip
def test_limits_of_control_groups_are_found(
    tmp_path: Path, groups: str | None, files: dict[str, str], limits: list[int]
) -> None:
    own = tmp_path / "cgroup"
    if groups is not None:
        own.write_text(groups)
    for name, content in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(content)
    assert sorted(cgroup_memory(tmp_path / "fs", own)) == limits


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_limit_of_the_process_counts() -> None:
    program = "from mobilenets.base.memory import memory_of_machine; print(memory_of_machine())"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 1000000; exec {sys.executable} -c '{program}'"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "1024000000"
    assert (memory_of_machine() or 0) > 1024000000
