"""Published weights that are to be had, and the ones that training had best begin from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobilenets.architecture.cost import cost
from mobilenets.architecture.rescale import with_resolution
from mobilenets.errors import ArchitectureError
from mobilenets.formats.known_weights import KnownWeights, known_weights


def available_weights(*, family: str | None = None, width: float | None = None) -> list[KnownWeights]:
    """Published weights that are to be had: those in the cache, or, where it holds none, those that can be fetched.

    Nothing is asked of the network.

    Args:
        family: Only of the architecture with this name.
        width: Only of this width multiplier.

    Returns:
        One entry for each name, with the resolution at which its printed accuracy is highest; the most accurate first.

    >>> {one.family for one in available_weights(family="mobilenet_v2", width=0.35)}
    {'mobilenet_v2'}
    """
    named: dict[str, KnownWeights] = {}
    for one in sorted(known_weights(), key=lambda one: -one.top1):
        if family in (None, one.family) and width in (None, one.width_multiplier):
            named.setdefault(one.name, one)
    known = list(named.values())
    return [one for one in known if one.cached] or known


def strongest(
    known: Sequence[KnownWeights], *, most_macs: float, side: Callable[[KnownWeights], int]
) -> KnownWeights | None:
    """The most accurate of some weights whose networks need at most so many Mult-Adds for an image.

    Accuracy on ImageNet is what is known of them beforehand.

    Args:
        known: Weights.
        most_macs: Mult-Adds for one image.
        side: Side of the images in pixels for each.

    Returns:
        The weights; the cheapest where none is cheap enough; None of none.
    """

    def macs(one: KnownWeights) -> float:
        network = one.specification.network()
        pixels = side(one)
        try:
            return cost(with_resolution(network, pixels, pixels)).macs
        except ArchitectureError:  # it works at one size only
            return cost(network).macs

    needed = {one.name: macs(one) for one in known}
    affordable = [one for one in known if needed[one.name] <= most_macs]
    if affordable:
        return max(affordable, key=lambda one: one.top1)
    return min(known, key=lambda one: needed[one.name], default=None)
