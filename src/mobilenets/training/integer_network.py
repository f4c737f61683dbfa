"""A network in the int8 contract's arithmetic that gradients pass through: what quantisation-aware training trains.

Activations travel as the whole numbers that the int8 Model will hold, in float tensors; weights and biases are rounded
as they will be stored; sums are exact, and are requantised in float32 as :mod:`mobilenets.model.reference` defines it.
So what is trained is what will run, bit for bit. Batch norms are folded in every step.

Source: Jacob et al. 2018, arXiv:1712.05877 (training with folding); Esser et al. 2020, arXiv:1902.08153
(learned ranges).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
)
from mobilenets.compression.quantize import integer_bias, settled_scales
from mobilenets.compression.rounding import largest_level
from mobilenets.compression.unfold import numbers_of
from mobilenets.model.folding import folded_network
from mobilenets.model.model import Model
from mobilenets.model.quantization import (
    LARGEST_SCALE,
    Multipliers,
    Quantization,
    TensorQuantization,
    average_multiplier,
    real_outputs,
    requantization_multiplier,
)
from mobilenets.training.straight_through import Form, convolved, exactly, rounded

_EXACT_FLOAT32 = 1 << 24
_STATISTICS_MOMENTUM = 0.02


class IntegerLayer(nn.Module):
    """Parameters of one layer with weights: what a float Model holds for it, and the grid of its weights."""

    running_mean: Tensor
    running_var: Tensor
    grid: Tensor

    def __init__(self, model: Model, held: Model, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.bits = numbers_of(held).bits(layer.name)
        named = model.parameters
        self.weight = nn.Parameter(_tensor(named[f"{layer.name}.weight"]))
        self.bias: nn.Parameter | None = None
        if layer.bias:
            self.bias = nn.Parameter(_tensor(named[f"{layer.name}.bias"]))
        batch_norm = layer.batch_norm
        self.epsilon = None if batch_norm is None else float(batch_norm.epsilon)
        if batch_norm is not None:
            self.gamma = nn.Parameter(_tensor(named[f"{layer.name}.batch_norm.weight"]))
            self.beta = nn.Parameter(_tensor(named[f"{layer.name}.batch_norm.bias"]))
            self.register_buffer("running_mean", _tensor(named[f"{layer.name}.batch_norm.running_mean"]))
            self.register_buffer("running_var", _tensor(named[f"{layer.name}.batch_norm.running_var"]))
        # The grid lies in the weights before the batch norm, and stays; the batch norm learns each channel's scale. A
        # grid of the folded weights would round a whole channel anew whenever its scale, a bfloat16, moved.
        scales = torch.from_numpy(np.array(held.parameters[f"{layer.name}.weight_scale"], dtype=np.float64))
        self.register_buffer("grid", scales / self.factor().detach().abs().double().clamp(min=1e-12))

    def factor(self) -> Tensor:
        """What the batch norm multiplies each channel by, (out,); ones without one."""
        if self.epsilon is None:
            return self.weight.new_ones(len(self.weight))
        return self.gamma / torch.sqrt(self.running_var + self.epsilon)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with the batch norm in them."""
        weight, bias = self.weight, self.bias
        if self.epsilon is None:
            return weight, weight.new_zeros(len(weight)) if bias is None else bias
        factor = self.factor()
        shift = -self.running_mean if bias is None else bias - self.running_mean
        return weight * factor.reshape(-1, *[1] * (weight.dim() - 1)), self.beta + shift * factor

    def integers(self, scale_in: float) -> tuple[Tensor, Tensor, Tensor]:
        """Whole weights, float32; whole biases, float64 (both carry gradients); float64 scales of the weights."""
        folded, bias = self.folded()
        factor, real_bias = self.factor(), bias.detach().double()
        size = factor.abs()
        wanted = (self.grid * size.detach()).bfloat16().double().clamp_(min=1e-30)
        largest = folded.detach().abs().flatten(1).amax(dim=1)
        scales = settled_scales(wanted.numpy(), largest.numpy(), real_bias.numpy(), scale_in, self.bits)
        scale = torch.from_numpy(scales)
        step = (self.grid * (scale / wanted)).float()  # coarser where the bias needs it
        weight = self.weight * factor.detach().sign().reshape(-1, *[1] * (folded.dim() - 1))
        whole = rounded(weight, step, size / size.detach().clamp(min=1e-30), largest_level(self.bits))
        units = torch.from_numpy(integer_bias(real_bias.numpy(), scale_in, scales))
        return whole, exactly(bias / (scale_in * scale), units), scale

    @torch.no_grad()
    def follow(self, inputs: Tensor) -> None:
        """Let the running statistics follow a batch of real inputs."""
        form = Form.of(self.layer, inputs.shape[1])
        sums = form.convolve(form.pad(inputs), self.weight, self.bias)
        variance, mean = torch.var_mean(sums, dim=(0, 2, 3))
        self.running_mean.lerp_(mean, _STATISTICS_MOMENTUM)
        self.running_var.lerp_(variance, _STATISTICS_MOMENTUM)


