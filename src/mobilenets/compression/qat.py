"""A network in the int8 contract's arithmetic that gradients pass through: what quantisation-aware training trains.

Activations travel as the whole numbers that the int8 Model will hold, in float tensors; weights and biases are rounded
as they will be stored; sums are exact, and are requantised in float32 as :mod:`mobilenets.model.reference` defines it.
So what is trained is what will run, bit for bit. Batch norms are folded in every step.

Source: Jacob et al. 2018, arXiv:1712.05877 (training with folding); Bengio et al. 2013, arXiv:1308.3432 (the
straight-through estimator); Esser et al. 2020, arXiv:1902.08153 (learned ranges).
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
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
)
from mobilenets.compression.fold import folded_network
from mobilenets.compression.quantize import integer_bias, settled_scales
from mobilenets.compression.rounding import largest_level
from mobilenets.compression.unfold import numbers_of
from mobilenets.model.model import Model
from mobilenets.model.quantization import LARGEST_SCALE, Quantization, TensorQuantization, real_outputs

_EXACT_FLOAT32 = 1 << 24
_STATISTICS_MOMENTUM = 0.02


# Rounding that lets gradients through ---------------------------------------------------------------------------------


def round_through(values: Tensor) -> Tensor:
    """Round to the nearest even; the gradient passes as if nothing had happened."""
    return values + (torch.round(values) - values).detach()


def exactly(values: Tensor, exact: Tensor) -> Tensor:
    """``exact``, with the gradient of ``values``.

    The sum ``values + (exact − values)`` would be off by a rounding error where the two are far apart.
    """
    return cast("Tensor", _Exactly.apply(values, exact))  # type: ignore[no-untyped-call]


class _Exactly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, exact: Tensor) -> Tensor:
        return exact.to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


# The network ----------------------------------------------------------------------------------------------------------


class IntegerLayer(nn.Module):
    """Parameters of one layer with weights: what a float Model holds for it, and how its weights' grid ends."""

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
        if getattr(layer, "bias", False):
            self.bias = nn.Parameter(_tensor(named[f"{layer.name}.bias"]))
        batch_norm = getattr(layer, "batch_norm", None)
        self.epsilon = None if batch_norm is None else float(batch_norm.epsilon)
        if batch_norm is not None:
            self.gamma = nn.Parameter(_tensor(named[f"{layer.name}.batch_norm.weight"]))
            self.beta = nn.Parameter(_tensor(named[f"{layer.name}.batch_norm.bias"]))
            self.register_buffer("running_mean", _tensor(named[f"{layer.name}.batch_norm.running_mean"]))
            self.register_buffer("running_var", _tensor(named[f"{layer.name}.batch_norm.running_var"]))
        # One step of the grid, as a share of the largest weight: fixed, while the grid breathes with the weights.
        weight = self.folded()[0].detach().double().reshape(len(self.weight), -1)
        scales = torch.from_numpy(np.array(held.parameters[f"{layer.name}.weight_scale"], dtype=np.float64))
        self.register_buffer("grid", scales / weight.abs().amax(dim=1).clamp(min=1e-30))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with the batch norm in them."""
        weight, bias = self.weight, self.bias
        if self.epsilon is None:
            return weight, torch.zeros_like(weight[:, 0].reshape(len(weight), -1)[:, 0]) if bias is None else bias
        factor = self.gamma / torch.sqrt(self.running_var + self.epsilon)
        shift = -self.running_mean if bias is None else bias - self.running_mean
        return weight * factor.reshape(-1, *[1] * (weight.dim() - 1)), self.beta + shift * factor

    def integers(self, scale_in: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Whole weights, whole biases (both carrying gradients) and the float64 scales of the weights."""
        weight, bias = self.folded()
        wide, real_bias = weight.detach().double(), bias.detach().double()
        largest = wide.abs().reshape(len(wide), -1).amax(dim=1)
        wanted = (self.grid * largest).cpu().numpy()
        source = float(scale_in)
        scales = settled_scales(
            np.maximum(wanted, 1e-30), wide.cpu().numpy(), real_bias.cpu().numpy(), source, self.bits
        )
        scale = torch.from_numpy(scales).to(weight.device)
        top = largest_level(self.bits)
        steps = weight / scale.to(weight.dtype).reshape(-1, *[1] * (weight.dim() - 1))
        exact = torch.round(wide / scale.reshape(-1, *[1] * (wide.dim() - 1))).clamp(-top, top)
        whole = exactly(steps.clamp(-top - 0.5, top + 0.5), exact)
        units = torch.from_numpy(integer_bias(real_bias.cpu().numpy(), source, scales)).to(weight.device)
        whole_bias = exactly((bias / (scale_in.detach() * scale)).double(), units.double())
        return whole, whole_bias, scale

    @torch.no_grad()
    def follow(self, inputs: Tensor) -> None:
        """Let the running statistics follow a batch of real inputs."""
        sums = _sums(self.layer, inputs, self.weight)
        if self.bias is not None:
            sums = sums + self.bias.reshape(1, -1, 1, 1)
        variance, mean = torch.var_mean(sums, dim=(0, 2, 3))
        self.running_mean.lerp_(mean, _STATISTICS_MOMENTUM)
        self.running_var.lerp_(variance, _STATISTICS_MOMENTUM)


