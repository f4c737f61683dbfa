"""Contenders: published networks at the sizes that a budget may take, each with the weights that it begins from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.errors import ArchitectureError, ModelError
from mobilenets.model.importance import channel_groups, with_sorted_channels
from mobilenets.model.model import Model
from mobilenets.model.subnet import cut_subnet
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import PROVENANCE_BYTES, Candidate, Device, candidate_on
from mobilenets.training.head import with_classes

SIDES = (224, 192, 176, 160, 144, 128, 112, 96, 80, 64, 48, 32)
"""Resolutions that published networks are considered at."""
ENLARGED = 1.25
"""Images are enlarged by so much at most, and then to the next of the resolutions: they hold no more."""
CUT_TO = (0.75, 0.5, 0.375, 0.25)
"""Shares of its α that a network is cut to where it is too large itself."""
NARROWEST = 0.1
"""Smallest α that a network is cut to."""
SIZES_OF_EACH = 2
"""Resolutions of a network that are tried where the most accurate is wanted: the largest within the budget, and ..."""
APART = 0.8
"""... those that are smaller by this factor or more."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Weights that contenders begin from.

    Attributes:
        name: What they are called, such as ``keras:0.25-224``.
        model: A float32 classifier of whatever classes.
    """

    name: str
    model: Model

    @cached_property
    def sorted(self) -> Model:
        """The Model with the channels of every layer in the order of their importance."""
        return with_sorted_channels(self.model)


@dataclass(frozen=True)
class Started(Candidate):
    """A network that begins from published weights, what it costs and what it got.

    Attributes:
        architecture: Of the network, by its name in the catalog.
        weights: What the weights are called.
        cut: Whether it is narrower than the network of the weights.
        head_top1: What a linear head on its frozen features got, on training and validation images that heads were
            fitted without; None where it was not tried. Where images have several labels, mean average precision takes
            the place of top-1 here and in the next.
        tuned_top1: What a short fine-tuning got on the validation images, in this precision; None where there was none.
    """

    architecture: str = ""
    weights: str = ""
    cut: bool = False
    head_top1: float | None = None
    tuned_top1: float | None = None

    def __str__(self) -> str:
        return f"{self.label.replace(', ', ' at ')}, {self.precision}"

    @property
    def label(self) -> str:
        """The weights and the size."""
        cut = f" cut to α {self.width_multiplier:g}" if self.cut else ""
        return f"{self.weights}{cut}, {self.resolution} px"

    @property
    def stage(self) -> str:
        """How far it came: ``size``, ``head`` or ``tuned``."""
        return "tuned" if self.tuned_top1 is not None else "size" if self.head_top1 is None else "head"


@dataclass(frozen=True, eq=False)
class Contender:
    """A network of some weights at a size.

    Attributes:
        weights: What it begins from.
        network: Its layers, with an output for each class of the data.
        candidates: What it costs in each precision.
    """

    weights: Pretrained
    network: Network
    candidates: tuple[Started, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether it is narrower than the network of the weights."""
        return self.network.width_multiplier < self.weights.model.network.width_multiplier

    @property
    def name(self) -> str:
        """A name for files: weights and size."""
        word = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in self.weights.name)
        return f"{word}-{self.network.width_multiplier:g}-{self.network.height}"

    def model(self) -> Model:
        """The weights at this size, with their own classes; of a cut network, its most important channels.

        The statistics of a cut network's batch norms are not its own yet.
        """
        side, width = self.network.height, self.network.width_multiplier
        if self.cut:
            return cut_subnet(self.weights.sorted, width_multiplier=width, resolution=side)
        return replace(self.weights.model, network=with_resolution(self.weights.model.network, side, side))


def sensible_sides(image_side: int, largest: int | None = None) -> tuple[int, ...]:
    """Resolutions that images of a size are worth looking at, largest first.

    Args:
        image_side: Their usual shorter side, in pixels.
        largest: Side that somebody has named as the largest; it is one of them. None for no limit.

    >>> sensible_sides(128), sensible_sides(64), sensible_sides(500, largest=100)
    ((160, 144, 128, 112, 96, 80, 64, 48, 32), (80, 64, 48, 32), (100, 96, 80, 64, 48, 32))
    """
    if largest is not None:
        return (largest, *(side for side in SIDES if side < largest))
    enough = min((side for side in SIDES if side >= ENLARGED * image_side), default=SIDES[0])
    return tuple(side for side in SIDES if side <= enough)


