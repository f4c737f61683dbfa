"""From a checkpoint's tensors to a Model of the family that their names tell.

timm and torchvision name the layers of every network by rules (:mod:`mobilenets.formats.names`). The network is the
one of the catalog whose names fit, with the channels that the tensors have: those tell α too, where an α gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import (
    BATCH_NORM_TENSORS,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    PointwiseConvolution,
)
from mobilenets.architecture.multipliers import ONE_FOR_ONE, Rounding
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v2 import MULTIPLES_OF_8
from mobilenets.architecture.networks.mobilenet_v3 import KERAS_ENDS, TIMM_ENDS, TORCHVISION_ENDS
from mobilenets.errors import ArchitectureError, FormatError
from mobilenets.formats.names import CheckpointNames
from mobilenets.formats.weights import ImportOptions, NamedTensor, model_of_tensors, unique
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import GREY_CHANNELS

_USUAL_WIDTHS = (1.0, 0.75, 0.5, 0.25, 0.35, 1.4, 1.3, 1.25)
"""Tried before others: where rounding gives two widths the same channels, one of these was meant."""
_HEADS = ("classifier", "fc", "head", "linear", "output", "out", "logits", "last_linear")
_HEAD_HINT = (
    ". Weights alone do not say what stands between the layers of a head: export the network to ONNX, which says it "
    "(torch.onnx.export)"
)
_SQUEEZED = ".se.reduce"
_COUNTERS = ".num_batches_tracked"
"""How many batches a batch norm has seen: only training asks."""


@dataclass(frozen=True)
class Recognized:
    """A checkpoint whose names fit a network of the catalog.

    Attributes:
        checkpoint: Its layers.
        tensors: By this package's names.
    """

    checkpoint: CheckpointNames
    tensors: Mapping[str, NamedTensor]


def recognize(tensors: Mapping[str, Tensor], known: Sequence[CheckpointNames], source: str) -> Recognized:
    """The network that a checkpoint's names fit.

    Args:
        tensors: By their names in the file.
        known: The networks that they may be of.
        source: Whose names those are, for messages.

    Raises:
        FormatError: If a name belongs to no layer of the network that fits best; the message says which that is.
    """
    layers = {name.rpartition(".")[0]: name for name in tensors if not name.endswith(_COUNTERS)}

    def fit(checkpoint: CheckpointNames) -> tuple[int, int, int]:
        shared = sum(layer in checkpoint.rows for layer in layers)
        return shared, _equal_shapes(checkpoint, tensors), -len(set(checkpoint.rows.values()))

    best = _with_single_head(max(known, key=fit), layers, tensors)
    for layer, name in layers.items():
        if layer not in best.rows:
            shared = fit(best)[0]
            hint = _HEAD_HINT if layer.partition(".")[0] in _HEADS and tensors[name].ndim <= 2 else ""
            raise FormatError(
                f"{name} belongs to no layer of {source}'s {best.network}, which is the nearest of the networks that "
                f"are known by their names: it has {shared} of the file's {len(layers)} layers{hint}"
            )
    return Recognized(best, unique(_named(best, tensors)))


def nearest_in_words(tensors: Mapping[str, Tensor], known: Mapping[str, Sequence[CheckpointNames]]) -> str:
    """Which of all known networks some tensors of no known names are nearest to, and the first that does not fit.

    Args:
        tensors: By their names in the file.
        known: The networks by whose names those are.

    Returns:
        A sentence. Where no network has any of the layers it is by the shapes of the weights; empty where none has any.
    """
    layers = {name.rpartition(".")[0]: name for name in tensors if not name.endswith(_COUNTERS)}

    def shared(checkpoint: CheckpointNames) -> int:
        return sum(layer in checkpoint.rows for layer in layers)

    source, best = max(
        ((source, checkpoint) for source, listed in known.items() for checkpoint in listed),
        key=lambda one: (shared(one[1]), -len(set(one[1].rows.values()))),
    )
    first = next((name for layer, name in layers.items() if layer not in best.rows), None)
    if first is None or not shared(best):
        return "" if first is None else _nearest_by_shapes(tensors)
    shape = "×".join(map(str, tensors[first].shape)) or "one number"
    return (
        f". The nearest is {source}'s {best.network}: it has {shared(best)} of the file's {len(layers)} layers; the "
        f"first that does not fit is {first} ({shape})"
    )


def _nearest_by_shapes(tensors: Mapping[str, Tensor]) -> str:
    """As :func:`nearest_in_words`, of a file none of whose layers is called as one of a known network."""
    weights = {name: tuple(value.shape) for name, value in tensors.items() if value.ndim >= 2}

    def shapes(network: str) -> set[tuple[int, ...]]:
        return {shape for shape in CATALOG[network]().parameter_shapes().values() if len(shape) >= 2}

    has = {name: shapes(name) for name in CATALOG if name.startswith("mobilenet_v")}
    best = max(has, key=lambda name: sum(shape in has[name] for shape in weights.values()))
    fitting = sum(shape in has[best] for shape in weights.values())
    first = next((name for name, shape in weights.items() if shape not in has[best]), None)
    if not fitting or first is None:
        return ""
    return (
        f". None of its layers has a name of theirs; by the shapes of its weights the nearest is {best}, which has "
        f"{fitting} of {len(weights)}; the first that does not fit is {first} ({'×'.join(map(str, weights[first]))})"
    )


def _with_single_head(
    checkpoint: CheckpointNames, layers: Iterable[str], tensors: Mapping[str, Tensor]
) -> CheckpointNames:
    """A checkpoint whose one fully connected layer after the features has a name of its own: ``fc``, ``classifier.0``.

    With one layer nothing can stand between layers, so that its weights say all of it.
    """
    others = [layer for layer in layers if layer not in checkpoint.rows]
    named = {checkpoint.rows[layer] for layer in layers if layer in checkpoint.rows}
    if len(others) != 1 or "classifier" in named or "hidden" in checkpoint.rows.values():
        return checkpoint
    (head,) = others
    weight = tensors.get(f"{head}.weight")
    if head.partition(".")[0] not in _HEADS or weight is None or weight.ndim != 2:
        return checkpoint
    return checkpoint._replace(rows={**checkpoint.rows, head: "classifier"})


def _equal_shapes(checkpoint: CheckpointNames, tensors: Mapping[str, Tensor]) -> int:
    """How many weights have the shape that the network has at α = 1: parts of networks may have the same names."""
    shapes = CATALOG[checkpoint.network]().parameter_shapes()
    ours = ((checkpoint.rows.get(name.removesuffix(".weight")), value.shape) for name, value in tensors.items())
    return sum(shapes.get(f"{layer}.weight") == shape for layer, shape in ours)


def share_of_known_names(tensors: Iterable[str], known: Sequence[CheckpointNames]) -> float:
    """Share of a file's tensors whose layers the network that fits best has."""
    layers = [name.rpartition(".")[0] for name in tensors if not name.endswith(_COUNTERS)]
    most = max(sum(layer in checkpoint.rows for layer in layers) for checkpoint in known)
    return most / max(len(layers), 1)


