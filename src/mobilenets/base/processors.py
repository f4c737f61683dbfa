"""How many processors this process may use, and how much of them others do."""

from __future__ import annotations

import math
import os
import platform
import time
from os import PathLike


def cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of its control group where there is one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cgroup_quota(root: str | PathLike[str] = "/sys/fs/cgroup") -> float | None:
    """Processors' worth of time that a container's control group allows, or None where nothing limits it.

    Args:
        root: Where control groups are mounted. Inside a container the group's own files stand there.
    """
    try:
        limits = _read(os.path.join(root, "cpu.max")).split()  # version 2: "max 100000" or "150000 100000"
    except (OSError, ValueError):
        limits = []
    try:
        if not limits:  # version 1: two files, and −1 for no limit
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            limits = [_read(os.path.join(root, "cpu", name)).strip() for name in names]
        quota, period = float(limits[0]), float(limits[1])
    except (OSError, ValueError, IndexError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def affine_processors() -> set[int]:
    """Numbers of the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def other_processes_seconds(stat: str | PathLike[str] = "/proc/stat") -> float | None:
    """Processor time that other processes have used on the processors that this one may run on, since some moment.

    Args:
        stat: Where Linux counts it.

    Returns:
        Seconds, of which differences mean something; None where nothing counts them.
    """
    try:
        lines = _read(stat).splitlines()
        counts = {line.split()[0]: [int(value) for value in line.split()[1:]] for line in lines if line[:3] == "cpu"}
        own = [counts[f"cpu{number}"] for number in affine_processors()]
        # user, nice, system, idle, iowait, irq, softirq, steal
        ticks = sum(sum(values[:3]) + sum(values[5:8]) for values in own)
        used = os.times()
        return ticks / os.sysconf("SC_CLK_TCK") - used.user - used.system
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def _read(path: str | PathLike[str]) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class OtherWork:
    """How many of our processors other processes keep busy.

    Attributes:
        processors: How many this process may run on.

    Args:
        path: Where the kernel counts the busy time of every processor; where it does not, nobody is busy.
    """

    _BUSY = (0, 1, 2, 5, 6, 7)
    """Places of user, nice, system, irq, softirq and steal time among the counts of a processor."""

    def __init__(self, path: str | PathLike[str] = "/proc/stat") -> None:
        self._path = path
        self._names = {f"cpu{number}" for number in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else ()
        self.processors = len(self._names) or os.cpu_count() or 1
        self._last = self._look()

    def cores_in_use(self) -> float:
        """Cores' worth of time that others have had since this was last asked, or since the beginning."""
        busy, own, now = self._look()
        (busy_before, own_before, before), self._last = self._last, (busy, own, now)
        return max(0.0, (busy - busy_before) - (own - own_before)) / max(now - before, 1e-3)

    def _look(self) -> tuple[float, float, float]:
        """Busy seconds of our processors, those of this process among them, and the time."""
        ticks = 0
        try:
            for line in _read(self._path).splitlines():
                name, *counts = line.split()
                if name in self._names:
                    ticks += sum(int(counts[place]) for place in self._BUSY)
        except (OSError, ValueError, IndexError):
            return 0.0, 0.0, time.monotonic()
        return ticks / os.sysconf("SC_CLK_TCK"), time.process_time(), time.monotonic()


def processor_name() -> str:
    """What the processor calls itself, or its architecture where it does not say."""
    try:
        lines = _read("/proc/cpuinfo").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
