"""Quantization-aware training: the integer network learns to answer as the float one does.

The teacher is the float Model that all started from, so images need no labels; where there are some, they have a
share in the loss, and images are distorted as in ordinary training. Training may not end worse than it began: start
and epochs are compared on images that are not trained on, and one is kept: the latest that is better than the start,
unless an earlier one is better than it beyond doubt.

Source: Jacob et al. 2018, arXiv:1712.05877; Hinton et al. 2015, arXiv:1503.02531 (the teacher).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quality import Jury
from mobilenets.compression.quantize import MOST_WALKED, Options, Quantized, prepare, walk
from mobilenets.compression.sqnr import measure_noise
from mobilenets.compression.unfold import unfold
from mobilenets.data.subset import UNKNOWN, Targets
from mobilenets.errors import CompressionError
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import class_count
from mobilenets.training.batches import Normalization
from mobilenets.training.integer_network import IntegerNetwork
from mobilenets.training.network import module_of
from mobilenets.training.recipes import DEFAULT, suited_to, warm_cosine
from mobilenets.training.standing import Judges, distorted

_DIVERGED = "quantisation-aware training diverged: its loss or weights are no numbers any more; lower learning_rate"
EPOCHS = {8: 4, 4: 16}
LABELLED_EPOCHS = 16
"""Passes over the images: without labels by the bits of the weights, and with them."""
LEARNING_RATES = {8: 5e-5, 4: 3e-4}
"""Of weights, by their bits: the coarser the grid, the further a weight is from its next whole number."""
LABELLED_LEARNING_RATES = {8: 2e-4, 4: 3e-4}
"""The same where there are labels: what they teach is further away than what rounding lost."""
LABELLED_ROOM = {8: 0.0, 4: 0.45}
"""Steps that weights may begin off their whole numbers where there are labels (see :func:`unfold`). From the middle of
a coarse step hardly one in a hundred gets out; from that of a fine one so many do that the answers stray, as without
labels they do from anywhere but the middle."""
DOUBT = {8: 2.0, 4: 0.0}
"""Standard errors by which an epoch's loss must lie below the start's, by the bits of the weights: calibration loses so
little at 8 bits that what training changes needs proof."""
_SMOOTHING = 0.1
HELD_OUT = 8
"""Without a jury, every so many-th training image is held out to choose by."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: Passes over the images; None takes :data:`EPOCHS` or :data:`LABELLED_EPOCHS`.
        batch: Images of one step.
        learning_rate: Of the weights, at its highest; None takes that of :data:`LEARNING_RATES` or of
            :data:`LABELLED_LEARNING_RATES`.
        warmup: Share of all steps in which rates rise from zero; then they fall to zero along a cosine. Adam's first
            steps are as large as any, whatever the gradient: at the full rate two of them undo the calibration.
        range_learning_rate: Of the logarithms of activation ranges; 0 keeps the calibrated ones.
        temperature: Of the teacher's and the student's probabilities.
        shift: Images without labels are moved by up to this share of their sides.
        labels: Share of the labels in the loss, where there are labels; the rest is the teacher's.
        statistics: Part of training in which batch norms' running statistics follow the images, from 0 to 1.
        seed: Of the order of images and their shifts.
    """

    epochs: int | None = None
    batch: int = 32
    learning_rate: float | None = None
    warmup: float = 0.15
    range_learning_rate: float = 3e-5
    temperature: float = 2.0
    shift: float = 0.06
    labels: float = 0.5
    statistics: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is not None and self.epochs < 1) or self.batch < 2:
            raise CompressionError(f"training needs an epoch or more, of batches of two or more, not {self}")
        if not 0 <= self.labels <= 1:
            raise CompressionError(f"labels have a share of the loss from 0 to 1, not {self.labels}")
        if not 0 <= self.warmup < 1:
            raise CompressionError(f"warmup takes a share of the steps from 0 to below 1, not {self.warmup}")


@dataclass(frozen=True, eq=False)
class Trained(Quantized):
    """An int8 Model after training.

    Attributes:
        epoch: The epoch that was kept, from 1; 0 where the start was.
    """

    epoch: int = 0


def train(
    model: Model,
    pixels: Pixels,
    calibration: Pixels,
    options: Options = Options(),
    recipe: Recipe = Recipe(),
    *,
    targets: Targets | None = None,
    jury: Jury | None = None,
    progress: Progress = SILENT,
) -> Trained:
    """An int8 Model, trained to answer as the float one does; the start again, if no epoch is better than it.

    Args:
        model: float32: the start, and the teacher.
        pixels: Training images, uint8 (N, height, width, 3).
        calibration: Images that the first ranges come from.
        options: How the start is made, and the bits of the weights.
        recipe: How to train.
        targets: Their classes, (N,), :data:`UNKNOWN` where nobody knows; None if all are unknown.
        jury: Images, labelled or not, that start and epochs are compared on; training must not have seen them. If
            None, every eighth training image is held out for it.
        progress: Told of every step.

    Raises:
        CompressionError: If the Model is int8 already or broken, there are too few images, or targets do not fit.
    """
    if len(pixels) < 2:
        raise CompressionError(f"quantisation-aware training needs images; {len(pixels)} are not enough")
    targets = _checked(targets, len(pixels), class_count(model.network))
    ground = prepare(model, calibration, options, progress=progress)
    start = walk(model, ground, calibration, options, progress=progress)
    if jury is None:
        chosen = np.zeros(len(pixels), np.bool_)
        chosen[HELD_OUT - 1 :: HELD_OUT] = True
        chosen[-1] |= not chosen.any()
        pixels, jury = pixels[~chosen], Jury.of(model, pixels[chosen])
        targets = None if targets is None else targets[~chosen]
    room = 0.0 if targets is None else LABELLED_ROOM[options.weight_bits]
    student = IntegerNetwork(unfold(start.model, ground.unfolded, room), start.model)
    rates = LEARNING_RATES if targets is None else LABELLED_LEARNING_RATES
    rate = recipe.learning_rate or rates[options.weight_bits]
    usual = EPOCHS[options.weight_bits] if targets is None else LABELLED_EPOCHS
    recipe = replace(recipe, epochs=recipe.epochs or usual, learning_rate=rate)
    trainer = _Trainer(student, Teacher(model), recipe, total=len(pixels))
    judges = Judges(jury, trainer.augmentation, recipe.seed)
    first = standing = judges.standing(start.model)
    best, kept = start.model, 0
    for epoch in trainer.epochs(pixels, targets, progress):
        challenger = student.to_model(model)
        reached = judges.standing(challenger)
        if reached.is_better_than(first, DOUBT[options.weight_bits]) and not standing.is_better_than(reached):
            best, kept, standing = challenger, epoch, reached
    if not kept:
        progress.note(f"no epoch of training beats its start on {judges.count} images: the start is kept")
        return Trained(start.model, ground.model, start.layers, ground.absorbed_channels)
    layers = measure_noise(ground.model, best, calibration[:MOST_WALKED])
    return Trained(best, ground.model, layers, ground.absorbed_channels, kept)


def _checked(targets: Targets | None, count: int, classes: int) -> Targets | None:
    """Targets that fit, or None where none is known."""
    if targets is None or not count:
        return None
    if len(targets) != count or targets.min() < UNKNOWN or targets.max() >= classes:
        raise CompressionError(
            f"{len(targets)} targets from {min(targets, default=0)} to {max(targets, default=0)} for {count} training "
            f"images; the Model has {classes} classes, and {UNKNOWN} stands for an unknown one"
        )
    return targets if (targets != UNKNOWN).any() else None


class Teacher:
    """Logits of a float Model, whose batch norms are folded once for all steps."""

    def __init__(self, model: Model) -> None:
        # mypy does not know this overload of Module.to
        self._module = module_of(fold(model)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._normal = Normalization(model.preprocessing, torch.device("cpu"))
        self.labels = model.labels

    @torch.no_grad()
    def __call__(self, maps: Tensor) -> Tensor:
        """float32 (N, C), of bytes as float32 (N, channels, height, width)."""
        return cast("Tensor", self._module(self._normal(maps)))


class _Trainer:
    def __init__(self, student: IntegerNetwork, teacher: Teacher, recipe: Recipe, total: int) -> None:
        self.student, self.teacher, self.recipe = student, teacher, recipe
        self.count = recipe.epochs or 1
        self.steps = self.count * max(1, total // recipe.batch)
        ranges = student.range_parameters
        of_ranges = {id(parameter) for parameter in ranges}
        weights = [parameter for parameter in student.parameters() if id(parameter) not in of_ranges]
        # Adam's steps are about the learning rate whatever the gradient, and a channel's weights differ by orders of
        # magnitude after folding: each tensor's rate follows its own size.
        rate = recipe.learning_rate or 0.0
        groups: list[dict[str, Any]] = [
            {"params": [parameter], "lr": rate * max(float(parameter.detach().abs().mean()), 1e-3) * 10}
            for parameter in weights
        ]
        groups.append({"params": ranges, "lr": recipe.range_learning_rate})
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.schedule = LambdaLR(self.optimizer, lambda step: warm_cosine(1.0, step, self.steps, recipe.warmup))
        self.random = np.random.default_rng(recipe.seed)
        self.augmentation = suited_to(DEFAULT, teacher.labels).augmentation

    def epochs(self, pixels: Pixels, targets: Targets | None, progress: Progress) -> Iterator[int]:
        """Train, and stop after each epoch to be looked at."""
        done = 0
        with progress.task("training", self.steps * self.recipe.batch, "images") as task:
            for epoch in range(1, self.count + 1):
                self.student.train()
                for batch, classes in self._batches(pixels, targets):
                    self.student.follows = done < self.recipe.statistics * self.steps
                    loss = self._step(batch, classes)
                    done += 1
                    task.advance(len(batch), loss=f"{loss:.4f}", epoch=f"{epoch}/{self.count}")
                self.student.follows = False
                self.student.eval()
                if not self.student.is_sound:
                    raise CompressionError(_DIVERGED)
                yield epoch

    def _batches(self, pixels: Pixels, targets: Targets | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        size = min(self.recipe.batch, len(pixels))
        order = self.random.permutation(len(pixels))
        for begin in range(0, len(order) - size + 1, size):
            chosen = np.sort(order[begin : begin + size])
            maps = torch.from_numpy(pixels[chosen]).permute(0, 3, 1, 2).float()
            if targets is None:
                yield self._shifted(maps), None
            else:
                # What a label teaches of an image as it is, the teacher knows.
                yield distorted(maps, self.augmentation, self.random), torch.from_numpy(targets[chosen])

    def _shifted(self, maps: Tensor) -> Tensor:
        down, across = (int(side * self.recipe.shift) for side in maps.shape[2:])
        if not down and not across:
            return maps
        padded = functional.pad(maps, (across, across, down, down), mode="replicate")
        top, left = self.random.integers(0, 2 * down + 1), self.random.integers(0, 2 * across + 1)
        moved = padded[:, :, top : top + maps.shape[2], left : left + maps.shape[3]]
        return moved.contiguous(memory_format=torch.channels_last)

    def _loss(self, answered: Tensor, wanted: Tensor, classes: Tensor | None) -> Tensor:
        temperature = self.recipe.temperature
        divergence = functional.kl_div(
            functional.log_softmax(answered / temperature, dim=1),
            functional.softmax(wanted / temperature, dim=1),
            reduction="batchmean",
        )
        # Where the teacher is sure of everything the divergence falls silent; noise over signal of the logits does not.
        noise = functional.mse_loss(answered, wanted) / wanted.var().clamp(min=1e-12)
        taught = divergence * temperature**2 + noise
        if classes is None or not (known := classes != UNKNOWN).any():
            return taught
        share = self.recipe.labels * float(known.float().mean())
        labelled = functional.cross_entropy(answered[known], classes[known], label_smoothing=_SMOOTHING)
        return (1 - share) * taught + share * labelled

    def _step(self, batch: Tensor, classes: Tensor | None) -> float:
        wanted = self.teacher(batch)
        loss = self._loss(self.student(batch), wanted, classes)
        if not torch.isfinite(loss):
            raise CompressionError(_DIVERGED)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())
