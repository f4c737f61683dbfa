"""From labeled images to a trained Model and its figures: the whole of ``mobilenets fit``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch.utils import data as torch_data

from mobilenets.base.arguments import typed
from mobilenets.base.notebook import default_progress
from mobilenets.base.progress import Progress
from mobilenets.base.text import duration
from mobilenets.data.dataset import Dataset, check_source
from mobilenets.data.description import described_dataset
from mobilenets.data.loading import prepare
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError, TrainingError
from mobilenets.formats.loading import check_named
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.tasks.task import Metrics
from mobilenets.training.batches import Batches
from mobilenets.training.callbacks import Begun, Callback
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.detection.fit import choose_detector_start, detector_metrics, fit_detector
from mobilenets.training.distributed import heard, is_writer, joined_processes, launch, once
from mobilenets.training.extensions import Extensions, OwnLoss
from mobilenets.training.fine_tuning import FINISHING_SHARE, FineTuned, fine_tune, finished
from mobilenets.training.fine_tuning_plan import objective_of
from mobilenets.training.image_cache import cache_images
from mobilenets.training.loop import train
from mobilenets.training.network import NetworkModule, module_of, parameters_of, placed
from mobilenets.training.optimization import initialize
from mobilenets.training.own_augmentation import OwnAugmentation
from mobilenets.training.recipe import default_epochs, suited_to
from mobilenets.training.result import Fit, provenance_of
from mobilenets.training.run import TrainingRun, fixed
from mobilenets.training.run_folder import CHECKPOINT_FILE, MODEL_FILE, claim, write_run
from mobilenets.training.selection import Totals, Validation, module_logits, validated_epoch
from mobilenets.training.settings import PREPROCESSING, Settings, network_for, set_up, spelled_out
from mobilenets.training.start import Start, choose_start
from mobilenets.training.task_training import on_validation_images, task_training
from mobilenets.training.torch_data import TorchData, torch_dataset

DETECTION = "detection"
"""Kind of task of data whose images have boxes."""


@typed(TrainingError)
def fit(
    source: str | Path | Dataset | TorchData,
    output: str | Path | None = None,
    settings: Settings = Settings(),
    *,
    reading: Reading = Reading(),
    resume: bool = False,
    replace_existing: bool = False,
    callbacks: Sequence[Callback] = (),
    loss: OwnLoss | None = None,
    augment: OwnAugmentation | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Train a classifier on labeled images, or a detector on images with boxes; evaluate it once on the test images.

    Args:
        source: A folder of class folders, train/val[/test] folders, a CSV of file,class, images with boxes, or
            ``"digits"``; or the Dataset that :func:`~mobilenets.data.dataset.load_dataset` made of one; or a Dataset or
            DataLoader of PyTorch, as :func:`~mobilenets.training.torch_data.torch_dataset` takes it.
        output: Folder for ``model.safetensors`` and ``metrics.json``; None to write nothing.
        settings: What to train and how.
        reading: What the source does not say itself.
        resume: Go on from the checkpoint in the output folder, if there is one.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        callbacks: Told of the start, of every epoch and of the end; what one raises reaches the caller as it is, and
            ``resume`` goes on after the last epoch.
        loss: What a step minimizes, in place of the task's loss: (outputs, targets) → one number. Outputs are logits,
            float32 (n, classes); targets are float32 of the same shape, 1 for the right class.
        augment: Distorts images in place of the recipe's augmentation: float32 (n, channels, height, width) from 0 to
            255 → the same shape. Draw from PyTorch's random numbers, which are seeded for each step.
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
    settings = spelled_out(settings)
    _check_before_reading(settings)
    if isinstance(source, torch_data.Dataset | torch_data.DataLoader):
        source = torch_dataset(source, seed=settings.seed, progress=progress)
    if not isinstance(source, Dataset):
        check_source(source)
    _, device, _ = set_up(settings)
    with joined_processes(device):
        told = tuple(callbacks) if is_writer() else ()
        extensions = Extensions(told, loss, augment)
        return _fit(source, output, settings, reading, resume, replace_existing, extensions, begun, heard(progress))


def _fit(
    source: str | Path | Dataset,
    output: str | Path | None,
    settings: Settings,
    reading: Reading,
    resume: bool,
    replace_existing: bool,
    extensions: Extensions,
    begun: float,
    progress: Progress,
) -> Fit:
    folder = None
    if output is not None:
        # Processes that are started again go on, whatever was said when they were started first.
        wanted = Path(output)
        resume = resume or (launch().restarts > 0 and (wanted / CHECKPOINT_FILE).exists())
        folder = once(lambda: claim(wanted, resume=resume, replace_existing=replace_existing, progress=progress))
    recipe, _, _ = set_up(settings)
    dataset = source if isinstance(source, Dataset) else described_dataset(source, settings.seed, reading, progress)
    checkpoint = None if folder is None else folder / CHECKPOINT_FILE
    if dataset.task == DETECTION:
        start = once(lambda: choose_detector_start(settings, dataset, recipe, progress=progress))
    else:
        start = once(lambda: choose_start(settings, dataset, recipe, progress=progress))
    if dataset.task == DETECTION:
        if extensions.loss is not None or extensions.augment is not None:
            raise TrainingError("a loss and an augmentation of one's own are not taken where images have boxes")
        left = _time_left(settings, begun)
        made = fit_detector(
            start.model,
            dataset,
            settings,
            seconds=left,
            checkpoint=checkpoint,
            resume=resume,
            callbacks=extensions.callbacks,
            progress=progress,
        )
    elif start.model is None:
        made = _from_scratch(dataset, settings, checkpoint, resume, begun, extensions, progress)
    else:

        def first(model: Model, score: Totals) -> None:
            if folder is not None and is_writer():
                save(model, folder / MODEL_FILE)
            written = "" if folder is None else f"; {folder / MODEL_FILE} is written, and trained further"
            progress.note(
                f"first usable Model after {duration(time.monotonic() - begun)}: "
                f"{on_validation_images(task_training(dataset).metric, score.primary)}{written}"
            )

        made = fine_tune(
            start.model,
            dataset,
            settings,
            seconds=_time_left(settings, begun),
            checkpoint=checkpoint,
            resume=resume,
            first=first,
            extensions=extensions,
            progress=progress,
        )
    result = _tested(made, dataset, start, begun, progress)
    if folder is not None and is_writer():
        write_run(result, folder)
    for one in extensions.callbacks:
        one.on_end(result)
    return result


def _check_before_reading(settings: Settings) -> None:
    """Refuse at once what cannot be trained."""
    match settings.weights:
        case None | "none" | "auto":
            network_for(settings, 2)
        case str() | Path() as named:
            check_named(named)
        case Model():
            pass


def _time_left(settings: Settings, begun: float) -> float | None:
    limit = settings.time
    return None if limit is None else once(lambda: max(0.1, limit - (time.monotonic() - begun)))


def _from_scratch(
    dataset: Dataset,
    settings: Settings,
    checkpoint: Path | None,
    resume: bool,
    begun: float,
    extensions: Extensions,
    progress: Progress,
) -> FineTuned:
    if len(dataset.train) < 2:
        raise DataError(f"there are {len(dataset.train)} training images; training needs two at least")
    recipe, device, precision = set_up(settings)
    recipe = suited_to(recipe, dataset.labels, settings.flip)
    training = task_training(dataset)
    recipe = training.suited(recipe)
    network = network_for(settings, training.channels, dataset.train)
    recipe = recipe.for_network(network)
    preprocessing = replace(PREPROCESSING, channels=network.channels)
    module = NetworkModule(network, dropout=recipe.dropout)
    initialize(module, recipe, settings.seed)
    side = max(network.height, network.width)
    epochs = settings.epochs or default_epochs(len(dataset.train), side, recipe)
    run = TrainingRun(epochs, seed=settings.seed, precision=precision, device=device)
    images = cache_images(dataset.train, side, memory_share=settings.memory_share, progress=progress)
    batches = Batches(
        images,
        training.channels,
        preprocessing,
        recipe,
        seed=run.seed,
        device=run.device,
        augment=extensions.augment,
    )
    validation = prepare(dataset.validation, preprocessing, network.height, network.width, progress=progress)
    file = None
    if checkpoint is not None:
        file = CheckpointFile(
            checkpoint, fixed(dataset, network, recipe, run) | {"side": side} | extensions.settled(), resume
        )
    left = _time_left(settings, begun)

    def announce(done: int) -> None:
        start = Model(network, parameters_of(module), training.task, preprocessing)
        for one in extensions.callbacks:
            one.on_start(Begun(start, epochs, done, training.metric))

    trained = train(
        module,
        batches,
        objective_of(training, recipe, extensions.loss),
        recipe,
        run if left is None else replace(run, seconds=(1 - FINISHING_SHARE) * left),
        Validation(validation, preprocessing, run, training.score),
        checkpoint=file,
        begun=announce,
        callbacks=extensions.callbacks,
        progress=progress,
    )
    validated = validated_epoch(trained.history, trained.best_epoch)
    model = Model(network, parameters_of(module), training.task, preprocessing)
    model = finished(model, training, validated.validation_temperature, validation, run)
    return FineTuned(model, trained.history, trained.best_epoch, run, validated.validation_primary, recipe, None)


def _tested(made: FineTuned, dataset: Dataset, start: Start, begun: float, progress: Progress) -> Fit:
    """What was made, evaluated once on the test images."""
    network, preprocessing = made.model.network, made.model.preprocessing
    prepared = prepare(dataset.test, preprocessing, network.height, network.width, progress=progress)
    if dataset.task == DETECTION:
        evaluation: Metrics = detector_metrics(made.model, prepared)
    else:
        module = placed(module_of(made.model), made.run.device).eval()
        logits = module_logits(module, prepared.pixels, preprocessing, made.run)
        evaluation = made.model.task.metrics([logits], prepared.targets, skipped=prepared.skipped)
    provenance = provenance_of(
        dataset, made.recipe, made.run, made.best_epoch, made.validation_primary, evaluation, weights=start.name or None
    )
    model = replace(made.model, provenance=provenance.encode())
    return Fit(model, dataset, evaluation, made.history, made.best_epoch, time.monotonic() - begun)
