"""How threads wait: awake on free cores, and beside other work in the way that trains faster. Nothing is timed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mobilenets.base.processors import OtherWork
from mobilenets.training.thread_waits import SecondTeam, ThreadWaits, loaded_openmp, thread_waits

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """Two cores, a clock, and the rates of training awake and asleep, in steps per second."""

    def __init__(self, awake: float, asleep: float, in_use: float) -> None:
        self.rates = {False: awake, True: asleep}
        self.in_use, self.asleep, self.now = in_use, False, 0.0
        self.turns: list[bool] = []

    def turn(self, *, asleep: bool) -> None:
        self.asleep = asleep
        self.turns.append(asleep)

    def train(self, waits: ThreadWaits, seconds: float) -> float:
        """Seconds of the time that were spent asleep."""
        end, slept = self.now + seconds, 0.0
        while self.now < end:
            took = 1 / self.rates[self.asleep]
            slept += took * self.asleep
            self.now += took
            waits.step()
        return slept

    def waits(self) -> ThreadWaits:
        return ThreadWaits(2, self, lambda: self.in_use, processors=2, clock=lambda: self.now)


def test_on_free_cores_nothing_is_tried() -> None:
    machine = Machine(awake=50, asleep=90, in_use=0.1)
    machine.train(machine.waits(), 60)
    assert machine.turns == []


@pytest.mark.parametrize(("awake", "asleep"), [(2, 20), (3.0, 2.5), (17, 6)])
def test_beside_other_work_the_faster_way_is_kept(awake: float, asleep: float) -> None:
    machine = Machine(awake, asleep, in_use=2)
    slept = machine.train(machine.waits(), 60) / 60
    assert slept > 0.85 if asleep > awake else slept < 0.15
    assert len(machine.turns) >= 4, "it is tried again"


def test_when_the_other_work_ends_threads_wait_awake_again() -> None:
    machine = Machine(awake=2, asleep=20, in_use=2)
    with machine.waits() as waits:
        machine.train(waits, 10)
        assert machine.asleep
        machine.in_use = 0
        machine.train(waits, 2)
        assert not machine.asleep
        machine.in_use = 1.5
        machine.train(waits, 5)
        assert machine.asleep
    assert not machine.asleep


def test_a_rate_that_halves_is_a_reason_to_try_again() -> None:
    machine = Machine(awake=20, asleep=10, in_use=2)
    waits = machine.waits()
    machine.train(waits, 3)
    assert not machine.asleep
    machine.rates[False] = 3
    machine.train(waits, 3)
    assert machine.asleep


def test_time_between_epochs_is_no_training() -> None:
    machine = Machine(awake=20, asleep=10, in_use=2)
    waits = machine.waits()
    for _ in range(20):
        machine.now += 100  # validation
        waits.begin()
        machine.train(waits, 0.4)
    assert machine.train(waits, 10) < 2


@pytest.mark.skipif(loaded_openmp() is None, reason="this PyTorch has no GNU OpenMP")
def test_a_second_team_comes_and_goes_and_changes_no_result() -> None:
    library = loaded_openmp()
    assert library is not None
    values = torch.linspace(-1, 1, 1 << 20).reshape(1024, 1024)
    expected = values @ values
    team = SecondTeam(library, torch.get_num_threads())

    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before = threads()
    for _ in range(3):
        team.turn(asleep=True)
        assert threads() > before
        assert torch.equal(values @ values, expected)
        team.turn(asleep=True)
        team.turn(asleep=False)
        team.turn(asleep=False)
        assert torch.equal(values @ values, expected)


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({}, "20000 True"),
        ({"GOMP_SPINCOUNT": "20000"}, "20000 True"),
        ({"GOMP_SPINCOUNT": "5"}, "5 False"),
        ({"OMP_WAIT_POLICY": "passive"}, "None False"),
    ],
)
def test_what_a_person_has_said_goes_first(environment: dict[str, str], printed: str) -> None:
    code = f"""
import os
for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
    os.environ.pop(name, None)
os.environ.update({environment!r})
import mobilenets.training as training
print(os.environ.get("GOMP_SPINCOUNT"), training.SPIN_COUNT_IS_OURS)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed


def test_a_gpu_or_a_single_thread_is_left_alone() -> None:
    for waits in (thread_waits(1, on_cpu=True), thread_waits(8, on_cpu=False)):
        with waits:
            waits.begin()
            waits.step()


def test_the_work_of_others_is_read_from_the_kernel_s_counts(tmp_path: Path) -> None:
    number = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    stat = tmp_path / "stat"
    stat.write_text(f"cpu 9 9 9 9\ncpu{number} 100 0 0 5000 9 0 0 0 0 0\ncpu9999 500 0 0 0 0 0 0 0 0 0\nintr 5\n")
    work = OtherWork(stat)
    assert work.cores_in_use() == 0
    stat.write_text(f"cpu{number} 100000 100 100 6000 9 0 0 100 0 0\ncpu9999 90000 0 0 0 0 0 0 0 0 0\n")
    assert work.cores_in_use() > 1
    assert OtherWork(tmp_path / "none").cores_in_use() == 0
