"""Networks that were read from graphs are recognized at every width."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilenets.architecture.catalog import CATALOG
from mobilenets.formats.graph import renamed_network
from mobilenets.formats.recognition import recognized

FAMILIES = [name for name in CATALOG if name.startswith("mobilenet_")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_recognized_at_every_width(family: str) -> None:
    """Narrow networks have shortcuts that the same family has not at α = 1, and several α give some channel counts."""
    for width in (0.25, 0.35, 0.5, 0.75, 1.0, 1.25, 1.4):
        network = CATALOG[family](width_multiplier=width, resolution=64, classes=3)
        numbered = {layer.name: f"layer{number}" for number, layer in enumerate(network.layers)}
        found, names = recognized(replace(renamed_network(network, numbered), name="graph"))
        assert found.name == family
        assert found.layers == network.layers
        assert names == {theirs: ours for ours, theirs in numbered.items()}
