"""Which measured times count, and what is said of a busy machine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mobilenets.base.processors import affine_processors, other_processes_seconds
from mobilenets.engine.steadiness import LEAST_RUNS, RunTimes, Steadiness, Surroundings


def work(seconds: float) -> None:
    """Use so much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_runs_that_were_interrupted_do_not_count() -> None:
    times = RunTimes(passed=[0.001] * 6 + [0.005, 0.020], used=[0.001] * 6 + [0.001, 0.001])
    assert times.enough
    assert times.undisturbed == times.trusted == [0.001] * 6


def test_where_hardly_any_run_was_left_alone_processor_time_counts() -> None:
    times = RunTimes(passed=[0.0012] * (LEAST_RUNS - 1) + [0.0057] * 20, used=[0.0012] * (LEAST_RUNS + 19))
    assert not times.enough
    assert times.trusted == [0.0012] * (LEAST_RUNS + 19)


def test_runs_of_several_threads_count_as_they_are() -> None:
    times = RunTimes(passed=[0.001, 0.005])
    assert times.enough
    assert times.trusted == [0.001, 0.005]


def test_a_run_that_waits_is_seen_as_interrupted() -> None:
    times = RunTimes(used=[])
    runs = []

    def run() -> None:
        work(0.001)
        runs.append(0)
        if len(runs) % 2:
            time.sleep(0.05)

    times.repeat(run, seconds=0.4, warm_up=0)
    assert times.used is not None
    assert len(times.passed) == len(times.used) == len(runs)
    assert all(used < 0.05 for used in times.used)
    assert not any(passed >= 0.05 and passed in times.undisturbed for passed in times.passed[::2])
    assert max(times.trusted) < 0.05


def steadiness(disturbed: int = 0, others: float | None = 0.1, threads: int = 1, by_time: int = 0) -> Steadiness:
    return Steadiness(200, disturbed, by_time, others, 2, threads)


def test_a_steady_machine_is_not_mentioned() -> None:
    assert steadiness().steady
    assert steadiness().warning is None
    assert steadiness(others=None).warning is None  # where nothing says what others do


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (steadiness(disturbed=60), "60 of 200 runs were interrupted and are not counted"),
        (steadiness(disturbed=199, by_time=1, others=2.0), "and 1 network by processor time alone"),
        (steadiness(others=1.6), "they used 1.6 of 2 processors"),
        (steadiness(others=0.4, threads=2), "latencies may be too high"),
        (steadiness(others=1.0, threads=2), "latencies on 2 threads are not to be trusted"),
    ],
)
def test_what_was_in_the_way_is_said(what: Steadiness, said: str) -> None:
    assert not what.steady
    assert said in str(what.warning)
    assert what.trusted is ("not to be trusted" not in said)
    assert Steadiness.from_json(what.to_json()) == what


def test_time_of_others_is_what_the_kernel_counts_less_our_own(tmp_path: Path) -> None:
    lines = [f"cpu{number} 1000 0 0 5000 0 0 0 0 0 0" for number in affine_processors()]
    stat = tmp_path / "stat"
    stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8", *lines, "intr 5"]))
    before = other_processes_seconds(stat)
    assert before is not None
    work(0.2)
    after = other_processes_seconds(stat)
    assert after is not None
    assert after <= before - 0.1  # the counters stand still, and our own time is taken off
    stat.write_text("nothing")
    assert other_processes_seconds(stat) is None
    assert other_processes_seconds(tmp_path / "missing") is None


def test_surroundings_count_what_was_timed() -> None:
    found = Surroundings().steadiness([RunTimes([0.1, 0.2], [0.1, 0.1]), RunTimes([0.3], [0.3])], threads=1)
    assert (found.runs, found.disturbed, found.by_processor_time) == (3, 1, 1)
    assert found.processors == len(affine_processors())
