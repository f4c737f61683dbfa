"""From labelled pictures and a budget to the Model that meets it: the whole of ``mobilenets fit --max-latency 5ms``.

What fits is measured first. One shared network, no wider and no larger than the budget can use, is trained for every
width and resolution; its slices are judged by the validation pictures; the one that is picked learns on, with the
largest as its teacher, is compressed if it was picked in int8, and is tested once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.layers import Network
from mobilenets.compression.gate import DEFAULT_MAX_DROP, Verdict
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.decoding import prepare
from mobilenets.engine.evaluation import Evaluation, score
from mobilenets.engine.session import Session
from mobilenets.errors import GateError, TrainingError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.planning.budget import Budget, Candidate, choose
from mobilenets.planning.costs import Costs, reason
from mobilenets.planning.latency import EIGHTHS, PRECISIONS, DeviceProfile, measure_profile, time_sessions
from mobilenets.planning.search import Device, Latency, Search
from mobilenets.progress import SILENT, Progress
from mobilenets.training import checkpoint as checkpoints
from mobilenets.training import defaults
from mobilenets.training.batches import Batches
from mobilenets.training.canvases import Canvases, make_canvases
from mobilenets.training.defaults import PREPROCESSING
from mobilenets.training.distillation import Distillation
from mobilenets.training.epochs import Epoch, is_better
from mobilenets.training.fit import fixed
from mobilenets.training.int8 import to_int8
from mobilenets.training.loop import Objective, Plan, Trainer
from mobilenets.training.network import NetworkModule, module_of, parameters_of
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.output import claim, write
from mobilenets.training.recipes import Recipe, suited_to
from mobilenets.training.result import Fit, Phase, provenance_of
from mobilenets.training.settings import Settings, set_up, specification
from mobilenets.training.shared import Frontier, check_validation, resolutions_below
from mobilenets.training.slimmable import Sandwich

SHARED_FILE, PROFILE_FILE = "shared.safetensors", "device.json"
SPECIALISE_CHECKPOINT = "specialise-{width:g}-{resolution}.checkpoint.safetensors"

ARCHITECTURE = "mobilenet_v1"
"""The one whose latencies a device profile holds."""
SHARED_EPOCHS = 0.5
"""Of as many epochs as an ordinary run would take: a step of the shared run learns from every picture four times."""
SPECIALISE_EPOCHS = 0.25
"""Of the epochs of the shared run."""
MEASURING_ROUNDS = 8


@dataclass(frozen=True)
class Goal:
    """What a person wants to spend, and where.

    Attributes:
        budget: Limits, and the accuracy to reach; if empty, the knee of the curve is taken.
        precisions: ``float32``, ``int8`` or both, whichever is better.
        threads: Threads that share one picture when the Model is used.
        device: The machine that it is used on; None for this one, which is then measured.
    """

    budget: Budget = field(default_factory=Budget)
    precisions: tuple[str, ...] = PRECISIONS
    threads: int = 1
    device: DeviceProfile | None = None


def fit_within(
    source: str | Path,
    output: str | Path | None = None,
    goal: Goal = Goal(),
    settings: Settings = Settings(),
    *,
    resume: bool = False,
    replace_existing: bool = False,
    progress: Progress = SILENT,
) -> Fit:
    """Find, train and test the network that a budget is best spent on.

    Args:
        source: As for :func:`~mobilenets.training.fit.fit`.
        output: Folder for what ``fit`` writes, and beside it ``shared.safetensors``, ``device.json`` and, where the
            Model is int8, ``model.float32.safetensors``; None to write nothing.
        goal: The budget, and where it holds.
        settings: Its width and resolution are the largest that are considered; its epochs are those of the shared run.
        resume: Go on from the checkpoints in the output folder, if there are any.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        progress: Hears about everything.

    Raises:
        PlanningError: If nothing meets the budget (said before any training), or nothing reaches the accuracy.
        DataError: If the pictures cannot be used, or a class has too few to choose by.
        TrainingError: If the settings contradict each other, or the output cannot be written.
    """
    begun = time.monotonic()
    _check(settings)
    folder = None if output is None else claim(Path(output), resume=resume, replace_existing=replace_existing)
    recipe, device, precision = set_up(settings)
    dataset = load_dataset(source, seed=settings.seed, progress=progress)
    check_validation(dataset)
    trained_by = _TrainedBy(suited_to(recipe, dataset.labels, settings.flip), device, precision, settings.epochs)
    run = _Search(dataset, trained_by, goal, settings, folder, progress, resume=resume)
    run.measure()
    shared = run.train_shared()
    run.evaluate(shared)
    made = run.finish()
    result = run.tested(made)
    result = replace(result, seconds=time.monotonic() - begun)
    if folder is not None:
        write(result, folder)
        for left in folder.glob("specialise-*.checkpoint.safetensors"):
            left.unlink()
    return result


def _check(settings: Settings) -> None:
    named = specification(settings)
    if named.name != ARCHITECTURE:
        raise TrainingError(f"a budget is met by slices of {ARCHITECTURE}; {named.name} was asked for")
    if settings.weights is not None:
        raise TrainingError("a run within a budget trains its shared network from scratch; it takes no weights")
    if _widest(settings) < min(EIGHTHS):
        raise TrainingError(
            f"the smallest width that is trained is {min(EIGHTHS):g}; {_widest(settings):g} is below it"
        )


@dataclass(frozen=True)
class _TrainedBy:
    """How all training of a search is done."""

    recipe: Recipe
    device: torch.device
    precision: str
    epochs: int | None


@dataclass(frozen=True, eq=False)
class _Made:
    """What specialising and compressing made of a choice."""

    choice: Candidate
    model: Model
    history: list[Epoch]
    best_epoch: int
    plan: Plan
    validation_top1: float | None
    float_model: Model | None = None
    verdict: Verdict | None = None


class _Search:
    """The phases of a run within a budget, in the order in which they are called."""

    def __init__(
        self,
        dataset: Dataset,
        trained_by: _TrainedBy,
        goal: Goal,
        settings: Settings,
        folder: Path | None,
        progress: Progress,
        *,
        resume: bool,
    ) -> None:
        self.dataset, self.goal, self.phases = dataset, goal, list[Phase]()
        self._by, self._seed, self._folder, self._progress, self._resume = (
            trained_by,
            settings.seed,
            folder,
            progress,
            resume,
        )
        self._architecture = specification(settings)
        largest = self._architecture.resolution or defaults.default_resolution(dataset.train)
        self._resolutions = resolutions_below(largest)
        self._widths = _widths_up_to(_widest(settings))
        self._canvases: Canvases | None = None

    def measure(self) -> None:
        """Every size that might be taken, with its costs.

        Raises:
            PlanningError: If none meets the budget.
        """
        kept = None if self._folder is None else self._folder / PROFILE_FILE
        goal, here = self.goal, self.goal.device is None
        with self._phase("latency"):
            if goal.device is not None:
                profile = goal.device
            elif self._resume and kept is not None and kept.exists():
                profile = DeviceProfile.load(kept)  # so that a run that goes on picks what it would have picked
            else:
                profile = self._profile()
        networks = [self._network(width, side) for width in self._widths for side in self._resolutions]
        self._costs = Costs.of(networks, profile, precisions=goal.precisions, threads=goal.threads)
        self._usable = self._costs.within(goal.budget)
        if kept is not None:
            profile.save(kept)
        error = None if here else profile.interpolation_error
        self._device = Device(profile.device, profile.engine, goal.threads, here, interpolation_error=error)

    def _profile(self) -> DeviceProfile:
        return measure_profile(
            widths=self._widths,
            resolutions=self._resolutions,
            precisions=self.goal.precisions,
            threads=(self.goal.threads,),
            classes=len(self.dataset.labels),
            rounds=MEASURING_ROUNDS,
            checked=False,
            progress=self._progress,
        )

    def train_shared(self) -> Model:
        """One network for all sizes, no wider and no larger than the budget can use."""
        widest = max(one.width_multiplier for one in self._usable)
        largest = max(one.resolution for one in self._usable)
        resolutions = [side for side in self._resolutions if side <= largest]
        self._progress.note(
            f"{len(self._usable)} of {len(self._costs.candidates)} networks meet the budget; training one for widths "
            f"{min(self._widths):g} to {widest:g} and {', '.join(map(str, sorted(resolutions)))} pixels"
        )
        network, recipe = self._network(widest, largest), self._by.recipe
        module = NetworkModule(network, dropout=recipe.dropout)
        initialize(module, recipe, self._seed)
        sandwich = Sandwich(
            network,
            narrowest=min(self._widths),
            resolutions=resolutions,
            label_smoothing=recipe.label_smoothing,
            seed=self._seed,
        )
        usual = SHARED_EPOCHS * defaults.default_epochs(len(self.dataset.train), largest, recipe)
        self._shared_epochs = self._by.epochs or max(1, round(usual))
        trainer = self._trainer(module, recipe, self._shared_epochs, sandwich, checkpoints.FILE_NAME, network)
        with self._phase("shared", trainer):
            if self._resume and trainer.resume():
                self._progress.note(f"going on after {len(trainer.history)} of {self._shared_epochs} epochs")
            trainer.run()
        provenance = {
            "made_by": "fit",
            "shared": {"narrowest": min(self._widths), "resolutions": sorted(resolutions)},
            "data": {"source": self.dataset.source, "fingerprint": self.dataset.fingerprint, "seed": self._seed},
            "recipe": asdict(recipe),
            "seed": self._seed,
            "epochs": self._shared_epochs,
        }
        return Model(network, parameters_of(module), self.dataset.labels, PREPROCESSING, provenance=provenance)

    def evaluate(self, shared: Model) -> None:
        """Accuracy of every slice on the validation pictures; the shared Model is written with their statistics."""
        widest, largest = shared.network.width_multiplier, shared.network.height
        points = [
            (width, side) for width in self._widths for side in self._resolutions if width <= widest and side <= largest
        ]
        with self._phase("frontier"):
            judge = Frontier(self.dataset, shared.preprocessing, progress=self._progress)
            self._evaluated = judge.evaluate(shared, points, self.goal.precisions, self._costs.at)
        if self._folder is not None:
            save(self._evaluated.shared, self._folder / SHARED_FILE)

    def finish(self) -> _Made:
        """Pick, specialise and compress; where int8 turns out to lose too much, pick again without it."""
        self._candidates = list(self._evaluated.candidates)
        while True:
            choice = choose(self._candidates, self.goal.budget)
            self._progress.note(f"picked {choice}: right on {100 * choice.accuracy:.1f} % of the validation pictures")
            made = self._specialise(choice)
            if choice.precision == "float32":
                return made
            try:
                return self._compress(made)
            except GateError as error:
                self._candidates = [one for one in self._candidates if one.precision == "float32"]
                if not self._candidates:
                    raise
                self._progress.note(f"{error}; picking again, in float32")

    def _specialise(self, choice: Candidate) -> _Made:
        """Let a slice learn on by itself, with the largest as its teacher; kept as it was if that brought nothing."""
        shared = self._evaluated.shared
        size = (shared.network.height, shared.network.width)
        start = shared.slice(choice.width_multiplier, choice.resolution)
        teacher = module_of(shared.slice(shared.network.width_multiplier, shared.network.height)).to(self._by.device)
        recipe = replace(self._by.recipe, learning_rate=self._by.recipe.learning_rate * self._by.recipe.fine_tuning)
        module = module_of(start)
        set_batch_norm_momentum(module, recipe)
        epochs = max(1, round(SPECIALISE_EPOCHS * self._shared_epochs))
        objective = Distillation(teacher, label_smoothing=recipe.label_smoothing)
        kept = SPECIALISE_CHECKPOINT.format(width=choice.width_multiplier, resolution=choice.resolution)
        trainer = self._trainer(module, recipe, epochs, objective, kept, shared.network, size=size)
        loss, top1 = trainer.validate(module.eval())
        before = Epoch(-1, choice.resolution, 0.0, loss, top1, loss, top1)
        with self._phase("specialise", trainer):
            if self._resume:
                trainer.resume()
            history = trainer.run()
        after = history[trainer.best_epoch]
        model = start.with_parameters(parameters_of(module))
        if not is_better(after, before, len(self.dataset.validation)):
            self._progress.note("learning on brought nothing: the slice is kept as it was")
            model, after = start, before
        return _Made(choice, model, history, trainer.best_epoch, trainer.plan, after.validation_top1)

    def _compress(self, made: _Made) -> _Made:
        # Fewer than a hundred pictures cannot tell a loss of a point from the loss of one picture.
        max_drop = max(DEFAULT_MAX_DROP, 100 / len(self.dataset.validation) + 1e-9)
        with self._phase("compress"):
            model, verdict = to_int8(made.model, self.dataset, max_drop=max_drop, progress=self._progress)
        top1 = None if verdict.top1_after is None else verdict.top1_after.value
        return replace(made, model=model, float_model=made.model, verdict=verdict, validation_top1=top1)

    def tested(self, made: _Made) -> Fit:
        """Look at the test pictures, once, and time the finished Model if it is to be used here."""
        with self._phase("test"):
            evaluation = self._evaluation(made.model)
            latency = self._latency(made) if self._device.measured_here else None
        shared, goal = self._evaluated.shared.network, self.goal
        search = Search(
            budget=goal.budget,
            device=self._device,
            candidates=self._evaluated.candidates,
            choice=made.choice,
            reason=reason(goal.budget, self._candidates, made.choice),
            validation_pictures=len(self.dataset.validation),
            widest=shared.width_multiplier,
            largest=shared.height,
            latency=latency,
        )
        record = self._provenance(made, evaluation)
        whole = made.float_model
        return Fit(
            _recorded(made.model, record),
            self.dataset,
            evaluation,
            made.history,
            made.best_epoch,
            seconds=0.0,
            search=search,
            phases=tuple(self.phases),
            float_model=None if whole is None else _recorded(whole, record),
            verdict=made.verdict,
        )

    def _provenance(self, made: _Made, evaluation: Evaluation) -> Mapping[str, Any]:
        record = provenance_of(self.dataset, self._by.recipe, made.plan, made.history, made.best_epoch, evaluation)
        return {
            **record,
            "metrics": {**record["metrics"], "validation_top1": made.validation_top1},
            "shared_epochs": self._shared_epochs,
            "budget": asdict(self.goal.budget),
        }

    def _evaluation(self, model: Model) -> Evaluation:
        network = model.network
        prepared = prepare(
            self.dataset.test, model.preprocessing, network.height, network.width, progress=self._progress
        )
        evaluation = score(Session(model).run(prepared.pixels), prepared.targets, self.dataset.labels)
        return replace(evaluation, skipped=prepared.skipped)

    def _latency(self, made: _Made) -> Latency:
        (spent,) = time_sessions([Session(made.model, self.goal.threads)], progress=self._progress)
        return Latency(float(np.median(spent)), min(spent), made.choice.latency_ms, self.goal.threads)

    # What the phases share

    def _network(self, width: float, side: int) -> Network:
        chosen = replace(self._architecture, width_multiplier=width, resolution=side)
        return chosen.network(classes=len(self.dataset.labels))

    def _trainer(
        self,
        module: NetworkModule,
        recipe: Recipe,
        epochs: int,
        objective: Objective,
        checkpoint: str,
        shared: Network,
        *,
        size: tuple[int, int] | None = None,
    ) -> Trainer:
        by, network = self._by, module.network
        plan = Plan(epochs, seed=self._seed, precision=by.precision, device=by.device)
        if self._canvases is None:
            self._canvases = make_canvases(self.dataset.train, shared.height, progress=self._progress)
        kept = fixed(self.dataset, network, recipe, plan) | {
            "shared": [shared.width_multiplier, shared.height],
            "sizes": [list(self._widths), list(self._resolutions)],
        }
        classes = len(self.dataset.labels)
        return Trainer(
            module,
            Batches(self._canvases, classes, PREPROCESSING, recipe, seed=self._seed, device=by.device),
            prepare(self.dataset.validation, PREPROCESSING, network.height, network.width, progress=self._progress),
            PREPROCESSING,
            recipe,
            plan,
            objective=objective,
            checkpoint=self._folder and self._folder / checkpoint,
            settings=kept,
            size=size,
            progress=self._progress,
        )

    @contextmanager
    def _phase(self, name: str, trainer: Trainer | None = None) -> Iterator[None]:
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        history = () if trainer is None else tuple(trainer.history)
        self.phases.append(Phase(name, seconds, history, None if trainer is None else trainer.best_epoch))


def _widest(settings: Settings) -> float:
    """The largest width that a person wants considered."""
    named = Specification.parse(settings.architecture).width_multiplier
    chosen = named if settings.width is None else settings.width
    return max(EIGHTHS) if chosen is None else chosen


def _widths_up_to(widest: float) -> tuple[float, ...]:
    """The widths of a search: eighths, and the widest itself."""
    return tuple(sorted({width for width in EIGHTHS if width <= widest} | {widest}))


def _recorded(model: Model, record: Mapping[str, Any]) -> Model:
    """A Model with the provenance of the run; what compression wrote into its own stays."""
    quantization = {name: value for name, value in model.provenance.items() if name == "quantization"}
    return replace(model, provenance={**record, **quantization})
