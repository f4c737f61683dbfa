"""What turns gradients into better weights: initialization, the optimizer, and the moving average of the weights."""

from __future__ import annotations

import copy
import math
from typing import Any, Generic

import torch
from torch import nn

from mobilenets.architecture.layers import Linear
from mobilenets.training.network import NetworkModule, Trainable, TrainableNetwork
from mobilenets.training.recipe import Initialization, Optimizer, Recipe

SMALLEST_CLASSIFIER_DEVIATION = 0.01


def initialize(module: NetworkModule, recipe: Recipe, seed: int) -> None:
    """Give every weight its first value. The same seed gives the same values."""
    generator = torch.Generator().manual_seed(seed & (2**63 - 1))
    for layer in module.layer_modules():
        _initialize_weight(layer.weight, recipe, generator, classifier=isinstance(layer.layer, Linear))
        with torch.no_grad():
            if layer.bias is not None:
                layer.bias.zero_()
            if layer.batch_norm is not None:
                layer.batch_norm.reset_parameters()
    set_batch_norm_momentum(module, recipe)


def set_batch_norm_momentum(module: NetworkModule, recipe: Recipe) -> None:
    """Set the momentum of running statistics to the recipe's."""
    for layer in module.layer_modules():
        if layer.batch_norm is not None:
            layer.batch_norm.momentum = recipe.batch_norm_momentum


def _initialize_weight(weight: nn.Parameter, recipe: Recipe, generator: torch.Generator, *, classifier: bool) -> None:
    if recipe.initialization is Initialization.TRUNCATED_NORMAL:
        nn.init.trunc_normal_(weight, std=0.09, a=-0.18, b=0.18, generator=generator)
        return
    fan_in = math.prod(weight.shape[1:])
    deviation = min(SMALLEST_CLASSIFIER_DEVIATION, math.sqrt(1 / fan_in)) if classifier else math.sqrt(2 / fan_in)
    nn.init.normal_(weight, std=deviation, generator=generator)


def make_optimizer(module: TrainableNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, over the groups that the module divides its parameters into."""
    groups = module.parameter_groups(recipe)
    match recipe.optimizer:
        case Optimizer.ADAMW:
            return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        case Optimizer.SGD:
            return _sgd(groups, recipe)
        case Optimizer.RMSPROP:  # TF-slim's: squares decay by 0.9 and epsilon is 1
            return torch.optim.RMSprop(groups, lr=recipe.learning_rate, alpha=0.9, eps=1.0, momentum=recipe.momentum)


def _sgd(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    nesterov = recipe.momentum > 0
    optimizer = torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=True
    )
    if recipe.momentum:
        # From the start and for all, since the fused kernel cannot take up parameters that were frozen so far.
        for group in groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class Average(Generic[Trainable]):
    """The moving average of a module's parameters and running statistics, as a module of its own.

    Args:
        module: What is averaged.
        steps: How many steps the average looks back over; fewer in the beginning, so that it does not remember the
            initial weights.
    """

    def __init__(self, module: Trainable, steps: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._decay = 1 - 1 / max(1.0, steps)
        self._averaged = list(self.module.tensors().values())
        self._sources = [tensor.detach() for tensor in module.tensors().values()]

    def update(self, step: int) -> None:
        """Take in the module's present state after a step, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._sources, 1 - decay)
