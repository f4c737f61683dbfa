"""Training in several processes, as torchrun starts them: each takes a share of every batch, and all end alike.

The batches, the schedule and the validation are those of one process. A step's images are shared out; gradients and
batch norms are made of all of them (:mod:`mobilenets.training.parallel`). What depends on the clock or on files is
decided by the first process, which alone writes. Outside of a group of processes nothing here does anything.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.errors import MobileNetsError, TrainingError
from mobilenets.training.sums import add_up, shared_memory_sums

Result = TypeVar("Result")

LONGEST_WAIT = timedelta(hours=24)
"""How long processes wait for what one of them does alone. One that is lost is noticed by torchrun, not by waiting."""

_groups = itertools.count()
"""Numbers of the groups that this process has been part of."""
_alone: list[bool] = []
"""One for each :func:`alone` that this process is within; the last holds."""
_stores: list[Store] = []
"""What the processes of the group have in common."""


@dataclass(frozen=True)
class Launch:
    """What torchrun tells a process that it has started.

    Attributes:
        rank: Number of this one among all, from 0.
        count: Processes in all.
        local_rank: Number of this one on its machine, from 0.
        local_count: Processes on its machine.
        restarts: How often they have been started again.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    restarts: int = 0

    @staticmethod
    def of(environment: Mapping[str, str]) -> Launch:
        """What some environment variables say.

        Raises:
            TrainingError: If one is no number.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
        defaults = (0, 1, 0, 1, 0)
        try:
            return Launch(*(int(environment.get(name) or given) for name, given in zip(names, defaults, strict=True)))
        except ValueError:
            raise TrainingError(f"{', '.join(names)} must be numbers, as torchrun sets them") from None


def launch() -> Launch:
    """What torchrun tells this process."""
    return Launch.of(os.environ)


@contextmanager
def alone(yes: bool = True) -> Iterator[None]:
    """Work as if there were no other process, or again as one of several, while the block runs."""
    _alone.append(yes)
    try:
        yield
    finally:
        _alone.pop()


def is_alone() -> bool:
    """Whether this process works as if there were no other."""
    return bool(_alone) and _alone[-1]


def group_store() -> Store:
    """What the processes of the group can leave words for each other in."""
    return _stores[-1]


def process_count() -> int:
    """Processes that train together; 1 outside of a group, and within what one of them does alone."""
    if is_alone():
        return 1
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Number of this process among them, from 0."""
    return distributed.get_rank() if process_count() > 1 else 0


def is_writer() -> bool:
    """Whether this is the process that writes files and speaks."""
    return process_rank() == 0


@contextmanager
def joined_processes(device: torch.device) -> Iterator[None]:
    """Be one of the processes that torchrun has started, if it has, while the block runs.

    Args:
        device: The one of this process that trains: gradients go by NCCL between GPUs, else by gloo.

    Raises:
        TrainingError: If the processes do not find each other.
    """
    if launch().count == 1 or process_count() > 1 or is_alone():
        yield
        return
    try:
        # torchrun keeps one store for all starts, in which the addresses of processes that were killed still stand
        store, rank, processes = next(rendezvous("env://"))
        store = PrefixStore(f"start {launch().restarts} group {next(_groups)}", store)
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=processes, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"the {launch().count} processes do not find each other: {error}") from None
    _stores.append(store)
    try:
        with shared_memory_sums(launch().local_count):
            yield
        distributed.barrier()
    finally:
        _stores.pop()
        distributed.destroy_process_group()


def refuse_processes(what: str) -> None:
    """Raise where torchrun has started several processes for work that only one can do.

    Raises:
        TrainingError: Saying so.
    """
    if launch().count > 1:
        raise TrainingError(f"{what} is done by one process, and torchrun has started {launch().count}: start it alone")


def heard(progress: Progress) -> Progress:
    """Where progress goes: of all processes the first one speaks."""
    return progress if is_writer() else SILENT


def once(function: Callable[[], Result]) -> Result:
    """What a function gives in the first process, for all of them; its errors are raised in all of them.

    What the function does, training included, it does as if there were no other process.
    """
    if process_count() == 1:
        return function()
    found: list[Any] = [None, None]
    if is_writer():
        try:
            with alone():
                found = [function(), None]
        except MobileNetsError as error:
            found = [None, error]
    distributed.broadcast_object_list(found, src=0)
    result, failure = found
    if failure is not None:
        raise failure
    return result  # type: ignore[no-any-return]


def share_of(count: int) -> slice:
    """The part of so many rows that is this process's: they differ by one row at most."""
    ends = [count * number // process_count() for number in range(process_count() + 1)]
    return slice(ends[process_rank()], ends[process_rank() + 1])


def shared_out(count: int, rows_of: Callable[[slice], npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Rows that all processes compute a share of, for all of them.

    Args:
        count: Rows in all.
        rows_of: Computes those of a slice; it may be empty.
    """
    if process_count() == 1:
        return rows_of(slice(0, count))
    parts: list[Any] = [None] * process_count()
    distributed.all_gather_object(parts, rows_of(share_of(count)))
    return np.concatenate([part for part in parts if len(part)])


def shared_items(count: int, items_of: Callable[[slice], list[Result]]) -> list[Result]:
    """A list that all processes compute a share of, for all of them.

    Args:
        count: Items in all.
        items_of: Computes those of a slice, which is never empty.
    """
    if process_count() == 1:
        return items_of(slice(0, count)) if count else []
    share, parts = share_of(count), [list[Result]()] * process_count()
    distributed.all_gather_object(parts, items_of(share) if share.stop > share.start else [])
    return [item for part in parts for item in part]


def check_batch(images: int) -> None:
    """Raise if a batch has fewer images than there are processes.

    Raises:
        TrainingError: Saying so.
    """
    if images < process_count():
        raise TrainingError(
            f"a step of {plural(images, 'image')} cannot be shared by {process_count()} processes: start fewer, or "
            "raise batch_size"
        )


def summed(*values: float) -> list[float]:
    """Sums over all processes."""
    if process_count() == 1:
        return list(values)
    device = torch.device("cuda", torch.cuda.current_device()) if distributed.get_backend() == "nccl" else None
    total = torch.tensor(values, dtype=torch.float64, device=device)
    add_up(total)
    return list(map(float, total.tolist()))


def mean_by_weight(total: Tensor, weight: Tensor, images: int, of: int, *, least: float) -> Tensor:
    """A loss that is a sum over a weight of all images of a step, such as its objects, and not a mean over images.

    Args:
        total: The sum over this process's images.
        weight: What they weigh.
        images: How many they are.
        of: Images of the step.
        least: What is divided by where the images of the step weigh less.

    Returns:
        The quotient for the whole step, as far as it comes of this process's images, as :meth:`Parallel.backward` and
        :func:`summed` take a mean over them.
    """
    if process_count() == 1:
        return total / weight.clamp(min=least)
    (whole,) = summed(float(weight.detach()))
    return total * (of / (images * max(whole, least)))


def whole_variance(values: Tensor) -> Tensor:
    """The variance of all values of a step, of which this process holds a share; no gradient follows it."""
    if process_count() == 1:
        return values.var()
    exact = values.detach().double()
    number, total, squares = summed(values.numel(), float(exact.sum()), float(exact.square().sum()))
    return values.new_tensor(max(0.0, (squares - total * total / number) / max(1.0, number - 1)))
