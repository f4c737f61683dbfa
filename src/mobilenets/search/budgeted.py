"""From labelled images and a budget to the Model that meets it: the whole of ``mobilenets fit --max-latency 5ms``.

What fits is measured first. One shared network, no wider and no larger than the budget can use, is trained for every
width and resolution; its slices are judged by the validation images; the one that is picked learns on, with the
largest as its teacher at first, is compressed if it was picked in int8, and is tested once.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from mobilenets.architecture.catalog import Specification
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import load_dataset
from mobilenets.errors import TrainingError
from mobilenets.search.evaluation import check_validation
from mobilenets.search.phases import SearchPhases
from mobilenets.search.profile import EIGHTHS
from mobilenets.search.result import Goal
from mobilenets.search.supernet import TrainedBy
from mobilenets.training.output import claim, write
from mobilenets.training.recipes import suited_to
from mobilenets.training.result import Fit
from mobilenets.training.settings import Settings, set_up, specification

ARCHITECTURE = "mobilenet_v1"
"""The one whose latencies a device profile holds."""


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
        settings: Its width and resolution are the largest that are considered; its epochs are those of an ordinary run,
            which the shared one and the pick's are in proportion to.
        resume: Go on from the checkpoints in the output folder, if there are any.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        progress: Hears about everything.

    Raises:
        PlanningError: If nothing meets the budget (said before any training), or nothing reaches the accuracy.
        DataError: If the images cannot be used, or a class has too few to choose by.
        TrainingError: If the settings contradict each other, or the output cannot be written.
    """
    begun = time.monotonic()
    architecture = _largest(settings)
    folder = None if output is None else claim(Path(output), resume=resume, replace_existing=replace_existing)
    recipe, device, precision = set_up(settings)
    dataset = load_dataset(source, seed=settings.seed, progress=progress)
    check_validation(dataset)
    recipe = suited_to(recipe, dataset.labels, settings.flip)
    trained_by = TrainedBy(recipe, device, precision, settings.epochs, settings.seed)
    run = SearchPhases(dataset, trained_by, goal, architecture, folder, progress, resume=resume)
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


def _largest(settings: Settings) -> Specification:
    """What is searched, with the largest width that a person wants considered."""
    named = Specification.parse(settings.architecture).width_multiplier
    chosen = named if settings.width is None else settings.width
    widest = max(EIGHTHS) if chosen is None else chosen
    largest = replace(specification(settings), width_multiplier=widest)
    if largest.name != ARCHITECTURE:
        raise TrainingError(f"a budget is met by slices of {ARCHITECTURE}; {largest.name} was asked for")
    if settings.weights is not None:
        raise TrainingError("a run within a budget trains its shared network from scratch; it takes no weights")
    if widest < min(EIGHTHS):
        raise TrainingError(f"the smallest width that is trained is {min(EIGHTHS):g}; {widest:g} is below it")
    return largest
