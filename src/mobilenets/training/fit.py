"""From labelled pictures to a trained Model and its figures: the whole of ``mobilenets fit``."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobilenets import __version__
from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.layers import BatchNorm, Network
from mobilenets.architecture.resizing import with_resolution
from mobilenets.compression.gate import Verdict
from mobilenets.data.augmentation import Flip
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.decoding import prepare
from mobilenets.engine.evaluation import Evaluation, score
from mobilenets.errors import DataError, TrainingError
from mobilenets.model.atomic_file import write_atomically
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.planning.search import Search
from mobilenets.processors import cores
from mobilenets.progress import SILENT, Progress
from mobilenets.training import checkpoint as checkpoints
from mobilenets.training import defaults, head
from mobilenets.training.batches import Batches
from mobilenets.training.canvases import make_canvases
from mobilenets.training.curve import draw_curve
from mobilenets.training.loop import Epoch, Plan, Trainer
from mobilenets.training.network import NetworkModule, load_parameters, parameters_of
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipes import Recipe, for_fine_tuning, recipe_named, suited_to

MODEL_FILE, METRICS_FILE, CURVE_FILE = "model.safetensors", "metrics.json", "training.png"
FLOAT_FILE = "model.float32.safetensors"
"""Beside an int8 Model, what it was made from."""
HEAD_SHARE = 0.15
"""Share of the epochs in which only a replaced output layer is trained."""
PREPROCESSING = Preprocessing(crop_fraction=1.0)


@dataclass(frozen=True)
class Settings:
    """What a person may say about a run; None leaves it to :mod:`mobilenets.training.defaults`.

    Attributes:
        architecture: A name of the catalogue, alone or with its width and resolution: ``mobilenet_v1@0.5-160``.
        width: α; goes before the one in the name.
        resolution: Side of the input in pixels; goes before the one in the name.
        epochs: Passes over the training pictures.
        seed: Of the split of the data, the initial weights and all chances of training.
        recipe: How to train: a name, or a recipe of one's own.
        flip: Which mirror images are taken.
        weights: A Model, or the path of a Model file, to start from.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        threads: Threads on the CPU.
        batch_norm: Put a batch norm after every convolution of an architecture that has none of its own: AlexNet,
            VGG16, GoogLeNet and SqueezeNet are older than it and hardly learn by the default recipe without.
    """

    architecture: str = "mobilenet_v1"
    width: float | None = None
    resolution: int | None = None
    epochs: int | None = None
    seed: int = 0
    recipe: str | Recipe = "default"
    flip: Flip | None = None
    weights: Model | str | Path | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch_norm: bool = False


@dataclass(frozen=True)
class Phase:
    """One part of a run that has several.

    Attributes:
        name: ``latency``, ``shared``, ``frontier``, ``specialise``, ``compress`` or ``test``.
        seconds: How long it took, without earlier parts of a resumed run.
        history: Figures of its epochs, where it trained.
        best_epoch: The epoch that was kept, from 0; None where it did not train.
    """

    name: str
    seconds: float
    history: tuple[Epoch, ...] = ()
    best_epoch: int | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """What came of a run.

    Attributes:
        model: The Model of the best epoch.
        dataset: What it was trained, validated and tested on.
        evaluation: Its figures on the test pictures, which nothing was chosen by.
        history: Figures of every epoch.
        best_epoch: The epoch that was kept, from 0.
        seconds: How long it all took, without earlier parts of a resumed run.
        search: How the network was chosen, where a budget did; None where a person did.
        phases: The parts of a run that had several, in order: the shared network, its frontier, the specialisation and
            so on. ``history`` is then that of the specialisation.
        float_model: The float32 Model that ``model`` was compressed from, where it is int8.
        verdict: What that compression lost, on the validation pictures.
    """

    model: Model
    dataset: Dataset
    evaluation: Evaluation
    history: list[Epoch]
    best_epoch: int
    seconds: float
    search: Search | None = None
    phases: tuple[Phase, ...] = ()
    float_model: Model | None = None
    verdict: Verdict | None = None


def fit(
    source: str | Path,
    output: str | Path | None = None,
    settings: Settings = Settings(),
    *,
    resume: bool = False,
    replace_existing: bool = False,
    progress: Progress = SILENT,
) -> Fit:
    """Train a classifier on labelled pictures, and evaluate it once on those held back.

    Args:
        source: A folder of class folders, train/val[/test] folders, a CSV of file,class, or ``"digits"``.
        output: Folder for ``model.safetensors``, ``metrics.json`` and ``training.png``; None to write nothing.
        settings: What to train and how.
        resume: Go on from the checkpoint in the output folder, if there is one.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        progress: Hears about everything.

    Raises:
        DataError: If the pictures cannot be used.
        ArchitectureError: If the width or resolution is out of range.
        TrainingError: If the settings contradict each other, or the output cannot be written.
    """
    begun = time.monotonic()
    folder = None if output is None else claim(Path(output), resume=resume, replace_existing=replace_existing)
    recipe, device, precision = set_up(settings)
    start = None if settings.weights is None else _starting_model(settings)
    if start is None:
        specification(settings).network(classes=2)  # a bad α is said before anything is read
    dataset = load_dataset(source, seed=settings.seed, progress=progress)
    recipe = suited_to(recipe, dataset.labels, settings.flip)
    if start is not None:
        recipe = for_fine_tuning(recipe)
    network = _network_for(dataset, settings, start)
    preprocessing = start.preprocessing if start else PREPROCESSING
    module = _module(network, recipe, settings.seed, start, dataset.labels)
    plan = _plan(dataset, network, recipe, settings, start, device, precision)
    canvases = make_canvases(dataset.train, max(network.height, network.width), progress=progress)
    trainer = Trainer(
        module,
        Batches(canvases, len(dataset.labels), preprocessing, recipe, seed=plan.seed, device=device),
        prepare(dataset.validation, preprocessing, network.height, network.width, progress=progress),
        preprocessing,
        recipe,
        plan,
        checkpoint=folder and folder / checkpoints.FILE_NAME,
        settings=fixed(dataset, network, recipe, plan),
        progress=progress,
    )
    if resume and trainer.resume():
        progress.note(f"going on after {len(trainer.history)} of {plan.epochs} epochs")
    history = trainer.run()
    prepared = prepare(dataset.test, preprocessing, network.height, network.width, progress=progress)
    evaluation = score(trainer.logits(module, prepared.pixels), prepared.targets, dataset.labels)
    evaluation = replace(evaluation, skipped=prepared.skipped)
    provenance = provenance_of(dataset, recipe, plan, history, trainer.best_epoch, evaluation)
    model = Model(network, parameters_of(module), dataset.labels, preprocessing, provenance=provenance)
    result = Fit(model, dataset, evaluation, history, trainer.best_epoch, time.monotonic() - begun)
    if folder is not None:
        write(result, folder)
    return result


def set_up(settings: Settings) -> tuple[Recipe, torch.device, str]:
    """The recipe, device and precision of training, with PyTorch set to its threads.

    Raises:
        TrainingError: If the settings contradict each other or name what is not there.
    """
    recipe = recipe_named(settings.recipe) if isinstance(settings.recipe, str) else settings.recipe
    device = defaults.choose_device(settings.device)
    precision = defaults.choose_precision(settings.precision, device)
    if settings.epochs is not None and settings.epochs < 1:
        raise TrainingError(f"epochs must be at least 1, not {settings.epochs}")
    if settings.threads is not None and settings.threads < 1:
        raise TrainingError(f"threads must be at least 1, not {settings.threads}")
    torch.set_num_threads(settings.threads or cores())
    return recipe, device, precision


def write(result: Fit, folder: Path) -> None:
    """Write Model, figures and curve into a folder, and then drop the checkpoint that led to them.

    Raises:
        TrainingError: If the folder cannot be written to.
    """
    try:
        metrics = json.dumps(metrics_of(result), indent=2, ensure_ascii=False)
        write_atomically(folder / METRICS_FILE, metrics.encode(errors="backslashreplace"))
        title = f"{result.dataset.source}: test top-1 {100 * result.evaluation.top1:.2f} %"
        draw_curve(result.history, result.best_epoch, title, folder / CURVE_FILE)
        if result.float_model is not None:
            save(result.float_model, folder / FLOAT_FILE)
        save(result.model, folder / MODEL_FILE)
        (folder / checkpoints.FILE_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from None


def metrics_of(result: Fit) -> dict[str, Any]:
    """JSON-ready figures of a run: of the test pictures, of every epoch, and how long it took.

    Where a budget chose the network, also how (``search``), with what each phase of the run took and learned
    (``phases``), and what int8 lost (``compression``).
    """
    found: dict[str, Any] = {
        "test": result.evaluation.to_json(),
        "best_epoch": result.best_epoch + 1,
        "validation_top1": result.model.provenance["metrics"]["validation_top1"],
        "epochs": _epochs(result.history),
        "seconds": round(result.seconds, 1),
        "pictures": {name: len(result.dataset.part(name)) for name in ("train", "validation", "test")},
        "skipped": list(result.dataset.skipped),
        "provenance": dict(result.model.provenance),
    }
    if result.search is not None:
        found["search"] = result.search.to_json()
    if result.phases:
        found["phases"] = [
            {
                "name": phase.name,
                "seconds": round(phase.seconds, 1),
                "epochs": _epochs(phase.history),
                "best_epoch": None if phase.best_epoch is None else phase.best_epoch + 1,
            }
            for phase in result.phases
        ]
    if result.verdict is not None:
        found["compression"] = result.verdict.encode()
    return found


def _epochs(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    return [{**asdict(epoch), "number": epoch.number + 1} for epoch in history]


def claim(folder: Path, *, resume: bool, replace_existing: bool) -> Path:
    """The output folder, made and known to be writable, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; the output must be a folder")
    model, unfinished = folder / MODEL_FILE, folder / checkpoints.FILE_NAME
    if not replace_existing and not resume:
        if unfinished.exists():
            raise TrainingError(f"{folder} holds an unfinished run: go on with --resume, or start anew with --force")
        if model.exists():
            raise TrainingError(
                f"{folder} holds a Model already: choose another --output, or overwrite it with --force"
            )
    if resume and model.exists() and not unfinished.exists():
        raise TrainingError(f"{folder} holds a finished Model; there is nothing to resume")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink()
        if replace_existing and not resume:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from None
    return folder


