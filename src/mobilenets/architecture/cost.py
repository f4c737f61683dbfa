"""What a Network costs: Mult-Adds, parameters, bytes of weights, and bytes of activations.

Source: arXiv:1704.04861, equations 2 to 7 and Tables 1 to 9. A multiply-accumulate counts one, pools and
activations count none, γ and β of a batch norm are parameters and its running statistics are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mobilenets.architecture.layers import INPUT, Layer, Shape, check
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import typed
from mobilenets.errors import ArchitectureError


def convolution_macs(size: int, in_channels: int, out_channels: int, *, kernel: int = 3) -> int:
    """Mult-Adds of one standard convolution.

    Args:
        size: Height and width of the (square) output map, in pixels.
        in_channels: Input channels (M).
        out_channels: Output channels (N).
        kernel: Side of the filter, in pixels.

    Raises:
        ArchitectureError: If a size is not positive.

    Source: arXiv:1704.04861, equation 2.

    >>> convolution_macs(14, 512, 512)
    462422016
    """
    _positive(size, in_channels, out_channels, kernel)
    return kernel * kernel * in_channels * out_channels * size * size


def depthwise_separable_macs(size: int, in_channels: int, out_channels: int, *, kernel: int = 3) -> int:
    """Mult-Adds of one depthwise separable convolution.

    Args:
        size: Height and width of the (square) output map, in pixels.
        in_channels: Channels that the depthwise filters see (M).
        out_channels: Channels that the pointwise convolution makes (N).
        kernel: Side of the depthwise filter, in pixels.

    Returns:
        Multiply-accumulate operations for one image.

    Raises:
        ArchitectureError: If a size is not positive.

    Source: arXiv:1704.04861, equation 5.

    >>> depthwise_separable_macs(14, 512, 512)
    52283392
    """
    _positive(size, in_channels, out_channels, kernel)
    return (kernel * kernel + out_channels) * in_channels * size * size


def _positive(*sizes: int) -> None:
    if min(sizes) < 1:
        raise ArchitectureError(f"sizes must be positive, got {sizes}")


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer for one image.

    Attributes:
        name: Name of the layer.
        kind: Its kind, such as ``pointwise``.
        input_shapes: Shapes that it reads.
        output_shape: Shape that it makes.
        macs: Multiply-accumulate operations.
        parameters: Trained numbers: weight, bias, γ and β.
        weight_bytes: Bytes of its parameters with batch norm folded away, at the cost's bytes per weight; biases
            take four.
        activation_bytes: Bytes of its output.
    """

    name: str
    kind: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    macs: int
    parameters: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Cost:
    """Cost of a network for one image.

    Attributes:
        layers: One entry per layer, in order.
        peak_activation_bytes: Most bytes of activations alive at one moment when the layers run in order and each
            activation is dropped after its last reader; the input counts, and a layer's inputs and output are alive
            together.
    """

    layers: tuple[LayerCost, ...]
    peak_activation_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights and biases with batch norm folded away."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all layer outputs together."""
        return sum(layer.activation_bytes for layer in self.layers)

    def by_kind(self) -> dict[str, Cost]:
        """The same cost split by kind of layer, in order of first appearance.

        The parts' own peaks are those of single layers: inputs and output together.
        """
        kinds: dict[str, list[LayerCost]] = {}
        for layer in self.layers:
            kinds.setdefault(layer.kind, []).append(layer)
        return {kind: Cost(tuple(group), _largest_step(group)) for kind, group in kinds.items()}


def _largest_step(layers: Iterable[LayerCost]) -> int:
    def step(layer: LayerCost) -> int:
        per_value = layer.activation_bytes // layer.output_shape.size
        return layer.activation_bytes + per_value * sum(shape.size for shape in layer.input_shapes)

    return max(step(layer) for layer in layers)


@typed(ArchitectureError)
def cost(network: Network, *, bytes_per_weight: float = 4, bytes_per_activation: int = 4) -> Cost:
    """Cost of a network, layer by layer.

    Args:
        network: The network.
        bytes_per_weight: 4 for float32, 1 for int8, 0.5 for 4-bit weights; biases always take 4 bytes.
        bytes_per_activation: 4 for float32, 1 for int8. The image itself is counted at this width too.

    Returns:
        Mult-Adds of one image, parameters, and bytes of weights and activations, in all and of every layer.

    Raises:
        ArchitectureError: If a number of bytes is not above 0.

    Source: arXiv:1704.04861, equations 2 to 7; Table 8 prints 569 million Mult-Adds and 4.2 million parameters.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> total = cost(mobilenet_v1())
    >>> total.macs, total.parameters
    (568740352, 4231976)
    """
    for name, width in (("bytes_per_weight", bytes_per_weight), ("bytes_per_activation", bytes_per_activation)):
        check(0 < width < math.inf, f"{name} must be above 0, not {width}")
    return Cost(
        layers=tuple(_layer_cost(network, layer, bytes_per_weight, bytes_per_activation) for layer in network.layers),
        peak_activation_bytes=_peak(network) * bytes_per_activation,
    )


def _layer_cost(network: Network, layer: Layer, bytes_per_weight: float, bytes_per_activation: int) -> LayerCost:
    inputs = network.input_shapes(layer)
    weight = layer.weight_shape(inputs)
    weights = math.prod(weight) if weight else 0
    batch_norm = layer.batch_norm is not None
    bias = layer.bias
    channels = weight[0] if weight else 0
    output = network.shapes[layer.name]
    return LayerCost(
        name=layer.name,
        kind=layer.kind,
        input_shapes=inputs,
        output_shape=output,
        macs=layer.macs(inputs),
        parameters=weights + channels * (bias + 2 * batch_norm),
        weight_bytes=math.ceil(weights * bytes_per_weight) + 4 * channels * (bias or batch_norm),
        activation_bytes=output.size * bytes_per_activation,
    )


def _peak(network: Network) -> int:
    """Most values alive at one moment."""
    order = {layer.name: step for step, layer in enumerate(network.layers)}
    last_use = {
        name: max((order[reader] for reader in readers), default=order.get(name, -1))
        for name, readers in network.consumers.items()
    }
    for output in network.outputs:
        last_use[output] = len(network.layers)
    alive = {INPUT: network.shapes[INPUT].size}
    peak = alive[INPUT]
    for step, layer in enumerate(network.layers):
        alive[layer.name] = network.shapes[layer.name].size
        peak = max(peak, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last_use[name] > step}
    return peak
