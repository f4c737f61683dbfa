"""Published weights that are to be had, and the ones that training had best begin from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobilenets.architecture.cost import cost
from mobilenets.architecture.rescale import takes, with_resolution
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
    known: Sequence[KnownWeights], *, most_macs: float, images_shown: float, side: Callable[[KnownWeights], int]
) -> KnownWeights | None:
    """The most accurate of some weights that are trained within a number of Mult-Adds.

    Accuracy on ImageNet is what is known of them beforehand. A step of training computes about three times what
    answering does: forward, and the gradients of the maps and of the weights.

    Args:
        known: Weights.
        most_macs: Mult-Adds of the training.
        images_shown: Images in all its steps.
        side: Side of the images in pixels that each would be trained with.

    Returns:
        The weights; the cheapest where none is cheap enough; None of none.
    """

    def training_macs(one: KnownWeights) -> float:
        network = one.specification.network()
        pixels = side(one)
        network = with_resolution(network, pixels, pixels) if takes(network, pixels) else network
        return 3 * images_shown * cost(network).macs

    macs = {one.name: training_macs(one) for one in known}
    affordable = [one for one in known if macs[one.name] <= most_macs]
    if affordable:
        return max(affordable, key=lambda one: one.top1)
    return min(known, key=lambda one: macs[one.name], default=None)
