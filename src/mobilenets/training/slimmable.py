"""One network for every width and resolution, from one training run.

The first channels of the wide network are the narrow ones. Every step trains the widest at full resolution on the
labels, or at a drawn one in every other step, and the narrowest and a few drawn ones, each at another resolution, on
what the widest said and, since a short run's widest long knows little itself, on the labels too.

Sources: the sandwich rule and in-place distillation, Yu and Huang 2019, arXiv:1903.05134; widths that learn from each
other at different resolutions, Yang et al. 2019, arXiv:1909.12978.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.layers import Activation, Network
from mobilenets.architecture.resizing import with_resolution, with_width
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


class Sandwich:
    """The objective of a slimmable run, for :class:`mobilenets.training.loop.Trainer`.

    Args:
        network: The widest network, at the largest resolution.
        narrowest: Smallest α; the network's own where only resolutions are shared.
        resolutions: Sides of the input that may be drawn, in pixels, at most the network's own.
        draws: Widths drawn in each step between the narrowest and the widest.
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
        draws: int = 3,
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
        self._network, self._draws, self._share, self._seed = network, draws, share, seed
        self._label_smoothing = label_smoothing
        self._at = cache(self._thinned)

    def __call__(self, module: NetworkModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """(mean of all losses, which is then of the size of any network's, and logits of the widest)."""
        rng = generator(self._seed, batch.step, DRAW)
        # The widest is half of a step's work where it is always at full size, and small pictures are then news to it.
        full = batch.step % 2 == 0
        logits = module(batch.pictures if full else self._at_side(batch, rng.choice(self.resolutions))).float()
        loss = functional.cross_entropy(logits, batch.targets, label_smoothing=self._label_smoothing)
        labels = torch.lerp(batch.targets, torch.full_like(batch.targets, 1 / logits.shape[1]), self._label_smoothing)
        said = torch.lerp(labels, logits.detach().softmax(dim=1), self._share)
        widths = (self.widths[0], *self._between(rng))
        for width, side in zip(widths, self._sides(rng, len(widths)), strict=True):
            pictures = self._at_side(batch, side)
            network = self._at(float(width), pictures.shape[2])
            loss = loss + functional.cross_entropy(forward_as(module, network, pictures).float(), said)
        return loss / (1 + len(widths)), logits

    def _between(self, rng: np.random.Generator) -> list[float]:
        """One width from each part of those between the narrowest and the widest, so that no step leaves one out."""
        widths = self.widths[1:-1] or self.widths
        return [float(rng.choice(part if len(part) else widths)) for part in np.array_split(widths, self._draws)]

    def _sides(self, rng: np.random.Generator, count: int) -> list[int]:
        """Resolutions in a drawn order, again and again: none comes up twice before all have."""
        rounds = math.ceil(count / len(self.resolutions))
        return [int(side) for _ in range(rounds) for side in rng.permutation(self.resolutions)][:count]

    def _at_side(self, batch: Batch, side: int) -> Tensor:
        """Pictures at a resolution; where training itself is at a smaller one just now, in proportion."""
        return resized(batch.pictures, proportional_side(int(side), batch.pictures.shape[2], self._network.height))

    def _thinned(self, width: float, side: int) -> Network:
        return with_width(with_resolution(self._network, side, side), width)


def _steps(narrowest: float, widest: float) -> tuple[float, ...]:
    count = max(1, round((widest - narrowest) / WIDTH_STEP))
    return tuple(round(narrowest + (widest - narrowest) * step / count, 6) for step in range(count + 1))


def forward_as(module: NetworkModule, network: Network, pictures: Tensor) -> Tensor:
    """Logits of a thinner network that shares the first weights of a module, with the statistics of this batch.

    Args:
        module: The wide network.
        network: What :func:`with_width` and :func:`with_resolution` made of the module's network.
        pictures: float (N, 3, height, width), normalised, of that network's size.

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
        return activate(values, getattr(layer, "activation", Activation.NONE))

    return module.outputs(pictures, network=network, run=run)[network.outputs[0]]


def reestimated(model: Model, pixels: Pixels, *, batch: int = 64, device: torch.device | None = None) -> Model:
    """The Model with batch-norm statistics measured on pictures, layer by layer, as they will be used.

    Args:
        model: A float32 Model, such as a slice of a shared one.
        pixels: uint8 (N, height, width, 3) of training pictures, prepared as for evaluation; some hundreds suffice.
        batch: Pictures that are run together; statistics are averaged over batches, the variance unbiased.
        device: Where.

    Raises:
        TrainingError: If there are fewer than two pictures.
    """
    if len(pixels) < 2:
        raise TrainingError(f"batch-norm statistics need two pictures at least, not {len(pixels)}")
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
