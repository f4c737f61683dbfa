"""Detectors: what is put on a backbone to predict boxes at several scales, or objects' centres.

SSD (Liu et al. 2016, arXiv:1512.02325) on MobileNet V1, as in Table 13 of the MobileNets paper; SSDLite (Sandler et al.
2018, arXiv:1801.04381, section 6.2), whose added layers are depthwise separable; and a map of centres on an early map,
for microcontrollers.

Outputs are maps, for each level one of boxes and one of logits. A cell's anchors follow each other in the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mobilenets.architecture.blocks import Body
from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    BatchNorm,
    GlobalAveragePool,
    PointwiseConvolution,
    Windowed,
)
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import check_integer
from mobilenets.errors import ArchitectureError

ANCHORS = (3, 6, 6, 6, 6, 6)
"""Anchors of a cell at each level, as in the paper's detectors: 1,917 in all at 300×300."""
EXTRAS = (512, 256, 256, 128)
"""Channels of the levels behind the backbone's own two, at α = 1; half as many before each."""
SMALLEST_EXTRA = 16
"""Channels that α leaves them at least."""
BOX_NUMBERS = 4
COARSEST = 32
"""Pixels of the image, along its side, for one of a backbone's last map."""
CENTRE_STRIDE = 8
CENTRE_CHANNELS = 32


def ssd(
    backbone: Network,
    *,
    classes: int,
    anchors: Sequence[int] = ANCHORS,
    extras: Sequence[int] = EXTRAS,
    background: bool = False,
    name: str | None = None,
) -> Network:
    """SSD: boxes and logits are 1×1 convolutions; further levels are 1×1 and 3×3 convolutions.

    Args:
        backbone: A classifier; what follows its last map is left out.
        classes: Kinds of objects.
        anchors: Anchors of a cell at each level: at strides of 16 and 32, and one of ``extras`` each.
        extras: Channels of the further levels at α = 1.
        background: Whether there is a logit for no object too, the first of each anchor.
        name: Name of the resulting Network; ``ssd_`` and the backbone's if None.

    Raises:
        ArchitectureError: If a number is out of range, or the backbone has no maps of those strides.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> network = ssd(mobilenet_v1(resolution=300), classes=90, background=True)
    >>> [str(network.shapes[name]) for name in network.outputs[:4]]
    ['12×19×19', '273×19×19', '24×10×10', '546×10×10']
    """
    return _detector(backbone, classes, anchors, extras, background, name or f"ssd_{backbone.name}", lite=False)


def ssdlite(
    backbone: Network,
    *,
    classes: int,
    anchors: Sequence[int] = ANCHORS,
    extras: Sequence[int] = EXTRAS,
    background: bool = False,
    name: str | None = None,
) -> Network:
    """SSDLite: all that is added is depthwise separable. Arguments and errors as :func:`ssd` has them.

    >>> from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
    >>> network = ssdlite(mobilenet_v2(resolution=320), classes=3, anchors=(4, 2), extras=())
    >>> [str(network.shapes[name]) for name in network.outputs]
    ['16×20×20', '12×20×20', '8×10×10', '6×10×10']
    """
    return _detector(backbone, classes, anchors, extras, background, name or f"ssdlite_{backbone.name}", lite=True)


def centres(backbone: Network, *, classes: int, stride: int = CENTRE_STRIDE, name: str | None = None) -> Network:
    """A map of objects' centres: logits of the classes and of the background, which stands first, for every cell.

    Args:
        backbone: A classifier; its layers up to the last map of that stride are used.
        classes: Kinds of objects.
        stride: Pixels of the image, along its side, for a cell.
        name: Name of the resulting Network; ``centres_`` and the backbone's if None.

    Raises:
        ArchitectureError: If a number is out of range, or the backbone has no map of that stride.

    >>> from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
    >>> network = centres(mobilenet_v2(width_multiplier=0.35, resolution=96), classes=2)
    >>> str(network.shapes["centres.logits"]), len(network.layers)
    ('3×12×12', 24)
    """
    check_integer("classes", classes, ArchitectureError, least=1)
    body = _begun(backbone, [last_of_stride(backbone, stride)])
    body.pointwise("centres.hidden", CENTRE_CHANNELS, multiplier=1)
    body.append(PointwiseConvolution("centres.logits", (body.last,), out_channels=classes + 1, bias=True))
    return body.network(name or f"centres_{backbone.name}")


