"""Candidates: networks that might be chosen, what they cost, and how accurate they are where that is published."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Literal, assert_never, get_args

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.encoding import encode_network
from mobilenets.architecture.imagenet_results import RELEASED_MODELS
from mobilenets.architecture.layers import Activation
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.rescale import with_width
from mobilenets.errors import ArchitectureError, PlanningError
from mobilenets.formats.known_weights import KnownWeights, known_weights
from mobilenets.model.folding import folded_network
from mobilenets.model.model import parameter_types
from mobilenets.search.microcontroller import Microcontroller
from mobilenets.search.profile import ARCHITECTURE, EIGHTHS, DeviceProfile, check_precision, precisions_of

CostKind = Literal["latency_ms", "instructions", "memory_bytes", "flash_bytes", "file_bytes", "macs"]
"""A cost of a :class:`Candidate`, by the name of its attribute."""
COST_KINDS: tuple[CostKind, ...] = get_args(CostKind)
IMAGENET_CLASSES = 1000
SEVENTHS = (7, 6, 5, 4)
"""Resolutions of a search, in sevenths of the largest: the proportions of the published 224, 192, 160 and 128."""
SMALLEST_RESOLUTION = 32
OCTAVE = 8.5
"""Percentage points that a network loses on ImageNet at half of the pixels' side. Source: the resolutions of Table 7 of
the paper, for the width of 0.5."""
LEAST_ACCURACY = 0.1
"""Percent that an estimate is never below: of ImageNet's classes, one is right by chance."""
SMALL_SIDES = (96, 80, 64, 48, 32)
"""Resolutions of networks for microcontrollers, beside the published ones."""
HEADER_BYTES_PER_TENSOR = 90
"""What a safetensors header spends on a tensor's name, type, shape and place."""
PROVENANCE_BYTES = 3500
"""What a Model file spends on how the Model came to be: about 2.8 kB, and some more for long labels and paths."""


@dataclass(frozen=True)
class Candidate:
    """A network that might be chosen, and what is known of it.

    Attributes:
        width_multiplier: α.
        resolution: Side of the square input, in pixels.
        precision: ``float32`` or ``int8``.
        accuracy: Top-1 as a share of 1: measured, or published. 0 where it is not known yet.
        latency_ms: Milliseconds for one image; None where they take no part in the choice, and were not measured.
        file_bytes: Size of the Model file.
        macs: Mult-Adds for one image.
        memory_bytes: Peak activation memory; on a microcontroller the RAM of the C file, with image and stack.
        instructions: Of the C file on a microcontroller, for one image; None for other devices.
        flash_bytes: Of the C file on a microcontroller, weights and code; None for other devices.
    """

    width_multiplier: float
    resolution: int
    precision: str
    accuracy: float
    latency_ms: float | None
    file_bytes: int
    macs: int
    memory_bytes: int
    instructions: int | None = field(default=None, kw_only=True)
    flash_bytes: int | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        return f"α {self.width_multiplier:g} at {self.resolution} px, {self.precision}"

    @property
    def label(self) -> str:
        """The network without its precision, for a plot."""
        return f"α {self.width_multiplier:g}, {self.resolution} px"

    def cost(self, kind: CostKind) -> float:
        """One of the costs.

        Raises:
            PlanningError: If it is the latency, and was not measured, or a microcontroller's, and there is none.
        """
        match kind:
            case "latency_ms":
                if self.latency_ms is None:
                    raise PlanningError(f"the latency of {self} was not measured")
                return self.latency_ms
            case "instructions" | "flash_bytes":
                cost = self.instructions if kind == "instructions" else self.flash_bytes
                if cost is None:
                    raise PlanningError(f"{kind} of {self} are those of a microcontroller, and none is named")
                return cost
            case "memory_bytes":
                return self.memory_bytes
            case "file_bytes":
                return self.file_bytes
            case "macs":
                return self.macs
        assert_never(kind)


# Which networks -------------------------------------------------------------------------------------------------------