def _starting_model(settings: Settings) -> Model:
    model = settings.weights if isinstance(settings.weights, Model) else load(settings.weights or "")
    head.check_classifier(model)
    network = model.network
    if settings.width is not None and settings.width != network.width_multiplier:
        present = network.width_multiplier
        raise TrainingError(f"the weights are of a network of width {present:g}; width {settings.width:g} was asked")
    if settings.resolution is None:
        return replace(model, network=defaults.fine_tuning_network(network))
    return replace(model, network=with_resolution(network, settings.resolution, settings.resolution))


def specification(settings: Settings) -> Specification:
    """What is to be trained, as far as somebody said so."""
    named = Specification.parse(settings.architecture)
    widths = (settings.width, named.width_multiplier, defaults.WIDTH)
    return replace(
        named,
        width_multiplier=next(width for width in widths if width is not None),
        resolution=named.resolution if settings.resolution is None else settings.resolution,
    )


def _network_for(dataset: Dataset, settings: Settings, start: Model | None) -> Network:
    classes = len(dataset.labels)
    if start is not None:
        return start.network if start.labels == dataset.labels else head.with_classes(start.network, classes)
    chosen = specification(settings)
    if chosen.resolution is None:
        chosen = replace(chosen, resolution=defaults.default_resolution(dataset.train))
    return chosen.network(classes=classes, batch_norm=BatchNorm() if settings.batch_norm else None)


