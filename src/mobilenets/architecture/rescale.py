"""The same network at another input size (same weights, other maps), or thinned to a smaller width (fewer of them)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mobilenets.architecture.layers import (
    INPUT,
    Add,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    Padding,
    PointwiseConvolution,
    Shape,
    Windowed,
)
from mobilenets.architecture.multipliers import PaddingPolicy, check_resolution
from mobilenets.architecture.network import Network
from mobilenets.errors import ArchitectureError


def with_resolution(network: Network, height: int, width: int) -> Network:
    """The network for another input size, taking the same parameters.

    Paddings that follow the network's padding policy are computed anew for the new maps; others are kept as they are.

    Args:
        network: Any network whose weights do not depend on its input size.
        height: New input height, in pixels.
        width: New input width, in pixels.

    Raises:
        ArchitectureError: If the size is too small for the network, or a linear layer reads a whole map and so fits
            one size only.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> with_resolution(mobilenet_v1(resolution=224), 97, 97) == mobilenet_v1(resolution=97)
    True
    """
    check_resolution((height, width))
    old = network.shapes
    new = {INPUT: Shape(network.channels, height, width)}
    layers: list[Layer] = []
    for layer in network.layers:
        if isinstance(layer, Windowed):
            source = layer.inputs[0]
            layer = _padded(layer, network.padding_policy, old[source], new[source])
        before = layer.weight_shape(network.input_shapes(layer))
        inputs = tuple(new[source] for source in layer.inputs)
        if layer.weight_shape(inputs) != before:
            raise ArchitectureError(
                f"{layer.name} reads a map of {old[layer.inputs[0]]} whole; {network.name} works at "
                f"{network.height}×{network.width} pixels only, not at {height}×{width}"
            )
        new[layer.name] = layer.output_shape(inputs)
        layers.append(layer)
    return replace(network, height=height, width=width, layers=tuple(layers))


def takes(network: Network, side: int) -> bool:
    """Whether the same layers, paddings and weights included, take images of another size."""
    try:
        return replace(network, height=side, width=side).parameter_shapes() == network.parameter_shapes()
    except ArchitectureError:
        return False


def _padded(layer: Windowed, policy: PaddingPolicy, old: Shape, new: Shape) -> Layer:
    down, across = layer.strides

    def by_policy(shape: Shape) -> Padding:
        return Padding(
            *policy.amounts(shape.height, layer.kernel, down),
            *policy.amounts(shape.width, layer.kernel, across),
        )

    return replace(layer, padding=by_policy(new)) if layer.padding == by_policy(old) else layer


def with_width(network: Network, width_multiplier: float) -> Network:
    """The network thinned to a smaller α: its layers hold the first channels of the wide one's.

    A network of the catalog gets the channels that its architecture has at α: some layers do not follow α, and others
    follow from what they read. In any other, a layer of c channels gets as many as the network's rounding makes of
    c · α / α₀, where α₀ is the network's own width. The layers stay the same ones. An architecture may have more: where
    α makes the input and the output of a block equal, which are not in the wide network, it has one shortcut more.

    Args:
        network: A chain of layers, or one with sums and products. Its outputs keep their channels, and so do layers
            that are only pooled, filtered channel by channel, added or multiplied on the way to one.
        width_multiplier: α, at most the network's own.

    Raises:
        ArchitectureError: If α is not positive or is larger than the network's, or the network has concatenations or
            groups, whose first channels are not those of the thinner network.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> with_width(mobilenet_v1(), 0.35) == mobilenet_v1(width_multiplier=0.35)
    True
    """
    if not 0 < width_multiplier <= network.width_multiplier:
        raise ArchitectureError(
            f"{network.name} has width {network.width_multiplier:g} and cannot be thinned to {width_multiplier:g}"
        )
    share = width_multiplier / network.width_multiplier
    fixed = _as_wide_as_the_ends(network)
    of_the_architecture = _channels_of_the_architecture(network, width_multiplier, fixed)

    def channels(layer: Layer, wide: int) -> int:
        if layer.name in fixed:
            return wide
        if of_the_architecture:
            return of_the_architecture[layer.name]
        return network.rounding.apply(wide, share)

    def thinned(layer: Layer) -> Layer:
        match layer:
            case Convolution() if layer.groups == 1:
                return replace(layer, out_channels=channels(layer, layer.out_channels))
            case PointwiseConvolution():
                return replace(layer, out_channels=channels(layer, layer.out_channels))
            case Linear():
                return replace(layer, out_features=channels(layer, layer.out_features))
            case DepthwiseConvolution() | MaxPool() | GlobalAveragePool() | Add() | Multiply():
                return layer
            case _:
                raise ArchitectureError(f"{layer.name} ({layer.kind}) cannot be thinned by keeping its first channels")

    return replace(network, layers=tuple(map(thinned, network.layers)), width_multiplier=width_multiplier)


def _channels_of_the_architecture(network: Network, width_multiplier: float, fixed: set[str]) -> dict[str, int]:
    """Channels at α of the layers of a network of the catalog; none of a network that is not as the catalog has it.

    Args:
        network: The wide network.
        width_multiplier: α.
        fixed: Layers that are as the network has them, whatever the catalog says: outputs may be other ones.
    """
    # Every prediction loads this module, and none the families.
    from mobilenets.architecture.catalog import CATALOG, DETECTORS

    known = {**CATALOG, **DETECTORS}
    if network.name not in known:
        return {}
    build = partial(known[network.name], resolution=(network.height, network.width))
    wide, narrow = (build(width_multiplier=each) for each in (network.width_multiplier, width_multiplier))
    inner = [name for name in network.shapes if name not in fixed]
    same = wide.rounding == network.rounding and all(
        name in wide.shapes and name in narrow.shapes and wide.shapes[name].channels == network.shapes[name].channels
        for name in inner
    )
    return {name: narrow.shapes[name].channels for name in inner} if same else {}


def _as_wide_as_the_ends(network: Network) -> set[str]:
    """The layers that must keep their channels for the input and the outputs to keep theirs.

    Pools, depthwise convolutions, sums and products have as many channels as what they read.
    """
    found = {INPUT, *network.outputs}
    groups = [
        {layer.name, *layer.inputs}
        for layer in network.layers
        if isinstance(layer, DepthwiseConvolution | MaxPool | GlobalAveragePool | Add | Multiply)
    ]
    while more := set().union(*(group for group in groups if group & found)) - found:
        found |= more
    return found
