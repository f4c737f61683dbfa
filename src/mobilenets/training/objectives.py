"""What a training step minimizes.

An objective takes a module and a :class:`~mobilenets.training.batches.Batch` and returns the loss and the logits that
right answers are counted by, or None where they are not counted one by one. It runs the module by its ``forward`` only,
so that hooks on the module see every step.

Sources: distillation, Hinton et al. 2015, arXiv:1503.02531, at temperature 1; the sandwich rule with in-place
distillation, Yu and Huang 2019, arXiv:1903.05134; widths that train at several resolutions, Yang et al. 2019,
arXiv:1909.12978; shrinking in the course of the run, Cai et al. 2020, arXiv:1908.09791.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.errors import TrainingError
from mobilenets.training.batches import SUBNET, Batch, generator
from mobilenets.training.distributed import whole_variance

Objective = Callable[[nn.Module, Batch], tuple[Tensor, Tensor | None]]
"""(module, batch) → (loss to minimize, logits (N, classes) of the batch's images; None of a task without one class an
image)."""

WIDTH_STEP = 0.05
"""Distance between neighbouring widths of a supernet."""
TURNS = 4
"""Steps in which the widest, the narrowest and two random subnets have all been trained once."""
WIDEST_ALONE, ALL_WIDTHS = 0.2, 0.6
"""Shares of a run: until the first only the widest subnet is trained; from the second on all widths are."""


def one_output(loss: Callable[[Tensor, Tensor], Tensor], *, counted: bool = True) -> Objective:
    """The objective of a network with one output: a loss of it and of the batch's targets.

    Args:
        loss: Gives the mean loss of outputs, float32 (n, channels), and targets, float32 (n, channels).
        counted: Whether every image has one class, so that right answers are counted.
    """

    def objective(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        outputs = module(batch.images).float()
        return loss(outputs, batch.targets), outputs if counted else None

    return objective


def cross_entropy(label_smoothing: float, class_weights: Tensor | None = None) -> Objective:
    """Cross-entropy with the labels.

    Args:
        label_smoothing: Share of every target that is spread over all classes.
        class_weights: float32 (classes,), what an image of each class counts; None for all alike.
    """

    def objective(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = module(batch.images).float()
        weights = None if class_weights is None else class_weights.to(logits.device)
        return functional.cross_entropy(logits, batch.targets, weights, label_smoothing=label_smoothing), logits

    return objective


class Distillation:
    """The objective of a student that learns from the labels and from a larger network's answers.

    While the teacher is used, a batch comes at the teacher's size, or in proportion where images are smaller just now,
    and the student sees it in its own proportion. Afterwards the student sees images as they come, and a step takes a
    fraction of the time.

    Args:
        teacher: A trained module; it is not changed.
        student: The student's network.
        share: Of the loss, how much is cross-entropy with the teacher's answers; the rest is that with the labels.
        until: Part of the run, from its beginning, in which the teacher is used.
        label_smoothing: Share of every label that is spread over all classes.

    Raises:
        TrainingError: If a share is not between 0 and 1.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: Network,
        *,
        share: float = 0.5,
        until: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> None:
        if not 0 <= share <= 1:
            raise TrainingError(f"the teacher's share of the loss must be from 0 to 1, not {share:g}")
        if not 0 <= until <= 1:
            raise TrainingError(f"the teacher is used until a part of the run from 0 to 1, not {until:g}")
        # mypy does not know this overload of Module.to
        self._teacher = teacher.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._student = student
        self._share, self._until, self._label_smoothing = share, until, label_smoothing

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the logits of the student."""
        if batch.step >= round(self._until * batch.steps):
            logits = module(batch.images).float()
            return self._from_labels(logits, batch), logits
        side = proportional_side(self._student.height, batch.images.shape[2], self._teacher.network.height)
        logits = module(resized_batch(batch.images, side)).float()
        with torch.no_grad():
            answers = self._teacher(batch.images).float().softmax(dim=1)
        from_teacher = functional.cross_entropy(logits, answers)
        return torch.lerp(self._from_labels(logits, batch), from_teacher, self._share), logits

    def _from_labels(self, logits: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(logits, batch.targets, label_smoothing=self._label_smoothing)


class Sandwich:
    """The objective of a supernet: one network whose first channels are the narrower ones.

    Every step trains one subnet at a random resolution: the widest, a random one, the narrowest, a random one, and so
    on; the widest with the labels, and the others with the widest's answers to the same images too. For the first part
    of the run there is only the widest; then the narrowest width falls, step by step, to the smallest that is wanted,
    so that each starts from a slightly wider one that is trained already. The optimizer's momentum spans several such
    rounds, so its steps are those of the sandwich rule, and there are as many of them as subnets are trained. Training
    four subnets or more on every batch before one step, as the sources do, reaches less in the same time
    (docs/budget.md).

    Args:
        network: The widest network, at the largest resolution.
        narrowest: Smallest α; the network's own where only resolutions are shared.
        resolutions: Sides of the input that may be drawn, in pixels, at most the network's own.
        share: Of the others' targets, how much is the widest's answers; the rest is the labels.
        label_smoothing: Share of every label that is spread over all classes.
        seed: Random seed.

    Raises:
        TrainingError: If the widths or resolutions are larger than the network's.
    """

    def __init__(
        self,
        network: Network,
        *,
        narrowest: float,
        resolutions: Sequence[int],
        share: float = 0.5,
        label_smoothing: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not 0 < narrowest <= network.width_multiplier:
            widest = network.width_multiplier
            raise TrainingError(f"the narrowest width must be above 0 and at most {widest:g}, not {narrowest:g}")
        if not 0 <= share <= 1:
            raise TrainingError(f"the widest's share of the others' targets must be from 0 to 1, not {share:g}")
        if not resolutions or not max(resolutions) <= min(network.height, network.width):
            raise TrainingError(f"resolutions must be at most the network's {network.height} pixels, got {resolutions}")
        self.widths = _widths(narrowest, network.width_multiplier)
        self.resolutions = tuple(sorted(resolutions))
        self._network, self._share, self._seed, self._label_smoothing = network, share, seed, label_smoothing
        self._subnet = cache(self._make_subnet)

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of the subnet whose turn it is, and its logits."""
        width, side = self.drawn(batch.step, batch.steps)
        images = resized_batch(batch.images, proportional_side(side, batch.images.shape[2], self._network.height))
        evenly = torch.full_like(batch.targets, 1 / batch.targets.shape[1])
        targets = torch.lerp(batch.targets, evenly, self._label_smoothing)
        if width == self.widths[-1]:  # whose running statistics are those that epochs are validated with
            logits = module(images).float()
        else:
            logits = module(images, subnet=self._subnet(width, images.shape[2])).float()
            with torch.no_grad():
                widest = module(images, subnet=self._subnet(self.widths[-1], images.shape[2])).float()
            targets = torch.lerp(targets, widest.softmax(dim=1), self._share)
        return functional.cross_entropy(logits, targets), logits

    def drawn(self, step: int, steps: int) -> tuple[float, int]:
        """α and resolution that a step trains, from its number in the run.

        Args:
            step: From 0.
            steps: Of the whole run.
        """
        rng = generator(self._seed, step, SUBNET)
        narrowed = (step / steps - WIDEST_ALONE) / (ALL_WIDTHS - WIDEST_ALONE)
        count = 1 + round(min(max(narrowed, 0), 1) * (len(self.widths) - 1))
        widths = self.widths[-count:]
        width = (widths[-1], rng.choice(widths), widths[0], rng.choice(widths))[step % TURNS]
        return float(width), int(rng.choice(self.resolutions))

    def _make_subnet(self, width: float, side: int) -> Network:
        return with_width(with_resolution(self._network, side, side), width)


