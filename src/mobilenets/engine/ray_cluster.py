"""Joining a Ray cluster, for whatever is shared out over it."""

from __future__ import annotations

import os
from typing import Any

from mobilenets.errors import EngineError, MissingDependencyError

OF_OUR_OWN = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment variables of a cluster that is started here. Ray's workers give way to every other process of the machine
(niceness 15) unless they are told not to; a report on its use goes to Ray's makers unless somebody asks for it."""


def join_cluster(address: str | None) -> Any:
    """Be part of a Ray cluster.

    Args:
        address: Of the cluster, such as ``ray://head:10001``; None for the one that this process is part of, or that
            ``RAY_ADDRESS`` names, or else one of this machine's cores.

    Returns:
        The module ``ray``.

    Raises:
        EngineError: If the cluster cannot be reached.
        MissingDependencyError: If Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingDependencyError("ray", "ray") from None
    if not ray.is_initialized():
        for name, value in OF_OUR_OWN.items():
            os.environ.setdefault(name, value)
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise EngineError(f"the Ray cluster {address or ''} cannot be reached: {reason}") from None
    return ray


def worker_failure(error: Exception) -> str:
    """The last line of what a worker raised, which says why."""
    return str(error).strip().rpartition("\n")[2] or type(error).__name__
