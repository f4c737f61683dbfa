"""The training loop: steps, averages, validation, checkpoints.

It knows nothing of folders and files of images: it takes batches and validation pixels, and leaves the module with
the weights of its best epoch. What a step minimises is a function that is passed in, so that other ways to train (for
int8 arithmetic, for several widths at once) need no loop of their own.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.rescale import takes
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.loading import Prepared
from mobilenets.errors import TrainingError
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.training import checkpoint as checkpoints
from mobilenets.training.batches import Batch, Batches, normalized
from mobilenets.training.display import Display
from mobilenets.training.epochs import Epoch, Sums, is_as_good, is_better
from mobilenets.training.head import output_layer
from mobilenets.training.network import NetworkModule
from mobilenets.training.optimization import Average, make_optimizer
from mobilenets.training.recipes import Recipe

CHECKPOINT_SECONDS = 15.0
"""A kill loses about this much work at most."""
VALIDATIONS = 40
"""A long run is validated about this often; a shorter one after every epoch."""
VALIDATION_BATCH = 64

Logits = npt.NDArray[np.float32]
Objective = Callable[[NetworkModule, Batch], tuple[Tensor, Tensor]]
"""(module, batch) → (loss to minimise, logits to count right answers by)."""


@dataclass(frozen=True)
class Plan:
    """What a run does, beyond its recipe.

    Attributes:
        epochs: Passes over the training images.
        head_epochs: Of these, the first ones that train the output layer only.
        kept: Names of layers that are not trained at all, nor their batch norms.
        seed: Of all chances.
        precision: ``"float32"`` or ``"bfloat16"``, which convolutions and products are then computed in.
        device: Where.
        keep_last: Whether the last epoch is kept whatever validation says, which of a shared network hears the widest.
        joined: First epoch that is trained on the validation images too, if any is. From then on they say nothing of
            the network, so none is validated, and the last is kept. Where the epoch before it was worse than an earlier
            one, the run is not to be trusted without a judge, and they stay apart.
    """

    epochs: int
    head_epochs: int = 0
    kept: tuple[str, ...] = ()
    seed: int = 0
    precision: str = "float32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    keep_last: bool = False
    joined: int | None = None


def cross_entropy(label_smoothing: float) -> Objective:
    """The usual objective."""

    def objective(module: NetworkModule, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = module(batch.images).float()
        return functional.cross_entropy(logits, batch.targets, label_smoothing=label_smoothing), logits

    return objective


class Trainer:
    """One training run.

    Args:
        module: What is trained; on the plan's device when the run ends, holding the weights of the best epoch.
        batches: Training images.
        validation: Images that the best epoch is chosen by.
        preprocessing: The mean and deviation that the validation images are normalised by.
        recipe: How to train.
        plan: How long, from which seed, where.
        objective: What to minimise; the recipe's cross-entropy if None.
        checkpoint: Where to keep the state of the run, if anywhere.
        settings: What the run was started with, kept in the checkpoint and compared when it is resumed.
        size: (height, width) of the training images at full resolution, where it is not the network's: an objective
            may want them larger and resize them itself, and a network may be used at more than it is trained at.
        sized_epochs: For how many epochs they have that size, and the network's own from then on; None for all.
        progress: Hears about every step.
    """

    def __init__(
        self,
        module: NetworkModule,
        batches: Batches,
        validation: Prepared,
        preprocessing: Preprocessing,
        recipe: Recipe,
        plan: Plan,
        *,
        objective: Objective | None = None,
        checkpoint: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        size: tuple[int, int] | None = None,
        sized_epochs: int | None = None,
        progress: Progress = SILENT,
    ) -> None:
        # mypy does not know this overload of Module.to
        self.module = module.to(plan.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.plan, self.history = recipe, plan, list[Epoch]()
        self.best_epoch = -1
        self._batches, self._validation, self._preprocessing = batches, validation, preprocessing
        self._objective = objective or cross_entropy(recipe.label_smoothing)
        self._checkpoint, self._settings, self._progress = checkpoint, dict(settings or {}), progress
        self._optimizer = make_optimizer(module, recipe)
        self._average = Average(module, recipe.averaging * self.steps)
        self._best = copy.deepcopy(self._average.module)
        self._step = 0
        self._sums = Sums()
        self._saved_at = time.monotonic()
        self._own = (module.network.height, module.network.width)
        self._size, self._sized = size or self._own, plan.epochs if sized_epochs is None else sized_epochs

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.plan.epochs * self._batches.steps_per_epoch

    @property
    def joined(self) -> int | None:
        """The first epoch that is trained on the validation images too, if any is, by what is known so far."""
        first = self.plan.joined
        if first is None or len(self.history) < first:
            return first
        best = max(self.history[:first], key=lambda epoch: epoch.validation_top1 or 0.0)
        return first if is_as_good(self.history[first - 1], best, len(self._validation.targets)) else None

    def resume(self) -> bool:
        """Take up the run where its checkpoint left it; False if there is none.

        Raises:
            TrainingError: If the checkpoint is damaged or of a run with other settings.
        """
        state = self._checkpoint and checkpoints.read(self._checkpoint, self._settings)
        if not state:
            return False
        checkpoints.restore_tensors("module", self.module.tensors(), state.tensors)
        checkpoints.restore_tensors("average", self._average.module.tensors(), state.tensors)
        checkpoints.restore_tensors("best", self._best.tensors(), state.tensors)
        checkpoints.restore_optimizer(self._optimizer, state.tensors)
        self._step, self.best_epoch = int(state.progress["step"]), int(state.progress["best_epoch"])
        self._sums = Sums(**state.progress["sums"])
        self.history = [Epoch(**epoch) for epoch in state.progress["history"]]
        return True

    def save(self) -> None:
        """Write the checkpoint now.

        Raises:
            TrainingError: If it cannot be written.
        """
        if self._checkpoint is None:
            return
        state = checkpoints.Checkpoint(
            settings=self._settings,
            progress={
                "step": self._step,
                "best_epoch": self.best_epoch,
                "sums": asdict(self._sums),
                "history": [asdict(epoch) for epoch in self.history],
            },
            tensors={
                **checkpoints.tensors_of("module", self.module.tensors()),
                **checkpoints.tensors_of("average", self._average.module.tensors()),
                **checkpoints.tensors_of("best", self._best.tensors()),
                **checkpoints.optimizer_tensors(self._optimizer),
            },
        )
        checkpoints.write(self._checkpoint, state)
        self._saved_at = time.monotonic()

    def run(self) -> list[Epoch]:
        """Train to the end, and leave the weights of the best epoch in the module.

        Returns:
            Figures of every epoch.

        Raises:
            TrainingError: If the loss is no number any more, or a checkpoint cannot be written.
        """
        if self._step == 0:
            self.save()
        per_epoch = self._batches.steps_per_epoch
        images = self.steps * min(self.recipe.batch, self._batches.count)
        with self._progress.task("training", images, "images") as task:
            display = Display(task, self._progress, self.plan.epochs, self._left)
            display.skip(self._step * (images // max(1, self.steps)))
            while self._step < self.steps:
                self._run_epoch(self._step // per_epoch, self._step % per_epoch, display)
        with torch.no_grad():
            for target, source in zip(self.module.tensors().values(), self._best.tensors().values(), strict=True):
                target.copy_(source)
        self.module.requires_grad_(True).eval()
        return self.history

    def _run_epoch(self, number: int, first: int, display: Display) -> None:
        self._set_trainable(number)
        size = self.size_at(number)
        mixed = number < self.plan.epochs * (1 - self.recipe.unmixed) and number >= self.plan.head_epochs
        rate = 0.0
        joined = self.joined is not None and number >= self.joined
        for batch in self._batches.epoch(number, size, first=first, mixed=mixed, everything=joined):
            rate = self._learning_rate(number)
            loss, right = self._train_step(batch, rate)
            self._sums.loss += loss * len(batch.images)
            self._sums.right += right
            self._sums.images += len(batch.images)
            display.advance(len(batch.images), self._step, number, self._sums)
            if self._step % self._batches.steps_per_epoch and self._due():
                self.save()
        self._end_epoch(number, max(size), rate)
        display.validated(self.history[-1])
        if self._due() or self._step == self.steps:
            self.save()

    def _train_step(self, batch: Batch, rate: float) -> tuple[float, int]:
        """One step; gives the loss and the number of right answers."""
        if self.recipe.dropout:
            torch.manual_seed((self.plan.seed * self.steps + self._step) & (2**63 - 1))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with self._autocast():
            loss, logits = self._objective(self.module, batch._replace(steps=self.steps))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._average.update(self._step)
        self._step += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {self._step} of {self.steps}: training diverged; "
                f"try a learning rate below {self.recipe.learning_rate}"
            )
        return value, int((logits.detach().argmax(1) == batch.targets.argmax(1)).sum())

    def _end_epoch(self, number: int, resolution: int, rate: float) -> None:
        sums, self._sums = self._sums, Sums()
        epoch = Epoch(number, resolution, rate, sums.loss / sums.images, sums.right / sums.images)
        last = (self.plan.epochs if self.joined is None else self.joined) - 1
        if number <= last and (last - number) % math.ceil(self.plan.epochs / VALIDATIONS) == 0:
            loss, top1 = self.validate(self._average.module)
            epoch = replace(epoch, validation_loss=loss, validation_top1=top1)
        self.history.append(epoch)
        best = self.history[self.best_epoch] if self.best_epoch >= 0 else None
        if number > last or (
            epoch.validation_top1 is not None
            and (best is None or self.plan.keep_last or is_better(epoch, best, len(self._validation.targets)))
        ):
            self.best_epoch = number
            with torch.no_grad():
                for kept, present in zip(
                    self._best.tensors().values(), self._average.module.tensors().values(), strict=True
                ):
                    kept.copy_(present)

    def validate(self, module: NetworkModule) -> tuple[float, float]:
        """Cross-entropy and top-1 of a module in evaluation mode, on the validation images."""
        logits, targets = self.logits(module, self._validation.pixels), self._validation.targets
        loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
        return float(loss), float((logits.argmax(axis=1) == targets).mean())

    def logits(self, module: NetworkModule, pixels: Pixels) -> Logits:
        """What a module says of pixels, uint8 (N, height, width, 3): float32 (N, classes)."""
        parts = []
        with torch.inference_mode(), self._autocast():
            for begin in range(0, len(pixels), VALIDATION_BATCH):
                images = normalized(pixels[begin : begin + VALIDATION_BATCH], self._preprocessing, self.plan.device)
                parts.append(module(images).float().cpu().numpy())
        return np.concatenate(parts)

    def size_at(self, epoch: int) -> tuple[int, int]:
        """(height, width) of the training images in an epoch; the network's own where it takes no other."""
        height, width = full = self._size if epoch < self._sized else self._own
        if height != width:
            return full
        side = self.recipe.resolution_at(epoch, self.plan.epochs, height)
        return (side, side) if takes(self.module.network, side) else full

    def _left(self, epoch: int) -> float:
        """Steps from an epoch's first on, each as the share of one of that epoch that its images' area says."""
        here = math.prod(self.size_at(epoch))
        areas = sum(math.prod(self.size_at(number)) / here for number in range(epoch, self.plan.epochs))
        return areas * self._batches.steps_per_epoch

    def _learning_rate(self, epoch: int) -> float:
        """The head's own rate while only that is trained; then the recipe's schedule over what is left."""
        per_epoch = self._batches.steps_per_epoch
        head = self.plan.head_epochs * per_epoch
        if epoch < self.plan.head_epochs:
            return self.recipe.head_learning_rate or self.recipe.learning_rate
        return self.recipe.learning_rate_at(self._step - head, self.steps - head, per_epoch)

    def _set_trainable(self, epoch: int) -> None:
        """The output layer alone, or all but the layers that are kept. Batch norms elsewhere are as they were."""
        head_only = epoch < self.plan.head_epochs
        self.module.train(not head_only).requires_grad_(not head_only)
        if head_only:
            output = output_layer(self.module.network)
            self.module.layer_module(output.name).train().requires_grad_(True)
        for name in self.plan.kept:
            self.module.layer_module(name).eval().requires_grad_(False)

    def _autocast(self) -> torch.autocast:
        enabled = self.plan.precision == "bfloat16"
        return torch.autocast(self.plan.device.type, torch.bfloat16, enabled=enabled)

    def _due(self) -> bool:
        return time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