def _named(checkpoint: CheckpointNames, tensors: Mapping[str, Tensor]) -> Iterable[tuple[str, NamedTensor]]:
    for name, value in tensors.items():
        layer, _, kind = name.rpartition(".")
        if name.endswith(_COUNTERS):
            continue
        if kind not in BATCH_NORM_TENSORS:
            raise FormatError(f"{name} is a tensor that {checkpoint.network} does not have")
        yield f"{checkpoint.rows[layer]}.{kind}", NamedTensor(name, value)


def model_of_checkpoint(
    found: Recognized, options: ImportOptions, changed: Callable[[Network], Network] | None = None
) -> Model:
    """A float32 Model of the recognized network.

    Without ``classifier.weight`` the network ends before it: a Model that gives features.

    Args:
        found: The tensors, by this package's names.
        options: What the tensors do not say. The activation and the paddings are the network's own.
        changed: Makes the checkpoint's network of the catalog's, where their layers with weights are the same and
            others differ.

    Raises:
        FormatError: If a tensor is missing, has an unexpected shape, holds what is not a finite number, or belongs
            nowhere; the tensor is named as the file names it. If many are missing, the message says that the file
            holds a part.
    """
    name, tensors = found.checkpoint.network, found.tensors
    build: Callable[..., Network] = CATALOG[name]
    classifier = tensors.get("classifier.weight")
    settings: dict[str, Any] = {
        "resolution": options.resolution,
        "classes": 1 if classifier is None else classifier.value.shape[0],
        "padding_policy": options.padding_policy,
        "batch_norm": BatchNorm(options.epsilon),
    }
    if name.startswith("mobilenet_v1"):
        settings["activation"] = options.activation
    try:
        _check_completeness(build(**settings), tensors, name)
        network = _adapted(_of_width(build, settings, tensors), tensors)
        stem = tensors["stem.weight"].value
        if stem.ndim == 4 and stem.shape[1] == GREY_CHANNELS:
            network = replace(network, channels=GREY_CHANNELS)
        network = changed(network) if changed else network
    except ArchitectureError as error:
        raise FormatError(str(error)) from None
    return model_of_tensors(network, _shaped(network, tensors), options)


def _check_completeness(network: Network, tensors: Mapping[str, NamedTensor], name: str) -> None:
    """Raise if there are not all layers: a classifier may be missing, with all that stands behind the pool."""
    needed = [layer.name for layer in network.layers if layer.has_weight]
    missing = [layer for layer in needed if f"{layer}.weight" not in tensors]
    body = [layer for layer in missing if layer not in ("hidden", "classifier")]
    if body:
        part = f"; the file holds {len(needed) - len(missing)} of the {len(needed)} layers of {name}"
        count = len(missing)
        at_an_end = count > 1 and missing in (needed[:count], needed[-count:])
        hint = " and may be one of several parts of it" if at_an_end or 4 * count > len(needed) else ""
        raise FormatError(f"the tensor for {body[0]}.weight is missing{part}{hint}")


