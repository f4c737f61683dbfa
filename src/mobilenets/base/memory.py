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


_CONTAINER = Path("/sys/fs/cgroup/memory.max")
"""What a container may take, on Linux."""


def memory_of_machine() -> int | None:
    """Bytes of memory that this machine has, or this container may take; None where the system does not say it."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    try:
        return min(found, int(_CONTAINER.read_text()))
    except (OSError, ValueError):
        return found
