"""Running out of memory: however a library says it, it is known for what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SAID = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to map segment from shared object",
    "could not create a memory object",
    "could not create a primitive",
    "std::bad_alloc",
)
"""What messages of PyTorch, CUDA, oneDNN and the dynamic loader hold, in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not to be had.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 13 bytes"))
    True
    >>> is_out_of_memory(ValueError("out of memory"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError | ImportError | OSError) and any(words in said for words in _SAID)


@contextmanager
def out_of_memory_as(error: type[Exception], message: str) -> Iterator[None]:
    """Say what to lower where memory runs out.

    Args:
        error: What is raised.
        message: What was being done, and what takes less memory.
    """
    try:
        yield
    except Exception as caught:
        if not is_out_of_memory(caught):
            raise
        raise error(f"there is not enough memory {message}") from None


def memory_of_machine() -> int | None:
    """Bytes of memory that this machine has, or that this process may take; None where the system does not say it.

    The limits of its control group, of the groups above that, and of ``ulimit`` count.
    """
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    return min([found, *_limits_of_process(), *cgroup_memory()])


def _limits_of_process() -> list[int]:
    import resource  # where there is sysconf, there is this

    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]


def cgroup_memory(
    root: str | os.PathLike[str] = "/sys/fs/cgroup", own: str | os.PathLike[str] = "/proc/self/cgroup"
) -> list[int]:
    """Bytes that control groups let this process take: the limits of its own and of those above it.

    Args:
        root: Where control groups are mounted. Inside a container the container's own files stand there.
        own: Where Linux names the groups of this process.
    """
    try:
        lines = Path(own).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    files = {Path(root, "memory.max"), Path(root, "memory", "memory.limit_in_bytes")}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        folder, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")  # version 1, and 2
        inner = Path(path.lstrip("/"))
        files |= {Path(root, folder, group, name) for group in (inner, *inner.parents)}
    return [limit for limit in map(_limit_in, files) if limit is not None]


def _limit_in(file: Path) -> int | None:
    """The number that a file holds; None where it holds a word, such as "max", or is not there."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
