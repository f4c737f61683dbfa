"""Figures of the paper's Tables 1 to 9 and 13, computed anew from the architectures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import Cost, cost
from mobilenets.architecture.layers import (
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    PointwiseConvolution,
    Shape,
    Windowed,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import (
    FILTER,
    GIGA_MACS,
    INPUT_SIZE,
    MACS_SHARE,
    PARAMETERS,
    PARAMETERS_SHARE,
    PUBLISHED_TABLES,
    SSD_ON_MOBILENET,
    STRIDE,
    Figure,
    PublishedRow,
    PublishedTable,
)

Figures = Mapping[str, Figure]
"""Figures by name."""
COMPUTED_MACS, COMPUTED_PARAMETERS = "macs", "parameters"
"""Exact counts, in ones, beside published millions."""


def computed_figures(published: PublishedTable) -> Sequence[Figures]:
    """What is computed for a table, row by row; nothing for what only a measurement could give."""
    special = {1: _body, 2: _shares, 3: _one_layer, 13: _detectors}
    if published.number in special:
        return special[published.number]()
    if published.number > 9:
        return [{} for _ in published.rows]
    return [counts(cost(_network_of_row(row))) for row in published.rows]


def counts(total: Cost) -> Figures:
    """Mult-Adds and parameters of a whole network."""
    return {COMPUTED_MACS: total.macs, COMPUTED_PARAMETERS: total.parameters}


_SPECIFICATIONS = {
    "Conv MobileNet": "mobilenet_v1_full_convolution",
    "MobileNet": "mobilenet_v1",
    "0.75 MobileNet": "mobilenet_v1@0.75",
    "shallow MobileNet": "mobilenet_v1_shallow",
    "GoogLeNet": "googlenet",
    "VGG16": "vgg16",
    "SqueezeNet": "squeezenet",
    "AlexNet": "alexnet",
}


def _network_of_row(row: PublishedRow) -> Network:
    """The network that a row of Tables 4 to 9 is about."""
    if row.label in _SPECIFICATIONS:
        return Specification.parse(_SPECIFICATIONS[row.label]).network()
    width, _, resolution = row.label.partition(" MobileNet-")
    return mobilenet_v1(width_multiplier=float(width), resolution=int(resolution))


def _body() -> Sequence[Figures]:
    """Table 1, whose rows are layers; the five equal blocks share two rows."""
    network = mobilenet_v1()
    repeated = range(7, 12)
    rows: list[Figures] = []
    for layer in network.layers:
        block = layer.name.removeprefix("block").split(".")[0]
        if block.isdecimal() and int(block) in repeated[1:]:
            continue
        count = len(repeated) if block == str(repeated[0]) else 1
        rows.append(_layer_figures(network, layer, count))
    softmax: Figures = {STRIDE: "s1", INPUT_SIZE: _size(network.shapes[network.outputs[0]]), COMPUTED_MACS: 0}
    return [*rows, softmax]


def _layer_figures(network: Network, layer: Layer, count: int) -> Figures:
    (shape,) = network.input_shapes(layer)
    return {
        STRIDE: f"s{layer.strides[0] if isinstance(layer, Windowed) else 1}",
        FILTER: _filter(layer, shape),
        INPUT_SIZE: _size(shape),
        COMPUTED_MACS: count * layer.macs((shape,)),
    }


def _size(shape: Shape) -> str:
    """As the paper writes it: rows × columns × channels."""
    return f"{shape.height}×{shape.width}×{shape.channels}"


def _filter(layer: Layer, shape: Shape) -> str:
    """As the paper writes it: rows × columns × input channels × output channels."""
    if isinstance(layer, GlobalAveragePool):
        return f"{shape.height}×{shape.width}"
    if isinstance(layer, Linear):
        return f"{shape.size}×{layer.out_features}"
    out_channels, in_channels, *window = layer.weight_shape((shape,))
    if isinstance(layer, DepthwiseConvolution):
        return "×".join(map(str, (*window, out_channels)))
    return "×".join(map(str, (*window, in_channels, out_channels)))


def _shares() -> Sequence[Figures]:
    """Table 2: shares by kind of layer, of Mult-Adds and of weights."""
    network = mobilenet_v1()
    kinds = (PointwiseConvolution, DepthwiseConvolution, Convolution, Linear)
    macs, weights = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    for layer in network.layers:
        for kind in kinds:
            if isinstance(layer, kind):
                shapes = network.input_shapes(layer)
                macs[kind] += layer.macs(shapes)
                weights[kind] += math.prod(layer.weight_shape(shapes))
    return [
        {
            MACS_SHARE: round(100 * macs[kind] / sum(macs.values()), 4),
            PARAMETERS_SHARE: round(100 * weights[kind] / sum(weights.values()), 4),
        }
        for kind in kinds
    ]


def _one_layer() -> Sequence[Figures]:
    """Table 3: each row makes the layer of the row before it smaller."""
    square = partial(Body, channels=512, height=14, width=14)
    full = square()
    full.convolution("layer", 512)
    separable = square()
    separable.depthwise_separable("layer", 512)
    thin = square(width_multiplier=0.75, channels=384)
    thin.depthwise_separable("layer", 512)
    small = square(width_multiplier=0.75, channels=384, height=10, width=10)
    small.depthwise_separable("layer", 512)
    return [counts(cost(body.network("layer"))) for body in (full, separable, thin, small)]


def detector_counts(network: Network) -> Figures:
    """Billion Mult-Adds and million parameters of a detector."""
    total = cost(network)
    return {GIGA_MACS: round(total.macs / 1e9, 3), PARAMETERS: round(total.parameters / 1e6, 2)}


def _detectors() -> Sequence[Figures]:
    """Table 13: the one-stage detector on MobileNet, whose cost is that of its layers alone."""
    ours = detector_counts(Specification.parse("ssd_mobilenet_v1").network())
    return [ours if row.label == SSD_ON_MOBILENET else {} for row in PUBLISHED_TABLES[13].rows]
