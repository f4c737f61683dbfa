"""Small networks of particular layers."""

from __future__ import annotations

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    Multiply,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network


def squeeze_excite_network(*, batch_norm: bool = True) -> Network:
    """A block of MobileNetV3: hard-swish, and channels that are scaled by hard-sigmoids."""
    norm: BatchNorm | None = BatchNorm(1e-3) if batch_norm else None
    around = Padding(1, 1, 1, 1)
    swish, bias = Activation.HARD_SWISH, not batch_norm
    layers: list[Layer] = [
        Convolution("stem", (INPUT,), 3, 2, around, out_channels=8, activation=swish, batch_norm=norm, bias=bias),
        DepthwiseConvolution("depthwise", ("stem",), 3, 1, around, activation=swish, batch_norm=norm, bias=bias),
        GlobalAveragePool("squeeze", ("depthwise",)),
        PointwiseConvolution("reduce", ("squeeze",), out_channels=4, activation=Activation.RELU, bias=True),
        PointwiseConvolution("expand", ("reduce",), out_channels=8, activation=Activation.HARD_SIGMOID, bias=True),
        Multiply("scale", ("depthwise", "expand")),
        PointwiseConvolution("project", ("scale",), out_channels=6, batch_norm=norm, bias=bias),
        GlobalAveragePool("pool", ("project",)),
        Linear("classifier", ("pool",), out_features=3),
    ]
    return Network("squeeze_excite", 16, 12, tuple(layers), ("classifier",))
