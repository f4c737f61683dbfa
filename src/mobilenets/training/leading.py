"""Work that the first of several processes leads: it decides, and the others help where it asks them to.

A search looks at files, clocks and figures all the time, and every process would have to come to the same decisions.
So the first one runs alone, and what is worth sharing, its trainings, it has all processes do together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import MobileNetsError
from mobilenets.training.distributed import alone, group_store, is_alone, is_writer, process_count

Result = TypeVar("Result")

NOTICE = timedelta(minutes=2)
"""How long a helper that could not do its part waits to hear that the leader could not either."""

_done: list[int] = []
"""One for each piece of work that was done together since the leader began; None leads where it is empty."""


def led(function: Callable[[], Result]) -> Result:
    """What a function gives in the first process, for all of them; meanwhile the others help it.

    Args:
        function: Called in the first process. What it does by :func:`together`, all processes do.

    Raises:
        MobileNetsError: In all processes, what the function raises.
    """
    if process_count() == 1:
        return function()
    if not is_writer():
        return _help()  # type: ignore[no-any-return]
    result, failure = None, None
    with alone():
        _done.append(0)
        try:
            result = function()
        except MobileNetsError as error:
            failure = error
        finally:
            _done.pop()
    _send(("end", result, failure))
    if failure is not None:
        raise failure
    return result  # type: ignore[return-value]


def together(work: Callable[..., Result], *arguments: Any, progress: Progress = SILENT, **named: Any) -> Result:
    """What a function gives that all processes call, where one of them leads; else what it gives here.

    Args:
        work: A function of a module, which may train. It is called with the arguments and with ``progress``.
        arguments: They are sent to the other processes.
        progress: Receives the leader's progress updates.
        named: As ``arguments``.
    """
    if not _done or not is_alone():
        return work(*arguments, progress=progress, **named)
    with alone(False):
        _done[-1] += 1
        _send(("work", _done[-1], functools.partial(work, *arguments, **named)))
        try:
            return work(*arguments, progress=progress, **named)
        except MobileNetsError:
            group_store().set(f"failed {_done[-1]}", "")
            raise


def _help() -> Any:
    """Do what the leader asks for until it is done."""
    while True:
        kind, first, second = _received()
        if kind == "end":
            if second is not None:
                raise second
            return first
        try:
            second(progress=SILENT)
        except MobileNetsError:
            if not _leader_failed_too(first):
                raise  # this process ends, and torchrun starts all of them again


def _leader_failed_too(number: int) -> bool:
    try:
        group_store().wait([f"failed {number}"], NOTICE)
    except RuntimeError:  # nothing came in time
        return False
    return True


def _send(message: tuple[str, Any, Any]) -> None:
    distributed.broadcast_object_list([message], src=0)


def _received() -> tuple[str, Any, Any]:
    found: list[Any] = [None]
    distributed.broadcast_object_list(found, src=0)
    message: tuple[str, Any, Any] = found[0]
    return message
