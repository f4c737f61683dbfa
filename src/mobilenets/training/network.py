"""Any Network as a PyTorch module, and the parameters of a Model going in and coming out.

The module walks the Network's list of layers, so branches, groups, uneven padding and several outputs need nothing
written for them. Tensors have the Model's names and layouts and are never renamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, assert_never, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.architecture.layers import (
    BATCH_NORM_TENSORS,
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
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.training.parallel import batch_normalized
from mobilenets.training.recipe import Recipe

FEW_POSITIONS = 49
"""Positions of a map up to which a pointwise convolution is trained as the matrix product that it is. oneDNN's
convolution takes three times as long on 1×1, a fifth longer on 4×4, and less from about 14×14 on."""
BATCH_NORM_MOMENTUM = 0.1
"""Share of each batch in the running statistics, where no recipe sets another."""


class LayerModule(nn.Module):
    """One layer with weights: its weight, bias and batch norm under the Model's names.

    Args:
        layer: A layer with weights.
        weight_shape: Shape of its weight, in PyTorch's layout.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    batch_norm: nn.BatchNorm2d | None

    def __init__(self, layer: Layer, weight_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.weight = nn.Parameter(torch.zeros(weight_shape))
        self.bias = nn.Parameter(torch.zeros(weight_shape[0])) if layer.bias else None
        epsilon = layer.batch_norm.epsilon if layer.batch_norm else None
        self.batch_norm = (
            None if epsilon is None else nn.BatchNorm2d(weight_shape[0], eps=epsilon, momentum=BATCH_NORM_MOMENTUM)
        )

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name within the layer → parameter or running statistic, as a Model lists them."""
        yield "weight", self.weight
        if self.bias is not None:
            yield "bias", self.bias
        if self.batch_norm is not None:
            for tensor in BATCH_NORM_TENSORS:
                yield f"batch_norm.{tensor}", cast("Tensor", getattr(self.batch_norm, tensor))

    def forward(self, values: Tensor) -> Tensor:
        """Weighted sum, batch norm, activation: (N, C, H, W) to (N, C', H', W')."""
        if self.batch_norm is not None and not self.training and not _exporting():
            values = convolve(self.layer, values, *self._folded(self.batch_norm))
        else:
            values = self.weighted_sum(values, self.weight)
            if self.batch_norm is not None:
                values = self.batch_norm(values)
        return activate_tensor(values, self.layer.activation)

    def _folded(self, batch_norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        """Weight and bias that do the work of a batch norm in evaluation too, which saves a pass over the whole map."""
        mean, variance = cast("Tensor", batch_norm.running_mean), cast("Tensor", batch_norm.running_var)
        factor = batch_norm.weight * torch.rsqrt(variance + batch_norm.eps)
        bias = batch_norm.bias + factor * ((0 if self.bias is None else self.bias) - mean)
        weight = self.weight * factor.view(-1, *[1] * (self.weight.ndim - 1))
        return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight, bias

    def run_thinned(self, layer: Layer, weight_shape: tuple[int, ...], values: Tensor) -> Tensor:
        """The layer with its first weights only, and batch statistics in its batch norm.

        Args:
            layer: This layer in a subnet.
            weight_shape: Shape of its weight there.
            values: (N, C, H, W), of the subnet's channels.
        """
        rows, columns = weight_shape[:2]
        bias = None if self.bias is None else self.bias[:rows]
        values = convolve(layer, values, self.weight[:rows, :columns], bias)
        if (norm := self.batch_norm) is not None:
            gamma, beta = norm.weight[:rows], norm.bias[:rows]
            values = batch_normalized(values, gamma, beta, norm.eps)
        return activate_tensor(values, layer.activation)

    def weighted_sum(self, values: Tensor, weight: Tensor) -> Tensor:
        """The layer's linear part, with a weight that need not be its own (such as one that was rounded)."""
        return convolve(self.layer, values, weight, self.bias)


def _exporting() -> bool:
    """Whether an exporter is looking on, which wants to see plain convolutions and batch norms."""
    return bool(torch.jit.is_tracing()) or torch.compiler.is_exporting()  # type: ignore[attr-defined, no-untyped-call]


def convolve(layer: Layer, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The linear part of any layer with weights: (N, C, H, W) to (N, C', H', W')."""
    match layer:
        case Linear():
            return functional.linear(values.flatten(1), weight, bias)[:, :, None, None]
        case PointwiseConvolution() if (
            values.is_cpu and not _exporting() and values.shape[2] * values.shape[3] <= FEW_POSITIONS
        ):
            rows = functional.linear(values.permute(0, 2, 3, 1), weight.flatten(1), bias)
            return rows.permute(0, 3, 1, 2)
        case PointwiseConvolution():
            return functional.conv2d(values, weight, bias)
        case DepthwiseConvolution() if values.is_cpu and not _exporting() and min(values.shape[2:]) < layer.kernel:
            return _depthwise_on_little(layer, values, weight, bias)
        case Convolution() | DepthwiseConvolution():
            groups = layer.groups if isinstance(layer, Convolution) else values.shape[1]
            values, padding = _pad(values, layer.padding, 0.0)
            return functional.conv2d(values, weight, bias, layer.strides, padding, 1, groups)
    raise TrainingError(f"{layer.name} is of a kind that cannot be trained: {layer.kind}")


def _depthwise_on_little(layer: DepthwiseConvolution, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A depthwise convolution of a map that is smaller than its filters.

    oneDNN has no quick gradient of the filters for such maps: on 2×2 of 512 channels it takes twenty times as long as
    on 3×3. So the map is filled up with more of the zeros that surround it, and what they add to the result is cut off.
    """
    top, bottom, left, right = layer.padding
    down, across = layer.strides
    rows = (values.shape[2] + top + bottom - layer.kernel) // down + 1
    columns = (values.shape[3] + left + right - layer.kernel) // across + 1
    values, padding = _pad(values, layer.padding, 0.0)
    missing = [max(0, layer.kernel - size) for size in values.shape[2:]]
    values = functional.pad(values, (0, missing[1], 0, missing[0]))
    return functional.conv2d(values, weight, bias, layer.strides, padding, 1, values.shape[1])[:, :, :rows, :columns]


class TrainableNetwork(nn.Module):
    """A Network that the training loop can train.

    Attributes:
        network: Its layers.
    """

    network: Network

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and statistic by name: what is averaged, kept and written to checkpoints."""
        raise NotImplementedError  # pragma: no cover - abstract

    def layer_module(self, name: str) -> nn.Module:
        """The module of a layer with weights."""
        raise NotImplementedError  # pragma: no cover - abstract

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The optimizer's groups: ``params``, ``weight_decay`` and ``rate``, a factor on the learning rate."""
        raise NotImplementedError  # pragma: no cover - abstract


Trainable = TypeVar("Trainable", bound=TrainableNetwork)


class NetworkModule(TrainableNetwork):
    """A Network as a module that takes normalized images and gives logits.

    Args:
        network: Any Network.
        dropout: Share of the values before an output Linear layer that is dropped while training.
    """

    def __init__(self, network: Network, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.dropout = dropout
        self._indices = {layer.name: index for index, layer in enumerate(network.layers) if layer.has_weight}
        self._modules_of_layers = nn.ModuleList(
            LayerModule(layer, layer.weight_shape(network.input_shapes(layer))) if layer.has_weight else nn.Identity()
            for layer in network.layers
        )
        position = {layer.name: number for number, layer in enumerate(network.layers)}
        self._dies_after = {
            name: max((position[reader] for reader in readers), default=-1)
            for name, readers in network.consumers.items()
        }

    def layer_module(self, name: str) -> LayerModule:
        """The module of a layer with weights."""
        return cast("LayerModule", self._modules_of_layers[self._indices[name]])

    def layer_modules(self) -> list[LayerModule]:
        """The modules of all layers with weights, in order."""
        return [self.layer_module(name) for name in self._indices]

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and running statistic under the name that the Model gives it."""
        return {
            f"{module.layer.name}.{name}": tensor
            for module in self.layer_modules()
            for name, tensor in module.tensors()
        }

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Weights that the recipe decays, and all other parameters."""
        decayed: list[Tensor] = []
        free: list[Tensor] = []
        for layer in self.layer_modules():
            spared = isinstance(layer.layer, DepthwiseConvolution) and not recipe.decay_depthwise
            for name, parameter in layer.named_parameters():
                (decayed if name == "weight" and not spared else free).append(parameter)
        return [
            {"params": decayed, "weight_decay": recipe.weight_decay, "rate": 1.0},
            {"params": free, "weight_decay": 0.0, "rate": 1.0},
        ]

    def forward(self, images: Tensor, subnet: Network | None = None) -> Tensor:
        """Logits of the first output.

        Args:
            images: float (N, 3, height, width), normalized; channels-last memory is fastest.
            subnet: A thinner or smaller network of the same layers, whose weights are the first of this one's, as
                :func:`~mobilenets.architecture.rescale.with_width` makes it. It is run in the place of the whole
                network, its batch norms with the statistics of these images.

        Returns:
            (N, classes) where the output is 1×1, else (N, channels, height, width).
        """
        return self.outputs(images, subnet)[self.network.outputs[0]]

    def outputs(self, images: Tensor, subnet: Network | None = None) -> dict[str, Tensor]:
        """All outputs by name, each as :meth:`forward` gives the first."""
        network = subnet or self.network
        shapes = network.parameter_shapes() if subnet else {}
        values = {INPUT: images}
        for number, layer in enumerate(network.layers):
            inputs = [values[name] for name in layer.inputs]
            if layer.has_weight:
                if self.dropout and self.training and layer.name in network.outputs:
                    inputs = [functional.dropout(inputs[0], self.dropout)]
                own = self.layer_module(layer.name)
                if subnet is None:
                    values[layer.name] = own(inputs[0])
                else:
                    values[layer.name] = own.run_thinned(layer, shapes[f"{layer.name}.weight"], inputs[0])
            else:
                values[layer.name] = without_weight(layer, inputs)
            for name in layer.inputs:
                if self._dies_after[name] == number and name not in network.outputs:
                    values.pop(name, None)
        results = {name: values[name] for name in network.outputs}
        return {
            name: value.flatten(1) if value.shape[2:] == (1, 1) else value  # as the reference operators give them
            for name, value in results.items()
        }


def without_weight(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """The output of a layer without weights: (N, C, H, W) each."""
    match layer:
        case MaxPool():
            values, padding = _pad(inputs[0], layer.padding, -torch.inf)
            return functional.max_pool2d(values, layer.kernel, layer.strides, padding)
        case GlobalAveragePool():
            return inputs[0].mean(dim=(2, 3), keepdim=True)
        case Add():
            total = inputs[0] + inputs[1]
            for values in inputs[2:]:
                total = total + values
            return activate_tensor(total, layer.activation)
        case Multiply():
            return activate_tensor(inputs[0] * inputs[1], layer.activation)
        case Concatenate():
            return torch.cat(inputs, dim=1)
    raise TrainingError(f"{layer.name} is of a kind that cannot be trained: {layer.kind}")


def activate_tensor(values: Tensor, activation: Activation) -> Tensor:
    """An activation function; the values given may be overwritten."""
    match activation:
        case Activation.NONE:
            return values
        case Activation.RELU:
            return functional.relu(values, inplace=True)
        case Activation.RELU6:
            return functional.relu6(values, inplace=True)
        case Activation.HARD_SIGMOID:
            return functional.hardsigmoid(values)
        case Activation.HARD_SWISH:
            return functional.hardswish(values)
        case _:
            assert_never(activation)


def _pad(values: Tensor, padding: Padding, value: float) -> tuple[Tensor, tuple[int, int]]:
    """The map with what the operator itself cannot pad, and what is left for the operator: (rows, columns)."""
    top, bottom, left, right = padding
    if top == bottom and left == right and (value == 0.0 or max(top, left) == 0):
        return values, (top, left)
    return functional.pad(values, (left, right, top, bottom), value=value), (0, 0)


def placed(module: Trainable, device: torch.device) -> Trainable:
    """The module on a device, its weights in the memory format that trains fastest."""
    # mypy does not know this overload of Module.to
    return cast("Trainable", module.to(device).to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def load_parameters(module: NetworkModule, parameters: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Copy parameters into a module, by name. Names that the module does not have are left aside.

    Raises:
        TrainingError: If a tensor of the module is missing or has another shape.
    """
    for name, tensor in module.tensors().items():
        if name not in parameters:
            raise TrainingError(f"{name} is missing; the network needs it with shape {tuple(tensor.shape)}")
        source = parameters[name]
        if source.shape != tuple(tensor.shape):
            raise TrainingError(f"{name} has shape {source.shape}; the network needs {tuple(tensor.shape)}")
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.array(source, dtype=np.float32)))


def parameters_of(module: NetworkModule) -> dict[str, npt.NDArray[np.float32]]:
    """A copy of a module's parameters and running statistics, as a Model holds them."""
    return {
        name: tensor.detach().to("cpu", torch.float32, copy=True).contiguous().numpy()
        for name, tensor in module.tensors().items()
    }


def module_of(model: Model) -> NetworkModule:
    """A Model's network and parameters as a module, in evaluation mode.

    Raises:
        TrainingError: If the Model is not float32.
    """
    if model.quantization is not None:
        raise TrainingError(f"{model.network.name} holds int8 numbers; training needs a float32 Model")
    module = NetworkModule(model.network)
    load_parameters(module, model.parameters)
    return module.eval()
