"""Measured times: what is counted, in which order, and what is said of it."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from tests.support.random_models import random_model, random_network

from mobilenets.engine.session import Session
from mobilenets.engine.timing import Times, measure_sessions, random_pixels, repeat, time_sessions


def test_percentiles_of_a_hundred_times() -> None:
    times = Times(tuple(float(value) for value in range(101)))
    assert (times.minimum, times.median, times.p90) == (0, 50, 90)


def test_pixels_are_the_same_at_every_call_and_of_the_network_s_shape() -> None:
    network = random_network(np.random.default_rng(0))
    pixels = random_pixels(network, 3)
    assert pixels.shape == (3, network.height, network.width, network.channels)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, random_pixels(network, 3))


def test_runs_that_warm_up_are_not_counted_and_one_run_always_is() -> None:
    runs = []
    assert len(repeat(lambda: runs.append(0), seconds=0, warm_up=3)) == 1
    assert len(runs) == 4


def test_a_run_takes_as_long_as_it_takes() -> None:
    (spent,) = repeat(lambda: time.sleep(0.02), seconds=0)
    assert spent >= 0.02


def test_sessions_take_turns() -> None:
    rng = np.random.default_rng(0)
    order: list[int] = []

    class Noted(Session):
        def run(self, pixels: np.ndarray, *, threads: int | None = None) -> np.ndarray:
            if not order or order[-1] != id(self):
                order.append(id(self))
            return super().run(pixels, threads=threads)

    sessions = [Noted(random_model(rng, random_network(rng)), 1) for _ in range(2)]
    times = time_sessions(sessions, rounds=3)
    assert order == [id(session) for session in sessions] * 3
    assert all(len(spent) >= 3 and min(spent) > 0 for spent in times)
    assert times[0] != pytest.approx(times[1])


class LargeSession(Session):
    """Says that it takes a quarter of a gigabyte."""

    @property
    def packed_bytes(self) -> int:
        return 2**28


def test_not_more_sessions_are_in_memory_than_fit_there() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, random_network(rng))
    made: list[weakref.ref[Session]] = []
    alive: list[int] = []

    def sessions() -> Iterator[Session]:
        for _ in range(6):
            gc.collect()
            alive.append(sum(one() is not None for one in made))
            session = LargeSession(model, 1)
            made.append(weakref.ref(session))
            yield session

    times = measure_sessions(sessions(), count=6, rounds=1)
    assert [len(ms) > 0 for ms in times.ms] == [True] * 6
    assert max(alive) < 3
