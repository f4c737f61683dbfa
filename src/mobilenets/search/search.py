"""From labelled images and a budget to the Model that meets it: the whole of ``mobilenets fit --max-latency 5ms``.

Every step is a function from values to values: measure a device (:mod:`mobilenets.search.profile`), predict what every
size costs (:mod:`mobilenets.search.candidates`), train one supernet, no wider and no larger than the budget can use
(:mod:`mobilenets.training.supernet`), evaluate its subnets on the validation images
(:mod:`mobilenets.search.supernet`), choose one (:mod:`mobilenets.search.frontier`), fine-tune it, quantize it if it was
chosen in int8, and test it once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mobilenets.architecture.catalog import Specification
from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.pipeline import CompressionResult
from mobilenets.compression.quality import DEFAULT_MAX_DROP, QualityReport
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.loading import prepare
from mobilenets.engine.evaluate import evaluate_prepared
from mobilenets.engine.session import Session
from mobilenets.errors import GateError, PlanningError, TrainingError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget, affordable
from mobilenets.search.candidates import (
    Candidate,
    find_candidate,
    networks_of_sizes,
    predicted_candidates,
    search_resolutions,
    search_widths,
)
from mobilenets.search.frontier import choose, explain
from mobilenets.search.profile import ARCHITECTURE, EIGHTHS, PRECISIONS, DeviceProfile, measure_profile, time_sessions
from mobilenets.search.record import LatencySource, MeasuredLatency, SearchRecord
from mobilenets.search.supernet import check_validation, evaluate_supernet
from mobilenets.tasks.classification import ClassificationMetrics
from mobilenets.training.image_cache import cache_images
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.recalibration import reestimated
from mobilenets.training.recipe import suited_to
from mobilenets.training.result import Fit, epochs_to_json, provenance_of
from mobilenets.training.run_folder import (
    CHECKPOINT_FILE,
    PROFILE_FILE,
    SUPERNET_FILE,
    claim,
    fine_tuning_checkpoint,
    write,
)
from mobilenets.training.selection import Epoch
from mobilenets.training.settings import Settings, default_resolution, set_up, specification
from mobilenets.training.supernet import (
    SupernetTraining,
    TrainedModel,
    fine_tune_subnet,
    supernet_epochs,
    train_supernet,
)

MEASURING_ROUNDS = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Phase:
    """One part of a search.

    Attributes:
        name: ``latency``, ``supernet``, ``frontier``, ``fine-tune``, ``compress`` or ``test``.
        seconds: How long it took, without earlier parts of a resumed run.
        history: Figures of its epochs, where it trained.
        best_epoch: The epoch that was kept, from 0; −1 where its start was; None where it did not train.
    """

    name: str
    seconds: float
    history: tuple[Epoch, ...] = ()
    best_epoch: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values, with epochs numbered from 1."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 1),
            "epochs": epochs_to_json(self.history),
            "best_epoch": None if self.best_epoch is None else self.best_epoch + 1,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchResult(Fit):
    """A Model that meets a budget, with its figures and how it was chosen.

    Attributes:
        search: How the network was chosen.
        phases: The parts of the search, in order. ``history`` is that of the fine-tuning.
    """

    search: SearchRecord
    phases: tuple[Phase, ...]

    def to_json(self) -> dict[str, Any]:
        """Figures as those of a :class:`~mobilenets.training.result.Fit`, and those of the search and its phases."""
        phases = [phase.to_json() for phase in self.phases]
        return super().to_json() | {"search": self.search.to_json(), "phases": phases}


def search(
    source: str | Path,
    output: str | Path | None = None,
    budget: Budget = Budget(),
    settings: Settings = Settings(),
    *,
    precisions: Sequence[str] = PRECISIONS,
    threads: int = 1,
    device: DeviceProfile | str | Path | None = None,
    resume: bool = False,
    replace_existing: bool = False,
    progress: Progress = SILENT,
) -> SearchResult:
    """Find, train and test the network that a budget is best spent on.

    Args:
        source: As for :func:`~mobilenets.training.fit.fit`.
        output: Folder for what ``fit`` writes, and beside it ``supernet.safetensors``, ``device.json`` and, where the
            Model is int8, ``model.float32.safetensors``; None to write nothing.
        budget: Limits, and the accuracy to reach; if empty, the knee of the frontier is chosen.
        settings: Its width and resolution are the largest that are considered; its epochs are those of an ordinary run,
            which those of the supernet and of fine-tuning are in proportion to.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image when the Model is used.
        device: A profile of the machine that the Model is used on, or its path; None to measure this machine.
        resume: Go on from the checkpoints in the output folder, if there are any.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        progress: Receives progress updates.

    Raises:
        PlanningError: If nothing meets the budget (said before any training), or nothing reaches the accuracy.
        DataError: If the images cannot be used, or a class has too few to choose by.
        TrainingError: If the settings contradict each other, or the output cannot be written.
    """
    begun = time.monotonic()
    architecture = largest_architecture(settings)
    given = DeviceProfile.load(device) if isinstance(device, str | Path) else device
    folder = None if output is None else claim(Path(output), resume=resume, replace_existing=replace_existing)
    recipe, processor, precision = set_up(settings)
    dataset = load_dataset(source, seed=settings.seed, progress=progress)
    check_validation(dataset)
    how = SupernetTraining(
        recipe=suited_to(recipe, dataset.labels, settings.flip),
        widths=search_widths(architecture.width_multiplier or max(EIGHTHS)),
        resolutions=search_resolutions(architecture.resolution or default_resolution(dataset.train)),
        device=processor,
        precision=precision,
        epochs=settings.epochs,
        seed=settings.seed,
    )
    go_on: dict[str, Any] = {"resume": resume, "progress": progress}
    classes = len(dataset.labels)

    measure = partial(_profile, how, precisions, threads, classes, resume and folder, progress)
    profile, latency = timed("latency", measure if given is None else lambda: given)
    networks = networks_of_sizes(architecture, how.widths, how.resolutions, classes=classes)
    predicted = predicted_candidates(networks, profile, precisions=precisions, threads=threads)
    usable = affordable(predicted, budget)
    if folder is not None:
        profile.save(folder / PROFILE_FILE)

    widest, largest = max(one.width_multiplier for one in usable), max(one.resolution for one in usable)
    network = replace(architecture, width_multiplier=widest, resolution=largest).network(classes=classes)
    sides = [side for side in how.resolutions if side <= largest]
    progress.note(_training_note(len(usable), len(predicted), min(how.widths), widest, sides))
    images = cache_images(dataset.train, largest, progress=progress)
    checkpoint = folder and folder / CHECKPOINT_FILE
    trained, training = timed(
        "supernet", partial(train_supernet, network, dataset, images, how, checkpoint=checkpoint, **go_on)
    )

    sizes = [(width, side) for width in how.widths for side in sides if width <= widest]
    cost = partial(find_candidate, predicted)
    evaluate = partial(
        evaluate_supernet, trained.model, dataset, sizes, precisions, cost, reestimated, budget, progress=progress
    )
    evaluated, evaluating = timed("frontier", evaluate)
    if folder is not None:
        save(evaluated.supernet, folder / SUPERNET_FILE)

    def fine_tune(choice: Candidate) -> TrainedModel:
        size = choice.width_multiplier, choice.resolution
        file = folder and fine_tuning_checkpoint(folder, *size)
        return fine_tune_subnet(evaluated.supernet, size, dataset, images, how, checkpoint=file, **go_on)

    compress = partial(
        quantize_fitted, dataset=dataset, max_drop=allowed_drop(len(dataset.validation)), progress=progress
    )
    finished = finish(evaluated.candidates, budget, fine_tune, compress, progress=progress)

    def test() -> tuple[ClassificationMetrics, MeasuredLatency | None]:
        expected = finished.choice.latency_ms
        measured = _latency(finished.model, expected, threads, progress) if given is None else None
        return _evaluation(finished.model, dataset, progress), measured

    (evaluation, measured), testing = timed("test", test)
    error = None if given is None else given.interpolation_error
    record = SearchRecord(
        budget=budget,
        device=LatencySource(profile.device, profile.engine, threads, given is None, interpolation_error=error),
        candidates=evaluated.candidates,
        choice=finished.choice,
        reason=finished.reason,
        validation_images=len(dataset.validation),
        widest=widest,
        largest=largest,
        latency=measured,
    )
    tuned = finished.fine_tuned
    provenance: Mapping[str, Any] = {
        **provenance_of(dataset, how.recipe, tuned.run, tuned.best_epoch, finished.validation_top1, evaluation),
        "supernet_epochs": supernet_epochs(how.usual_epochs(dataset, network)),
        "budget": asdict(budget),
    }
    result = SearchResult(
        _recorded(finished.model, provenance),
        dataset,
        evaluation,
        tuned.history,
        tuned.best_epoch,
        time.monotonic() - begun,
        None if finished.verdict is None else _recorded(tuned.model, provenance),
        finished.verdict,
        search=record,
        phases=(latency, training, evaluating, *finished.phases, testing),
    )
    if folder is not None:
        write(result, folder)
        for size in sizes:
            fine_tuning_checkpoint(folder, *size).unlink(missing_ok=True)
    return result


# The steps ------------------------------------------------------------------------------------------------------------


def largest_architecture(settings: Settings) -> Specification:
    """The architecture that is searched, with the largest width that is considered.

    Raises:
        TrainingError: If the settings ask for what a search cannot do.
    """
    named = Specification.parse(settings.architecture).width_multiplier
    chosen = named if settings.width is None else settings.width
    widest = max(EIGHTHS) if chosen is None else chosen
    largest = replace(specification(settings), width_multiplier=widest)
    if largest.name != ARCHITECTURE:
        raise TrainingError(f"a budget is met by subnets of {ARCHITECTURE}; {largest.name} was asked for")
    if settings.weights is not None:
        raise TrainingError("a run within a budget trains its supernet from scratch; it takes no weights")
    if widest < min(EIGHTHS):
        raise TrainingError(f"the smallest width that is trained is {min(EIGHTHS):g}; {widest:g} is below it")
    return largest


def allowed_drop(images: int) -> float:
    """Points of top-1 that int8 may lose: fewer than a hundred images cannot tell a point from one image."""
    return max(DEFAULT_MAX_DROP, 100 / images + 1e-9)


@dataclass(frozen=True, eq=False)
class Finished:
    """A choice that was fine-tuned and, where it is int8, quantized.

    Attributes:
        choice: The candidate.
        reason: Why it was chosen, in one sentence.
        fine_tuned: What fine-tuning made of it, in float32.
        model: The finished Model.
        validation_top1: Its top-1 on the validation images, as a share of 1.
        verdict: What quantization lost, where the choice is int8.
        phases: The phases of all that, in order.
    """

    choice: Candidate
    reason: str
    fine_tuned: TrainedModel
    model: Model
    validation_top1: float | None
    verdict: QualityReport | None
    phases: tuple[Phase, ...]


def finish(
    candidates: Sequence[Candidate],
    budget: Budget,
    fine_tune: Callable[[Candidate], TrainedModel],
    compress: Callable[[Model], CompressionResult],
    *,
    progress: Progress = SILENT,
) -> Finished:
    """Choose a candidate, fine-tune it, and quantize it if it is int8.

    Where quantization loses too much, another is chosen among those in float32.

    Args:
        candidates: To choose from.
        budget: Limits, and the accuracy to reach.
        fine_tune: Gives the fine-tuned subnet of a candidate, in float32.
        compress: Quantizes a float32 Model.
        progress: Receives progress updates.

    Raises:
        PlanningError: If none meets the budget or reaches the accuracy.
        GateError: If quantization loses too much and there is no candidate in float32.
    """
    choice = _choice(candidates, budget)
    progress.note(f"chose {choice}: top-1 {100 * choice.accuracy:.1f} % on the validation images")
    tuned, tuning = timed("fine-tune", partial(fine_tune, choice))
    reason = explain(candidates, budget, choice)
    if choice.precision == "float32":
        return Finished(choice, reason, tuned, tuned.model, tuned.validation_top1, None, (tuning,))
    try:
        result, compressing = timed("compress", partial(compress, tuned.model))
    except GateError as error:
        others = [one for one in candidates if one.precision == "float32"]
        if not others:
            raise
        progress.note(f"{error}; choosing again, in float32")
        again = finish(others, budget, fine_tune, compress, progress=progress)
        return replace(again, phases=(tuning, *again.phases))
    top1 = None if result.report.top1_after is None else result.report.top1_after.value
    return Finished(choice, reason, tuned, result.model, top1, result.report, (tuning, compressing))


def timed(name: str, work: Callable[[], T]) -> tuple[T, Phase]:
    """Do some work, and describe it as a phase."""
    begun = time.monotonic()
    made = work()
    seconds = time.monotonic() - begun
    if isinstance(made, TrainedModel):
        return made, Phase(name, seconds, tuple(made.history), made.best_epoch)
    return made, Phase(name, seconds)


def _profile(
    how: SupernetTraining,
    precisions: Sequence[str],
    threads: int,
    classes: int,
    resumed: Path | bool | None,
    progress: Progress,
) -> DeviceProfile:
    """Latencies of this machine; those of the run that goes on, so that it chooses what it would have chosen."""
    if isinstance(resumed, Path) and (resumed / PROFILE_FILE).exists():
        return DeviceProfile.load(resumed / PROFILE_FILE)
    return measure_profile(
        widths=how.widths,
        resolutions=how.resolutions,
        precisions=precisions,
        threads=(threads,),
        classes=classes,
        rounds=MEASURING_ROUNDS,
        checked=False,
        progress=progress,
    )


def _training_note(usable: int, all_: int, narrowest: float, widest: float, sides: Sequence[int]) -> str:
    widths = f"widths {narrowest:g} to {widest:g}" if narrowest < widest else f"width {widest:g}"
    return (
        f"{usable} of {all_} networks meet the budget; training a supernet for {widths} and "
        f"{', '.join(map(str, sorted(sides)))} pixels"
    )


def _choice(candidates: Sequence[Candidate], budget: Budget) -> Candidate:
    try:
        return choose(candidates, budget)
    except PlanningError as error:
        if budget.min_accuracy is None:
            raise
        raise PlanningError(f"{error} before it is fine-tuned; --resume with a lower goal goes on from here") from None


def _evaluation(model: Model, dataset: Dataset, progress: Progress) -> ClassificationMetrics:
    network = model.network
    prepared = prepare(dataset.test, model.preprocessing, network.height, network.width, progress=progress)
    return evaluate_prepared(model, prepared)


def _latency(model: Model, predicted_ms: float, threads: int, progress: Progress) -> MeasuredLatency:
    (spent,) = time_sessions([Session(model, threads)], progress=progress)
    return MeasuredLatency(statistics.median(spent), min(spent), predicted_ms, threads)


def _recorded(model: Model, provenance: Mapping[str, Any]) -> Model:
    """A Model with the provenance of the run; what compression wrote into its own stays."""
    quantization = {name: value for name, value in model.provenance.items() if name == "quantization"}
    return replace(model, provenance={**provenance, **quantization})
