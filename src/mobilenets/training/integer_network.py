"""A network in the int8 contract's arithmetic that gradients pass through: what quantization-aware training trains.

Activations travel as the integers that the int8 Model will hold, in float tensors; weights and biases are rounded as
they will be stored; sums are exact, and are requantized in float32 as :mod:`mobilenets.model.reference` defines it. So
what is trained is what will run, bit for bit. Batch norms are folded in every step. Rounding passes gradients straight
through; a table passes those of the function that it was made from.

Sources: Jacob et al. 2018, arXiv:1712.05877 (training with folding); Esser et al. 2020, arXiv:1902.08153 (learned
ranges).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, assert_never, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.compression.rounding import largest_level
from mobilenets.compression.weights import integer_bias, settled_scales
from mobilenets.errors import CompressionError, TrainingError
from mobilenets.model.folding import affine, along, factor_and_shift, folded_network
from mobilenets.model.integer_layers import pair_table
from mobilenets.model.model import Model
from mobilenets.model.quantization import (
    LARGEST_SCALE,
    Multipliers,
    Quantization,
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    real_outputs,
    requantization_multiplier,
    rescaling_table,
)
from mobilenets.training.network import TrainableNetwork
from mobilenets.training.recipe import Recipe
from mobilenets.training.straight_through import Form, convolved, exactly, rounded

_EXACT_FLOAT32 = 1 << 24
_STATISTICS_MOMENTUM = 0.02
RANGE_LEARNING_RATE = 3e-5
"""Of the logarithms of activation ranges, at its highest."""
SMALLEST_WEIGHT = 1e-3
"""Mean size of a tensor's weights below which its learning rate falls no further."""


# The network ----------------------------------------------------------------------------------------------------------


def unfold(quantized: Model, model: Model, room: float = 0.0) -> Model:
    """The float Model whose weights and biases are those that an int8 Model stands for.

    Args:
        quantized: int8.
        model: float32, with batch norms or without; what ``quantized`` was made from.
        room: Steps, below a half, by which a weight may lie off its integer, towards what it was before it was
            rounded: so training knows which weights are close to their next integer.

    Returns:
        ``model`` with weights, and betas or biases, under which folding gives the real numbers of ``quantized``;
        weights to within their room.
    """
    parameters = dict(model.parameters)
    scales = numbers_of(quantized).activations
    for layer in model.network.layers:
        if not layer.has_weight:
            continue
        scale = quantized.parameters[f"{layer.name}.weight_scale"].astype(np.float64)
        integers = quantized.parameters[f"{layer.name}.weight"]
        step = along(scale, integers, axis=0)
        bias = quantized.parameters[f"{layer.name}.bias"] * (scale * scales[layer.inputs[0]].scale)
        if layer.batch_norm is not None:
            _, beta_name, mean_name, _ = layer.batch_norm_names
            mean = model.parameters[mean_name].astype(np.float64)
            factor, _ = factor_and_shift(layer, model.parameters)
            alive = np.abs(factor) > 1e-12
            step = step / along(np.where(alive, factor, 1.0), integers, axis=0)
            before = model.parameters[f"{layer.name}.bias"] if layer.bias else 0.0
            parameters[beta_name] = (bias + (mean - before) * factor).astype(np.float32)
        else:
            parameters[f"{layer.name}.bias"] = bias.astype(np.float32)
        wanted = model.parameters[f"{layer.name}.weight"] / step
        parameters[f"{layer.name}.weight"] = (wanted.clip(integers - room, integers + room) * step).astype(np.float32)
    return model.with_parameters(parameters)


def numbers_of(model: Model) -> Quantization:
    """The quantization of an int8 Model.

    Raises:
        CompressionError: If it is a float one.
    """
    if model.quantization is None:
        raise CompressionError("the Model is float32; it holds no integers to train")
    return model.quantization