def _module(network: Network, recipe: Recipe, seed: int, start: Model | None, labels: tuple[str, ...]) -> NetworkModule:
    module = NetworkModule(network, dropout=recipe.dropout)
    initialize(module, recipe, seed)
    if start is None:
        return module
    own: dict[str, Any] = dict(start.parameters)
    if start.labels != labels:  # the output layer keeps its fresh weights
        output = head.output_layer(network).name
        fresh = parameters_of(module)
        own |= {name: fresh[name] for name in fresh if name.startswith(f"{output}.")}
    load_parameters(module, own)
    set_batch_norm_momentum(module, recipe)
    return module


def _plan(
    dataset: Dataset,
    network: Network,
    recipe: Recipe,
    settings: Settings,
    start: Model | None,
    device: torch.device,
    precision: str,
) -> Plan:
    if len(dataset.train) < 2:
        raise DataError(f"there are {len(dataset.train)} training pictures; training needs two at least")
    resolution = max(network.height, network.width)
    epochs = settings.epochs or defaults.default_epochs(len(dataset.train), resolution, recipe)
    new_head = start is not None and start.labels != dataset.labels
    head_epochs = min(max(1, round(HEAD_SHARE * epochs)), epochs - 1) if new_head else 0
    return Plan(epochs, head_epochs, seed=settings.seed, precision=precision, device=device)


def fixed(dataset: Dataset, network: Network, recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """What must be the same for a run to go on, as a checkpoint keeps it."""
    return {
        "data": dataset.fingerprint,
        "labels": list(dataset.labels),
        "architecture": network.name,
        "width": network.width_multiplier,
        "resolution": [network.height, network.width],
        "recipe": asdict(recipe),
        "epochs": plan.epochs,
        "head epochs": plan.head_epochs,
        "seed": plan.seed,
        "precision": plan.precision,
        "device": plan.device.type,
        "threads": torch.get_num_threads(),
    }


def provenance_of(
    dataset: Dataset,
    recipe: Recipe,
    plan: Plan,
    history: list[Epoch],
    best_epoch: int,
    evaluation: Evaluation,
) -> Mapping[str, Any]:
    """How the Model came to be. Nothing that a clock says: the same run gives the same file."""
    return {
        "made_by": "fit",
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": plan.seed},
        "recipe": asdict(recipe),
        "seed": plan.seed,
        "epochs": plan.epochs,
        "best_epoch": best_epoch + 1,
        "device": plan.device.type,
        "precision": plan.precision,
        "threads": torch.get_num_threads(),
        "metrics": {"validation_top1": history[best_epoch].validation_top1, "test_top1": evaluation.top1},
        "versions": {
            "mobilenets": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