def _widths(narrowest: float, widest: float) -> tuple[float, ...]:
    count = max(1, round((widest - narrowest) / WIDTH_STEP))
    return tuple(round(narrowest + (widest - narrowest) * step / count, 6) for step in range(count + 1))


class QuantizationAware:
    """The objective of an integer network that learns to answer as a float Model does.

    Where a batch has labels they have a share in the loss.

    Args:
        teacher: Gives the float Model's logits, (N, classes), for bytes as float32 (N, channels, height, width).
        temperature: Of the teacher's and the student's probabilities.
        label_share: Share of the labels in the loss, where all images have one; the rest is the teacher's.
        label_smoothing: Share of every label that is spread over all classes.
        statistics: Part of the run, from its beginning, in which the running statistics of batch norms follow the
            images.
        several: Whether an image may have several labels, each with a sigmoid of its own.

    Raises:
        TrainingError: If a share is not between 0 and 1.

    Source: Jacob et al. 2018, arXiv:1712.05877.
    """

    def __init__(
        self,
        teacher: Callable[[Tensor], Tensor],
        *,
        temperature: float = 2.0,
        label_share: float = 0.5,
        label_smoothing: float = 0.0,
        statistics: float = 0.0,
        several: bool = False,
    ) -> None:
        if not 0 <= label_share <= 1:
            raise TrainingError(f"labels have a share of the loss from 0 to 1, not {label_share:g}")
        self._teacher, self._temperature = teacher, temperature
        self._label_share, self._label_smoothing, self._statistics = label_share, label_smoothing, statistics
        self._several = several

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The loss, and the logits of the integer network; None in their place of several labels an image."""
        with torch.no_grad():
            wanted = self._teacher(batch.images)
        logits = module(batch.images, follow=batch.step < self._statistics * batch.steps)
        loss = self._from_teacher(logits, wanted)
        known = batch.targets.amin(dim=1) >= 0 if self._several else batch.targets.sum(dim=1) > 0
        if known.any():
            share = self._label_share * float(known.float().mean())
            loss = (1 - share) * loss + share * self._from_labels(logits[known], batch.targets[known])
        return loss, None if self._several else logits

    def _from_labels(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self._several:
            return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()
        return functional.cross_entropy(logits, targets, label_smoothing=self._label_smoothing)

    def _from_teacher(self, logits: Tensor, wanted: Tensor) -> Tensor:
        if self._several:
            shares = (wanted / self._temperature).sigmoid()
            entropies = functional.binary_cross_entropy_with_logits(
                logits / self._temperature, shares, reduction="none"
            )
            error = functional.mse_loss(logits, wanted) / whole_variance(wanted).clamp(min=1e-12)
            return entropies.sum(dim=1).mean() * self._temperature**2 + error
        divergence = functional.kl_div(
            functional.log_softmax(logits / self._temperature, dim=1),
            functional.softmax(wanted / self._temperature, dim=1),
            reduction="batchmean",
        )
        # Where the teacher is sure of everything the divergence vanishes; the relative error of the logits does not.
        error = functional.mse_loss(logits, wanted) / whole_variance(wanted).clamp(min=1e-12)
        return divergence * self._temperature**2 + error


def proportional_side(wanted: int, side: int, largest: int) -> int:
    """The side that is to ``side`` as ``wanted`` is to ``largest``, and at least 32 pixels.

    >>> proportional_side(48, 64, 64), proportional_side(48, 48, 64), proportional_side(48, 32, 64)
    (48, 36, 32)
    """
    return max(32, round(wanted * side / largest))


def resized_batch(images: Tensor, side: int) -> Tensor:
    """Images (N, 3, H, W) as (N, 3, side, side), without aliasing."""
    if tuple(images.shape[2:]) == (side, side):
        return images
    smaller = functional.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return smaller.contiguous(memory_format=torch.channels_last)