class IntegerNetwork(nn.Module):
    """A Network in the int8 contract's arithmetic, trainable; and, beside it, in float.

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

    def scale(self, name: str) -> Tensor:
        """Scale of an activation: float64, and exactly a float32."""
        if name == INPUT:
            return torch.tensor(self.start[INPUT].scale, dtype=torch.float64)
        layer = self.network[name]
        if isinstance(layer, MaxPool):
            return self.scale(layer.inputs[0])
        learned = self.start[name].scale * torch.exp(self._ranges[self._number[name]])
        return exactly(learned, learned.detach().float().double())

    def held(self) -> dict[str, TensorQuantization]:
        """Scale and zero point of every activation, as they are now."""
        return {
            name: TensorQuantization(float(self.scale(name).detach()), start.zero_point)
            for name, start in self.start.items()
        }

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the integer network, float32 (N, C): the reference's, bit for bit.

        Args:
            pixels: Whole numbers from 0 to 255, float32 (N, channels, height, width).
        """
        return self.activations(pixels)[self.network.outputs[0]].flatten(1)

    def activations(self, pixels: Tensor) -> dict[str, Tensor]:
        """What every layer makes: whole numbers in float tensors, or real ones where an output is real."""
        values = {INPUT: pixels}
        for layer in self.network.layers:
            values[layer.name] = self._integer_layer(layer, [values[name] for name in layer.inputs])
        return values

    def float_forward(self, pixels: Tensor) -> Tensor:
        """Logits of the same parameters in float, with batch norms folded and nothing rounded."""
        start = self.start[INPUT]
        values = {INPUT: (pixels - start.zero_point) * start.scale}
        for layer in self.network.layers:
            inputs = [values[name] for name in layer.inputs]
            if layer.has_weight:
                weight, bias = self.layer(layer.name).folded()
                result = _sums(layer, inputs[0], weight) + bias.reshape(1, -1, 1, 1)
            elif isinstance(layer, MaxPool):
                result = _max_pool(layer, inputs[0], -torch.inf)
            elif isinstance(layer, GlobalAveragePool):
                result = inputs[0].mean(dim=(2, 3), keepdim=True)
            else:
                result = torch.cat(inputs, dim=1) if isinstance(layer, Concatenate) else _added(inputs)
            values[layer.name] = _activate(layer, result)
        return values[self.network.outputs[0]].flatten(1)

    def _integer_layer(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if isinstance(layer, MaxPool):
            return _max_pool(layer, inputs[0], 0.0)
        centred = [values - self.start[name].zero_point for name, values in zip(layer.inputs, inputs, strict=True)]
        scales = [self.scale(name) for name in layer.inputs]
        if isinstance(layer, Add | Concatenate):
            return self._combine(layer, centred, scales)
        if isinstance(layer, GlobalAveragePool):
            sums = centred[0].sum(dim=(2, 3), keepdim=True)
            height, width = inputs[0].shape[2:]
            scale = (scales[0] / (height * width)).reshape(1)
        else:
            sums, scale = self._weighted(layer, centred[0], scales[0])
        return self._requantize(layer, sums, scale)

    def _weighted(self, layer: Layer, centred: Tensor, scale_in: Tensor) -> tuple[Tensor, Tensor]:
        module = self.layer(layer.name)
        if self.training and self.follows and module.epsilon is not None:
            module.follow(centred.detach() * scale_in.detach().float())
        weight, bias, scale = module.integers(scale_in.detach())
        # Sums of whole numbers are exact in float32 below 2²⁴. Evaluation takes float64, where they always are.
        largest = 255 * float(weight.detach().abs().reshape(len(weight), -1).sum(dim=1).max())
        wide = not self.training or largest + float(bias.detach().abs().max()) >= _EXACT_FLOAT32
        dtype = torch.float64 if wide else torch.float32
        sums = _sums(layer, centred.to(dtype), weight.to(dtype)) + bias.to(dtype).reshape(1, -1, 1, 1)
        return sums, scale_in * scale

    def _requantize(self, layer: Layer, sums: Tensor, scale: Tensor) -> Tensor:
        single = sums.float()
        if layer.name in self.real:
            return _activate(layer, single * scale.float().reshape(1, -1, 1, 1))
        multiplier = (scale / self.scale(layer.name)).float().reshape(1, -1, 1, 1)
        return self._to_bytes(layer, single * multiplier)

    def _combine(self, layer: Add | Concatenate, centred: list[Tensor], scales: list[Tensor]) -> Tensor:
        target = self.scale(layer.name)
        terms = [values * (scale / target).float() for values, scale in zip(centred, scales, strict=True)]
        return self._to_bytes(layer, torch.cat(terms, dim=1) if isinstance(layer, Concatenate) else _added(terms))

    def _to_bytes(self, layer: Layer, values: Tensor) -> Tensor:
        zero_point = self.start[layer.name].zero_point
        now = TensorQuantization(float(self.scale(layer.name).detach()), zero_point)
        low, high = now.clamp(getattr(layer, "activation", Activation.NONE))
        moved = exactly(values, torch.round(values.detach())) + zero_point
        return moved.clamp(low, high)

    def to_model(self, original: Model) -> Model:
        """The int8 Model that computes what :meth:`forward` does.

        Args:
            original: The float Model, for its labels, preprocessing and provenance.
        """
        parameters: dict[str, Any] = {}
        bits: dict[str, int] = {}
        for layer in self.network.layers:
            if not layer.has_weight:
                continue
            weight, bias, scale = self.layer(layer.name).integers(self.scale(layer.inputs[0]).detach())
            parameters[f"{layer.name}.weight"] = weight.detach().cpu().numpy().astype(np.int8)
            parameters[f"{layer.name}.weight_scale"] = scale.cpu().numpy().astype(np.float32)
            parameters[f"{layer.name}.bias"] = bias.detach().cpu().numpy().astype(np.int32)
            if self.layer(layer.name).bits != 8:
                bits[layer.name] = self.layer(layer.name).bits
        return replace(
            original,
            network=folded_network(self.network),
            parameters=parameters,
            quantization=Quantization(self.held(), bits),
            slices={},
        )


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _sums(layer: Layer, values: Tensor, weight: Tensor) -> Tensor:
    match layer:
        case Linear():
            return functional.linear(values.flatten(1), weight)[:, :, None, None]
        case Convolution() | DepthwiseConvolution():
            groups = values.shape[1] if isinstance(layer, DepthwiseConvolution) else layer.groups
            top, bottom, left, right = layer.padding
            if top == bottom and left == right:
                return functional.conv2d(values, weight, stride=layer.stride, padding=(top, left), groups=groups)
            padded = functional.pad(values, (left, right, top, bottom))
            return functional.conv2d(padded, weight, stride=layer.stride, groups=groups)
    return functional.conv2d(values, weight)


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
    activation = getattr(layer, "activation", Activation.NONE)
    if activation is Activation.NONE:
        return values
    return values.clamp(0, 6) if activation is Activation.RELU6 else values.clamp(0)
