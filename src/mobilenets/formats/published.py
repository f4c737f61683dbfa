"""Where published weights lie, and the names of the classes that they tell apart.

Keras publishes neither sizes nor hashes of its files. The SHA-256 of a first download is therefore recorded beside it,
and the file is checked against that record whenever it is used again; files of the hub are pinned by their revision.

Sources: keras/src/applications/mobilenet.py; timm/models/efficientnet.py; the synsets of ImageNet's challenge (ILSVRC
2012) in the order of their numbers, each with its words in WordNet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from mobilenets.errors import FormatError

KERAS_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"

_KERAS_WIDTHS = {"1.0": "1_0", "0.75": "7_5", "0.5": "5_0", "0.25": "2_5"}
_RESOLUTIONS = (224, 192, 160, 128)

KERAS: Mapping[str, str] = MappingProxyType(
    {
        f"{width}-{resolution}{suffix}": f"{KERAS_ADDRESS}mobilenet_{text}_{resolution}_tf{end}.h5"
        for width, text in _KERAS_WIDTHS.items()
        for resolution in _RESOLUTIONS
        for suffix, end in (("", ""), ("-notop", "_no_top"))
    }
)
"""Address of each Keras file by α and resolution (``0.25-224``), and of the same without top (``0.25-224-notop``)."""

TIMM: Mapping[str, str] = MappingProxyType(
    {
        "mobilenetv1_100": "timm/mobilenetv1_100.ra4_e3600_r224_in1k",
        "mobilenetv1_100h": "timm/mobilenetv1_100h.ra4_e3600_r224_in1k",
        "mobilenetv1_125": "timm/mobilenetv1_125.ra4_e3600_r224_in1k",
    }
)
"""Repository on the hub by timm's name of the architecture."""

SHORT_NAMES = f"keras[:WIDTH-RESOLUTION[-notop]] such as keras:0.25-224, or timm:NAME ({', '.join(TIMM)})"
"""The short names that :func:`published_source` knows, for help."""

_KNOWN = {
    "keras": f"keras:WIDTH-RESOLUTION, of widths {', '.join(_KERAS_WIDTHS)} and resolutions "
    f"{', '.join(map(str, _RESOLUTIONS))}, with or without -notop behind",
    "timm": ", ".join(f"timm:{name}" for name in TIMM),
}
"""The names of each table, as an error says them."""


def published_source(source: str) -> str:
    """Resolve a short name; anything else is given back as it is.

    Args:
        source: ``keras`` (1.0-224), ``keras:0.25-224``, ``keras:0.5-160-notop`` or ``timm:mobilenetv1_125``.

    Returns:
        An ``https:`` address or a ``hub:`` source.

    Raises:
        FormatError: If ``keras:`` or ``timm:`` is followed by a name that is not in the tables.

    >>> published_source("timm:mobilenetv1_125")
    'hub:timm/mobilenetv1_125.ra4_e3600_r224_in1k'
    >>> published_source("keras:0.25-128").rpartition("/")[2]
    'mobilenet_2_5_128_tf.h5'
    """
    found = re.fullmatch(r"(keras|timm)(?::(.*))?", source)
    if found is None:
        return source
    family, name = found[1], found[2]
    table, default = (KERAS, "1.0-224") if family == "keras" else (TIMM, "mobilenetv1_100")
    name = name or default
    if name not in table:
        raise FormatError(f"{source!r} is not published; known are {_KNOWN[family]}")
    return table[name] if family == "keras" else f"hub:{table[name]}"


CLASSES = 1000
BACKGROUND = "background"


@cache
def imagenet_labels(classes: int) -> tuple[str, ...] | None:
    """Class names for a network of so many classes, or None if that is not a number that ImageNet networks have.

    Args:
        classes: 1000, or 1001 for networks whose first class is the background (TensorFlow's).

    >>> imagenet_labels(1000)[0], imagenet_labels(1001)[:2], imagenet_labels(10)
    ('tench, Tinca tinca', ('background', 'tench, Tinca tinca'), None)
    """
    if classes not in (CLASSES, CLASSES + 1):
        return None
    text = (Path(__file__).parent / "imagenet_classes.txt").read_text(encoding="utf-8")
    names = tuple(text.splitlines())
    return names if classes == CLASSES else (BACKGROUND, *names)