def search_resolutions(largest: int) -> tuple[int, ...]:
    """Resolutions that a search considers, largest first.

    Four in the proportions of the published ones, or fewer where they would be the same or below 32 pixels.

    Args:
        largest: Side of the largest square input, in pixels.

    >>> search_resolutions(224), search_resolutions(64), search_resolutions(32)
    ((224, 192, 160, 128), (64, 56, 48, 40), (32,))
    """
    step = 16 if largest >= 128 else 8
    sides = [largest * share / 7 for share in SEVENTHS]
    rounded = [largest, *(max(SMALLEST_RESOLUTION, round(side / step) * step) for side in sides[1:])]
    return tuple(dict.fromkeys(min(side, largest) for side in rounded))


def search_widths(widest: float) -> tuple[float, ...]:
    """Width multipliers that a search considers, narrowest first: eighths, and the widest itself.

    >>> search_widths(0.5), search_widths(0.3)
    ((0.25, 0.375, 0.5), (0.25, 0.3))
    """
    return tuple(sorted({width for width in EIGHTHS if width <= widest} | {widest}))


def widths_of_subnets(architecture: Specification, widths: Sequence[float]) -> tuple[float, ...]:
    """Of some widths, those whose networks are subnets of the widest: its layers, with the first of their channels.

    A network may have a shortcut at one width that it does not have at another, as V2 does at 0.25 and V3 at 0.5.

    Args:
        architecture: Its own width does not count.
        widths: Values of α, narrowest first.

    Raises:
        ArchitectureError: If the widest is out of range.

    >>> widths_of_subnets(Specification("mobilenet_v2"), (0.25, 0.375, 0.5, 1.0))
    (0.375, 0.5, 1.0)
    """

    def at(width: float) -> Network:
        return replace(architecture, width_multiplier=width).network()

    def is_subnet(width: float) -> bool:
        try:
            return with_width(widest, width) == at(width)
        except ArchitectureError:
            return False

    widest = at(max(widths))
    return tuple(width for width in widths if is_subnet(width))


def networks_of_sizes(
    architecture: Specification, widths: Iterable[float], resolutions: Iterable[int], *, classes: int
) -> list[Network]:
    """The networks of an architecture at every width and resolution.

    Args:
        architecture: Its own width and resolution do not count.
        widths: Values of α.
        resolutions: Sides of the square input, in pixels.
        classes: Of the output layer.

    Raises:
        ArchitectureError: If a size is out of range.
    """
    sizes = [(width, side) for width in widths for side in resolutions]
    return [
        replace(architecture, width_multiplier=width, resolution=side).network(classes=classes) for width, side in sizes
    ]


# What they cost -------------------------------------------------------------------------------------------------------


def candidate_of(network: Network, precision: str, *, accuracy: float, latency_ms: float | None) -> Candidate:
    """Describe a network by its computed costs, before it is a Model.

    Args:
        network: With its batch norms, if it has any.
        precision: ``float32`` or ``int8``.
        accuracy: Top-1 as a share of 1.
        latency_ms: Milliseconds for one image; None where they were not measured.

    Raises:
        PlanningError: If the precision is unknown.
    """
    check_precision(precision)
    total = cost(network, bytes_per_activation=4 if precision == "float32" else 1)
    return Candidate(
        width_multiplier=network.width_multiplier,
        resolution=network.height,
        precision=precision,
        accuracy=accuracy,
        latency_ms=latency_ms,
        file_bytes=predicted_file_bytes(network, precision),
        macs=total.macs,
        memory_bytes=total.peak_activation_bytes,
    )


Device = DeviceProfile | Microcontroller
"""What networks are chosen for: a machine whose latencies were measured, or a microcontroller."""


def candidate_on(network: Network, precision: str, device: Device | None, threads: int) -> Candidate:
    """Describe a network by what it costs on a device; its accuracy is 0.

    Args:
        network: With its batch norms, if it has any.
        precision: ``float32`` or ``int8``.
        device: The device; None where latencies take no part in the choice.
        threads: Threads that share one image.

    Raises:
        PlanningError: If the precision is unknown, or the device does not cover the network.
    """
    match device:
        case None:
            return candidate_of(network, precision, accuracy=0.0, latency_ms=None)
        case DeviceProfile():
            latency_ms = device.latency_of(network, precision, threads)
            return candidate_of(network, precision, accuracy=0.0, latency_ms=latency_ms)
        case Microcontroller():
            device.check_precision(precision)
            found = device.cost_of(network)
            bare = candidate_of(network, precision, accuracy=0.0, latency_ms=None)
            return replace(bare, **asdict(found))
    assert_never(device)


