"""How fast a Model runs here, and how other runtimes do beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mobilenets.architecture.cost import cost
from mobilenets.base.arguments import check_integer, check_number, typed
from mobilenets.base.processors import cores, processor_name
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.benchmark.peak_memory import peak_megabytes
from mobilenets.benchmark.race import Timing, fastest_peers, race
from mobilenets.benchmark.runtimes import CONTESTANTS, OURS, QUANTIZERS, Contestant
from mobilenets.engine.session import Session, chosen_instruction_set, measured_peak
from mobilenets.engine.steadiness import Surroundings
from mobilenets.engine.timing import random_pixels
from mobilenets.errors import EngineError, MobileNetsError
from mobilenets.formats.loading import is_own, load_model
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

CALIBRATION_IMAGES = 16
"""Images that peers' quantizers calibrate on, and that answers are compared on."""
_LAYER_REPEATS = 50


@dataclass(frozen=True)
class BenchmarkResult:
    """What was measured; every part is ready for JSON.

    Attributes:
        machine: Processor, cores, instruction set, precision and peak of one core.
        runs: One entry for every runtime, model and number of threads, ours first: times in milliseconds, share of the
            peak, memory, difference, agreement, and whether its own quantizer made the model (``own_quantizer``) and
            it is the faster of the runtime's models (``fastest``).
        not_timed: Those that answer differently.
        layers: Time of every layer on one thread, where that was asked for.
        warnings: What was in the way, where other processes wanted the processors too.
    """

    machine: dict[str, Any]
    runs: list[dict[str, Any]]
    not_timed: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All parts by name."""
        return asdict(self)


@typed(EngineError)
def benchmark(
    model: Model | str | Path,
    *,
    against: Sequence[str] = (),
    threads: Sequence[int] = (1,),
    batch: int = 1,
    seconds: float = 3.0,
    layers: bool = False,
    images: Pixels | None = None,
    progress: Progress = SILENT,
) -> BenchmarkResult:
    """Time a Model, beside other runtimes if asked, in turns, after comparing the answers.

    Args:
        model: A Model, or what :func:`~mobilenets.formats.loading.load_model` reads as one.
        against: Names of :data:`mobilenets.benchmark.runtimes.CONTESTANTS`. Of an int8 Model, runtimes with a quantizer
            also run a model of their own.
        threads: Numbers of threads to try.
        batch: Images in one run.
        seconds: For each contestant and number of threads.
        layers: Whether to time every layer too.
        images: uint8 (N, height, width, 3) to calibrate and compare on; by default random ones.
        progress: Receives what is left out and why.

    Returns:
        Times in milliseconds of everything that gives the same answers, and what does not.

    Raises:
        EngineError: If a runtime is not known, or ``threads``, ``batch`` or ``seconds`` is out of range.
        ModelFileError: If the file does not exist or cannot be read.
        FormatError: If a file of another format cannot be read.

    >>> import numpy as np
    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> rng = np.random.default_rng(0)
    >>> parameters = {
    ...     name: rng.uniform(0.1, 0.2, shape).astype(np.float32) for name, shape in network.parameter_shapes().items()
    ... }
    >>> (run,) = benchmark(Model(network, parameters, Classification(("cat", "dog"))), seconds=0.01).runs
    >>> run["runtime"], run["threads"], 0 < run["minimum_ms"] <= run["median_ms"]
    ('mobilenets', 1, True)
    """
    for name in against:
        if name not in CONTESTANTS:
            raise EngineError(f"{name!r} is not a runtime that is known here; known are {', '.join(CONTESTANTS)}")
    check_integer("batch", batch, EngineError, least=1)
    for count in threads:
        check_integer("threads", count, EngineError, least=1)
    check_number("seconds", seconds, EngineError, least=0)
    loaded = load_model(model, progress=progress)
    images = random_pixels(loaded.network, max(CALIBRATION_IMAGES, batch)) if images is None else images
    runs: list[dict[str, Any]] = []
    not_timed: list[dict[str, Any]] = []
    warnings: list[str] = []
    for count in threads:
        contestants = gather(loaded, against, count, images, progress)
        pixels, integer = random_pixels(loaded.network, batch), loaded.quantization is not None
        surroundings = Surroundings()
        timings = race(contestants, pixels, seconds=seconds * len(contestants), integer=integer, images=images)
        if (warning := surroundings.steadiness([], count).warning) is not None:
            warnings.append(f"on {plural(count, 'thread')} {warning}")
        fastest = fastest_peers(timings)
        for timing in timings:
            if timing.timed:
                runs.append(_run(loaded, timing, count, batch, fastest=timing in fastest))
            else:
                not_timed.append(_identity(timing, count))
                progress.note(f"{timing.label} answers differently on {plural(count, 'thread')} and is not timed")
    _measure_memory(loaded, model, runs)
    return BenchmarkResult(_machine(loaded), runs, not_timed, _layers(loaded) if layers else [], warnings)


def gather(
    model: Model, against: Sequence[str], threads: int, images: Pixels, progress: Progress = SILENT
) -> list[Contestant]:
    """Ours, and every peer that can take the Model, with each of its models.

    Args:
        model: float32 or int8.
        against: Names of :data:`mobilenets.benchmark.runtimes.CONTESTANTS`.
        threads: Most threads of one run.
        images: What peers' quantizers calibrate on.
        progress: Receives what is left out and why.
    """
    contestants = [CONTESTANTS[OURS](model, threads)]
    for name in against:
        try:
            contestants.append(CONTESTANTS[name](model, threads))
        except MobileNetsError as error:
            progress.note(f"without {name}: {error}")
            continue
        if model.quantization is None or name not in QUANTIZERS:
            continue
        try:
            contestants.append(QUANTIZERS[name](model, threads, images))
        except MobileNetsError as error:
            progress.note(f"without {name}'s own quantizer: {error}")
    return contestants


def _identity(timing: Timing, threads: int) -> dict[str, Any]:
    return {
        "runtime": timing.name,
        "own_quantizer": timing.own,
        "threads": threads,
        "largest_difference": timing.difference,
        "agreement": timing.agreement,
    }


def _run(model: Model, timing: Timing, threads: int, batch: int, *, fastest: bool) -> dict[str, Any]:
    macs = cost(model.network).macs * batch
    peak = measured_peak(chosen_instruction_set(), integer=model.quantization is not None) * threads
    return _identity(timing, threads) | {
        "batch": batch,
        "minimum_ms": timing.minimum * 1e3,
        "median_ms": timing.median * 1e3,
        "p90_ms": timing.p90 * 1e3,
        "runs": len(timing.seconds),
        "share_of_peak": macs / timing.minimum / peak if peak else None,
        "fastest": fastest,
        "peak_megabytes": None,
    }


def _measure_memory(model: Model, source: Model | str | Path, runs: list[dict[str, Any]]) -> None:
    """Fill in the peak memory of our exports; a quantizer's own memory would hide that of the models it makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        if isinstance(source, Model) or not (Path(source).is_file() and is_own(Path(source))):
            save(model, path)
        else:
            path = Path(source)
        for run in runs:
            if not run["own_quantizer"]:
                run["peak_megabytes"] = peak_megabytes(path, run["runtime"], run["threads"])


def _machine(model: Model) -> dict[str, Any]:
    isa = chosen_instruction_set()
    return {
        "processor": processor_name(),
        "cores": cores(),
        "instruction_set": isa,
        "precision": model.precision,
        "peak_gmacs_per_second": round(measured_peak(isa, integer=model.quantization is not None) / 1e9, 1),
    }


def _layers(model: Model) -> list[dict[str, Any]]:
    plan = Session(model, 1).plan(repeats=_LAYER_REPEATS)
    return [asdict(layer) for step in plan for layer in step.layers]
