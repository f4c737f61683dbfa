"""Every architecture by name.

The dictionary is written out by hand: what the catalogue holds can be read here, and nothing registers itself by
being imported. Tests build, cost, run, save and load everything in it.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import Protocol

from mobilenets.architecture.layers import Network
from mobilenets.architecture.mobilenet_v1 import SHALLOW, mobilenet_v1
from mobilenets.errors import ArchitectureError


class Architecture(Protocol):
    """A function that writes a Network for a width, a resolution and a number of classes."""

    def __call__(
        self, *, width_multiplier: float = ..., resolution: int | tuple[int, int] = ..., classes: int = ...
    ) -> Network: ...


CATALOG: dict[str, Architecture] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v1_shallow": partial(mobilenet_v1, rows=SHALLOW, name="mobilenet_v1_shallow"),
    "mobilenet_v1_full_convolution": partial(mobilenet_v1, full_convolution=True, name="mobilenet_v1_full_convolution"),
}


def architecture(name: str) -> Architecture:
    """The function that writes networks of that name.

    Raises:
        ArchitectureError: If there is none; the message names the nearest.

    >>> architecture("mobilenet_v1")(width_multiplier=0.25, resolution=128, classes=10).name
    'mobilenet_v1'
    """
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(CATALOG)}"
    raise ArchitectureError(f"no architecture is called {name!r}{hint}")
