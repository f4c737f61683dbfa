"""Where published weights lie, and the names of the classes that they tell apart.

Keras publishes neither sizes nor hashes of its files, and torchvision only the first digits of the hash. The SHA-256 of
a first download is therefore recorded beside it, and the file is checked against that record whenever it is used again;
files of the hub are pinned by their revision.

Sources: keras/src/applications/mobilenet.py, mobilenet_v2.py and mobilenet_v3.py; timm/models/efficientnet.py and
mobilenetv3.py; torchvision/models/mobilenetv2.py and mobilenetv3.py; the synsets of ImageNet's challenge (ILSVRC
2012) in the order of their numbers, each with its words in WordNet.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mobilenets.errors import FormatError

KERAS_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/"
TORCHVISION_ADDRESS = "https://download.pytorch.org/models/"
CORAL_ADDRESS = "https://raw.githubusercontent.com/google-coral/test_data/master/"

_KERAS_WIDTHS = {"1.0": "1_0", "0.75": "7_5", "0.5": "5_0", "0.25": "2_5"}
_RESOLUTIONS = (224, 192, 160, 128)
_ENDS = (("", ""), ("-notop", "_no_top"))
"""Whole networks, and those without a classifier."""


def _keras_v1() -> Iterator[tuple[str, str]]:
    for width, text in _KERAS_WIDTHS.items():
        for resolution in _RESOLUTIONS:
            for suffix, end in _ENDS:
                file = f"mobilenet/mobilenet_{text}_{resolution}_tf{end}.h5"
                yield f"{width}-{resolution}{suffix}", file


def _keras_v2() -> Iterator[tuple[str, str]]:
    sizes = [(width, side) for width in ("0.35", "0.5", "0.75", "1.0") for side in (224, 192, 160, 128, 96)]
    for width, resolution in (*sizes, ("1.3", 224), ("1.4", 224)):
        for suffix, end in _ENDS:
            file = f"mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{resolution}{end}.h5"
            yield f"mobilenet_v2@{float(width):g}-{resolution}{suffix}", file


def _keras_v3() -> Iterator[tuple[str, str]]:
    for size in ("small", "large"):
        for kind, width in (("", "1.0"), ("", "0.75"), ("_minimalistic", "1.0")):
            for suffix, end in (("", ""), ("-notop", "_no_top_v2")):
                file = f"mobilenet_v3/weights_mobilenet_v3_{size}{kind}_224_{width}_float{end}.h5"
                yield f"mobilenet_v3_{size}{kind}@{float(width):g}-224{suffix}", file


KERAS: Mapping[str, str] = MappingProxyType(
    {name: f"{KERAS_ADDRESS}{file}" for table in (_keras_v1(), _keras_v2(), _keras_v3()) for name, file in table}
)
"""Address of each Keras file: V1's by α and resolution (``0.25-224``), the others' by network too
(``mobilenet_v2@0.35-96``); and of the same without top (``0.25-224-notop``)."""

_TIMM_TAGS = {
    "mobilenetv1_100": ("ra4_e3600_r224_in1k",),
    "mobilenetv1_100h": ("ra4_e3600_r224_in1k",),
    "mobilenetv1_125": ("ra4_e3600_r224_in1k",),
    "mobilenetv2_050": ("lamb_in1k",),
    "mobilenetv2_100": ("ra_in1k",),
    "mobilenetv2_140": ("ra_in1k",),
    "mobilenetv3_small_050": ("lamb_in1k",),
    "mobilenetv3_small_075": ("lamb_in1k",),
    "mobilenetv3_small_100": ("lamb_in1k",),
    "mobilenetv3_large_100": ("ra4_e3600_r224_in1k", "ra_in1k", "miil_in21k_ft_in1k"),
    "mobilenetv3_rw": ("rmsp_in1k",),
    "tf_mobilenetv3_small_075": ("in1k",),
    "tf_mobilenetv3_small_100": ("in1k",),
    "tf_mobilenetv3_small_minimal_100": ("in1k",),
    "tf_mobilenetv3_large_075": ("in1k",),
    "tf_mobilenetv3_large_100": ("in1k",),
    "tf_mobilenetv3_large_minimal_100": ("in1k",),
    "mobilenetv4_conv_small_050": ("e3000_r224_in1k",),
    "mobilenetv4_conv_small": ("e2400_r224_in1k", "e1200_r224_in1k", "e3600_r256_in1k"),
    "mobilenetv4_conv_medium": ("e500_r256_in1k", "e500_r224_in1k", "e250_r384_in12k_ft_in1k"),
    "mobilenetv4_conv_large": ("e600_r384_in1k", "e500_r256_in1k"),
}
"""Tags of the weights that timm publishes of each network; the first stands for the network."""

TIMM: Mapping[str, str] = MappingProxyType(
    {
        name: f"timm/{network}.{tag}"
        for network, tags in _TIMM_TAGS.items()
        for name, tag in ((network, tags[0]), *((f"{network}.{tag}", tag) for tag in tags))
    }
)
"""Repository on the hub by timm's name of the network, alone or with the tag of its weights."""

