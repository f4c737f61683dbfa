"""Which family of the catalog a network that was read from a graph belongs to.

A network is of a family where its layers before the last pool are the family's at some width and padding: kinds,
windows, channels, and what each reads. The catalog's names then stand in the place of the file's. What comes behind
them is the head, which may be anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import INPUT, Add, GlobalAveragePool, Layer, Linear, MaxPool, Windowed
from mobilenets.architecture.layers import PointwiseConvolution as Pointwise
from mobilenets.architecture.multipliers import SMALLEST_RESOLUTION, PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.errors import ArchitectureError
from mobilenets.formats.graph import renamed_network
from mobilenets.formats.weights import ROUNDINGS, width_multipliers_of

POOL, HIDDEN, CLASSIFIER = "pool", "hidden", "classifier"
_MULTIPLES_OF_8 = (Rounding(divisor=8),)
OTHER_WIDTHS = (0.75, 0.5, 0.35, 0.25, 0.3, 0.2, 0.1, 1.25, 1.3, 1.4, 1.5, 2.0)
"""Widths at which a family is built where none has the layers of a network at α = 1."""
MOST_WIDTHS = 48
"""Widths that are tried."""
_NARROWED = ("stem", "head")
"""Layers whose channels do not follow α in every family, so that it is not told by them."""


def recognized(network: Network) -> tuple[Network, dict[str, str]]:
    """The catalog's form of a network that was read from a graph.

    Returns:
        The network with the catalog's names and width if its layers before the last pool are those of a family, else
        unchanged; and the new layer names by the old.
    """
    for family, body in chain(_bodies(), _bodies_of_other_widths()):
        found = _Match(family, body, network).found()
        if found is not None:
            names = {**found.names, **_head_names(network, found)}
            renamed = renamed_network(network, names)
            return (
                replace(
                    renamed,
                    name=family,
                    width_multiplier=found.width_multiplier,
                    rounding=found.rounding,
                    padding_policy=found.padding_policy,
                ),
                names,
            )
    return network, {layer.name: layer.name for layer in network.layers}


@dataclass(frozen=True)
class Found:
    """A family at a width.

    Attributes:
        names: The catalog's names of the layers before the head, by the network's own.
        width_multiplier: α.
        rounding: How it was applied.
        padding_policy: How maps are padded.
    """

    names: Mapping[str, str]
    width_multiplier: float
    rounding: Rounding
    padding_policy: PaddingPolicy


@cache
def _bodies() -> tuple[tuple[str, tuple[Layer, ...]], ...]:
    """Every MobileNet family with its layers before the last pool, at α = 1; the longest first."""
    bodies = [(name, _body(build(resolution=224).layers)) for name, build in CATALOG.items() if "mobilenet" in name]
    return tuple(sorted(bodies, key=lambda one: -len(one[1])))


def _bodies_of_other_widths() -> Iterator[tuple[str, tuple[Layer, ...]]]:
    """The same at widths that have other shortcuts: a narrow block may end in as many channels as it reads."""
    for name, known in _bodies():
        if "_v1" in name:
            continue
        structures = {_structure(known)}
        for width in OTHER_WIDTHS:
            body = _body(CATALOG[name](resolution=224, width_multiplier=width).layers)
            if (structure := _structure(body)) not in structures:
                structures.add(structure)
                yield name, body


def _structure(body: tuple[Layer, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((layer.name, layer.inputs) for layer in body)


def _body(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    end = next(index for index, layer in enumerate(layers) if layer.name == POOL)
    return layers[:end]


class _Match:
    """One family held against one network."""

    def __init__(self, family: str, body: tuple[Layer, ...], network: Network) -> None:
        self._family, self._body, self._network = family, body, network
        self._mine = network.layers[: len(body)]

    def found(self) -> Found | None:
        network = self._network
        if min(network.height, network.width) < SMALLEST_RESOLUTION or len(self._mine) < len(self._body):
            return None
        names = self._names()
        if names is None:
            return None
        by_name = {theirs: ours for ours, theirs in names.items()}
        pairs = list(self._widths(by_name))
        roundings = ROUNDINGS if "_v1" in self._family else _MULTIPLES_OF_8
        # Several α may give the channels of some layers, of which one gives those of all.
        for alpha, rounding in islice(width_multipliers_of(pairs, roundings), MOST_WIDTHS):
            for policy in PaddingPolicy:
                if self._agrees(by_name, alpha, rounding, policy):
                    return Found(names, alpha, rounding, policy)
        return None

    def _agrees(
        self, by_name: Mapping[str, str], width_multiplier: float, rounding: Rounding, policy: PaddingPolicy
    ) -> bool:
        """Whether the family has the network's windows and shapes at a width."""
        network = self._network
        try:
            ideal = CATALOG[self._family](  # type: ignore[call-arg]
                width_multiplier=width_multiplier,
                rounding=rounding,
                resolution=(network.height, network.width),
                padding_policy=policy,
            )
        except ArchitectureError:
            return False
        ideal = replace(ideal, channels=network.channels)
        return all(_agree(network, by_name[layer.name], ideal, layer) for layer in _body(ideal.layers))

    def _names(self) -> dict[str, str] | None:
        """The family's names by the network's, if kinds, strides and inputs are the same."""
        names = {INPUT: INPUT}
        for mine, theirs in zip(self._mine, self._body, strict=True):
            if type(mine) is not type(theirs):
                return None
            read = tuple(names.get(source) for source in mine.inputs)
            if isinstance(mine, Add) and len(read) == 2 and read != theirs.inputs:
                read = read[::-1]
            if read != theirs.inputs:
                return None
            names[mine.name] = theirs.name
        del names[INPUT]
        return names

    def _widths(self, by_name: Mapping[str, str]) -> Iterator[tuple[int, int]]:
        """Channels at α = 1 and here, of the layers whose channels follow from α alone."""
        reference = CATALOG[self._family](resolution=224).shapes
        for layer in self._body:
            kind = layer.name.rpartition(".")[2]
            if kind in ("project", "pointwise") or ("." not in layer.name and layer.name not in _NARROWED):
                yield reference[layer.name].channels, self._network.shapes[by_name[layer.name]].channels


def _agree(network: Network, name: str, ideal: Network, layer: Layer) -> bool:
    """Whether a layer has the window and the shape of the family's."""
    mine = network[name]
    windows = [(one.kernel, one.strides, one.padding) for one in (mine, layer) if isinstance(one, Windowed)]
    return len(set(windows)) <= 1 and network.shapes[name] == ideal.shapes[layer.name]


def _head_names(network: Network, found: Found) -> dict[str, str]:
    """Names of the layers behind the body: the catalog's for a pool, one hidden layer and a classifier."""
    head = [layer for layer in network.layers if layer.name not in found.names]
    names: dict[str, str] = {}
    taken = set(found.names.values())
    weighted = [layer for layer in head if isinstance(layer, Linear | Pointwise)]
    for layer in head:
        wanted = layer.name
        if isinstance(layer, GlobalAveragePool | MaxPool) and POOL not in taken:
            wanted = POOL
        elif isinstance(layer, Linear) and layer.name == network.outputs[0]:
            wanted = CLASSIFIER
        elif len(weighted) == 2 and layer is weighted[0]:
            wanted = HIDDEN
        names[layer.name] = _free(wanted, taken | {CLASSIFIER} if wanted != CLASSIFIER else taken)
        taken.add(names[layer.name])
    return names


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or the first with a number behind it that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