def covered(network: Network, precision: str, device: Device | None, threads: int) -> bool:
    """Whether what a network costs on a device is known."""
    try:
        candidate_on(network, precision, device, threads)
    except PlanningError:
        return False
    return True


def predicted_candidates(
    networks: Sequence[Network], profile: Device | None, *, precisions: str | Sequence[str], threads: int
) -> tuple[Candidate, ...]:
    """Networks with the latencies of a device and the size that their Model files will have; their accuracy is 0.

    Args:
        networks: Of the architecture that the profile measured.
        profile: The device; None where latencies take no part in the choice.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.

    Returns:
        Every network in every precision.

    Raises:
        PlanningError: If a precision is unknown, or the profile does not cover the networks or measured another
            architecture.
    """

    def predicted(network: Network, precision: str) -> Candidate:
        bare = candidate_on(network, precision, profile, threads)
        return replace(bare, file_bytes=bare.file_bytes + PROVENANCE_BYTES)

    return tuple(predicted(network, precision) for network in networks for precision in precisions_of(precisions))


def find_candidate(candidates: Iterable[Candidate], width: float, resolution: int, precision: str) -> Candidate:
    """The candidate of a width, resolution and precision.

    Raises:
        PlanningError: If there is none.
    """
    for one in candidates:
        if (one.width_multiplier, one.resolution, one.precision) == (width, resolution, precision):
            return one
    raise PlanningError(f"there is no candidate with α {width:g} at {resolution} px, {precision}")


def published_candidates(profile: DeviceProfile, *, precisions: str | Sequence[str], threads: int) -> list[Candidate]:
    """The 16 released networks with their published ImageNet accuracy and the latencies of a device.

    Args:
        profile: Latencies of the device.
        precisions: ``float32``, ``int8`` or both. The published 8-bit accuracy is that of the released 8-bit networks.
        threads: Threads that share one image.

    Raises:
        PlanningError: If a precision is unknown, or the profile does not cover the networks or measured another
            architecture.
    """
    networks = [
        mobilenet_v1(
            width_multiplier=released.width_multiplier,
            resolution=released.resolution,
            classes=IMAGENET_CLASSES,
            activation=Activation.RELU6,
        )
        for released in RELEASED_MODELS
    ]
    return [
        candidate_of(
            network,
            precision,
            accuracy=(released.top1 if precision == "float32" else released.int8_top1) / 100,
            latency_ms=profile.latency_of(network, precision, threads),
        )
        for precision in precisions_of(precisions)
        for released, network in zip(RELEASED_MODELS, networks, strict=True)
    ]


@dataclass(frozen=True)
class PublishedCandidate(Candidate):
    """A network with published weights.

    Attributes:
        architecture: Of the network, by its name in the catalog.
        weights: Short name of the most accurate weights.
        float32_accuracy: Whether an int8 network has the accuracy of its float32 weights, for want of a printed one.
        estimated: Whether it was printed for a larger resolution only, and what fewer pixels cost is estimated.
    """

    architecture: str = ARCHITECTURE
    weights: str = ""
    float32_accuracy: bool = False
    estimated: bool = False

    def __str__(self) -> str:
        return f"{self.weights} at {self.resolution} px, {self.precision}"

    @property
    def label(self) -> str:
        """The weights and the resolution."""
        return f"{self.weights}, {self.resolution} px"


def published_networks(family: str | None = None) -> list[Specification]:
    """Every network that weights are published for, at each resolution where their accuracy is printed.

    Args:
        family: What the architecture's name begins with, such as ``mobilenet_v3``.

    Raises:
        PlanningError: If no such architecture has published weights.

    >>> len(published_networks()) > 50, published_networks("mobilenet_v1_h")[0].resolution
    (True, 224)
    """
    named = [one.specification for one in known_weights()]
    chosen = [one for one in dict.fromkeys(named) if one.name.startswith(family or "")]
    if not chosen:
        names = dict.fromkeys(one.name for one in named)
        raise PlanningError(f"no published weights are of a family called {family!r}; known are {', '.join(names)}")
    return chosen


