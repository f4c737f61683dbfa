"""How OpenMP's threads wait for each other: awake while the cores are ours, asleep where that trains faster.

Training a small network is thousands of short pieces of work a second, each shared by all threads. Threads that sleep
between them cost half of the rate on free cores; threads that wait awake can cost nine tenths of it as soon as other
processes want the cores, because each waits out its time slice for one that is not running.
How long they stay awake cannot be told to GNU's OpenMP (``GOMP_SPINCOUNT``) after it has been loaded. But it lets
them sleep at once while there are more of its threads than processors (see the libgomp manual), so a second team of
idle threads is the switch. Results are the same bits either way.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from mobilenets.base.processors import OtherWork, cores

WINDOW_SECONDS = 0.5
"""How long the rate of one way of waiting is looked at."""
TRIAL_SECONDS = 15.0
"""While the cores are shared, how long passes between two trials of the other way."""
SPARE_CORES = 0.3
"""Cores beyond those that are free, of which threads may be short before the cores count as shared."""


class Switch(Protocol):
    """Lets the threads sleep at once, or wait awake."""

    def turn(self, *, asleep: bool) -> None:
        """Choose how they wait from now on."""


class ThreadWaits:
    """Watches the rate of training, and chooses how threads wait.

    As long as the cores are ours, threads wait awake and nothing is tried. Where other processes want some of them,
    both ways are tried for half a second each, and the faster is kept: for 15 seconds, or until its rate halves.

    Args:
        threads: Threads that train.
        switch: Changes how they wait.
        cores_in_use: Cores that other processes have been using since it was last asked.
        processors: Cores that there are.
        clock: In seconds.
    """

    def __init__(
        self,
        threads: int,
        switch: Switch,
        cores_in_use: Callable[[], float],
        *,
        processors: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._threads, self._switch, self._cores_in_use = threads, switch, cores_in_use
        self._processors, self._clock = processors, clock
        self._asleep = False
        self._rate_before: float | None = None
        self._rate_kept = 0.0
        self._next_trial = 0.0
        self._mark, self._spent, self._steps = clock(), 0.0, 0

    def begin(self) -> None:
        """Say that steps follow: what came before them was no training."""
        self._mark = self._clock()

    def step(self) -> None:
        """Say that a step is done."""
        now = self._clock()
        self._spent += now - self._mark
        self._mark = now
        self._steps += 1
        if self._spent < WINDOW_SECONDS:
            return
        rate, self._spent, self._steps = self._steps / self._spent, 0.0, 0
        self._consider(rate, now)

    def __enter__(self) -> ThreadWaits:
        return self

    def __exit__(self, *_: object) -> None:
        self._turn(asleep=False)

    def _consider(self, rate: float, now: float) -> None:
        before, self._rate_before = self._rate_before, None
        shared = self._processors - self._cores_in_use() < self._threads - SPARE_CORES
        if not shared:
            self._turn(asleep=False)
            self._next_trial = now
        elif before is not None:
            if rate < before:
                self._turn(asleep=not self._asleep)
            self._rate_kept = max(rate, before)
            self._next_trial = now + TRIAL_SECONDS
        elif now >= self._next_trial or rate < self._rate_kept / 2:
            self._rate_before = rate
            self._turn(asleep=not self._asleep)

    def _turn(self, *, asleep: bool) -> None:
        if asleep != self._asleep:
            self._switch.turn(asleep=asleep)
            self._asleep = asleep


class SecondTeam:
    """Idle OpenMP threads beside those that work: together more than there are processors.

    Args:
        library: GNU's OpenMP, as it is loaded.
        threads: Threads that work.
    """

    def __init__(self, library: ctypes.CDLL, threads: int) -> None:
        self._library = library
        self._size = max(2, len(_affinity()) - threads + 2)
        self._done: threading.Event | None = None
        self._owner: threading.Thread | None = None

    def turn(self, *, asleep: bool) -> None:
        """Start the second team, or end it."""
        if asleep and self._done is None:
            self._done, started = threading.Event(), threading.Event()
            self._owner = threading.Thread(target=self._own, args=(self._done, started), daemon=True)
            self._owner.start()
            started.wait()
        elif not asleep and self._done is not None and self._owner is not None:
            self._done.set()
            self._owner.join()
            self._done = self._owner = None

    def _own(self, done: threading.Event, started: threading.Event) -> None:
        """A team lives as long as the thread that it was made by. What it does once is ask how many it is."""
        parallel = self._library.GOMP_parallel
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        parallel(ctypes.cast(self._library.omp_get_num_threads, ctypes.c_void_p), None, self._size, 0)
        started.set()
        done.wait()


class _Nothing:
    """For an OpenMP that is not GNU's, or a person who has chosen."""

    def turn(self, *, asleep: bool) -> None:
        """Leave everything as it is."""


def thread_waits(threads: int, *, on_cpu: bool) -> ThreadWaits:
    """Watch over the threads that train from now on.

    Args:
        threads: How many they are.
        on_cpu: Whether the CPU trains; a GPU's host threads are left alone.
    """
    from mobilenets.training import SPIN_COUNT_IS_OURS

    library = loaded_openmp() if on_cpu and threads > 1 and SPIN_COUNT_IS_OURS else None
    if library is None:
        return ThreadWaits(threads, _Nothing(), lambda: 0.0, processors=threads)
    work = OtherWork()
    return ThreadWaits(threads, SecondTeam(library, threads), work.cores_in_use, processors=work.processors)


def loaded_openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP that PyTorch has loaded, or None where it has another or none."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in file if "libgomp" in line}
    except (OSError, IndexError):
        return None
    own = sorted(paths, key=lambda path: ("torch" not in path, path))
    for path in own:
        try:
            library = ctypes.CDLL(path)
            if hasattr(library, "GOMP_parallel") and hasattr(library, "omp_get_num_threads"):
                return library
        except OSError:
            continue
    return None


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(cores()))
