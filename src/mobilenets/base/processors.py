"""How many processors this process may use."""

from __future__ import annotations

import math
import os
import platform
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


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def processor_name() -> str:
    """What the processor calls itself, or its architecture where it does not say."""
    try:
        lines = _read("/proc/cpuinfo").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