TORCHVISION: Mapping[str, str] = MappingProxyType(
    {
        name: f"{TORCHVISION_ADDRESS}{file}.pth"
        for name, file in {
            "mobilenet_v2": "mobilenet_v2-7ebf99e0",
            "mobilenet_v2.v2": "mobilenet_v2-7ebf99e0",
            "mobilenet_v2.v1": "mobilenet_v2-b0353104",
            "mobilenet_v3_small": "mobilenet_v3_small-047dcff4",
            "mobilenet_v3_small.v1": "mobilenet_v3_small-047dcff4",
            "mobilenet_v3_large": "mobilenet_v3_large-5c1a4163",
            "mobilenet_v3_large.v2": "mobilenet_v3_large-5c1a4163",
            "mobilenet_v3_large.v1": "mobilenet_v3_large-8738ca79",
        }.items()
    }
)
"""Address of each torchvision file by network, alone (its best weights) or with the version of its weights."""


TORCHVISION_CROPS: Mapping[str, float] = MappingProxyType(
    {
        f"{TORCHVISION_ADDRESS}{file}.pth": 224 / side
        for file, side in {
            "mobilenet_v2-7ebf99e0": 232,
            "mobilenet_v2-b0353104": 256,
            "mobilenet_v3_small-047dcff4": 256,
            "mobilenet_v3_large-5c1a4163": 232,
            "mobilenet_v3_large-8738ca79": 256,
        }.items()
    }
)
"""Share of the image's shorter side that was kept when torchvision measured each of its files."""

CORAL: Mapping[str, str] = MappingProxyType(
    {
        name: f"{CORAL_ADDRESS}mobilenet_v1_{name.replace('-', '_')}_quant.tflite"
        for name in ("1.0-224", "0.75-192", "0.5-160", "0.25-128")
    }
)
"""Address of each 8-bit network that Coral distributes of TensorFlow's MobileNet V1, by α and resolution."""


class _Publisher(NamedTuple):
    """Weights of one publisher.

    Attributes:
        table: Where they lie, by name.
        default: The name that stands for none.
        prefix: Before what the table has.
        known: The names, as an error says them.
    """

    table: Mapping[str, str]
    default: str
    prefix: str
    known: str


_PUBLISHERS = {
    "keras": _Publisher(
        KERAS,
        "1.0-224",
        "",
        f"keras:WIDTH-RESOLUTION, of widths {', '.join(_KERAS_WIDTHS)} and resolutions "
        f"{', '.join(map(str, _RESOLUTIONS))}, and keras:NAME@WIDTH-RESOLUTION, such as mobilenet_v2@0.35-96 or "
        "mobilenet_v3_small@1-224, with or without -notop behind",
    ),
    "timm": _Publisher(TIMM, "mobilenetv1_100", "hub:", ", ".join(f"timm:{name}" for name in _TIMM_TAGS)),
    "torchvision": _Publisher(
        TORCHVISION,
        "mobilenet_v2",
        "",
        ", ".join(f"torchvision:{name}" for name in TORCHVISION if "." not in name),
    ),
    "coral": _Publisher(CORAL, "1.0-224", "", ", ".join(f"coral:{name}" for name in CORAL)),
}

