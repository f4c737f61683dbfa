"""From named tensors to a MobileNet V1 Model, whoever wrote them.

A reader of weights only translates: it gives every tensor the name that this package has for it, in PyTorch's layout,
and says what it knows of the network around them. What the tensors' shapes alone can tell (α and its rounding, the
depth, the classes) is worked out here, and whatever does not fit is refused here, in the names of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mobilenets.architecture.layers import Activation, BatchNorm, Convolution, DepthwiseConvolution, Padding
from mobilenets.architecture.layers import PointwiseConvolution as Pointwise
from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import SHALLOW, STEM_CHANNELS, TABLE_1, Row, mobilenet_v1
from mobilenets.errors import ArchitectureError, FormatError, ModelError
from mobilenets.formats.names import HEAD
from mobilenets.formats.one_logit import of_two_classes
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import GREY_CHANNELS, Preprocessing
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.classification import Classification, class_count

_VARIANTS = {13: ("mobilenet_v1", TABLE_1), 8: ("mobilenet_v1_shallow", SHALLOW)}


@dataclass(frozen=True)
class NamedTensor:
    """A tensor as it was found: its name in the file, and its value in PyTorch's layout."""

    source: str
    value: Tensor


@dataclass(frozen=True)
class ImportOptions:
    """What a file of weights does not say with its tensors.

    Attributes:
        resolution: Input side in pixels, or (height, width).
        epsilon: Of every batch norm.
        activation: After every layer but the last.
        padding_policy: How maps are padded.
        paddings: Padding of single layers, by this package's names, where the file says it and it is not the policy's.
        preprocessing: How images become input.
        labels: Class names; numbered where there are none.
        imported: Where the weights came from.
    """

    resolution: int | tuple[int, int] = 224
    epsilon: float = 1e-3
    activation: Activation = Activation.RELU6
    padding_policy: PaddingPolicy = PaddingPolicy.SAME
    paddings: Mapping[str, Padding] = field(default_factory=dict)
    preprocessing: Preprocessing = Preprocessing()
    labels: tuple[str, ...] | None = None
    imported: Imported | None = None


def unique(translated: Iterable[tuple[str, NamedTensor]]) -> dict[str, NamedTensor]:
    """Translated tensors by this package's names.

    Raises:
        FormatError: If two tensors of the file stand for the same one.
    """
    tensors: dict[str, NamedTensor] = {}
    for name, found in translated:
        if name in tensors:
            raise FormatError(f"{tensors[name].source} and {found.source} both stand for {name}")
        tensors[name] = found
    return tensors


def mobilenet_v1_from_tensors(tensors: Mapping[str, NamedTensor], options: ImportOptions) -> Model:
    """A float32 Model of the V1 network that the tensors belong to.

    Without ``classifier.weight`` the network ends in its average pool: a Model that gives features.

    Args:
        tensors: By this package's names (``block3.depthwise.batch_norm.running_var``).
        options: What the tensors do not say.

    Raises:
        FormatError: If a tensor is missing, has an unexpected shape, holds what is not a finite number, or belongs
            nowhere; the tensor is named as the file names it.
    """
    return model_of_tensors(_network(tensors, options), tensors, options)


def model_of_tensors(network: Network, tensors: Mapping[str, NamedTensor], options: ImportOptions) -> Model:
    """A float32 Model of a network whose parameters are the tensors.

    Raises:
        FormatError: If a tensor is missing, has an unexpected shape, holds what is not a finite number, or belongs
            nowhere; the tensor is named as the file names it.
    """
    parameters = checked_parameters(tensors, network)
    labels = None if class_count(network) == 1 else options.labels
    try:
        model = Model(
            network=network,
            parameters=parameters,
            task=Classification(labels) if labels else Classification.numbered(network),
            preprocessing=options.preprocessing,
            provenance=Provenance(imported=options.imported).encode(),
        )
        if options.labels is not None and labels is None:
            return of_two_classes(model, options.labels)
    except ModelError as error:
        raise FormatError(str(error)) from None
    return model


