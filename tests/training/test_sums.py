"""Processes of one machine find the same sums, by memory that they share."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mobilenets.errors import TrainingError
from mobilenets.native import _native
from mobilenets.training.sums import SharedMemorySums

PROCESSES = 3

pytestmark = pytest.mark.skipif(os.name != "posix", reason="memory is shared by POSIX systems")


@pytest.fixture
def members() -> list[SharedMemorySums]:
    """What three processes hold; here they are threads of one."""
    memory = mmap.mmap(-1, _native.SharedSums.bytes(PROCESSES))
    return [SharedMemorySums(memory, [os.getpid()] * PROCESSES, rank) for rank in range(PROCESSES)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 77, 65536, 150_001])
def test_all_find_the_same_sums_time_after_time(
    members: list[SharedMemorySums], dtype: torch.dtype, count: int
) -> None:
    given = torch.randn(5, PROCESSES, count, generator=torch.Generator().manual_seed(0), dtype=dtype)

    def sums_of(rank: int) -> torch.Tensor:
        own = given[:, rank].clone()
        for values in own:
            members[rank].add_up(values)
        return own

    with ThreadPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(sums_of, range(PROCESSES)))
    expected = (given[:, 0] + given[:, 1]) + given[:, 2]  # in the order of the processes
    for sums in found:
        assert torch.equal(sums, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_of_unequal_shares_are_those_of_all(members: list[SharedMemorySums], dtype: torch.dtype) -> None:
    values = 100 + torch.randn(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = values.split([10, 20, 30])  # type: ignore[no-untyped-call]
    running = [(torch.zeros(4, dtype=dtype), torch.ones(4, dtype=dtype), 0.1) for _ in range(PROCESSES)]

    def moments_of(rank: int) -> tuple[torch.Tensor, torch.Tensor, float]:
        mean, variance = (one.to(dtype) for one in (shares[rank].mean(0), shares[rank].var(0, correction=0)))
        total = members[rank].whole_moments(mean, variance, len(shares[rank]), running[rank])
        return mean, variance, total

    with ThreadPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(moments_of, range(PROCESSES)))
    exact = 1e-10 if dtype is torch.float64 else 1e-4
    for (mean, variance, total), (running_mean, running_variance, _) in zip(found, running, strict=True):
        assert total == 60
        np.testing.assert_allclose(mean, values.mean(0), rtol=exact)
        np.testing.assert_allclose(variance, values.var(0, correction=0), rtol=exact)
        np.testing.assert_allclose(running_mean, 0.1 * values.mean(0), rtol=exact)
        np.testing.assert_allclose(running_variance, 0.9 + 0.1 * values.var(0), rtol=exact)


def test_a_process_that_has_ended_is_no_wait_for_ever() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    memory = mmap.mmap(-1, _native.SharedSums.bytes(2))
    left = SharedMemorySums(memory, [os.getpid(), ended.pid], 0)
    with pytest.raises(TrainingError, match="process 1 of 2 has ended while others wait for it"):
        left.add_up(torch.ones(3))


def test_different_things_are_not_added_up(members: list[SharedMemorySums]) -> None:
    def add(rank: int) -> None:
        members[rank].add_up(torch.ones(3 + rank))

    with ThreadPoolExecutor(PROCESSES) as pool, pytest.raises(RuntimeError, match="add up different things"):
        list(pool.map(add, range(PROCESSES)))


def test_values_that_would_be_copied_are_refused(members: list[SharedMemorySums]) -> None:
    with pytest.raises(TypeError):
        members[0].add_up(torch.ones(3, dtype=torch.int32))
