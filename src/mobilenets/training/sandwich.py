"""One network for every width and resolution, from one training run.

The first channels of the wide network are the narrow ones. Every step trains one of them at a drawn resolution: the
widest, a drawn one, the narrowest, a drawn one, and so on; the widest on the labels, and the others on what the widest
says of the same images too. For the first part of the run there is only the widest; then the narrowest width falls,
step by step, to the smallest that is wanted, so that each starts from a slightly wider one that has learnt already. The
optimiser's momentum spans several such rounds, so its steps are those of the sandwich rule, and there are as many of
them as networks are trained.

Sources: the sandwich rule with in-place distillation, Yu and Huang 2019, arXiv:1903.05134; widths that learn at other
resolutions, Yang et al. 2019, arXiv:1909.12978; shrinking in the course of the run, Cai et al. 2020, arXiv:1908.09791.
The first two train four networks or more on every batch and then take one step, which in the same time reaches less
(docs/budget.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.batches import Batch, generator, normalized
from mobilenets.training.distillation import proportional_side, resized
from mobilenets.training.network import (
    LayerModule,
    NetworkModule,
    activate,
    module_of,
    parameters_of,
    weighted_sum,
)

DRAW = 2
"""What a random generator is for, beside those of :mod:`mobilenets.training.batches`."""
WIDTH_STEP = 0.05
TURNS = 4
"""Steps in which the widest, the narrowest and two drawn ones have all been trained once."""
WIDEST_ALONE, ALL_WIDTHS = 0.2, 0.6
"""Shares of a run: until the first only the widest is trained; from the second on all widths are."""


class Sandwich:
    """The objective of a slimmable run, for :class:`mobilenets.training.loop.Trainer`.

    Args:
        network: The widest network, at the largest resolution.
        narrowest: Smallest α; the network's own where only resolutions are shared.
        resolutions: Sides of the input that may be drawn, in pixels, at most the network's own.
        share: Of what the others learn, how much is the widest's answers; the rest is the labels.
        label_smoothing: Of the labels.
        seed: Of all chances.

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
            raise TrainingError(f"the widest's share of what the others learn must be from 0 to 1, not {share:g}")
        if not resolutions or not max(resolutions) <= min(network.height, network.width):
            raise TrainingError(f"resolutions must be at most the network's {network.height} pixels, got {resolutions}")
        self.widths = _steps(narrowest, network.width_multiplier)
        self.resolutions = tuple(sorted(resolutions))
        self._network, self._share, self._seed, self._label_smoothing = network, share, seed, label_smoothing
        self._at = cache(self._thinned)

    def __call__(self, module: NetworkModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """(loss of the network whose turn it is, its logits)."""
        width, side = self.drawn(batch.step, batch.steps)
        images = resized(batch.images, proportional_side(side, batch.images.shape[2], self._network.height))
        evenly = torch.full_like(batch.targets, 1 / batch.targets.shape[1])
        said = torch.lerp(batch.targets, evenly, self._label_smoothing)
        if width == self.widths[-1]:  # whose running statistics are those that epochs are validated with
            logits = module(images).float()
        else:
            logits = forward_as(module, self._at(width, images.shape[2]), images).float()
            with torch.no_grad():
                widest = forward_as(module, self._at(self.widths[-1], images.shape[2]), images).float()
            said = torch.lerp(said, widest.softmax(dim=1), self._share)
        return functional.cross_entropy(logits, said), logits

    def drawn(self, step: int, steps: int) -> tuple[float, int]:
        """α and resolution that a step trains, from its number in the run.

        Args:
            step: From 0.
            steps: Of the whole run.
        """
        rng = generator(self._seed, step, DRAW)
        narrowed = (step / steps - WIDEST_ALONE) / (ALL_WIDTHS - WIDEST_ALONE)
        kept = 1 + round(min(max(narrowed, 0), 1) * (len(self.widths) - 1))
        widths = self.widths[-kept:]
        width = (widths[-1], rng.choice(widths), widths[0], rng.choice(widths))[step % TURNS]
        return float(width), int(rng.choice(self.resolutions))

    def _thinned(self, width: float, side: int) -> Network:
        return with_width(with_resolution(self._network, side, side), width)


def _steps(narrowest: float, widest: float) -> tuple[float, ...]:
    count = max(1, round((widest - narrowest) / WIDTH_STEP))
    return tuple(round(narrowest + (widest - narrowest) * step / count, 6) for step in range(count + 1))


def forward_as(module: NetworkModule, network: Network, images: Tensor) -> Tensor:
    """Logits of a thinner network that shares the first weights of a module, with the statistics of this batch.

    Args:
        module: The wide network.
        network: What :func:`with_width` and :func:`with_resolution` made of the module's network.
        images: float (N, 3, height, width), normalised, of that network's size.

    Returns:
        (N, classes).
    """
    shapes = network.parameter_shapes()

    def run(wide: LayerModule, values: Tensor) -> Tensor:
        layer = network[wide.layer.name]
        rows, columns = shapes[f"{layer.name}.weight"][:2]
        bias = None if wide.bias is None else wide.bias[:rows]
        values = weighted_sum(layer, values, wide.weight[:rows, :columns], bias)
        if (norm := wide.batch_norm) is not None:
            gamma, beta = norm.weight[:rows], norm.bias[:rows]
            values = functional.batch_norm(values, None, None, gamma, beta, training=True, eps=norm.eps)
        return activate(values, layer.activation)

    return module.outputs(images, network=network, run=run)[network.outputs[0]]


def reestimated(model: Model, pixels: Pixels, *, batch: int = 64, device: torch.device | None = None) -> Model:
    """The Model with batch-norm statistics measured on images, layer by layer, as they will be used.

    Args:
        model: A float32 Model, such as a slice of a shared one.
        pixels: uint8 (N, height, width, 3) of training images, prepared as for evaluation; some hundreds suffice.
        batch: Images that are run together; statistics are averaged over batches, the variance unbiased.
        device: Where.

    Raises:
        TrainingError: If there are fewer than two images.
    """
    if len(pixels) < 2:
        raise TrainingError(f"batch-norm statistics need two images at least, not {len(pixels)}")
    device = device or torch.device("cpu")
    module = module_of(model).to(device).train()
    for layer in module.layer_modules():
        if layer.batch_norm is not None:
            layer.batch_norm.reset_running_stats()
            layer.batch_norm.momentum = None  # a plain average over batches
    groups = np.array_split(np.arange(len(pixels)), math.ceil(len(pixels) / max(2, batch)))
    with torch.no_grad():
        for indices in groups:
            module(normalized(pixels[indices], model.preprocessing, device))
    return model.with_parameters(parameters_of(module))