def on_backbone(
    build: Callable[..., Network], detector: Callable[..., Network], resolution: int, *, background: bool = False
) -> Callable[..., Network]:
    """An architecture of the catalog: a detector on a backbone of a width and a resolution.

    Args:
        build: Writes the backbone.
        detector: :func:`ssd`, :func:`ssdlite` or :func:`centres`.
        resolution: Side of the input in pixels where nobody says another.
        background: Whether there is a logit for no object too.
    """
    options = {"background": True} if background else {}

    def architecture(
        *,
        width_multiplier: float = 1.0,
        resolution: int | tuple[int, int] = resolution,
        classes: int = 90,
        batch_norm: BatchNorm | None = BatchNorm(),
    ) -> Network:
        backbone = build(width_multiplier=width_multiplier, resolution=resolution, batch_norm=batch_norm)
        return detector(backbone, classes=classes, **options)

    return architecture


def last_of_stride(network: Network, stride: int) -> str:
    """The layer whose map the first layer of twice the stride reads.

    Raises:
        ArchitectureError: If the network makes no such step.

    >>> from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
    >>> [last_of_stride(mobilenet_v2(), stride) for stride in (8, 16)]
    ['block7.expand', 'block14.expand']
    """
    strides = {INPUT: 1}
    for layer in network.layers:
        source = layer.inputs[0]
        down, across = layer.strides if isinstance(layer, Windowed) else (1, 1)
        if down != across:
            raise ArchitectureError(
                f"{layer.name} steps {down} down and {across} across; anchors stand on square cells"
            )
        strides[layer.name] = strides[source] * down
        if strides[layer.name] == 2 * stride and strides[source] == stride:
            return source
    raise ArchitectureError(f"{network.name} has no map of stride {stride} before one of stride {2 * stride}")


def last_map(network: Network) -> str:
    """The layer that is pooled over the whole map at the end.

    Raises:
        ArchitectureError: If there is none.
    """
    for layer in reversed(network.layers):
        if isinstance(layer, GlobalAveragePool):
            return layer.inputs[0]
    raise ArchitectureError(f"{network.name} does not end in an average over the whole map, as a backbone should")


def _detector(
    backbone: Network,
    classes: int,
    anchors: Sequence[int],
    extras: Sequence[int],
    background: bool,
    name: str,
    *,
    lite: bool,
) -> Network:
    check_integer("classes", classes, ArchitectureError, least=1)
    if len(anchors) != 2 + len(extras):
        raise ArchitectureError(f"{len(anchors)} levels have anchors; there are {2 + len(extras)}")
    for count in anchors:
        check_integer("anchors of a cell", count, ArchitectureError, least=1)
    levels = [last_of_stride(backbone, COARSEST // 2), last_map(backbone)]
    body = _begun(backbone, levels)
    for number, channels in enumerate(extras, start=1):
        levels.append(_extra_level(body, f"extra{number}", channels, lite=lite))
    logits = classes + background
    outputs: list[str] = []
    for number, (level, count) in enumerate(zip(levels, anchors, strict=True), start=1):
        for kind, numbers in (("boxes", BOX_NUMBERS), ("logits", logits)):
            outputs.append(_predictor(body, f"level{number}.{kind}", level, count * numbers, lite=lite))
    return replace(body.network(name), outputs=tuple(outputs))


def _extra_level(body: Body, name: str, channels: int, *, lite: bool) -> str:
    """A map of half the side: 1×1 to half the channels, then 3×3 of stride 2."""
    thin, wide = (
        max(SMALLEST_EXTRA, body.rounding.apply(count, body.width_multiplier)) for count in (channels // 2, channels)
    )
    body.pointwise(f"{name}.narrow", thin, multiplier=1)
    if not lite:
        return body.convolution(f"{name}.wide", wide, stride=2, multiplier=1)
    body.depthwise(f"{name}.depthwise", stride=2)
    return body.pointwise(f"{name}.wide", wide, multiplier=1)


def _predictor(body: Body, name: str, source: str, channels: int, *, lite: bool) -> str:
    """The 1×1 convolution that predicts; in SSDLite behind a 3×3 depthwise one."""
    if lite:
        source = body.depthwise(f"{name}.depthwise", source=source)
    return body.append(PointwiseConvolution(name, (source,), out_channels=channels, bias=True))


def _begun(backbone: Network, wanted: Sequence[str]) -> Body:
    """A body that holds a backbone's layers up to those that are wanted; what is added is normalized and has ReLU6."""
    needed = set(wanted)
    for layer in reversed(backbone.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    norms = [layer.batch_norm for layer in backbone.layers if layer.batch_norm is not None]
    body = Body(
        backbone.height,
        backbone.width,
        channels=backbone.channels,
        width_multiplier=backbone.width_multiplier,
        rounding=backbone.rounding,
        padding_policy=backbone.padding_policy,
        activation=Activation.RELU6,
        batch_norm=norms[0] if norms else BatchNorm(),
    )
    for layer in backbone.layers:
        if layer.name in needed:
            body.append(layer)
    return body
