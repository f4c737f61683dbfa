"""Starting the processes that train together on one machine, as torchrun would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import torch

from mobilenets.base.text import plural
from mobilenets.errors import TrainingError
from mobilenets.training.beforehand import PROCESSES

RESTARTS = 3
"""How often processes are started again where one was lost."""


def processes_named(device: str) -> tuple[str, int] | None:
    """The device and the number of processes that ``cuda:all``, ``cuda:2`` or ``cpu:2`` means; None of another name.

    Args:
        device: What somebody wants to train on.

    Raises:
        TrainingError: If there are not as many GPUs.

    >>> processes_named("cpu:2"), processes_named("cpu")
    (('cpu', 2), None)
    """
    match = PROCESSES.fullmatch(device)
    if match is None:
        return None
    kind, wanted = match[1], match[2]
    if kind == "cpu":
        if wanted == "all":
            raise TrainingError("cpu:all says nothing: one process uses all cores; cpu:2 starts two processes")
        return kind, int(wanted)
    present = torch.cuda.device_count()
    count = present if wanted == "all" else int(wanted)
    if not present:
        raise TrainingError(f"{device} needs GPUs, and PyTorch finds none here; cpu:2 trains in two processes without")
    if count > present:
        raise TrainingError(f"{device} needs {plural(count, 'GPU')}, and PyTorch finds {present} here")
    return kind, count


def start_processes(words: Sequence[str], count: int) -> int:
    """Run a command of this package in several processes of this machine.

    Where one is lost all are started again, and go on from the checkpoint.

    Args:
        words: Of the command, such as ``fit`` and its arguments.
        count: Processes.

    Returns:
        The exit code: 0 where all ended well.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", str(count), "--max-restarts", str(RESTARTS)]
    return subprocess.call([*torchrun, *options, "-m", "mobilenets", *words])
