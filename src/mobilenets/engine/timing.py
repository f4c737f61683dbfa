"""How long runs take: on which pixels, how often, in which order, and what is said of the times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress, ProgressTask
from mobilenets.engine.steadiness import RunTimes, Steadiness, Surroundings
from mobilenets.model.preprocessing import Pixels

if TYPE_CHECKING:
    from mobilenets.engine.session import Session

ROUNDS = 10
"""Turns of every Session."""
EXTRA_ROUNDS = 2
"""Times as many turns again, at most, for what is interrupted in nearly every run."""
SECONDS_PER_TURN = 0.025
"""One Session runs at least this long before the next has its turn."""
BYTES_TOGETHER = 2**29
"""Parameters and activations of Sessions that are in memory at a time."""


@dataclass(frozen=True)
class Times:
    """Times of repeated runs of one thing.

    Attributes:
        seconds: Every counted run, in order.
    """

    seconds: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """Least time, in seconds."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Time that half of the runs keep below, in seconds."""
        return float(np.median(self.seconds))

    @property
    def p90(self) -> float:
        """Time that nine of ten runs keep below, in seconds."""
        return float(np.quantile(self.seconds, 0.9))


def random_pixels(network: Network, count: int = 1) -> Pixels:
    """Pixels to measure on: no network's speed depends on them.

    Args:
        network: What they are the input of.
        count: Number of images.

    Returns:
        uint8 (count, height, width, channels), the same at every call.
    """
    shape = (count, network.height, network.width, network.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def repeat(run: Callable[[], object], *, seconds: float, warm_up: int = 1) -> list[float]:
    """Times of repeated runs, one after the other.

    Args:
        run: What is timed.
        seconds: How long to go on. At least one run is counted.
        warm_up: Runs before the first that counts: they bring weights back into the caches.

    Returns:
        Seconds of every counted run.
    """
    for _ in range(warm_up):
        run()
    times = []
    end = time.perf_counter() + seconds
    while True:
        begin = time.perf_counter()
        run()
        now = time.perf_counter()
        times.append(now - begin)
        if now >= end:
            return times


@dataclass(frozen=True)
class SessionTimes:
    """Times of single images through several Sessions.

    Attributes:
        ms: For each Session, the milliseconds of every image that counts; see :class:`RunTimes`.
        steadiness: What was in the way.
    """

    ms: list[list[float]]
    steadiness: Steadiness


def time_sessions(
    sessions: Sequence[Session], *, rounds: int = ROUNDS, progress: Progress = SILENT
) -> list[list[float]]:
    """Time single images through each Session; see :func:`measure_sessions`.

    Returns:
        For each Session, the milliseconds of every image that counts.
    """
    return measure_sessions(sessions, rounds=rounds, progress=progress).ms


def measure_sessions(
    sessions: Iterable[Session], *, count: int | None = None, rounds: int = ROUNDS, progress: Progress = SILENT
) -> SessionTimes:
    """Time single images through each Session. The Sessions take turns, so that other work hits all of them alike.

    Runs that another process interrupts do not count. A Session with hardly any others has up to twice as many turns
    more, and then the processor time of its runs counts.

    Args:
        sessions: Those to measure. A generator is asked for as many at a time as half a gigabyte holds, which take
            turns among themselves.
        count: How many there are, where ``sessions`` is a generator.
        rounds: Turns of each.
        progress: Receives progress updates.
    """
    if count is None:
        sessions = list(sessions)
        count = len(sessions)
    times: list[RunTimes] = []
    threads = 1
    surroundings, waiting = Surroundings(), iter(sessions)
    with progress.task("measuring", rounds * count, "turns") as task:
        while group := _next_group(waiting):
            times += _measure_in_turns(group, rounds, task)
            threads = max(threads, *(session.threads for session in group))
            group.clear()  # before the next are made
    steadiness = surroundings.steadiness(times, threads)
    return SessionTimes([[1e3 * seconds for seconds in spent.trusted] for spent in times], steadiness)


def _next_group(waiting: Iterator[Session]) -> list[Session]:
    """As many of the next Sessions as may be in memory together."""
    group: list[Session] = []
    held = 0
    while held < BYTES_TOGETHER and (session := next(waiting, None)) is not None:
        group.append(session)
        parameters = sum(values.nbytes for values in session.model.parameters.values())
        held += parameters + session.packed_bytes + session.arena_bytes
    return group


def _measure_in_turns(sessions: Sequence[Session], rounds: int, task: ProgressTask) -> list[RunTimes]:
    times = [RunTimes(used=[] if session.threads == 1 else None) for session in sessions]
    for number in range(rounds * (1 + EXTRA_ROUNDS)):
        for session, spent in zip(sessions, times, strict=True):
            if number < rounds or not spent.enough:
                run = _runner(session, random_pixels(session.model.network))
                spent.repeat(run, seconds=SECONDS_PER_TURN)
            if number < rounds:
                task.advance()
    return times


def _runner(session: Session, pixels: Pixels) -> Callable[[], object]:
    return lambda: session.run(pixels)