def _of_width(
    build: Callable[..., Network], settings: Mapping[str, Any], tensors: Mapping[str, NamedTensor]
) -> Network:
    """The network of the α whose channels are those of the tensors.

    It is built anew and not only thinned, because α decides where a block's input and output are equal, and so where
    there are shortcuts.
    """
    wide = build(**settings)
    counts = _channels(wide, tensors)
    widest = max(counts, key=lambda name: (name.endswith((".project", ".pointwise")), wide.shapes[name].channels))
    ratio, slack = counts[widest] / wide.shapes[widest].channels, 8 / wide.shapes[widest].channels
    nearest = ("", wide.shapes["input"])
    for alpha in _widths(ratio - slack, ratio + slack):
        for variant in _variants(wide.name):
            network = build(**settings, **variant, width_multiplier=alpha)
            wrong = [name for name, count in counts.items() if network.shapes[name].channels != count]
            if not wrong:
                return network
            nearest = (wrong[0], network.shapes[wrong[0]])
    name, shape = nearest
    raise FormatError(
        f"{tensors[f'{name}.weight'].source} has {counts[name]} output channels; with {counts[widest]} in {widest}, "
        f"{wide.name} has {shape.channels} there, and no width multiplier gives the channels of all layers"
    )


def _channels(network: Network, tensors: Mapping[str, NamedTensor]) -> dict[str, int]:
    """Output channels of the layers that mix channels, as the tensors have them.

    Without the narrow layers of squeeze-and-excites, which are rounded in many ways.
    """
    counts: dict[str, int] = {}
    for layer in network.layers:
        if isinstance(layer, Convolution | PointwiseConvolution) and f"{layer.name}.weight" in tensors:
            found = tensors[f"{layer.name}.weight"]
            if found.value.ndim not in (2, 4):
                raise FormatError(f"{found.source} has {found.value.ndim} axes; a convolution has 4")
            counts[layer.name] = found.value.shape[0]
    return {name: count for name, count in counts.items() if not name.endswith(_SQUEEZED)}


def _widths(low: float, high: float) -> Iterator[float]:
    """α from low to high: first those that people publish, then those with few decimals."""
    yield from (width for width in _USUAL_WIDTHS if low <= width <= high)
    for digits in (1, 2, 3):
        step = 10**digits
        yield from (count / step for count in range(max(1, math.ceil(low * step)), math.floor(high * step) + 1))


def _variants(name: str) -> list[dict[str, Any]]:
    """The ways in which ports apply α to a network."""
    if name.startswith("mobilenet_v1"):
        return [{"rounding": rounding} for rounding in (ONE_FOR_ONE, Rounding(minimum=1), MULTIPLES_OF_8)]
    if name.startswith("mobilenet_v3"):
        return [{"ends": ends} for ends in (KERAS_ENDS, TIMM_ENDS, TORCHVISION_ENDS)]
    return [{}]


def _adapted(network: Network, tensors: Mapping[str, NamedTensor]) -> Network:
    """The network with biases and batch norms where the tensors have them, and nothing where they end before it."""

    def adapted(layer: Layer) -> Layer:
        if not isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution | Linear):
            return layer
        layer = replace(layer, bias=f"{layer.name}.bias" in tensors)
        if isinstance(layer, PointwiseConvolution) and layer.name.endswith(_SQUEEZED):
            return replace(layer, out_channels=tensors[f"{layer.name}.weight"].value.shape[0])
        if isinstance(layer, Linear) or layer.batch_norm is None:
            return layer
        normalized = any(name in tensors for name in layer.batch_norm_names)
        return layer if normalized else replace(layer, batch_norm=None)

    layers = list(network.layers)
    while layers[-1].has_weight and f"{layers[-1].name}.weight" not in tensors:
        layers.pop()
    return replace(network, layers=tuple(map(adapted, layers)), outputs=(layers[-1].name,))


def _shaped(network: Network, tensors: Mapping[str, NamedTensor]) -> dict[str, NamedTensor]:
    """The tensors, those of 1×1 convolutions and linear layers as their layers here have them: the same numbers."""
    needed = network.parameter_shapes()

    def shaped(name: str, tensor: NamedTensor) -> NamedTensor:
        shape, value = needed.get(name), tensor.value
        if shape is None or value.ndim == len(shape):
            return tensor
        if value.ndim == 2 and shape[2:] == (1, 1):
            return replace(tensor, value=value[:, :, np.newaxis, np.newaxis])
        if len(shape) == 2 and value.shape[2:] == (1, 1):
            return replace(tensor, value=value[:, :, 0, 0])
        return tensor

    return {name: shaped(name, tensor) for name, tensor in tensors.items()}
