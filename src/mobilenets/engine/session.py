"""A Model, ready to run."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from functools import cache
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.processors import cores
from mobilenets.base.records import record
from mobilenets.engine.lowering import lower
from mobilenets.errors import EngineError, InputTypeError, ModelError
from mobilenets.model.model import Model, broken_tensor
from mobilenets.model.preprocessing import Pixels, check_pixels
from mobilenets.model.source import model_of
from mobilenets.native import _native

Logits = npt.NDArray[np.float32]

MOST_THREADS = 256
BATCH = 8
"""Images that are best given together: enough for all threads to have some of their own."""

INSTRUCTION_SET_VARIABLE = "MOBILENETS_ISA"
"""Environment variable that names the instruction set to use, instead of the best that the processor has."""

TUNE_VARIABLE = "MOBILENETS_TUNE"
"""Environment variable that, set to 1, has Sessions tuned that are not told whether to be."""

atexit.register(_native.stop_threads)


@record(frozen=True)
class PlannedLayer:
    """One layer of a plan.

    Attributes:
        name: Name of the layer.
        kernel: Kernel that computes it, such as ``u8_pointwise_6x64_avx512vnni``.
        macs: Multiply-accumulate operations of one image.
        weight_bytes: Bytes of its packed parameters.
        output_bytes: Bytes of its whole output.
        buffer_bytes: Bytes of its output that exist at a time, for one thread: less where the next layer is fused.
        seconds: Least measured time on one thread.
    """

    name: str
    kernel: str
    macs: int
    weight_bytes: int
    output_bytes: int
    buffer_bytes: int
    seconds: float


@record(frozen=True)
class PlannedStep:
    """Layers that run fused, and how threads share them: ``rows``, ``channels`` or ``pixels``."""

    layers: tuple[PlannedLayer, ...]
    split: str


def instruction_sets() -> dict[str, bool]:
    """The instruction sets that this build has, best first, and whether this processor has them too."""
    return dict(_native.instruction_sets())


def chosen_instruction_set(known: Mapping[str, bool] | None = None) -> str:
    """The instruction set that a new Session uses.

    Args:
        known: What this build has, best first, and whether the processor has it too; as
            :func:`instruction_sets` gives it if None.

    Raises:
        EngineError: If ``MOBILENETS_ISA`` names one that is unknown or that this processor lacks.
    """
    known = instruction_sets() if known is None else known
    supported = [name for name, has in known.items() if has]
    wanted = os.environ.get(INSTRUCTION_SET_VARIABLE)
    if not wanted:
        return supported[0]
    if wanted not in known:
        raise EngineError(f"{INSTRUCTION_SET_VARIABLE} is {wanted!r}; this build has {', '.join(known)}")
    if not known[wanted]:
        raise EngineError(f"{INSTRUCTION_SET_VARIABLE} is {wanted!r}, which this processor lacks; it has {supported}")
    return wanted


@cache
def measured_peak(instruction_set: str, *, integer: bool) -> float:
    """Multiply-accumulates per second of one core, measured on registers alone; 0 where it is not known how."""
    return _native.measure_peak(instruction_set, _native.Type.UINT8 if integer else _native.Type.FLOAT32)


class Session:
    """Runs one Model on pixels. May be used by several threads at once, pickled and copied.

    The results are the same bits for every number of threads. Several Sessions share one set of threads, so that
    together they never run more of them than there are cores.

    Args:
        model: A Model, float32 or int8; or what :func:`mobilenets.load` reads: the path of a Model file or of a foreign
            one, or published weights such as ``"keras:0.25-224"``.
        threads: Most threads of one run; by default the cores that this process may use.
        tune: Measure tiles and thread splits on this machine for under a second, the first time that this network is
            run on it, and remember the best. By default only where ``MOBILENETS_TUNE`` is 1.

    Attributes:
        model: The Model.
        threads: Most threads of one run.
        instruction_set: The one whose kernels run.

    Raises:
        ModelFileError: If the file cannot be read.
        EngineError: If the number of threads makes no sense, the Model holds NaN or infinite values,
            ``MOBILENETS_ISA`` names an instruction set that is not to be had, or the engine cannot take the Model.

    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> parameters = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> session = Session(Model(network, parameters, Classification(("cat", "dog"))), threads=1)
    >>> logits = session.run(np.zeros((4, 32, 32, 3), np.uint8))
    >>> logits.shape, logits.dtype
    ((4, 2), dtype('float32'))
    """

    @typed(EngineError)
    def __init__(
        self, model: Model | str | PathLike[str], threads: int | None = None, *, tune: bool | None = None
    ) -> None:
        _check_threads(threads)
        self._asked = threads, tune
        self.model = model_of(model)
        if (broken := broken_tensor(self.model.parameters)) is not None:
            raise EngineError(f"{broken} holds NaN or infinite values: the Model is broken, and answers nothing")
        self.threads = threads or cores()
        self._result_shapes = [(name, _result_shape(self.model.network, name)) for name in self.model.network.outputs]
        self.instruction_set = chosen_instruction_set()
        self._runner = lower(
            self.model,
            instruction_set=self.instruction_set,
            threads=self.threads,
            # A caller who asks for more threads than there are cores gets them: tests of threads do.
            processors=max(cores(), self.threads),
        )
        if os.environ.get(TUNE_VARIABLE) == "1" if tune is None else tune:
            from mobilenets.engine.tuning import tune_once  # few ask, and it needs to hash and to write files

            tune_once(self._runner, self.model, self.instruction_set, self.threads)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process plans again: for its own cores, where no number of threads was asked for."""
        threads, tune = self._asked
        return _made_again, (type(self), self.model, threads, tune)

    def __repr__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{type(self).__name__}({self.model.summary}; {threads}, {self.instruction_set})"

    def run(self, pixels: npt.NDArray[Any], *, threads: int | None = None) -> Logits:
        """The network's (first) output.

        Args:
            pixels: uint8 RGB, (N, height, width, 3).
            threads: Most threads of this run, where that is fewer than the Session's: 1 is best for a caller that runs
                the Session in several threads of its own.

        Returns:
            float32, (N, classes).

        Raises:
            EngineError: If the pixels are not of that type and shape, or the number of threads makes no sense.
        """
        return self.outputs(pixels, threads=threads)[self.model.network.outputs[0]]

    def outputs(self, pixels: npt.NDArray[Any], *, threads: int | None = None) -> dict[str, Logits]:
        """All of the network's outputs.

        Args:
            pixels: As for :meth:`run`.
            threads: As for :meth:`run`.

        Returns:
            By name of the layer that makes it, each output as float32: (N, C) where it is 1×1, else (N, C, H, W).

        Raises:
            EngineError: If the pixels are not uint8 (N, height, width, 3), or the number of threads makes no sense.
        """
        _check_threads(threads)
        checked = self._check(pixels)
        results = {name: np.empty((len(checked), *shape), np.float32) for name, shape in self._result_shapes}
        try:
            self._runner.run(checked, list(results.values()), threads or 0)
        except MemoryError:
            raise EngineError("there is not enough memory to run the model") from None
        return results

    def plan(self, *, repeats: int = 20) -> tuple[PlannedStep, ...]:
        """What happens in a run, step by step, with the measured time of every layer.

        Args:
            repeats: Runs to measure; the least time of each layer counts.
        """
        from mobilenets.engine.timing import random_pixels  # few ask

        seconds = iter(self._runner.profile(random_pixels(self.model.network), repeats, 1))
        return tuple(
            PlannedStep(
                tuple(
                    PlannedLayer(
                        name=layer["name"],
                        kernel=layer["kernel"],
                        macs=layer["macs"],
                        weight_bytes=layer["weight_bytes"],
                        output_bytes=layer["output_bytes"],
                        buffer_bytes=layer["ring_bytes"] or layer["output_bytes"],
                        seconds=next(seconds),
                    )
                    for layer in step["layers"]
                ),
                step["split"],
            )
            for step in self._runner.describe()
        )

    @property
    def arena_bytes(self) -> int:
        """Bytes of all activations of one image, with what lies between them."""
        return self._runner.arena_bytes

    @property
    def scratch_bytes(self) -> int:
        """Bytes that each thread works in: rows that fused layers hand each other, gathered windows."""
        return self._runner.scratch_bytes

    @property
    def packed_bytes(self) -> int:
        """Bytes of parameters as the kernels want them."""
        return self._runner.packed_bytes

    def _check(self, pixels: npt.NDArray[Any]) -> Pixels:
        if not isinstance(pixels, np.ndarray):
            raise InputTypeError(
                f"pixels must be a NumPy array, uint8 (N, height, width, 3), not {type(pixels).__name__}; "
                "a Classifier takes paths, bytes and images of any size"
            )
        try:
            check_pixels(self.model.network, pixels)
        except ModelError as error:
            raise EngineError(str(error)) from None
        return np.ascontiguousarray(pixels)


def _result_shape(network: Network, name: str) -> tuple[int, ...]:
    channels, height, width = network.shapes[name]
    return (channels,) if height == width == 1 else (channels, height, width)


def _made_again(kind: type[Session], model: Model, threads: int | None, tune: bool | None) -> Session:
    """A Session as it was pickled or copied."""
    return kind(model, threads, tune=tune)


def _check_threads(threads: int | None) -> None:
    if threads is not None:
        check_integer("threads", threads, EngineError, least=1, most=MOST_THREADS)