def contenders_of(
    weights: Pretrained, sides: Sequence[int], *, classes: int, widest: float | None = None, cut: bool = False
) -> list[Contender]:
    """The network of some weights at every resolution that it takes.

    Args:
        weights: What they begin from.
        sides: Resolutions, in pixels.
        classes: Outputs of the networks.
        widest: Largest α; None for no limit.
        cut: The narrower networks that it can be cut to, in its place.
    """
    own = with_classes(weights.model.network, classes)
    found = []
    for width in _cut_widths(weights.model) if cut else [own.width_multiplier]:
        for side in sides:
            try:
                network = with_resolution(own, side, side)
                network = with_width(network, width) if cut else network
            except ArchitectureError:
                continue
            if widest is None or width <= widest:
                found.append(Contender(weights, network))
    return found


def _cut_widths(model: Model) -> list[float]:
    """Values of α that a network can be cut to; none where channels have no order or no statistics of their own."""
    network = model.network
    if any(layer.has_weight and layer.batch_norm is None for layer in network.layers[:-3]):
        return []
    try:
        channel_groups(network)
    except ModelError:
        return []
    return narrower_widths(network)


def narrower_widths(network: Network) -> list[float]:
    """Values of α that a network may be cut to, widest first."""
    widths = [round(share * network.width_multiplier, 4) for share in CUT_TO]
    return [width for width in widths if width >= NARROWEST]


def with_prices(contender: Contender, profile: Device | None, precisions: Sequence[str], threads: int) -> Contender:
    """A contender with what it costs in each precision.

    Args:
        contender: The contender.
        profile: The device; None where latencies take no part in the choice.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.

    Raises:
        PlanningError: If the profile does not cover it.
    """
    network = contender.network

    def priced(precision: str) -> Started:
        bare = candidate_on(network, precision, profile, threads)
        bare = replace(bare, file_bytes=bare.file_bytes + PROVENANCE_BYTES)
        return Started(**asdict(bare), architecture=network.name, weights=contender.weights.name, cut=contender.cut)

    return replace(contender, candidates=tuple(priced(precision) for precision in precisions))


def worth_trying(contenders: Sequence[Contender], budget: Budget) -> list[Contender]:
    """The contenders that meet the limits of a budget, without those that are certain to be beaten.

    Where the most accurate is wanted, a network is tried at the largest resolutions that it can have; where the
    quickest or the knee is wanted, at all of them.

    Args:
        contenders: With their costs.
        budget: Limits, and the accuracy to reach.
    """
    every = budget.empty or budget.min_accuracy is not None
    found: list[Contender] = []
    for weights in dict.fromkeys(one.weights for one in contenders):
        own = [one for one in contenders if one.weights is weights]
        for width in sorted({one.network.width_multiplier for one in own}, reverse=True):
            at_width = [one for one in own if one.network.width_multiplier == width and _meets(one, budget)]
            at_width.sort(key=_side, reverse=True)
            found += at_width if every else _apart(at_width)
    return found


def _apart(contenders: Sequence[Contender]) -> list[Contender]:
    """The largest of some contenders, and a few that are noticeably smaller than the one before."""
    found: list[Contender] = []
    for one in contenders:
        if len(found) < SIZES_OF_EACH and (not found or _side(one) <= APART * _side(found[-1])):
            found.append(one)
    return found


def too_large(contenders: Sequence[Contender], budget: Budget) -> set[Pretrained]:
    """The weights whose whole network does not meet a budget at the largest resolution of all: it may be cut.

    Args:
        contenders: Whole networks with their costs.
        budget: Limits.
    """
    largest: dict[Pretrained, Contender] = {}
    for one in sorted(contenders, key=_side):
        largest[one.weights] = one
    return {weights for weights, one in largest.items() if not _meets(one, budget)}


def _meets(contender: Contender, budget: Budget) -> bool:
    return any(budget.meets(one) for one in contender.candidates)


def _side(contender: Contender) -> int:
    return contender.network.height