def _network(tensors: Mapping[str, NamedTensor], options: ImportOptions) -> Network:
    blocks = 0
    while f"block{blocks + 1}.depthwise.weight" in tensors:
        blocks += 1
    if blocks not in _VARIANTS:
        raise FormatError(
            f"found {blocks} depthwise separable blocks in a row; MobileNet V1 has 13 (8 in its shallow form)"
        )
    name, rows = _VARIANTS[blocks]
    width_multiplier, rounding = v1_width(tensors, rows)
    classifier = tensors.get("classifier.weight")
    try:
        network = mobilenet_v1(
            width_multiplier=width_multiplier,
            rounding=rounding,
            resolution=options.resolution,
            classes=classifier.value.shape[0] if classifier is not None else 1,
            rows=rows,
            padding_policy=options.padding_policy,
            activation=options.activation,
            batch_norm=BatchNorm(options.epsilon) if _has_batch_norm(tensors) else None,
            name=name,
        )
        stem = tensors["stem.weight"].value
        network = replace(network, channels=GREY_CHANNELS) if stem.shape[1] == GREY_CHANNELS else network
        return _adapted(network, tensors, options)
    except ArchitectureError as error:
        raise FormatError(str(error)) from None


def _has_batch_norm(tensors: Mapping[str, NamedTensor]) -> bool:
    return any(".batch_norm." in name for name in tensors)


def _adapted(network: Network, tensors: Mapping[str, NamedTensor], options: ImportOptions) -> Network:
    """The network with the source's own padding, with its extra head, and without a classifier where it has none."""
    layers = list(network.layers)
    for index, layer in enumerate(layers):
        if isinstance(layer, Convolution | DepthwiseConvolution) and layer.name in options.paddings:
            layers[index] = replace(layer, padding=options.paddings[layer.name])
    if f"{HEAD}.weight" in tensors:
        last = layers[-3]
        head = Pointwise(
            HEAD,
            (last.name,),
            out_channels=tensors[f"{HEAD}.weight"].value.shape[0],
            activation=options.activation,
            batch_norm=last.batch_norm,
            bias=last.bias,
        )
        layers[-2:-2] = [head]
        layers[-2] = replace(layers[-2], inputs=(HEAD,))
    if "classifier.weight" not in tensors:
        layers.pop()
    elif "classifier.bias" not in tensors:
        layers[-1] = replace(layers[-1], bias=False)  # type: ignore[call-arg]
    name = f"{network.name}_h" if f"{HEAD}.weight" in tensors else network.name
    return replace(network, name=name, layers=tuple(layers), outputs=(layers[-1].name,))


def v1_width(tensors: Mapping[str, NamedTensor], rows: tuple[Row, ...] = TABLE_1) -> tuple[float, Rounding]:
    """α and its rounding, from the channel counts of all layers of a V1 backbone together.

    Args:
        tensors: By this package's names.
        rows: Its depthwise separable blocks.

    Raises:
        FormatError: If a tensor is missing, or no α explains the counts; the tensor is named as the file names it.
    """
    named = [("stem.weight", STEM_CHANNELS)]
    named += [(f"block{number}.pointwise.weight", row.channels) for number, row in enumerate(rows, start=1)]
    counts: list[tuple[int, int]] = []
    for name, channels in named:
        if name not in tensors:
            raise FormatError(f"the tensor for {name} is missing")
        if tensors[name].value.ndim != 4:
            found = tensors[name]
            raise FormatError(f"{found.source} has {found.value.ndim} axes; a convolution has 4")
        counts.append((channels, tensors[name].value.shape[0]))
    guess = width_multiplier_of(counts)
    if guess is None:
        base, got = counts[-1]
        for (name, _), (channels, count) in zip(named, counts, strict=True):
            if abs(count - channels * got / base) >= 8:
                raise FormatError(
                    f"{tensors[name].source} has {count} output channels; with {got} in the last block, "
                    f"MobileNet V1 has about {channels * got / base:g} there"
                )
        raise FormatError(f"no width multiplier gives the channel counts {[count for _, count in counts]}")
    return guess


