"""Candidates and what is known of them: cost computed, latency measured, accuracy published or measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from mobilenets.architecture.cost import cost
from mobilenets.architecture.encoding import encode
from mobilenets.architecture.layers import Activation
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import RELEASED_MODELS
from mobilenets.model.folding import folded_network
from mobilenets.model.model import parameter_types
from mobilenets.search.budget import Candidate
from mobilenets.search.profile import DeviceProfile

IMAGENET_CLASSES = 1000
HEADER_BYTES_PER_TENSOR = 90
"""What a safetensors header spends on a tensor's name, type, shape and place."""


def published_candidates(profile: DeviceProfile, *, precisions: Sequence[str], threads: int) -> list[Candidate]:
    """The 16 released networks with their published ImageNet accuracy and the latencies of a device.

    Args:
        profile: Latencies of the device.
        precisions: ``float32``, ``int8`` or both. The published 8-bit accuracy is that of the released 8-bit networks.
        threads: Threads that share one image.

    Raises:
        PlanningError: If the profile does not cover them.
    """
    return [
        candidate(
            mobilenet_v1(
                width_multiplier=released.width_multiplier,
                resolution=released.resolution,
                classes=IMAGENET_CLASSES,
                activation=Activation.RELU6,
            ),
            precision,
            accuracy=(released.top1 if precision == "float32" else released.int8_top1) / 100,
            latency_ms=profile.latency_ms(released.width_multiplier, released.resolution, precision, threads),
        )
        for precision in precisions
        for released in RELEASED_MODELS
    ]


def candidate(network: Network, precision: str, *, accuracy: float, latency_ms: float) -> Candidate:
    """What is known of a network before it is a Model."""
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


def predicted_file_bytes(network: Network, precision: str) -> int:
    """Size of the Model file that a network will have, within a few per cent: the labels are not known yet."""
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
    metadata = len(json.dumps(encode(stored), separators=(",", ":"))) * 1.15  # quoted once more as a string
    return sum(sizes) + HEADER_BYTES_PER_TENSOR * len(sizes) + round(metadata)