class IntegerLayer(nn.Module):
    """Parameters of one layer with weights: those of a float Model, and the grid of its weights."""

    running_mean: Tensor
    running_var: Tensor
    grid: Tensor

    def __init__(self, model: Model, int8: Model, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.bits = numbers_of(int8).bits(layer.name)
        named = model.parameters
        self.weight = nn.Parameter(_tensor(named[f"{layer.name}.weight"]))
        self.bias: nn.Parameter | None = None
        if layer.bias:
            self.bias = nn.Parameter(_tensor(named[f"{layer.name}.bias"]))
        batch_norm = layer.batch_norm
        self.epsilon = None if batch_norm is None else float(batch_norm.epsilon)
        if batch_norm is not None:
            gamma, beta, mean, variance = (_tensor(named[name]) for name in layer.batch_norm_names)
            self.gamma, self.beta = nn.Parameter(gamma), nn.Parameter(beta)
            self.register_buffer("running_mean", mean)
            self.register_buffer("running_var", variance)
        # The grid lies in the weights before the batch norm, and stays; the batch norm learns each channel's scale. A
        # grid of the folded weights would round a whole channel anew whenever its scale, a bfloat16, moved.
        scales = torch.from_numpy(np.array(int8.parameters[f"{layer.name}.weight_scale"], dtype=np.float64))
        self.register_buffer("grid", scales / self.factor().detach().abs().double().clamp(min=1e-12))

    def factor(self) -> Tensor:
        """What the batch norm multiplies each channel by, (out,); ones without one."""
        return self._factor_and_shift()[0]

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with the batch norm in them."""
        factor, shift = self._factor_and_shift()
        return self.weight * factor.reshape(-1, *[1] * (self.weight.dim() - 1)), shift

    def _factor_and_shift(self) -> tuple[Tensor, Tensor]:
        bias = self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias
        if self.epsilon is None:
            return torch.ones_like(bias), bias
        return affine(self.gamma, self.beta, self.running_mean, self.running_var, self.epsilon, bias)

    def integers(self, scale_in: float) -> tuple[Tensor, Tensor, Tensor]:
        """Integer weights and biases, and the scales of the weights.

        Args:
            scale_in: Scale of the layer's input.

        Returns:
            float32 weights and float64 biases, which carry gradients, and float64 scales, (out,).
        """
        folded, bias = self.folded()
        factor, real_bias = self.factor(), bias.detach().double()
        size = factor.abs()
        wanted = (self.grid * size.detach()).bfloat16().double().clamp_(min=1e-30)
        largest = folded.detach().abs().flatten(1).amax(dim=1)
        scales = settled_scales(wanted.numpy(), largest.numpy(), real_bias.numpy(), scale_in, self.bits)
        scale = torch.from_numpy(scales)
        step = (self.grid * (scale / wanted)).float()  # coarser where the bias needs it
        weight = self.weight * factor.detach().sign().reshape(-1, *[1] * (folded.dim() - 1))
        integers = rounded(weight, step, size / size.detach().clamp(min=1e-30), largest_level(self.bits))
        units = torch.from_numpy(integer_bias(real_bias.numpy(), scale_in, scales))
        return integers, exactly(bias / (scale_in * scale), units), scale

    @torch.no_grad()
    def follow(self, inputs: Tensor) -> None:
        """Let the running statistics, if there are any, follow a batch of real inputs."""
        if self.epsilon is None:
            return
        form = Form.of(self.layer, inputs.shape[1])
        sums = form.convolve(form.pad(inputs), self.weight, self.bias)
        variance, mean = torch.var_mean(sums, dim=(0, 2, 3))
        self.running_mean.lerp_(mean, _STATISTICS_MOMENTUM)
        self.running_var.lerp_(variance, _STATISTICS_MOMENTUM)


class Target(NamedTuple):
    """What the sums of a layer are requantized to.

    Attributes:
        scale: Of its bytes, a float64 scalar with a gradient.
        zero_point: Of its bytes.
        low: The lowest byte.
        high: The highest byte.
    """

    scale: Tensor
    zero_point: int
    low: int
    high: int


class IntegerNetwork(TrainableNetwork):
    """A Network in the int8 contract's arithmetic, trainable.

    Args:
        model: float32, with its batch norms; its pixels are normalized by the scale and zero point of the int8 input.
        int8: The same Model in int8, of which the scales are taken.
    """

    def __init__(self, model: Model, int8: Model) -> None:
        super().__init__()
        self.network = model.network
        numbers = numbers_of(int8)
        self.start, self.pre_start = dict(numbers.activations), dict(numbers.pre_activations)
        self.real = real_outputs(folded_network(self.network))
        # Module names may not hold dots, so layers are numbered.
        self._layers = nn.ModuleDict()
        self._ranges, self._pre_ranges = nn.ParameterDict(), nn.ParameterDict()
        for number, layer in enumerate(self.network.layers):
            if layer.has_weight:
                self._layers[str(number)] = IntegerLayer(model, int8, layer)
            if layer.name in self.start and not isinstance(layer, MaxPool):
                self._ranges[str(number)] = nn.Parameter(torch.zeros((), dtype=torch.float64))
            if layer.name in self.pre_start:
                self._pre_ranges[str(number)] = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self._number = {layer.name: str(number) for number, layer in enumerate(self.network.layers)}

    def layer_module(self, name: str) -> IntegerLayer:
        """The parameters of a layer with weights."""
        return cast("IntegerLayer", self._layers[self._number[name]])

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter, statistic and grid, by its name within this module."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """A group for every tensor of the layers, with a rate of its own, and one for the ranges.

        Adam's steps are about the learning rate whatever the gradient, and a channel's weights differ by orders of
        magnitude after folding: each tensor's rate follows its own size.
        """
        groups: list[dict[str, Any]] = []
        for parameter in self._layers.parameters():
            size = max(float(parameter.detach().abs().mean()), SMALLEST_WEIGHT)
            groups.append({"params": [parameter], "weight_decay": recipe.weight_decay, "rate": 10 * size})
        rate = RANGE_LEARNING_RATE / recipe.learning_rate
        groups.append({"params": self.range_parameters, "weight_decay": 0.0, "rate": rate})
        return groups

    @property
    def is_sound(self) -> bool:
        """Whether all weights and biases are numbers that an int8 Model could hold."""
        folded = [tensor for layer in self._layers.values() for tensor in cast("IntegerLayer", layer).folded()]
        return all(bool((tensor.detach().abs() <= LARGEST_SCALE).all()) for tensor in folded)

    @property
    def range_parameters(self) -> list[nn.Parameter]:
        """Logarithms of the ranges of activations and pre-activations, over those calibrated."""
        return [*self._ranges.values(), *self._pre_ranges.values()]

    def scales(self) -> dict[str, Tensor]:
        """Scale of every activation, by name: float64, each exactly a float32."""
        scales = {INPUT: torch.tensor(self.start[INPUT].scale, dtype=torch.float64)}
        for layer in self.network.layers:
            if isinstance(layer, MaxPool):
                scales[layer.name] = scales[layer.inputs[0]]
            elif layer.name in self.start:
                scales[layer.name] = _learned(self.start[layer.name], self._ranges[self._number[layer.name]])
        return scales

    def pre_scales(self) -> dict[str, Tensor]:
        """Scale of every pre-activation, by the name of its layer: float64, each exactly a float32."""
        return {name: _learned(start, self._pre_ranges[self._number[name]]) for name, start in self.pre_start.items()}

    def quantization(self) -> Quantization:
        """Scales and zero points of activations and pre-activations as they are now, and the bits of the weights."""
        scales, pre_scales = self.scales(), self.pre_scales()
        layers = [cast("IntegerLayer", module) for module in self._layers.values()]
        return Quantization(
            {name: TensorQuantization(scales[name].item(), one.zero_point) for name, one in self.start.items()},
            {layer.layer.name: layer.bits for layer in layers if layer.bits != 8},
            {name: TensorQuantization(pre_scales[name].item(), one.zero_point) for name, one in self.pre_start.items()},
        )

    def forward(self, pixels: Tensor, *, follow: bool = False) -> Tensor:
        """Logits of the integer network, float32 (N, C): the reference's, bit for bit.

        Args:
            pixels: Integers from 0 to 255, float32 (N, channels, height, width); channels-last memory is fastest.
            follow: Whether running statistics follow these images.
        """
        return self.activations(pixels, follow=follow)[self.network.outputs[0]].flatten(1)

    def activations(self, pixels: Tensor, *, follow: bool = False) -> dict[str, Tensor]:
        """The output of every layer: integers in float tensors, or real numbers where an output is real."""
        values, scales, pre_scales = {INPUT: pixels}, self.scales(), self.pre_scales()
        for layer in self.network.layers:
            inputs = [values[name] for name in layer.inputs]
            if isinstance(layer, MaxPool):
                values[layer.name] = _max_pool(layer, inputs[0])
                continue
            centered = [self._centered(name, value) for name, value in zip(layer.inputs, inputs, strict=True)]
            if follow and layer.has_weight:
                self.layer_module(layer.name).follow(centered[0].detach() * scales[layer.inputs[0]].detach().float())
            target = self._target(layer, scales, pre_scales)
            result = self._layer(layer, centered, [scales[name] for name in layer.inputs], target)
            if layer.name in self.pre_start:
                result = self._by_table(layer, result, pre_scales[layer.name], scales[layer.name])
            values[layer.name] = result
        return values

    def _centered(self, name: str, values: Tensor) -> Tensor:
        zero_point = self.start[name].zero_point
        return values - zero_point if zero_point else values

    def _target(self, layer: Layer, scales: dict[str, Tensor], pre_scales: dict[str, Tensor]) -> Target | None:
        """What the layer's sums are requantized to; None where its result is real."""
        if layer.name in self.real:
            return None
        if layer.name in self.pre_start:
            return Target(pre_scales[layer.name], self.pre_start[layer.name].zero_point, 0, 255)
        scale, zero_point = scales[layer.name], self.start[layer.name].zero_point
        return Target(scale, zero_point, *TensorQuantization(scale.item(), zero_point).clamp(layer.activation))

    def _layer(self, layer: Layer, centered: list[Tensor], scales: list[Tensor], target: Target | None) -> Tensor:
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
                return self._weighted(layer, centered[0], scales[0], target)
            case GlobalAveragePool():
                pixels = centered[0].shape[2:].numel()
                sums = centered[0].sum(dim=(2, 3), keepdim=True)
                exact = average_multiplier(scales[0].item(), pixels, None if target is None else target.scale.item())
                return _requantized(layer, sums, (scales[0] / pixels).reshape(1), exact, target)
            case Add() | Concatenate() | Multiply():
                if target is None:
                    raise TrainingError(f"{layer.name} ({layer.kind}) has no scale")
                zero_points = [self.start[name].zero_point for name in layer.inputs]
                return _combined(layer, centered, scales, zero_points, target)
        raise TrainingError(f"{layer.name} is of a kind that cannot be trained in integers: {layer.kind}")

    def _weighted(self, layer: Layer, centered: Tensor, scale_in: Tensor, target: Target | None) -> Tensor:
        weight, bias, scale = self.layer_module(layer.name).integers(scale_in.item())
        dtype = self._exact(weight.detach(), bias.detach())
        exact = requantization_multiplier(
            scale_in.item(), scale.numpy(), None if target is None else target.scale.item()
        )
        if isinstance(layer, Linear):
            sums = functional.linear(centered.flatten(1).to(dtype), weight.to(dtype), bias.to(dtype))
            return _requantized(layer, sums[:, :, None, None], scale_in * scale, exact, target)
        if target is None:
            form = Form.of(layer, centered.shape[1])
            sums = form.convolve(form.pad(centered).to(dtype), weight.to(dtype), bias.to(dtype))
            return _requantized(layer, sums, scale_in * scale, exact, target)
        form = Form.of(
            layer, centered.shape[1], zero_point=target.zero_point, low=target.low, high=target.high, dtype=dtype
        )
        return convolved(centered, weight, bias, scale_in / target.scale, torch.from_numpy(exact), form)

    def _exact(self, weight: Tensor, bias: Tensor) -> torch.dtype:
        """What sums are exact in: float32 holds integers below 2²⁴, and evaluation always takes float64."""
        largest = 255 * weight.abs().flatten(1).sum(dim=1).max().item() + bias.abs().max().item()
        return torch.float32 if self.training and largest < _EXACT_FLOAT32 else torch.float64

    def _by_table(self, layer: Layer, values: Tensor, pre_scale: Tensor, scale: Tensor) -> Tensor:
        """Bytes that the layer's activation makes of its pre-activation's bytes, with the function's own gradient."""
        before, after = self.pre_start[layer.name].zero_point, self.start[layer.name].zero_point
        table = activation_table(
            layer.activation, TensorQuantization(pre_scale.item(), before), TensorQuantization(scale.item(), after)
        )
        real = _activate((values - before) * pre_scale.float(), layer.activation)
        steps = (real / scale.float() + after).clamp(0, 255)
        return exactly(steps, _looked_up(table, values.detach().long()))

    def to_model(self, original: Model) -> Model:
        """The int8 Model that computes what :meth:`forward` does.

        Args:
            original: The float Model, for its labels, preprocessing and provenance.
        """
        parameters: dict[str, Any] = {}
        quantization = self.quantization()
        for layer in self.network.layers:
            if not layer.has_weight:
                continue
            scale_in = quantization.activations[layer.inputs[0]].scale
            weight, bias, scale = self.layer_module(layer.name).integers(scale_in)
            parameters[f"{layer.name}.weight"] = weight.detach().numpy().astype(np.int8)
            parameters[f"{layer.name}.weight_scale"] = scale.numpy().astype(np.float32)
            parameters[f"{layer.name}.bias"] = bias.detach().numpy().astype(np.int32)
        return replace(
            original,
            network=folded_network(self.network),
            parameters=parameters,
            quantization=quantization,
            subnets={},
        )


# Layers ---------------------------------------------------------------------------------------------------------------


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _learned(start: TensorQuantization, logarithm: Tensor) -> Tensor:
    """A scale that has moved from its start by a factor; float64, exactly a float32."""
    learned = start.scale * torch.exp(logarithm)
    return exactly(learned, learned.detach().float())


def _max_pool(layer: MaxPool, values: Tensor) -> Tensor:
    top, bottom, left, right = layer.padding
    return functional.max_pool2d(functional.pad(values, (left, right, top, bottom)), layer.kernel, layer.strides)


def _combined(
    layer: Add | Concatenate | Multiply,
    centered: list[Tensor],
    scales: list[Tensor],
    zero_points: list[int],
    target: Target,
) -> Tensor:
    """Bytes of a layer that reads several tensors."""
    if isinstance(layer, Multiply):
        first, second = scales
        exact = product_multiplier(first.item(), second.item(), target.scale.item())
        multiplier = exactly(first * second / target.scale, torch.tensor(exact)).float()
        moved = centered[0] * centered[1] * multiplier + target.zero_point
        return exactly(moved, torch.round(moved.detach())).clamp(target.low, target.high)
    # Gradients are those of the real sum; the bytes are the int8 Model's.
    terms = [values * (scale / target.scale).float() for values, scale in zip(centered, scales, strict=True)]
    sources = [TensorQuantization(scale.item(), zero) for scale, zero in zip(scales, zero_points, strict=True)]
    made = TensorQuantization(target.scale.item(), target.zero_point)
    bytes_of = [values.detach().long() + zero for values, zero in zip(centered, zero_points, strict=True)]
    match layer:
        case Add() if len(centered) == 2:
            table = pair_table(sources, made, target.low, target.high)
            result, looked_up = terms[0] + terms[1], _looked_up(table, 256 * bytes_of[0] + bytes_of[1])
        case Add():
            reals = [values.detach() * scale.detach().float() for values, scale in zip(centered, scales, strict=True)]
            steps = sum(reals[1:], start=reals[0]) / target.scale.detach().float()
            result, looked_up = sum(terms[1:], start=terms[0]), torch.round(steps) + target.zero_point
        case Concatenate():
            tables = [rescaling_table(source, made) for source in sources]
            parts = [_looked_up(table, index) for table, index in zip(tables, bytes_of, strict=True)]
            result, looked_up = torch.cat(terms, dim=1), torch.cat(parts, dim=1)
        case _:
            assert_never(layer)
    within = (result + target.zero_point).clamp(target.low, target.high)
    return exactly(within, looked_up.clamp(target.low, target.high))


def _looked_up(table: npt.NDArray[np.uint8], index: Tensor) -> Tensor:
    return torch.from_numpy(table.astype(np.float32))[index]


def _requantized(layer: Layer, sums: Tensor, scale: Tensor, exact: Multipliers, target: Target | None) -> Tensor:
    """Bytes of sums; or real numbers, where there is no target.

    Args:
        layer: What made the sums.
        sums: Exact, (N, C, H, W).
        scale: Real value of one unit of each channel's sum, for its gradient.
        exact: The multipliers of the int8 Model.
        target: What the sums are requantized to.
    """
    ratio = scale if target is None else scale / target.scale
    scaled = sums.float() * exactly(ratio, torch.from_numpy(exact)).float().reshape(1, -1, 1, 1)
    return _activate(scaled, layer.activation) if target is None else _to_bytes(scaled, target)


def _to_bytes(values: Tensor, target: Target) -> Tensor:
    moved = exactly(values, torch.round(values.detach())) + target.zero_point
    return moved.clamp(target.low, target.high)


def _activate(values: Tensor, activation: Activation) -> Tensor:
    """An activation function in float32, with the reference's order of operations."""
    match activation:
        case Activation.NONE:
            return values
        case Activation.RELU:
            return values.clamp(0)
        case Activation.RELU6:
            return values.clamp(0, 6)
        case Activation.HARD_SIGMOID:
            return (values * (1 / 6) + 0.5).clamp(0, 1)
        case Activation.HARD_SWISH:
            return values * (values * (1 / 6) + 0.5).clamp(0, 1)
        case _:
            assert_never(activation)
