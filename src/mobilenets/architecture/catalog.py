"""Every architecture by name.

The dictionary is written out by hand: what the catalog holds can be read here, and nothing registers itself by
being imported. Tests build, cost, run, save and load everything in it.

>>> CATALOG["mobilenet_v2"](width_multiplier=0.5, resolution=96, classes=10).summary
'mobilenet_v2, width 0.5, 96×96'
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mobilenets.architecture.layers import BatchNorm
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.baselines import alexnet, googlenet, squeezenet, vgg16
from mobilenets.architecture.networks.mobilenet_v1 import SHALLOW, mobilenet_v1
from mobilenets.architecture.networks.mobilenet_v2 import mobilenet_v2
from mobilenets.architecture.networks.mobilenet_v3 import RE, SMALL_HIDDEN, TABLE_1, TABLE_2, minimalistic, mobilenet_v3
from mobilenets.architecture.networks.mobilenet_v4 import LARGE, MEDIUM, mobilenet_v4
from mobilenets.architecture.networks.ssd import centres, on_backbone, ssd, ssdlite
from mobilenets.errors import ArchitectureError


class Architecture(Protocol):
    """A function that writes a Network for a width, a resolution and a number of classes."""

    def __call__(
        self,
        *,
        width_multiplier: float = ...,
        resolution: int | tuple[int, int] = ...,
        classes: int = ...,
        batch_norm: BatchNorm | None = ...,
    ) -> Network: ...


CATALOG: dict[str, Architecture] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v1_shallow": partial(mobilenet_v1, rows=SHALLOW, name="mobilenet_v1_shallow"),
    "mobilenet_v1_full_convolution": partial(mobilenet_v1, full_convolution=True, name="mobilenet_v1_full_convolution"),
    "mobilenet_v1_h": partial(mobilenet_v1, head=True, name="mobilenet_v1_h"),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": partial(mobilenet_v3, rows=TABLE_2, hidden=SMALL_HIDDEN, name="mobilenet_v3_small"),
    "mobilenet_v3_large": mobilenet_v3,
    "mobilenet_v3_small_minimalistic": partial(
        mobilenet_v3,
        rows=minimalistic(TABLE_2),
        hidden=SMALL_HIDDEN,
        activation=RE,
        name="mobilenet_v3_small_minimalistic",
    ),
    "mobilenet_v3_large_minimalistic": partial(
        mobilenet_v3, rows=minimalistic(TABLE_1), activation=RE, name="mobilenet_v3_large_minimalistic"
    ),
    "mobilenet_v4_conv_small": mobilenet_v4,
    "mobilenet_v4_conv_medium": partial(mobilenet_v4, variant=MEDIUM, resolution=256, name="mobilenet_v4_conv_medium"),
    "mobilenet_v4_conv_large": partial(mobilenet_v4, variant=LARGE, resolution=384, name="mobilenet_v4_conv_large"),
    "alexnet": alexnet,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "squeezenet": squeezenet,
}
"""Every architecture by name: a function of ``width_multiplier`` (α), ``resolution`` (pixels, one side or height and
width), ``classes`` and ``batch_norm`` that gives a :class:`~mobilenets.architecture.network.Network`, or raises
``ArchitectureError`` where it has none of that size."""

BACKBONES = tuple(name for name in CATALOG if name.startswith("mobilenet") and "full_convolution" not in name)
"""Architectures that detectors are put on."""
DETECTOR_RESOLUTION, CENTRES_RESOLUTION = 320, 96
"""Side of their input in pixels, where nobody says another: as in the papers of SSDLite, and on a microcontroller."""

DETECTORS: dict[str, Architecture] = {
    "ssd_mobilenet_v1": on_backbone(mobilenet_v1, ssd, resolution=300, background=True),
    **{f"ssdlite_{name}": on_backbone(CATALOG[name], ssdlite, DETECTOR_RESOLUTION) for name in BACKBONES},
    **{f"centres_{name}": on_backbone(CATALOG[name], centres, CENTRES_RESOLUTION) for name in BACKBONES},
}
"""Every detector by name: a function as those of :data:`CATALOG` are, whose classes are kinds of objects."""


def architecture(name: str) -> Architecture:
    """The function that writes networks of that name: classifiers, or detectors.

    Raises:
        ArchitectureError: If there is none; the message names the nearest.

    >>> architecture("mobilenet_v1")(width_multiplier=0.25, resolution=128, classes=10).name
    'mobilenet_v1'
    """
    if name in CATALOG:
        return CATALOG[name]
    if name in DETECTORS:
        return DETECTORS[name]
    known = (*CATALOG, *DETECTORS)
    near = [each for each in known if each.startswith(f"{name}_")] or difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(CATALOG)}"
    raise ArchitectureError(f"no architecture is called {name!r}{hint}")


@dataclass(frozen=True)
class Specification:
    """An architecture with its width and resolution, as one short text names it: ``mobilenet_v1@0.5-160``.

    Attributes:
        name: A name of the catalog, of a classifier or a detector.
        width_multiplier: α, or None for the architecture's own default.
        resolution: Side of the square input in pixels, or None for the architecture's own default.
    """

    name: str
    width_multiplier: float | None = None
    resolution: int | None = None

    @staticmethod
    def parse(text: str) -> Specification:
        """Read ``NAME``, ``NAME@WIDTH`` or ``NAME@WIDTH-RESOLUTION``.

        Raises:
            ArchitectureError: If the text is not of that form or the name is not in the catalog.

        >>> Specification.parse("mobilenet_v1@0.5-160")
        Specification(name='mobilenet_v1', width_multiplier=0.5, resolution=160)
        """
        match = _SPECIFICATION.fullmatch(text)
        if match is None:
            raise ArchitectureError(
                f"{text!r} does not name a network; expected NAME, NAME@WIDTH or NAME@WIDTH-RESOLUTION, "
                "such as mobilenet_v1@0.5-160"
            )
        name, width, resolution = match.groups()
        architecture(name)
        return Specification(name, float(width) if width else None, int(resolution) if resolution else None)

    def network(self, *, classes: int | None = None, batch_norm: BatchNorm | None = None) -> Network:
        """The network.

        Args:
            classes: Outputs of a classifier, or kinds of objects of a detector; None for the architecture's own number.
            batch_norm: After every convolution of an architecture that has none of its own; None for the
                architecture's own.

        Raises:
            ArchitectureError: If the architecture cannot be built at this width or resolution.
        """
        build = architecture(self.name)
        if self.width_multiplier is not None:
            build = partial(build, width_multiplier=self.width_multiplier)
        if self.resolution is not None:
            build = partial(build, resolution=self.resolution)
        if batch_norm is not None:
            build = partial(build, batch_norm=batch_norm)
        return build() if classes is None else build(classes=classes)

    def __str__(self) -> str:
        width = "" if self.width_multiplier is None else f"@{self.width_multiplier:g}"
        return f"{self.name}{width}" if self.resolution is None else f"{self.name}{width or '@1'}-{self.resolution}"


_SPECIFICATION = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:@([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:-([0-9]{1,6}))?)?")
