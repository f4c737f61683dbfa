"""Independent pieces of work, such as trainings of several networks: one after another here, or on a Ray cluster.

A piece of work is a function of one item. A cluster's workers get as many threads as this process would train with, and
the same settings of libraries, so what they compute are the same bits, on processors of the same kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from mobilenets.base.processors import cores
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.engine.ray_cluster import join_cluster, worker_failure
from mobilenets.errors import EngineError, MobileNetsError
from mobilenets.training.distributed import refuse_processes
from mobilenets.training.settings import Settings

Item = TypeVar("Item")
Result = TypeVar("Result")


class TrainingWorkers(Protocol):
    """Where independent pieces of work are done."""

    @property
    def apart(self) -> bool:
        """Whether that is in other processes, which see none of this one's files and hear none of its progress."""

    def settled(self, settings: Settings) -> Settings:
        """Settings by which a worker trains as this process would.

        Args:
            settings: Of this process.
        """

    def results(
        self, work: Callable[[Item], Result], items: Iterable[Item], unit: str = "networks"
    ) -> Iterator[tuple[int, Result]]:
        """The number of each item with its result, whichever is done first.

        Args:
            work: What is done with an item. Whatever it holds is sent to every node once.
            items: The items.
            unit: What they are, for the progress.

        Raises:
            MobileNetsError: What one of them raises; the others are then given up.
        """


class ThisProcess:
    """One after another, here."""

    apart = False

    def settled(self, settings: Settings) -> Settings:
        """The settings as they are."""
        return settings

    def results(
        self, work: Callable[[Item], Result], items: Iterable[Item], unit: str = "networks"
    ) -> Iterator[tuple[int, Result]]:
        for number, item in enumerate(items):
            yield number, work(item)


ALONE = ThisProcess()


class ClusterWorkers:
    """Beside each other, in the workers of a Ray cluster.

    An item whose worker or node is lost is done again by another.

    Args:
        address: Of the cluster; None as for :func:`~mobilenets.engine.ray_cluster.join_cluster`.
        threads: Of each piece of work; None for as many as this machine has cores.
        device: What trains: ``auto`` and ``cuda`` take a GPU each where the cluster has some.
        progress: Receives what the cluster has, and how many items are done.

    Raises:
        EngineError: If the cluster cannot be reached, or no node of it has so many cores.
        MissingDependencyError: If Ray is not installed.
    """

    apart = True

    def __init__(
        self, address: str | None, threads: int | None, device: str = "auto", progress: Progress = SILENT
    ) -> None:
        self._ray = join_cluster(address)
        self._progress = progress
        self.threads = threads or cores()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        largest = int(max((node.get("CPU", 0) for node in nodes), default=0))
        if largest < self.threads:
            raise EngineError(
                f"no node of the Ray cluster has {plural(self.threads, 'core')} for a training of as many threads; the "
                f"largest has {largest}: say how many threads it shall have (training_threads)"
            )
        together = int(sum(node.get("CPU", 0) // self.threads for node in nodes))
        self._gpus = 1 if device in ("auto", "cuda") and any(node.get("GPU") for node in nodes) else 0
        if self._gpus:
            together = min(together, int(sum(node.get("GPU", 0) for node in nodes)))
        progress.note(
            f"a Ray cluster of {plural(len(nodes), 'node')}: up to {plural(together, 'training')} beside each other, "
            f"of {plural(self.threads, 'thread')} each"
        )

    def settled(self, settings: Settings) -> Settings:
        """The settings with the number of threads."""
        return replace(settings, threads=self.threads)

    def results(
        self, work: Callable[[Item], Result], items: Iterable[Item], unit: str = "networks"
    ) -> Iterator[tuple[int, Result]]:
        from ray.exceptions import RayError

        remote = self._ray.remote(num_cpus=self.threads, num_gpus=self._gpus, runtime_env={"env_vars": _variables()})
        do, sent = remote(_done), self._ray.put(work)
        numbers = {do.remote(sent, item): number for number, item in enumerate(items)}
        waiting = list(numbers)
        try:
            with self._progress.task("on the cluster", len(waiting), unit) as task:
                while waiting:
                    (first, *_), waiting = self._ray.wait(waiting)
                    result, failure = self._ray.get(first)
                    if failure is not None:
                        raise failure
                    task.advance()
                    yield numbers[first], result
        except RayError as error:
            raise EngineError(f"a worker of the Ray cluster failed: {worker_failure(error)}") from None
        finally:
            for one in waiting:
                self._ray.cancel(one, force=True)


def workers_of(
    ray: bool | str, threads: int | None, device: str = "auto", progress: Progress = SILENT
) -> ThisProcess | ClusterWorkers:
    """Where independent pieces of work are done, as a caller says.

    Args:
        ray: False for here; True for the Ray cluster that runs here, or this machine's cores; or an address.
        threads: As for :class:`ClusterWorkers`.
        device: As for :class:`ClusterWorkers`.
        progress: As for :class:`ClusterWorkers`.

    Raises:
        EngineError: As for :class:`ClusterWorkers`.
        MissingDependencyError: If Ray is not installed.
        TrainingError: If torchrun has started several processes, all of which would ask.
    """
    if ray is False:
        return ALONE
    refuse_processes("asking a Ray cluster for trainings")
    return ClusterWorkers(None if ray is True or not ray else ray, threads, device, progress)


def _variables() -> dict[str, str]:
    """Environment variables by which libraries take as many threads in a worker as here, whatever Ray would say."""
    found = {name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    found["OMP_NUM_THREADS"] = found["OMP_NUM_THREADS"] or str(cores())
    return {name: value for name, value in found.items() if value}


def _done(work: Callable[[Any], Any], item: Any) -> tuple[Any, MobileNetsError | None]:
    """What a worker does: the result, or the error that the work raised on purpose."""
    try:
        return work(item), None
    except MobileNetsError as error:
        return None, error
