"""From labeled images to a trained Model and its figures: the whole of ``mobilenets fit``."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.base.arguments import typed
from mobilenets.base.notebook import default_progress
from mobilenets.base.progress import Progress
from mobilenets.data.dataset import Dataset, check_source
from mobilenets.data.description import described_dataset
from mobilenets.data.loading import prepare
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError, TrainingError
from mobilenets.formats.loading import load_model
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.unknown import unknown_threshold
from mobilenets.training import head
from mobilenets.training.batches import Batches
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.image_cache import cache_images
from mobilenets.training.loop import train
from mobilenets.training.network import NetworkModule, load_parameters, parameters_of
from mobilenets.training.objectives import cross_entropy
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipe import Recipe, default_epochs, for_fine_tuning, suited_to
from mobilenets.training.result import Fit, provenance_of
from mobilenets.training.run import TrainingRun
from mobilenets.training.run_folder import CHECKPOINT_FILE, claim, write_run
from mobilenets.training.selection import Validation, module_logits, validated_epoch
from mobilenets.training.settings import (
    PREPROCESSING,
    Settings,
    fine_tuning_network,
    fine_tuning_side,
    network_for,
    set_up,
)

HEAD_SHARE = 0.15
"""Share of the epochs in which only a replaced output layer is trained."""
JOINED_SHARE = 1 / 3
"""Share of the epochs of fine-tuning, at the end, in which the validation images are trained on too."""


@typed(TrainingError)
def fit(
    source: str | Path | Dataset,
    output: str | Path | None = None,
    settings: Settings = Settings(),
    *,
    reading: Reading = Reading(),
    resume: bool = False,
    replace_existing: bool = False,
    progress: Progress | None = None,
) -> Fit:
    """Train a classifier on labeled images, and evaluate it once on the test images.

    Args:
        source: A folder of class folders, train/val[/test] folders, a CSV of file,class, or ``"digits"``; or the
            Dataset that :func:`~mobilenets.data.dataset.load_dataset` made of one.
        output: Folder for ``model.safetensors`` and ``metrics.json``; None to write nothing.
        settings: What to train and how.
        reading: What the source does not say itself.
        resume: Go on from the checkpoint in the output folder, if there is one.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        progress: Receives progress updates; by default they are shown in a notebook, and nowhere else.

    Returns:
        The float32 Model of the best epoch, its metrics on the test images, and the figures of every epoch.

    Raises:
        DataError: If the images cannot be used.
        ArchitectureError: If the architecture is unknown, or the width or resolution is out of range.
        ModelFileError: If the weights to start from do not exist or cannot be read.
        FormatError: If they are published under no such name, or cannot be fetched.
        TrainingError: If the settings contradict each other, or the output cannot be written.
        MissingDependencyError: If the source is ``"digits"`` and scikit-learn is not installed.

    >>> import tempfile
    >>> from PIL import Image
    >>> def draw(folder):
    ...     for label, color in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
    ...         Path(folder, label).mkdir()
    ...         for number in range(20):
    ...             shade = tuple(value + number for value in color)
    ...             Image.new("RGB", (32, 32), shade).save(Path(folder, label, f"{number}.png"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(folder)
    ...     result = fit(folder, settings=Settings(width=0.25, resolution=32, epochs=1))
    >>> result.model.summary
    'mobilenet_v1, width 0.25, 32×32, float32, 876 kB, image classifier over 2 classes'
    >>> result.evaluation.images, len(result.history)
    (4, 1)
    """
    begun = time.monotonic()
    progress = progress or default_progress()
    if settings.weights is None:
        network_for(settings, 2)  # a bad α is refused before anything is read
    if not isinstance(source, Dataset):
        check_source(source)
    folder = None
    if output is not None:
        folder = claim(Path(output), resume=resume, replace_existing=replace_existing, progress=progress)
    recipe, device, precision = set_up(settings)
    start = None if settings.weights is None else _starting_model(settings, progress)
    dataset = source if isinstance(source, Dataset) else described_dataset(source, settings.seed, reading, progress)
    recipe = suited_to(recipe, dataset.labels, settings.flip)
    if start is not None:
        recipe = for_fine_tuning(recipe)
    network = _network_for(dataset, settings, start)
    # Uncropped, as those that are trained from scratch: a thing that fills its image is seen whole.
    preprocessing = replace(start.preprocessing, crop_fraction=1.0) if start else PREPROCESSING
    preprocessing = replace(preprocessing, channels=network.channels)
    side = _training_side(network, settings, start)
    module = _module(network, recipe, settings.seed, start, dataset.labels)
    run = _run(dataset, network, side, recipe, settings, start, device, precision)
    joining = run.joined is not None
    images = cache_images(dataset.train + dataset.validation if joining else dataset.train, side, progress=progress)
    reserved = int((images.positions >= len(dataset.train)).sum())
    batches = Batches(
        images, len(dataset.labels), preprocessing, recipe, seed=run.seed, device=run.device, reserved=reserved
    )
    validation = prepare(dataset.validation, preprocessing, network.height, network.width, progress=progress)
    checkpoint = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        settled = fixed(dataset, network, recipe, run) | {"side": side}
        checkpoint = CheckpointFile(folder / CHECKPOINT_FILE, settled, resume)
    trained = train(
        module,
        batches,
        cross_entropy(recipe.label_smoothing),
        recipe,
        run,
        Validation(validation, preprocessing, run),
        checkpoint=checkpoint,
        progress=progress,
    )
    prepared = prepare(dataset.test, preprocessing, network.height, network.width, progress=progress)
    logits = module_logits(module, prepared.pixels, preprocessing, run)
    history, best = trained.history, trained.best_epoch
    validated = validated_epoch(history, best)
    unknown = unknown_threshold(module_logits(module, validation.pixels, preprocessing, run))
    task = Classification(dataset.labels, validated.validation_temperature or 1.0, unknown)
    evaluation = task.metrics([logits], prepared.targets, skipped=prepared.skipped)
    run = replace(run, joined=trained.joined)
    provenance = provenance_of(dataset, recipe, run, best, validated.validation_top1, evaluation).encode()
    model = Model(network, parameters_of(module), task, preprocessing, provenance=provenance)
    result = Fit(model, dataset, evaluation, history, best, time.monotonic() - begun)
    if folder is not None:
        write_run(result, folder)
    return result


def _starting_model(settings: Settings, progress: Progress) -> Model:
    model = load_model(settings.weights or "", progress=progress)
    head.check_classifier(model)
    network = model.network
    if settings.width is not None and settings.width != network.width_multiplier:
        present = network.width_multiplier
        raise TrainingError(f"the weights are of a network of width {present:g}; width {settings.width:g} was asked")
    if settings.resolution is None:
        return replace(model, network=fine_tuning_network(network))
    return replace(model, network=with_resolution(network, settings.resolution, settings.resolution))


def _training_side(network: Network, settings: Settings, start: Model | None) -> int:
    """Side of the images that the network is trained with.

    It is the network's own, unless training starts from a Model and no resolution was asked for.
    """
    if start is None or settings.resolution is not None:
        return max(network.height, network.width)
    return fine_tuning_side(network)


def _network_for(dataset: Dataset, settings: Settings, start: Model | None) -> Network:
    classes = len(dataset.labels)
    if start is not None:
        return start.network if start.labels == dataset.labels else head.with_classes(start.network, classes)
    return network_for(settings, classes, dataset.train)


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


def _run(
    dataset: Dataset,
    network: Network,
    side: int,
    recipe: Recipe,
    settings: Settings,
    start: Model | None,
    device: torch.device,
    precision: str,
) -> TrainingRun:
    if len(dataset.train) < 2:
        raise DataError(f"there are {len(dataset.train)} training images; training needs two at least")
    joining = start is not None and not settings.validation_apart
    images = len(dataset.train) + (len(dataset.validation) if joining else 0)
    epochs = settings.epochs or default_epochs(images, side, recipe)
    new_head = start is not None and start.labels != dataset.labels
    head_epochs = min(max(1, round(HEAD_SHARE * epochs)), epochs - 1) if new_head else 0
    frozen = () if start is None else head.early_layers(network, recipe.kept_stride)
    joined = epochs - max(1, round(JOINED_SHARE * epochs))
    return TrainingRun(
        epochs,
        head_epochs,
        frozen,
        seed=settings.seed,
        precision=precision,
        device=device,
        joined=joined if joining and joined > 0 else None,
        size=None if side == max(network.height, network.width) else (side, side),
    )


def fixed(dataset: Dataset, network: Network, recipe: Recipe, run: TrainingRun) -> dict[str, Any]:
    """What must be the same for a run to go on, as a checkpoint keeps it."""
    return {
        "data": dataset.fingerprint,
        "labels": list(dataset.labels),
        "architecture": network.name,
        "width": network.width_multiplier,
        "resolution": [network.height, network.width],
        "recipe": asdict(recipe),
        "epochs": run.epochs,
        "head epochs": run.head_epochs,
        "kept": list(run.frozen),
        "joined": run.joined,
        "seed": run.seed,
        "precision": run.precision,
        "device": run.device.type,
        "threads": torch.get_num_threads(),
    }
