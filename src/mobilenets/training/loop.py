"""The training loop: steps, averages, validation, checkpoints.

:func:`train` is the whole of it. What a step minimizes (:mod:`mobilenets.training.objectives`), which images it sees
(:mod:`mobilenets.training.batches`) and which network is kept (:mod:`mobilenets.training.selection`) are passed in, so
that other ways to train need no loop of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mobilenets.base.memory import out_of_memory_as
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import TrainingError
from mobilenets.training.batches import BatchSource
from mobilenets.training.callbacks import Callback, wants_end
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.display import Display
from mobilenets.training.distributed import check_batch, heard, once
from mobilenets.training.head import output_layer
from mobilenets.training.network import Trainable, TrainableNetwork
from mobilenets.training.objectives import Objective
from mobilenets.training.recipe import Recipe
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Epoch, Selection, Validator, joined_after
from mobilenets.training.state import TrainingState
from mobilenets.training.thread_waits import thread_waits

VALIDATIONS = 40
"""A long run is validated about this often; a shorter one after every epoch."""
COOLING_SHARE = 0.15
"""Share of the planned epochs that a run still has when it has settled."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training run made of a module.

    Attributes:
        history: Figures of every epoch.
        best_epoch: The epoch whose weights the module holds, from 0; -1 where none was better than the start.
        joined: First epoch that was trained on the validation images too, if any was.
    """

    history: list[Epoch]
    best_epoch: int
    joined: int | None


def train(
    module: Trainable,
    batches: BatchSource,
    objective: Objective,
    recipe: Recipe,
    run: TrainingRun,
    validation: Validator[Trainable],
    *,
    selection: Selection | None = None,
    checkpoint: CheckpointFile | None = None,
    begun: Callable[[int], None] = lambda done: None,
    callbacks: Sequence[Callback] = (),
    progress: Progress = SILENT,
) -> Trained:
    """Train a module, and leave the weights of the best epoch in it.

    Args:
        module: What is trained; on the run's device when it ends, in evaluation mode.
        batches: Training images.
        objective: What every step minimizes.
        recipe: How to train.
        run: How long, from which seed, on which device.
        validation: Scores the moving average of the weights after an epoch.
        selection: Which epoch is kept; the best of all if None.
        checkpoint: Where to keep the state of the run, and whether to go on from it.
        begun: Called before the first step, when the first checkpoint is written, with the number of epochs that an
            earlier part of the run has done.
        callbacks: Told of every epoch.
        progress: Receives progress updates.

    Raises:
        TrainingError: If the loss becomes NaN or infinite, a checkpoint cannot be read or written, or memory runs out.
    """
    with out_of_memory_as(TrainingError, _what_to_lower(module, recipe, checkpoint)):
        return _train(
            module,
            batches,
            objective,
            recipe,
            run,
            validation,
            selection or Selection(),
            checkpoint,
            begun,
            callbacks,
            progress,
        )


def _what_to_lower(module: TrainableNetwork, recipe: Recipe, checkpoint: CheckpointFile | None) -> str:
    size = f"{module.network.height}×{module.network.width}"
    resumed = "" if checkpoint is None else "; where memory becomes free, resume=True goes on from the last checkpoint"
    return (
        f"to train {module.network.name} with {recipe.batch} images of {size} in a step; "
        f"lower the batch size (batch_size=N), the resolution or the width{resumed}"
    )


def _train(
    module: Trainable,
    batches: BatchSource,
    objective: Objective,
    recipe: Recipe,
    run: TrainingRun,
    validation: Validator[Trainable],
    selection: Selection,
    checkpoint: CheckpointFile | None,
    begun: Callable[[int], None],
    callbacks: Sequence[Callback],
    progress: Progress,
) -> Trained:
    check_batch(min(recipe.batch, batches.count))
    progress = heard(progress)
    state = TrainingState(module, recipe, run, batches.steps_per_epoch)
    if checkpoint is not None and checkpoint.resume and state.restore(checkpoint):
        progress.note(f"going on after {len(state.history)} of {run.epochs} epochs{state.otherwise}")
        if state.best_epoch >= 0 and state.history[state.best_epoch].validation_primary is not None:
            selection.kept = state.history[state.best_epoch].score(validation.images)
    if state.step == 0:
        state.save(checkpoint)
    begun(len(state.history))
    images = state.steps * min(recipe.batch, batches.count)
    watched = thread_waits(torch.get_num_threads(), on_cpu=run.device.type == "cpu")
    with progress.task("training", images, "images") as task, watched as waits:
        display = Display(task, progress, run.epochs, state.steps_left)
        display.skip(state.step * (images // max(1, state.steps)))
        while state.step < state.steps:
            number, first = divmod(state.step, batches.steps_per_epoch)
            joined = joined_after(state.run, state.history, validation.images)
            size = run.image_size(number, module.network, recipe)
            mixed = number < run.epochs * (1 - recipe.unmixed) and number >= run.head_epochs
            with_validation = joined is not None and number >= joined
            set_trainable(module, run, number)
            if number == run.held_out_epochs > 0 and first == 0:
                state.refit()
            waits.begin()
            for batch in batches.epoch(number, size, first=first, mixed=mixed, everything=with_validation):
                state.train_step(batch, objective)
                waits.step()
                display.advance(batch.total, state.step, number, state.sums)
                state.watch_time()
                if state.step >= state.steps:
                    break
                if state.step % batches.steps_per_epoch and state.is_due():
                    state.save(checkpoint)
            last_validated = (state.epochs if joined is None else joined) - 1
            due = (last_validated - number) % math.ceil(run.epochs / VALIDATIONS) == 0 or state.step >= state.steps
            validated = number <= last_validated and due
            score = validation(state.average.module) if validated else None
            state.end_epoch(number, max(size), score)
            if with_validation or (score is not None and (run.keep_last or selection.offer(score))):
                state.keep(number)
            if state.has_settled(validation.images):
                state.cool_down(max(1, round(COOLING_SHARE * run.epochs)) * batches.steps_per_epoch)
            display.validated(state.history[-1])
            if callbacks or state.is_due() or state.step == state.steps:
                state.save(checkpoint)  # before the callbacks, which may raise
            if once(lambda: wants_end(callbacks, state.history[-1], state.average.module)):
                if state.best_epoch < 0:
                    state.keep(number)
                break
    state.load_best()
    return Trained(state.history, state.best_epoch, joined_after(state.run, state.history, validation.images))


def set_trainable(module: TrainableNetwork, run: TrainingRun, epoch: int) -> None:
    """Let an epoch train the output layer alone, or all but the frozen layers; other batch norms stay as they are."""
    head_only = epoch < run.head_epochs
    module.train(not head_only and not run.frozen_statistics).requires_grad_(not head_only)
    if head_only:
        output = output_layer(module.network)
        module.layer_module(output.name).train().requires_grad_(True)
    for name in run.frozen:
        module.layer_module(name).eval().requires_grad_(False)
