"""Threads that decode images and run Models, and the bounded queue before them.

A thread takes an image, decodes it, and goes on with what else waits for the same Model while the batch may grow; the
decoder, the resizing and the network all run without the interpreter's lock. An idle thread takes an image at once, so
a batch of more than one forms only where every thread is busy.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mobilenets.base.memory import is_out_of_memory
from mobilenets.base.processors import cores
from mobilenets.data.image import ImageSource
from mobilenets.engine.predictor import PreparedImage
from mobilenets.errors import DataError, ImageSizeError
from mobilenets.model.preprocessing import Pixels
from mobilenets.serving.limits import Limits
from mobilenets.serving.models import ServedModel
from mobilenets.serving.refusals import Reason, Refusal
from mobilenets.tasks.task import Geometry

log = logging.getLogger("mobilenets.serving")


@dataclass(frozen=True, eq=False)
class Done:
    """An image that has been run.

    Attributes:
        prediction: JSON values of what the task reads in the outputs.
        outputs: The network's, each with a leading axis of 1; empty where they are not wanted.
    """

    prediction: dict[str, Any]
    outputs: tuple[Any, ...]


Result = Done | Refusal
"""Of an image: what came of it, or why nothing did."""


class Observer(Protocol):
    """What is told of the work; see :mod:`mobilenets.serving.metrics`."""

    def batch(self, model: ServedModel, images: int, seconds: float) -> None:
        """A batch has been run."""


class Job:
    """One image of a request.

    Attributes:
        result: None until it is done.
    """

    __slots__ = ("ask", "image", "result")

    def __init__(self, ask: Ask, image: ImageSource | Pixels) -> None:
        self.ask = ask
        self.image = image
        self.result: Result | None = None


class Ask:
    """The images of one request, which are answered together.

    Args:
        model: What is to run.
        images: Sources, or pixels of the network's size.
        top: Largest number of results for each; None for what the task gives: five labels, or every box.
        raw: Whether the network's outputs are wanted beside predictions.
        deadline: By :func:`time.monotonic`, when nobody waits any more.
        left: Whether the client has gone; called from any thread.
    """

    def __init__(
        self,
        model: ServedModel,
        images: Sequence[ImageSource | Pixels],
        *,
        top: int | None = None,
        raw: bool = False,
        deadline: float,
        left: Callable[[], bool] = lambda: False,
    ) -> None:
        self.model = model
        self.top = top
        self.raw = raw
        self.deadline = deadline
        self.left = left
        self.jobs = [Job(self, image) for image in images]
        self.missing = len(self.jobs)
        self.done: asyncio.Future[None] | None = None


class Workers:
    """The queue and its threads.

    Args:
        limits: Of the queue and of batches.
        observer: Is told of each batch.
        threads: How many; by default the cores that this process may use.
    """

    def __init__(self, limits: Limits, observer: Observer, threads: int | None = None) -> None:
        self._limits = limits
        self._observer = observer
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._idle = 0
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        count = threads or cores()
        self._threads = [threading.Thread(target=self._work, name=f"worker-{one}", daemon=True) for one in range(count)]

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads; results are handed over in that loop."""
        self._loop = loop
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, and end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._waiting)

    def check_room(self, images: int = 1) -> None:
        """Raise if so many images find no place in the queue.

        Raises:
            Refusal: Then.
        """
        if len(self._waiting) + images > self._limits.queue:
            raise Refusal(Reason.QUEUE_FULL, f"{len(self._waiting)} images wait, of at most {self._limits.queue}")

    async def run(self, ask: Ask) -> list[Result]:
        """Results of all images of a request, in order. To be called in the loop.

        Raises:
            Refusal: If the queue has no place for them, or the deadline has passed.
        """
        if not ask.jobs:
            return []
        self.check_room(len(ask.jobs))
        loop = asyncio.get_running_loop()
        ask.done = loop.create_future()
        expiry = loop.call_later(max(0.0, ask.deadline - time.monotonic()), _expire, ask, self._limits)
        with self._changed:
            self._waiting.extend(ask.jobs)
            self._changed.notify(min(len(ask.jobs), len(self._threads)))
        try:
            await ask.done
        finally:
            expiry.cancel()
        return [job.result for job in ask.jobs if job.result is not None]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                self._idle -= 1
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            finished = self._batch(job)
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(_deliver, finished)
            except RuntimeError:  # the loop is closed: nobody waits
                return

    def _batch(self, first: Job) -> list[Job]:
        """Decode an image, and more while the batch may grow; run them; give back all that have a result."""
        model = first.ask.model
        jobs: list[Job] = []
        prepared: list[PreparedImage] = []
        ready: list[Job] = []
        latest = time.monotonic() + self._limits.max_delay
        job: Job | None = first
        while job is not None:
            jobs.append(job)
            image = self._prepared(job)
            if image is not None:
                ready.append(job)
                prepared.append(image)
            job = self._next(model) if len(ready) < self._limits.max_batch and time.monotonic() < latest else None
        if ready:
            self._run(model, ready, prepared)
        return jobs

    def _next(self, model: ServedModel) -> Job | None:
        """Another image for the same Model, where no other thread is there to take it."""
        with self._changed:
            if self._idle or not self._waiting or self._waiting[0].ask.model is not model:
                return None
            return self._waiting.popleft()

    def _prepared(self, job: Job) -> PreparedImage | None:
        """An image as the network takes it, or None with the reason as the job's result."""
        ask = job.ask
        if ask.left() or time.monotonic() > ask.deadline:
            job.result = _timed_out(self._limits)
            return None
        if isinstance(job.image, np.ndarray):
            height, width, _ = job.image.shape
            return PreparedImage(job.image, Geometry("pixels", (width, height), (0, 0, width, height)), None)
        try:
            return ask.model.predictor.prepare(job.image)
        except ImageSizeError as error:
            job.result = Refusal(Reason.IMAGE_TOO_LARGE, str(error))
        except DataError as error:
            job.result = Refusal(Reason.INVALID_IMAGE, str(error))
        except Exception as error:
            job.result = _unexpected(error)
        return None

    def _run(self, model: ServedModel, jobs: list[Job], prepared: list[PreparedImage]) -> None:
        begin = time.monotonic()
        try:
            pixels = np.stack([one.pixels for one in prepared])
            outputs = tuple(model.predictor.session.outputs(pixels, threads=1).values())
            for index, (job, one) in enumerate(zip(jobs, prepared, strict=True)):
                own = tuple(output[index : index + 1] for output in outputs)
                job.result = Done(_predicted(model, own, one, job.ask.top), own if job.ask.raw else ())
        except Exception as error:
            for job in jobs:
                job.result = _unexpected(error)
        self._observer.batch(model, len(jobs), time.monotonic() - begin)