SHORT_NAMES = (
    "keras:WIDTH-RESOLUTION such as keras:0.25-224, keras:NAME@WIDTH-RESOLUTION such as keras:mobilenet_v2@1-224, "
    "timm:NAME such as timm:mobilenetv4_conv_small, torchvision:NAME such as torchvision:mobilenet_v3_small, or "
    "coral:WIDTH-RESOLUTION such as coral:0.5-160, which are 8-bit"
)
"""The short names that :func:`published_source` knows, for help."""


def all_short_names() -> tuple[str, ...]:
    """Every short name of whole networks, the ones that stand for the best weights first.

    >>> all_short_names()[0], "timm:mobilenetv4_conv_small" in all_short_names()
    ('keras:1.0-224', True)
    """
    return tuple(
        f"{publisher}:{name}"
        for publisher, row in _PUBLISHERS.items()
        for name in row.table
        if not name.endswith("-notop")
    )


def short_name_in_full(name: str) -> str:
    """A short name with the tag or version of its weights, as the tables of results have it.

    Raises:
        FormatError: If it is not published.

    >>> short_name_in_full("timm:mobilenetv4_conv_small"), short_name_in_full("keras:mobilenet_v2")
    ('timm:mobilenetv4_conv_small.e2400_r224_in1k', 'keras:mobilenet_v2@1-224')
    >>> short_name_in_full("torchvision:mobilenet_v2"), short_name_in_full("keras")
    ('torchvision:mobilenet_v2.v2', 'keras:1.0-224')
    """
    address = published_source(name)
    publisher = name.partition(":")[0]
    if publisher not in _PUBLISHERS or address == name:
        raise FormatError(f"{name!r} is not the short name of published weights; such are {SHORT_NAMES}")
    row = _PUBLISHERS[publisher]
    same = [one for one, place in row.table.items() if f"{row.prefix}{place}" == address]
    return f"{publisher}:{max(same, key=len)}"


def published_source(source: str) -> str:
    """Resolve a short name; anything else is given back as it is.

    Args:
        source: ``keras`` (1.0-224), ``keras:0.25-224``, ``keras:0.5-160-notop``, ``keras:mobilenet_v2@0.35-96``,
            ``timm:mobilenetv1_125``, ``timm:mobilenetv4_conv_small.e1200_r224`` or ``torchvision:mobilenet_v2``. A tag
            may be cut short where one only begins so.

    Returns:
        An ``https:`` address or a ``hub:`` source.

    Raises:
        FormatError: If ``keras:``, ``timm:``, ``torchvision:`` or ``coral:`` is followed by a name that is not in the
            tables; the message has the nearest.

    >>> published_source("timm:mobilenetv1_125")
    'hub:timm/mobilenetv1_125.ra4_e3600_r224_in1k'
    >>> published_source("keras:0.25-128").rpartition("/")[2]
    'mobilenet_2_5_128_tf.h5'
    """
    publisher, colon, name = source.partition(":")
    if publisher not in _PUBLISHERS or "/" in name:
        return source
    table, default, prefix, known = _PUBLISHERS[publisher]
    name = name if colon and name else default
    if publisher == "keras":
        name = _canonical(name)
    if name not in table and "." in name:  # the beginning of a tag, if it is the beginning of one only
        begun = [one for one in table if one.startswith(f"{name}_")] or [one for one in table if one.startswith(name)]
        name = begun[0] if publisher != "keras" and len(begun) == 1 else name
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        every = "`mobilenets models` lists all"
        hint = f"did you mean {publisher}:{near[0]}? {every}" if near else f"known are {known}"
        raise FormatError(f"{source!r} is not published; {hint}")
    return f"{prefix}{table[name]}"


def _canonical(name: str) -> str:
    """A Keras name with its width and resolution, the width in its shortest form.

    >>> _canonical("mobilenet_v2"), _canonical("mobilenet_v2@1.0-96-notop"), _canonical("1.0-224")
    ('mobilenet_v2@1-224', 'mobilenet_v2@1-96-notop', '1.0-224')
    """
    found = re.fullmatch(r"(mobilenet_v[23]\w*)(?:@(\d*\.?\d+))?(?:-(\d+))?(-notop)?", name)
    if found is None:
        return name
    return f"{found[1]}@{float(found[2] or 1):g}-{found[3] or 224}{found[4] or ''}"


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