class IntegerNetwork(nn.Module):
    """A Network in the int8 contract's arithmetic, trainable.

    Args:
        model: float32, with its batch norms; its pixels are normalised by the scale and zero point of ``held``'s input.
        held: The same Model in int8, of which the scales are taken.

    Attributes:
        follows: Whether running statistics follow the batches of forward passes in training mode.
    """

    def __init__(self, model: Model, held: Model) -> None:
        super().__init__()
        self.network = model.network
        self.start = dict(numbers_of(held).activations)
        self.real = real_outputs(folded_network(self.network))
        self.follows = False
        # Module names may not hold dots, so layers are numbered.
        self._layers = nn.ModuleDict()
        self._ranges = nn.ParameterDict()
        for number, layer in enumerate(self.network.layers):
            if layer.has_weight:
                self._layers[str(number)] = IntegerLayer(model, held, layer)
            if layer.name in self.start and not isinstance(layer, MaxPool):
                self._ranges[str(number)] = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self._number = {layer.name: str(number) for number, layer in enumerate(self.network.layers)}

    def layer(self, name: str) -> IntegerLayer:
        """The parameters of a layer with weights."""
        return cast("IntegerLayer", self._layers[self._number[name]])

    @property
    def is_sound(self) -> bool:
        """Whether all weights and biases are numbers that an int8 Model could hold."""
        folded = [tensor for layer in self._layers.values() for tensor in cast("IntegerLayer", layer).folded()]
        return all(bool((tensor.detach().abs() <= LARGEST_SCALE).all()) for tensor in folded)

    @property
    def range_parameters(self) -> list[nn.Parameter]:
        """Logarithms of the activation ranges, over those calibrated."""
        return list(self._ranges.values())

    def scales(self) -> dict[str, Tensor]:
        """Scale of every activation, by name: float64, each exactly a float32."""
        scales = {INPUT: torch.tensor(self.start[INPUT].scale, dtype=torch.float64)}
        for layer in self.network.layers:
            if isinstance(layer, MaxPool):
                scales[layer.name] = scales[layer.inputs[0]]
            elif layer.name in self.start:
                learned = self.start[layer.name].scale * torch.exp(self._ranges[self._number[layer.name]])
                scales[layer.name] = exactly(learned, learned.detach().float())
        return scales

    def held(self) -> dict[str, TensorQuantization]:
        """Scale and zero point of every activation, as they are now."""
        scales = self.scales()
        return {name: TensorQuantization(scales[name].item(), start.zero_point) for name, start in self.start.items()}

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the integer network, float32 (N, C): the reference's, bit for bit.

        Args:
            pixels: Whole numbers from 0 to 255, float32 (N, channels, height, width); channels-last memory is fastest.
        """
        return self.activations(pixels)[self.network.outputs[0]].flatten(1)

    def activations(self, pixels: Tensor) -> dict[str, Tensor]:
        """What every layer makes: whole numbers in float tensors, or real ones where an output is real."""
        values, scales = {INPUT: pixels}, self.scales()
        for layer in self.network.layers:
            values[layer.name] = self._layer(layer, [values[name] for name in layer.inputs], scales)
        return values

    def _layer(self, layer: Layer, inputs: list[Tensor], scales: dict[str, Tensor]) -> Tensor:
        if isinstance(layer, MaxPool):
            return _max_pool(layer, inputs[0], 0.0)
        centred = [self._centred(name, values) for name, values in zip(layer.inputs, inputs, strict=True)]
        if isinstance(layer, Add | Concatenate):
            terms = [
                values * (scales[name] / scales[layer.name]).float()
                for name, values in zip(layer.inputs, centred, strict=True)
            ]
            return self._to_bytes(
                layer, torch.cat(terms, dim=1) if isinstance(layer, Concatenate) else _added(terms), scales
            )
        if isinstance(layer, GlobalAveragePool):
            sums = centred[0].sum(dim=(2, 3), keepdim=True)
            source, pixels = scales[layer.inputs[0]], centred[0].shape[2:].numel()
            exact = average_multiplier(source.item(), pixels, self._target(layer, scales))
            return self._requantize(layer, sums, (source / pixels).reshape(1), exact, scales)
        return self._weighted(layer, centred[0], scales)

    def _centred(self, name: str, values: Tensor) -> Tensor:
        zero_point = self.start[name].zero_point
        return values - zero_point if zero_point else values

    def _weighted(self, layer: Layer, centred: Tensor, scales: dict[str, Tensor]) -> Tensor:
        module, scale_in = self.layer(layer.name), scales[layer.inputs[0]]
        if self.training and self.follows and module.epsilon is not None:
            module.follow(centred.detach() * scale_in.detach().float())
        weight, bias, scale = module.integers(scale_in.item())
        dtype = self._exact(weight.detach(), bias.detach())
        exact = requantization_multiplier(scale_in.item(), scale.numpy(), self._target(layer, scales))
        if isinstance(layer, Linear):
            weight = weight.to(dtype)
            sums = functional.linear(centred.flatten(1).to(dtype), weight, bias.to(dtype))[:, :, None, None]
            return self._requantize(layer, sums, scale_in * scale, exact, scales)
        if layer.name in self.real:
            form = Form.of(layer, centred.shape[1])
            sums = form.convolve(form.pad(centred).to(dtype), weight.to(dtype), bias.to(dtype))
            return self._requantize(layer, sums, scale_in * scale, exact, scales)
        low, high = self._ends(layer, scales)
        zero_point = self.start[layer.name].zero_point
        form = Form.of(layer, centred.shape[1], zero_point=zero_point, low=low, high=high, dtype=dtype)
        return convolved(centred, weight, bias, scale_in / scales[layer.name], torch.from_numpy(exact), form)

    def _target(self, layer: Layer, scales: dict[str, Tensor]) -> float | None:
        """Scale of a layer's output; None where that is real."""
        return None if layer.name in self.real else scales[layer.name].item()

    def _exact(self, weight: Tensor, bias: Tensor) -> torch.dtype:
        """What sums are exact in: float32 holds whole numbers below 2²⁴, and evaluation always takes float64."""
        largest = 255 * weight.abs().flatten(1).sum(dim=1).max().item() + bias.abs().max().item()
        return torch.float32 if self.training and largest < _EXACT_FLOAT32 else torch.float64

    def _requantize(
        self, layer: Layer, sums: Tensor, scale: Tensor, exact: Multipliers, scales: dict[str, Tensor]
    ) -> Tensor:
        """Bytes of sums; or real numbers, where the layer's are.

        Args:
            layer: What made the sums.
            sums: Exact.
            scale: Real value of one unit of each channel's sum, for its gradient.
            exact: The multipliers of the int8 Model.
            scales: Of all activations.
        """
        is_real = layer.name in self.real
        multiplier = exactly(scale if is_real else scale / scales[layer.name], torch.from_numpy(exact)).float()
        scaled = sums.float() * multiplier.reshape(1, -1, 1, 1)
        return _activate(layer, scaled) if is_real else self._to_bytes(layer, scaled, scales)

    def _to_bytes(self, layer: Layer, values: Tensor, scales: dict[str, Tensor]) -> Tensor:
        moved = exactly(values, torch.round(values.detach())) + self.start[layer.name].zero_point
        return moved.clamp(*self._ends(layer, scales))

    def _ends(self, layer: Layer, scales: dict[str, Tensor]) -> tuple[int, int]:
        """Lowest and highest byte of a layer."""
        now = TensorQuantization(scales[layer.name].item(), self.start[layer.name].zero_point)
        return now.clamp(layer.activation)

    def to_model(self, original: Model) -> Model:
        """The int8 Model that computes what :meth:`forward` does.

        Args:
            original: The float Model, for its labels, preprocessing and provenance.
        """
        parameters: dict[str, Any] = {}
        bits: dict[str, int] = {}
        held = self.held()
        for layer in self.network.layers:
            if not layer.has_weight:
                continue
            weight, bias, scale = self.layer(layer.name).integers(held[layer.inputs[0]].scale)
            parameters[f"{layer.name}.weight"] = weight.detach().numpy().astype(np.int8)
            parameters[f"{layer.name}.weight_scale"] = scale.numpy().astype(np.float32)
            parameters[f"{layer.name}.bias"] = bias.detach().numpy().astype(np.int32)
            if self.layer(layer.name).bits != 8:
                bits[layer.name] = self.layer(layer.name).bits
        return replace(
            original,
            network=folded_network(self.network),
            parameters=parameters,
            quantization=Quantization(held, bits),
            slices={},
        )


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _max_pool(layer: MaxPool, values: Tensor, lowest: float) -> Tensor:
    top, bottom, left, right = layer.padding
    padded = functional.pad(values, (left, right, top, bottom), value=lowest)
    return functional.max_pool2d(padded, layer.kernel, layer.stride)


def _added(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _activate(layer: Layer, values: Tensor) -> Tensor:
    activation = layer.activation
    if activation is Activation.NONE:
        return values
    return values.clamp(0, 6) if activation is Activation.RELU6 else values.clamp(0)
