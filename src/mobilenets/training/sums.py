"""Sums over the processes that train together.

A step of MobileNet adds up the statistics of each of its 27 batch norms twice, one after the other. Between processes
of one machine that goes by memory that all of them have mapped: gloo takes a millisecond each time, and its threads,
which wait for messages awake, take the cores from those that train.
"""

from __future__ import annotations

import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from mobilenets.errors import TrainingError
from mobilenets.native import _native

Running = tuple[Tensor, Tensor, float] | None
"""Running means, running variances, and the share of each batch in them."""
SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""

_shared: list[SharedMemorySums] = []
"""Of the groups that this process is part of; empty where a group has none."""


class SharedMemorySums:
    """Sums by memory that the processes of one machine share.

    Args:
        memory: Mapped by all of them, and zeros in the beginning.
        processes: The process identifier of each, in the order of their ranks.
        rank: Of this one.
    """

    def __init__(self, memory: mmap.mmap, processes: list[int], rank: int) -> None:
        self._processes = processes
        self._sums = _native.SharedSums(np.frombuffer(memory, np.uint8), len(processes), rank)

    def add_up(self, values: Tensor) -> None:
        """Replace float32 or float64 values by their sums: the same bits in all processes.

        Raises:
            TrainingError: If a process has ended meanwhile.
        """
        self._sums.add_up(values.view(-1).numpy(), self._check_processes)

    def whole_moments(self, means: Tensor, variances: Tensor, positions: int, running: Running) -> float:
        """As :func:`whole_moments`, in place."""
        running_means, running_variances, momentum = running or (None, None, 0.0)
        return self._sums.whole_moments(
            means.numpy(),
            variances.numpy(),
            positions,
            None if running_means is None else running_means.numpy(),
            None if running_variances is None else running_variances.numpy(),
            momentum,
            self._check_processes,
        )

    def _check_processes(self) -> None:
        for rank, process in enumerate(self._processes):
            if not _exists(process):
                raise TrainingError(f"process {rank} of {len(self._processes)} has ended while others wait for it")


def add_up(values: Tensor) -> None:
    """Replace contiguous values by their sums over all processes: the same bits in each."""
    if _shared and values.is_cpu and values.dtype in (torch.float32, torch.float64):
        _shared[-1].add_up(values)
    else:
        distributed.all_reduce(values)


def whole_moments(
    means: Tensor, variances: Tensor, positions: int, running: Running = None
) -> tuple[Tensor, Tensor, float | Tensor]:
    """Means and variances of each channel over what all processes hold, and the number of positions in all.

    Args:
        means: (C,), over this process's positions; they may be overwritten.
        variances: (C,), as the means.
        positions: How many they are.
        running: (C,) running means, (C,) running variances, and the share of the new ones in them; they follow.
    """
    if _shared and means.is_cpu:
        return means, variances, _shared[-1].whole_moments(means, variances, positions, running)
    count, channels = distributed.get_world_size(), len(means)
    rows = means.new_zeros(count, 2 * channels + 1)
    torch.cat([means, variances, means.new_tensor([positions])], out=rows[distributed.get_rank()])
    add_up(rows)  # a sum of zeros and one row: each as it was
    all_means, all_variances, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
    total = counts.sum()
    mean = (all_means * counts).sum(0) / total
    variance = ((all_variances + (all_means - mean).square()) * counts).sum(0) / total
    if running is not None:
        running_means, running_variances, momentum = running
        running_means.lerp_(mean, momentum)
        running_variances.lerp_(variance * (total / (total - 1).clamp(min=1)), momentum)
    return mean, variance, total


def by_shared_memory() -> bool:
    """Whether the processes are on one machine, and add up by memory that they share."""
    return bool(_shared)


@contextmanager
def shared_memory_sums(local_count: int) -> Iterator[None]:
    """Have the processes of a group that has just begun add up by shared memory, where they are on one machine.

    Args:
        local_count: Processes of the group on this machine, as its launcher says.
    """
    found = None
    if os.name == "posix" and distributed.get_backend() == "gloo" and local_count == distributed.get_world_size():
        found = _opened()
    if found is None:
        yield
        return
    _shared.append(found)
    try:
        yield
    finally:
        _shared.pop()


def _opened() -> SharedMemorySums | None:
    """Sums by memory that all processes have mapped; None in all of them where one could not."""
    rank, count = distributed.get_rank(), distributed.get_world_size()
    size, token = _native.SharedSums.bytes(count), secrets.token_bytes(16)
    path = _reserved(size, token) if rank == 0 else None
    said: list[Any] = [path, token]
    distributed.broadcast_object_list(said, src=0)
    path, token = said
    memory = _mapped(path, size, token) if path else None
    everywhere: list[Any] = [None] * count
    distributed.all_gather_object(everywhere, (os.getpid(), memory is not None))
    if rank == 0 and path:
        Path(path).unlink(missing_ok=True)  # nobody needs its name any more, and nothing stays after a kill
    processes = [process for process, mapped in everywhere if mapped and _exists(process)]
    seen: list[Any] = [None] * count
    distributed.all_gather_object(seen, len(processes) == count)
    return SharedMemorySums(memory, processes, rank) if memory is not None and all(seen) else None


def _reserved(size: int, token: bytes) -> str | None:
    """A file of zeros and a token, all of whose memory is there; None where there is no room."""
    folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    try:
        descriptor, path = tempfile.mkstemp(prefix="mobilenets-", dir=folder)
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(size) + token)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        return None
    return path


def _mapped(path: str, size: int, token: bytes) -> mmap.mmap | None:
    """The file that the first process has made, if this machine has it."""
    try:
        with open(path, "r+b") as file:
            memory = mmap.mmap(file.fileno(), size + len(token))
    except OSError:
        return None
    return memory if memory[size:] == token else None


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