def _predicted(model: ServedModel, outputs: tuple[Any, ...], image: PreparedImage, top: int | None) -> dict[str, Any]:
    asked = {} if top is None else {"top": top}
    prediction = model.predictor.model.task.decode(outputs, [image.geometry], **asked)[0].to_json()
    return prediction if image.assumption is None else {**prediction, "note": image.assumption}


def _unexpected(error: Exception) -> Refusal:
    if is_out_of_memory(error):
        return Refusal(Reason.MEMORY_FULL, "there is not enough memory to run this image now")
    log.error("an image could not be run", exc_info=error)
    return Refusal(Reason.INTERNAL_ERROR, "the image could not be run; the server's log says why")


def _timed_out(limits: Limits) -> Refusal:
    return Refusal(Reason.TIMED_OUT, f"there was no answer within {limits.seconds:g} s")


def _expire(ask: Ask, limits: Limits) -> None:
    """Nobody is to wait longer than a request may take, whatever a decoder does."""
    if ask.done is not None and not ask.done.done():
        ask.done.set_exception(_timed_out(limits))


def _deliver(jobs: list[Job]) -> None:
    """Wake the requests whose last image is done. Runs in the loop, so that no lock is needed."""
    for job in jobs:
        ask = job.ask
        ask.missing -= 1
        if ask.missing == 0 and ask.done is not None and not ask.done.done():
            ask.done.set_result(None)
