"""Threads of the engine: shared, asleep when idle, gone at exit, and not confused by forks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_network, random_pixels

from mobilenets.base.processors import cgroup_quota, cores
from mobilenets.engine.session import Session
from mobilenets.model.model import Model


def some_model() -> Model:
    rng = np.random.default_rng(5)
    return random_int8_model(rng, random_network(rng))


def run_python(code: str) -> str:
    """What a fresh interpreter prints that runs this code after making ``session`` and ``pixels``."""
    setting = """
        import os, sys, threading
        import numpy as np
        from tests.support.random_models import random_int8_model, random_network, random_pixels
        from mobilenets.engine.session import Session
        rng = np.random.default_rng(5)
        model = random_int8_model(rng, random_network(rng))
        session = Session(model, 2)
        pixels = random_pixels(np.random.default_rng(0), model.network, 3)
    """
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(setting) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'src'}", "PATH": ""},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_many_threads_may_use_one_session() -> None:
    model = some_model()
    session = Session(model, 2)
    pixels = random_pixels(np.random.default_rng(0), model.network, 4)
    expected = session.run(pixels)
    wrong: list[int] = []

    def use(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(session.run(pixels), expected):
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_idle_threads_sleep() -> None:
    model = some_model()
    session = Session(model, 2)
    session.run(random_pixels(np.random.default_rng(0), model.network, 2))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
def test_a_forked_child_gets_threads_of_its_own() -> None:
    printed = run_python(
        """
        import warnings
        warnings.simplefilter("ignore")  # Python warns of forks beside threads, which is what is tried here
        expected = session.run(pixels)
        child = os.fork()
        if child == 0:
            right = np.array_equal(session.run(pixels), expected)
            right = right and np.array_equal(Session(model, 2).run(pixels), expected)
            os._exit(0 if right else 3)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(session.run(pixels), expected))
        """
    )
    assert printed.split() == ["0", "True"]


def test_nothing_hinders_the_exit_of_the_interpreter() -> None:
    assert run_python("session.run(pixels); print('done')") == "done\n"
    assert run_python("threading.Thread(target=session.run, args=(pixels,)).start(); print('done')") == "done\n"


def test_threads_that_python_does_not_wait_for_may_be_running_at_exit() -> None:
    printed = run_python(
        """
        import atexit
        def run_on():
            while True:
                session.run(pixels)
        for _ in range(3):
            threading.Thread(target=run_on, daemon=True).start()
        for _ in range(20):
            session.run(pixels)
        # What was registered before the engine runs after it has left.
        from mobilenets.native import _native
        atexit.unregister(_native.stop_threads)
        atexit.register(lambda: print(session.run(pixels).shape[0]))
        atexit.register(_native.stop_threads)
        """
    )
    assert printed == "3\n"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads can't be counted here")
def test_threads_end_with_the_engine() -> None:
    printed = run_python(
        """
        count = lambda: len(os.listdir("/proc/self/task"))
        from mobilenets.native import _native
        _native.stop_threads()
        before = count()
        session.run(pixels)
        Session(model, 2).run(pixels)
        during = count()
        _native.stop_threads()
        print(during - before <= 1, count() - before)
        """
    )
    assert printed.split() == ["True", "0"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_control_group(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert cgroup_quota(tmp_path) == expected


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
