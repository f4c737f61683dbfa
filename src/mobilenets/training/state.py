"""Everything that changes in the course of a training run, and how a checkpoint keeps it."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import asdict, replace
from typing import Any, Generic

import torch
from torch import Tensor, nn

from mobilenets.base.arguments import check_number
from mobilenets.base.text import plural
from mobilenets.errors import TrainingError
from mobilenets.tasks.logits import top1
from mobilenets.training import checkpoint as checkpoints
from mobilenets.training.batches import Batch
from mobilenets.training.checkpoint import Checkpoint, CheckpointFile
from mobilenets.training.clock import Clock
from mobilenets.training.distributed import is_writer, once, process_count, summed
from mobilenets.training.network import Trainable, placed
from mobilenets.training.objectives import Objective
from mobilenets.training.optimization import Average, make_optimizer
from mobilenets.training.parallel import Parallel
from mobilenets.training.recipe import Recipe
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Epoch, Score, Sums, is_better

CHECKPOINT_SECONDS = 15.0
"""A kill loses about this much work at most, unless the environment says otherwise."""
CHECKPOINT_VARIABLE = "MOBILENETS_CHECKPOINT_SECONDS"
"""Environment variable of the seconds between checkpoints within an epoch."""


def checkpoint_seconds() -> float:
    """Seconds between checkpoints within an epoch.

    Raises:
        TrainingError: If ``MOBILENETS_CHECKPOINT_SECONDS`` is no number of at least 0.
    """
    text = os.environ.get(CHECKPOINT_VARIABLE)
    if not text:
        return CHECKPOINT_SECONDS
    try:
        seconds: object = float(text)
    except ValueError:
        seconds = text
    check_number(CHECKPOINT_VARIABLE, seconds, TrainingError, least=0)
    return float(text)


class TrainingState(Generic[Trainable]):
    """Everything that changes in the course of a run: weights, moments, averages, figures.

    A run that shall end earlier than planned cools down: its learning rate falls evenly to zero over some steps more.

    Args:
        module: What is trained; it is moved to the run's device.
        recipe: How to train.
        run: How long, from which seed, on which device.
        steps_per_epoch: Steps of each epoch.

    Attributes:
        steps: Steps of the whole run, fewer than planned where it has begun to cool down.
        step: Number of steps that are done.
        average: The moving average of the weights, which is what is validated and kept.
        history: Figures of the epochs that are over.
        best_epoch: The epoch that is kept, from 0; -1 while there is none.
        sums: Figures of the epoch under way.
        otherwise: What is not as when the run was begun, though it can go on; empty if nothing is.
    """

    def __init__(self, module: Trainable, recipe: Recipe, run: TrainingRun, steps_per_epoch: int) -> None:
        self.module = placed(module, run.device)
        self.recipe, self.run, self.steps_per_epoch = recipe, run, steps_per_epoch
        self.steps, self.step = run.epochs * steps_per_epoch, 0
        self._planned = self.steps
        self._held_out_steps = run.held_out_epochs * steps_per_epoch
        self._begun = 0  # the step that training began at; again, where it is refitted
        self._start = _copies(self.module.tensors()) if self._held_out_steps else {}
        self._cooled_from: int | None = None
        self._clock = Clock(run.seconds)
        self._parallel = Parallel(self.module)
        self.optimizer = make_optimizer(module, recipe)
        self.average = Average(module, recipe.averaging * self.steps)
        self._best = copy.deepcopy(self.average.module)
        self.history, self.best_epoch, self.sums = list[Epoch](), -1, Sums()
        self.otherwise = ""
        self._saved_at = time.monotonic()
        self._seconds = checkpoint_seconds()

    def train_step(self, batch: Batch, objective: Objective) -> None:
        """Take one step of the optimizer, and count its loss and right answers.

        Raises:
            TrainingError: If the loss is NaN or infinite.
        """
        if self.recipe.dropout:
            torch.manual_seed((self.run.seed * self._planned + self.step) & (2**63 - 1))
        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        with self.run.autocast():
            loss, logits = objective(self._parallel.wrapped(), batch._replace(steps=self._planned))
        self.optimizer.zero_grad(set_to_none=True)
        self._parallel.backward(loss, len(batch.images), batch.total)
        if self.recipe.largest_gradient is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.largest_gradient)
        self.optimizer.step()
        self.average.update(self.step - self._begun)
        self.step += 1
        right = 0
        if logits is not None:
            right = top1(logits.detach().float().cpu().numpy(), batch.targets.argmax(1).cpu().numpy()).count
        total, rights = summed(float(loss.detach()) * len(batch.images), right)
        value = total / batch.total
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {self.step} of {self.steps}: training diverged; "
                f"try a learning rate below {self.recipe.learning_rate}"
            )
        self.sums.loss += total
        if logits is None:
            self.sums.right = None
        elif self.sums.right is not None:
            self.sums.right += int(rights)
        self.sums.images += batch.total

    def learning_rate(self, step: int | None = None) -> float:
        """Rate of a step, by default the next: the head's own while only that is trained, then the schedule's."""
        step = self.step if step is None else step
        if self._cooled_from is not None and step >= self._cooled_from:
            left = (self.steps - step) / (self.steps - self._cooled_from + 1)
            return self._planned_rate(max(0, self._cooled_from - 1)) * left
        return self._planned_rate(step)

    def _planned_rate(self, step: int) -> float:
        if step < self._held_out_steps:
            return self.recipe.learning_rate_at(step, self._held_out_steps, self.steps_per_epoch)
        head = self._held_out_steps + self.run.head_epochs * self.steps_per_epoch
        if step < head:
            return self.recipe.head_learning_rate or self.recipe.learning_rate
        return self.recipe.learning_rate_at(step - head, self._planned - head, self.steps_per_epoch)

    def refit(self) -> None:
        """Begin again from the start after the held-out epochs, unless the run already cools down for want of time."""
        if self._cooled_from is not None:
            return
        self._begun = self.step
        _copy(self._start, self.module.tensors())
        self.optimizer = make_optimizer(self.module, self.recipe)
        self.average = Average(self.module, self.recipe.averaging * self.steps)

    @property
    def epochs(self) -> int:
        """Epochs of the whole run, the last of which may be broken off."""
        return math.ceil(self.steps / self.steps_per_epoch)

    def has_settled(self, images: int) -> bool:
        """Whether the last epochs were no better than one before them, so that the run should cool down.

        Args:
            images: Number of validation images.
        """
        patience = self.run.patience
        if patience is None or self._cooled_from is not None or self.step >= self.steps:
            return False
        scores = [epoch.score(images) for epoch in self.history if epoch.validation_primary is not None]
        if len(scores) <= patience or self.history[-1].validation_primary is None:
            return False
        best = max(scores[:-patience], key=lambda score: (score.primary, -score.loss))
        return not any(is_better(score, best) for score in scores[-patience:])

    def cool_down(self, steps: int) -> None:
        """Let the learning rate fall to zero in so many steps, and end then. Validation images join, if they would."""
        self._cooled_from = self.step
        self.steps = min(self.steps, self.step + steps)
        first = math.ceil(self.step / self.steps_per_epoch)
        if self.run.joined is not None and first < self.run.joined:
            self.run = replace(self.run, joined=max(1, first))

    def watch_time(self) -> None:
        """Count a step's time, and end in time: with a cool-down if there is still time for one."""
        if self.run.seconds is None:
            return
        self._clock.step()
        over, left = once(lambda: (self._clock.over, self._clock.steps_to_cool(self.steps - self.step)))
        if over:
            self.steps = self.step
        elif self._cooled_from is None and left is not None:
            self.cool_down(left)

    def end_epoch(self, number: int, resolution: int, score: Score | None) -> None:
        """Add an epoch to the history."""
        sums, self.sums = self.sums, Sums()
        rate = self.learning_rate(self.step - 1)
        primary = None if sums.right is None else sums.right / sums.images
        epoch = Epoch(number, resolution, rate, sums.loss / sums.images, primary)
        if score is not None:
            epoch = replace(epoch, validation_loss=score.loss, validation_primary=score.primary)
            epoch = replace(epoch, validation_temperature=score.temperature, validation_energy=score.energy)
            epoch = replace(epoch, validation_threshold=score.threshold)
        self.history.append(epoch)

    def keep(self, epoch: int) -> None:
        """Keep the average as it is now as the best so far."""
        self.best_epoch = epoch
        _copy(self.average.module.tensors(), self._best.tensors())

    def load_best(self) -> None:
        """Put the best weights into the module, ready for evaluation."""
        _copy(self._best.tensors(), self.module.tensors())
        self.module.requires_grad_(True).eval()

    def steps_left(self, epoch: int) -> float:
        """Steps that are left at the start of an epoch, each weighted by its images' area relative to that epoch's."""
        sizes = [self.run.image_size(number, self.module.network, self.recipe) for number in range(self.run.epochs)]
        areas = sum(math.prod(size) / math.prod(sizes[epoch]) for size in sizes[epoch:])
        return areas * self.steps_per_epoch

    def is_due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return time.monotonic() - self._saved_at > self._seconds

    def save(self, file: CheckpointFile | None) -> None:
        """Write a checkpoint, if there is a place for one.

        Raises:
            TrainingError: If it cannot be written.
        """
        if file is None or not is_writer():
            return
        figures: dict[str, Any] = {
            "step": self.step,
            "begun": self._begun,
            "steps": self.steps,
            "cooled_from": self._cooled_from,
            "joined": self.run.joined,
            "seconds": self._clock.spent,
            "best_epoch": self.best_epoch,
            "sums": asdict(self.sums),
            "history": [asdict(epoch) for epoch in self.history],
        }
        tensors = {
            **checkpoints.tensors_of("module", self.module.tensors()),
            **checkpoints.tensors_of("average", self.average.module.tensors()),
            **checkpoints.tensors_of("best", self._best.tensors()),
            **checkpoints.optimizer_tensors(self.optimizer),
        }
        checkpoints.write_checkpoint(file.path, Checkpoint(file.settings, figures, tensors))
        self._saved_at = time.monotonic()

    def restore(self, file: CheckpointFile) -> bool:
        """Take up the run where its checkpoint left it; False if there is none.

        Raises:
            TrainingError: If the checkpoint is damaged or of a run with other settings.
        """
        saved = once(lambda: checkpoints.read_checkpoint(file.path, file.settings))
        if saved is None:
            return False
        before = int(saved.settings.get("processes", 1))
        if before != process_count():
            self.otherwise = (
                f", in {plural(process_count(), 'process', 'processes')} where it was begun in {before}: the result is "
                "as good, but not the same bits"
            )
        checkpoints.restore_tensors("module", self.module.tensors(), saved.tensors)
        checkpoints.restore_tensors("average", self.average.module.tensors(), saved.tensors)
        checkpoints.restore_tensors("best", self._best.tensors(), saved.tensors)
        checkpoints.restore_optimizer(self.optimizer, saved.tensors)
        self.step, self.best_epoch = int(saved.progress["step"]), int(saved.progress["best_epoch"])
        self.steps = int(saved.progress.get("steps", self._planned))
        self._begun = int(saved.progress.get("begun", 0))
        self._cooled_from = saved.progress.get("cooled_from")
        self.run = replace(self.run, joined=saved.progress.get("joined", self.run.joined))
        self._clock = Clock(self.run.seconds, float(saved.progress.get("seconds", 0.0)))
        self.sums = Sums(**saved.progress["sums"])
        self.history = [Epoch(**epoch) for epoch in saved.progress["history"]]
        return True


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in tensors.items()}


def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for mine, other in zip(target.values(), source.values(), strict=True):
            mine.copy_(other)