ROUNDINGS = (ONE_FOR_ONE, Rounding(minimum=1), Rounding(divisor=8))
"""How α is applied in the ports of V1."""


def width_multiplier_of(
    counts: list[tuple[int, int]], roundings: tuple[Rounding, ...] = ROUNDINGS
) -> tuple[float, Rounding] | None:
    """The width multiplier with the fewest decimals that explains some channel counts.

    Args:
        counts: Pairs of the channels at α = 1 and the channels found.
        roundings: How α may have been applied.

    Returns:
        α and its rounding, or None if there is no such α.

    >>> width_multiplier_of([(32, 8), (64, 16), (1024, 256)])
    (0.25, Rounding(divisor=1, minimum=8))
    >>> width_multiplier_of([(32, 8), (64, 18)]) is None
    True
    """
    return next(width_multipliers_of(counts, roundings), None)


def width_multipliers_of(
    counts: list[tuple[int, int]], roundings: tuple[Rounding, ...] = ROUNDINGS
) -> Iterator[tuple[float, Rounding]]:
    """The width multipliers that explain some channel counts, those with the fewest decimals first.

    Args:
        counts: As :func:`width_multiplier_of` takes them.
        roundings: Likewise.

    >>> [alpha for alpha, _ in width_multipliers_of([(16, 8), (24, 8)], (Rounding(divisor=8),))][:4]
    [0.1, 0.2, 0.3, 0.01]
    """
    for rounding in roundings:
        # The widest layer says most. Its count bounds α; within the bounds, people choose short decimals.
        base, count = max(counts)
        slack = rounding.divisor if rounding.divisor > 1 else 0
        low, high = max((count - slack) / base, 1e-6), (count + 1 + slack) / base
        found: set[float] = set()
        for digits in range(7):
            step = 10.0**-digits
            first = math.ceil(low / step - 1e-9)
            last = min(math.ceil(high / step - 1e-9), first + 64)
            for multiple in range(max(first, 1), last):
                alpha = round(multiple * step, digits)
                if alpha not in found and all(rounding.apply(channels, alpha) == count for channels, count in counts):
                    found.add(alpha)
                    yield alpha, rounding


def checked_parameters(tensors: Mapping[str, NamedTensor], network: Network) -> dict[str, Tensor]:
    """The parameters of a network, float32.

    Raises:
        FormatError: If one is missing, has another shape, is not finite or belongs nowhere.
    """
    parameters: dict[str, Tensor] = {}
    needed = network.parameter_shapes()
    variances = {layer.batch_norm_names[-1] for layer in network.layers if layer.batch_norm is not None}
    for name, found in tensors.items():
        if name not in needed:
            raise FormatError(f"{found.source} belongs to no layer of {network.name}")
    for name, shape in needed.items():
        if name not in tensors:
            raise FormatError(f"the tensor for {name} is missing; the network needs it with shape {shape}")
        found = tensors[name]
        if found.value.shape != shape:
            raise FormatError(f"{found.source} has shape {found.value.shape} in PyTorch's layout; it needs {shape}")
        parameters[name] = float32(found)
        if name in variances and parameters[name].min() < 0:
            raise FormatError(f"{found.source} holds a negative variance")
    return parameters


def float32(found: NamedTensor) -> Tensor:
    """A tensor's values as float32, in a fresh contiguous array.

    Raises:
        FormatError: If it holds no floating-point numbers, or one that is not finite as float32.
    """
    if found.value.dtype.kind != "f":
        raise FormatError(f"{found.source} holds {found.value.dtype}, not floating-point numbers")
    with np.errstate(over="ignore"):
        value = np.ascontiguousarray(found.value, dtype=np.float32)
    if not np.isfinite(value).all():
        raise FormatError(f"{found.source} holds a value that is not a finite number")
    return value