def with_small_sides(networks: Sequence[Specification]) -> list[Specification]:
    """Published networks, and the same at the resolutions that microcontrollers have room for.

    Args:
        networks: Of :func:`published_networks`.

    >>> [one.resolution for one in with_small_sides(published_networks("mobilenet_v1")[:1])][1:]
    [96, 80, 64, 48, 32]
    """
    smallest: dict[Specification, int] = {}
    for one in networks:
        own = replace(one, resolution=None)
        smallest[own] = min(smallest.get(own, one.resolution or 0), one.resolution or 0)
    more = [replace(own, resolution=side) for own, least in smallest.items() for side in SMALL_SIDES if side < least]
    return [*networks, *more]


def candidates_with_weights(
    networks: Sequence[Specification],
    profile: Device | None,
    *,
    precisions: str | Sequence[str],
    threads: int,
    classes: int = IMAGENET_CLASSES,
) -> list[PublishedCandidate]:
    """Published networks with the accuracy of their best weights, as printed for ImageNet, and a device's latencies.

    Args:
        networks: Of :func:`published_networks`.
        profile: The device; what it does not cover is left out. None where latencies take no part in the choice.
        precisions: ``float32``, ``int8`` or both. Accuracies in int8 are printed for V1 only; of the others those of
            the float32 weights are taken.
        threads: Threads that share one image.
        classes: Of the output layer, for what a network costs with a head of one's own.

    Raises:
        PlanningError: If a precision is unknown.
    """
    weights: dict[Specification, list[KnownWeights]] = {}
    for one in known_weights():
        weights.setdefault(one.specification, []).append(one)
    smallest = {replace(one, resolution=None): one for one in sorted(weights, key=lambda one: -(one.resolution or 0))}
    found = []
    for named in networks:
        network = named.network(classes=classes)
        printed = named if named in weights else smallest[replace(named, resolution=None)]
        lost = octaves_lost(printed.resolution or network.height, network.height)
        for precision in precisions_of(precisions):
            if not covered(network, precision, profile, threads):
                continue
            best = max(weights[printed], key=partial(_printed_accuracy, precision))
            bare = candidate_on(network, precision, profile, threads)
            accuracy = max(_printed_accuracy(precision, best) - lost, LEAST_ACCURACY) / 100
            unknown = precision == "int8" and best.int8_top1 is None
            found.append(
                PublishedCandidate(
                    **{**asdict(bare), "accuracy": accuracy},
                    architecture=named.name,
                    weights=best.short_name,
                    float32_accuracy=unknown,
                    estimated=printed is not named,
                )
            )
    return found


def octaves_lost(printed: int, side: int) -> float:
    """Percentage points of ImageNet's top-1 that a network is taken to lose with fewer pixels.

    Args:
        printed: Resolution that an accuracy is printed for, in pixels.
        side: Resolution that it is wanted for.

    >>> octaves_lost(128, 64), octaves_lost(128, 224)
    (8.5, 0.0)
    """
    return OCTAVE * math.log2(max(1.0, printed / side))


def _printed_accuracy(precision: str, weights: KnownWeights) -> float:
    """In percent."""
    return weights.int8_top1 if precision == "int8" and weights.int8_top1 is not None else weights.top1


def predicted_file_bytes(network: Network, precision: str) -> int:
    """Size of the Model file that a network will have, within a few per cent: the labels are not known yet.

    Raises:
        PlanningError: If the precision is unknown.
    """
    check_precision(precision)
    if precision == "float32":
        stored = network
        sizes = [4 * math.prod(shape) for _, shape in parameter_types(network).values()]
    else:
        stored = folded_network(network)
        # int8 weights; a float32 scale and an int32 bias per output channel
        sizes = [
            size
            for layer in stored.layers
            if layer.has_weight
            for shape in [layer.weight_shape(stored.input_shapes(layer))]
            for size in (math.prod(shape), 4 * shape[0], 4 * shape[0])
        ]
    metadata = len(json.dumps(encode_network(stored), separators=(",", ":"))) * 1.15  # quoted once more as a string
    return sum(sizes) + HEADER_BYTES_PER_TENSOR * len(sizes) + round(metadata)
