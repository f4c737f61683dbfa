"""Candidates: networks that might be chosen, what they cost, and how accurate they are where that is published."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.encoding import encode_network
from mobilenets.architecture.layers import Activation
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import RELEASED_MODELS, WEIGHTS, PublishedWeights
from mobilenets.architecture.rescale import with_width
from mobilenets.errors import ArchitectureError, PlanningError
from mobilenets.model.folding import folded_network
from mobilenets.model.model import parameter_types
from mobilenets.search.profile import ARCHITECTURE, EIGHTHS, DeviceProfile, check_precision, precisions_of

IMAGENET_CLASSES = 1000
SEVENTHS = (7, 6, 5, 4)
"""Resolutions of a search, in sevenths of the largest: the proportions of the published 224, 192, 160 and 128."""
SMALLEST_RESOLUTION = 32
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
        latency_ms: Milliseconds for one image.
        file_bytes: Size of the Model file.
        macs: Mult-Adds for one image.
        memory_bytes: Peak activation memory.
    """

    width_multiplier: float
    resolution: int
    precision: str
    accuracy: float
    latency_ms: float
    file_bytes: int
    macs: int
    memory_bytes: int

    def __str__(self) -> str:
        return f"α {self.width_multiplier:g} at {self.resolution} px, {self.precision}"


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


def candidate_of(network: Network, precision: str, *, accuracy: float, latency_ms: float) -> Candidate:
    """Describe a network by its computed costs, before it is a Model.

    Args:
        network: With its batch norms, if it has any.
        precision: ``float32`` or ``int8``.
        accuracy: Top-1 as a share of 1.
        latency_ms: Milliseconds for one image.

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


def predicted_candidates(
    networks: Sequence[Network], profile: DeviceProfile, *, precisions: str | Sequence[str], threads: int
) -> tuple[Candidate, ...]:
    """Networks with the latencies of a device and the size that their Model files will have; their accuracy is 0.

    Args:
        networks: Of the architecture that the profile measured.
        profile: Latencies of the device.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.

    Returns:
        Every network in every precision.

    Raises:
        PlanningError: If a precision is unknown, or the profile does not cover the networks or measured another
            architecture.
    """

    def predicted(network: Network, precision: str) -> Candidate:
        latency_ms = profile.latency_of(network, precision, threads)
        bare = candidate_of(network, precision, accuracy=0.0, latency_ms=latency_ms)
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
    """The published networks of an architecture with their ImageNet accuracy and the latencies of a device.

    Of MobileNet V1 those are the 16 released networks; of another the best weights at every size that the profile
    covers, in float32 only, since no accuracies in 8 bits are published.

    Args:
        profile: Latencies of the device, and the architecture.
        precisions: ``float32``, ``int8`` or both. V1's published 8-bit accuracy is that of the released 8-bit networks.
        threads: Threads that share one image.

    Raises:
        PlanningError: If a precision is unknown, or the profile does not cover the networks, or none is published in
            the precision.
    """
    if profile.architecture != ARCHITECTURE:
        return _candidates_with_weights(profile, precisions_of(precisions), threads)
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


def published_sizes(architecture: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Widths and resolutions at which the accuracies of an architecture are published.

    Raises:
        PlanningError: If none are.

    >>> published_sizes("mobilenet_v3_small")
    ((0.5, 0.75, 1.0), (224,))
    """
    sizes = [Specification.parse(one.network) for one in _best_weights(architecture)]
    if not sizes:
        known = ", ".join(dict.fromkeys(one.network.partition("@")[0] for one in WEIGHTS))
        raise PlanningError(f"no accuracies of {architecture} are published; there are those of {known}")
    widths = {float(one.width_multiplier or 1) for one in sizes}
    return tuple(sorted(widths)), tuple(sorted({one.resolution or 0 for one in sizes}))


def _best_weights(architecture: str) -> list[PublishedWeights]:
    """The best published weights at every size of an architecture."""
    best: dict[str, PublishedWeights] = {}
    for one in WEIGHTS:
        known = best.setdefault(one.network, one)
        if one.network.partition("@")[0] == architecture and one.top1 > known.top1:
            best[one.network] = one
    return [one for network, one in best.items() if network.partition("@")[0] == architecture]


def _candidates_with_weights(profile: DeviceProfile, precisions: Sequence[str], threads: int) -> list[Candidate]:
    if "float32" not in precisions:
        raise PlanningError(f"no accuracies of {profile.architecture} in 8 bits are published; plan with float32")
    found = []
    for one in _best_weights(profile.architecture):
        network = Specification.parse(one.network).network(classes=IMAGENET_CLASSES)
        with contextlib.suppress(PlanningError):  # of a size that the profile does not cover
            latency = profile.latency_of(network, "float32", threads)
            found.append(candidate_of(network, "float32", accuracy=one.top1 / 100, latency_ms=latency))
    if not found:
        raise PlanningError(
            f"the profile of {profile.device} covers no size of {profile.architecture} whose accuracy is published"
        )
    return found


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
