"""How checkpoints name the layers of each network family: the only place that knows.

MobileNet V1 has one table for each kind of checkpoint. A row gives a layer's name in the checkpoint and in this
package; ``{block}`` is the number of a block, from 1. A batch norm's name here is ``<layer>.batch_norm``. What the
variables inside a layer are called (``kernel``, ``gamma``) is not the family's business but the reader's.

timm and torchvision name the layers of all families by rules: a block's layers by the kind of block, and few others.
Their tables are made from those rules and the networks of the catalog (:func:`timm_names`, :func:`torchvision_names`).

Sources: timm/models/efficientnet.py, mobilenetv3.py, _efficientnet_blocks.py; torchvision/models/mobilenetv2.py,
mobilenetv3.py.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import NamedTuple

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import INPUT, Convolution
from mobilenets.architecture.network import Network

LONGEST_LAYER_NAME = 80
"""Characters of a name that :func:`legal_name` makes, less a number; a Model file takes more than twice as many."""
HEAD = "head"
"""Name of the pointwise layer that some networks have between the last block and the pool."""

_HOLES = {"block": r"(?P<block>[1-9]\d?)"}


@dataclass(frozen=True)
class Names:
    """Layer names of one family in one kind of checkpoint.

    Attributes:
        rows: This package's name, by the checkpoint's.
    """

    rows: Mapping[str, str]

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(_pattern(theirs)), ours) for theirs, ours in self.rows.items()]

    def layer(self, name: str) -> str | None:
        """This package's name for a layer (or for its batch norm), or None where the family has no such layer.

        >>> MOBILENET_V1["keras"].layer("conv_pw_3_bn")
        'block3.pointwise.batch_norm'
        """
        for pattern, ours in self._patterns:
            if found := pattern.fullmatch(name):
                return ours.format(block=found.groupdict().get("block"))
        return None


def legal_name(name: str, taken: Container[str] = (), *, otherwise: str = "layer") -> str:
    """A name that a Model file takes for a layer, made of one that another format has for a node.

    Names of nodes are paths, and a converter joins those of all nodes that it has fused to one, so they can be of any
    length. Of several the first is kept, and of a long path the last parts.

    Args:
        name: The node's name.
        taken: Names of other layers.
        otherwise: What the layer is called whose node has no name.

    >>> legal_name("model/conv1/Relu6;model/conv1_bn/FusedBatchNormV3;model/conv1_bn/add")
    'model.conv1.Relu6'
    >>> legal_name("StatefulPartitionedCall:0", {"StatefulPartitionedCall"})
    'StatefulPartitionedCall_2'
    """
    first = name.partition(";")[0].removesuffix(":0")
    parts = [part for part in re.split(r"[/.]", "".join(c if c.isprintable() else "_" for c in first)) if part]
    while len(parts) > 1 and sum(map(len, parts)) + len(parts) - 1 > LONGEST_LAYER_NAME:
        del parts[0]
    short = ".".join(parts)[-LONGEST_LAYER_NAME:].strip(". ") or otherwise
    found, number = short, 1
    while found in taken or found == INPUT:
        number += 1
        found = f"{short}_{number}"
    return found


def _pattern(name: str) -> str:
    """A regular expression for a name with holes."""
    parts = re.split(r"\{(\w+)\}", name)
    return "".join(_HOLES[part] if number % 2 else re.escape(part) for number, part in enumerate(parts))


def counted(layers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Rows of a checkpoint that counts the layers of each class, in the order in which the model has them.

    Args:
        layers: Class and this package's name of every layer, in order.

    >>> counted([("conv2d", "stem"), ("conv2d", "classifier")])
    {'conv2d': 'stem', 'conv2d_1': 'classifier'}
    """
    rows: dict[str, str] = {}
    count: dict[str, int] = {}
    for kind, ours in layers:
        number = count.get(kind, 0)
        rows[f"{kind}_{number}" if number else kind] = ours
        count[kind] = number + 1
    return rows


def _mobilenet_v1_counted() -> list[tuple[str, str]]:
    layers = [("conv2d", "stem"), ("batch_normalization", "stem.batch_norm")]
    for block in range(1, 14):
        for kind, part in (("depthwise_conv2d", "depthwise"), ("conv2d", "pointwise")):
            layers.append((kind, f"block{block}.{part}"))
            layers.append(("batch_normalization", f"block{block}.{part}.batch_norm"))
    return [*layers, ("conv2d", "classifier"), ("dense", "classifier")]


def _sequential(root: str) -> dict[str, str]:
    return {
        f"{root}.0.0": "stem",
        f"{root}.0.1": "stem.batch_norm",
        f"{root}.{{block}}.0": "block{block}.depthwise",
        f"{root}.{{block}}.1": "block{block}.depthwise.batch_norm",
        f"{root}.{{block}}.3": "block{block}.pointwise",
        f"{root}.{{block}}.4": "block{block}.pointwise.batch_norm",
    }


MOBILENET_V1: Mapping[str, Names] = MappingProxyType(
    {
        "keras": Names(
            {
                "conv1": "stem",
                "conv1_bn": "stem.batch_norm",
                "conv_dw_{block}": "block{block}.depthwise",
                "conv_dw_{block}_bn": "block{block}.depthwise.batch_norm",
                "conv_pw_{block}": "block{block}.pointwise",
                "conv_pw_{block}_bn": "block{block}.pointwise.batch_norm",
                "conv_preds": "classifier",
                "predictions": "classifier",
                **counted(_mobilenet_v1_counted()),
            }
        ),
        "tf-slim": Names(
            {
                "MobilenetV1/Conv2d_0": "stem",
                "MobilenetV1/Conv2d_0/BatchNorm": "stem.batch_norm",
                "MobilenetV1/Conv2d_{block}_depthwise": "block{block}.depthwise",
                "MobilenetV1/Conv2d_{block}_depthwise/BatchNorm": "block{block}.depthwise.batch_norm",
                "MobilenetV1/Conv2d_{block}_pointwise": "block{block}.pointwise",
                "MobilenetV1/Conv2d_{block}_pointwise/BatchNorm": "block{block}.pointwise.batch_norm",
                "MobilenetV1/Logits/Conv2d_1c_1x1": "classifier",
            }
        ),
        "pytorch": Names(
            {
                **_sequential("model"),
                **_sequential("features"),
                **{
                    f"{root}{child}": "classifier"
                    for root in ("fc", "classifier", "linear")
                    for child in ("", *(f".{number}" for number in range(10)))
                },
            }
        ),
    }
)
"""MobileNet V1, by the format of the checkpoint."""


def _object_detection_api() -> dict[str, str]:
    """SSD on V1 as TensorFlow's Object Detection API names its layers; ``Prediction`` stands for longer scopes."""
    rows = {
        "MobilenetV1/Conv2d_0_pointwise": "stem",
        "MobilenetV1/Conv2d_{block}_depthwise": "block{block}.depthwise",
        "MobilenetV1/Conv2d_{block}_depthwise/BatchNorm": "block{block}.depthwise.batch_norm",
        "MobilenetV1/Conv2d_{block}_pointwise": "block{block}.pointwise",
    }
    for extra in range(4):
        rows[f"Prediction/Conv2d_{2 * extra}_pointwise"] = f"extra{extra + 1}.narrow"
        rows[f"Prediction/Conv2d_{2 * extra + 1}_pointwise"] = f"extra{extra + 1}.wide"
    for level in range(6):
        rows[f"Prediction/BoxPredictor_{level}/BoxEncodingPredictor"] = f"level{level + 1}.boxes"
        rows[f"Prediction/BoxPredictor_{level}/ClassPredictor"] = f"level{level + 1}.logits"
    return rows


SSD_MOBILENET_V1 = Names(_object_detection_api())
"""SSD on MobileNet V1, as the frozen graphs of TensorFlow's Object Detection API were stored for face-api.js."""


class CheckpointNames(NamedTuple):
    """The layers of one network of the catalog in one kind of checkpoint.

    Attributes:
        network: Name in the catalog.
        rows: This package's name of a layer or batch norm, by the checkpoint's.
    """

    network: str
    rows: Mapping[str, str]


_Parts = Mapping[str, tuple[str, str]]
"""For each part of a block, the names of its convolution and of its batch norm in a checkpoint."""

_TIMM_SQUEEZE: _Parts = {"se.reduce": ("se.conv_reduce", ""), "se.gate": ("se.conv_expand", "")}
_TIMM_V1_BLOCK: _Parts = {"depthwise": ("conv_dw", "bn1"), "pointwise": ("conv_pw", "bn2")}
_TIMM_UNEXPANDED: _Parts = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2"), **_TIMM_SQUEEZE}
_TIMM_INVERTED: _Parts = {
    "expand": ("conv_pw", "bn1"),
    "depthwise": ("conv_dw", "bn2"),
    "project": ("conv_pwl", "bn3"),
    **_TIMM_SQUEEZE,
}
_TIMM_FUSED: _Parts = {"expand": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")}
_TIMM_UNIVERSAL: _Parts = {
    ours: (f"{theirs}.conv", f"{theirs}.bn")
    for ours, theirs in (("start", "dw_start"), ("expand", "pw_exp"), ("depthwise", "dw_mid"), ("project", "pw_proj"))
}
_TIMM_CONVOLUTION: _Parts = {"": ("conv", "bn1")}

_TIMM_STEM = {"conv_stem": "stem", "bn1": "stem.batch_norm", "classifier": "classifier"}
_TIMM_HEAD = {"conv_head": HEAD, "bn2": f"{HEAD}.batch_norm"}
_TIMM_HIDDEN = {"conv_head": "hidden", "norm_head": "hidden.batch_norm"}


class _TimmFamily(NamedTuple):
    """Blocks of each of timm's stages (in V3 and V4 the head is one more stage), and names outside of the blocks."""

    stages: tuple[int, ...]
    others: Mapping[str, str]


def _headed(stages: tuple[int, ...]) -> _TimmFamily:
    last = f"blocks.{len(stages)}.0"
    head = {f"{last}.conv": HEAD, f"{last}.bn1": f"{HEAD}.batch_norm"}
    return _TimmFamily(stages, {**_TIMM_STEM, **head, **_TIMM_HIDDEN})


_TIMM: Mapping[str, _TimmFamily] = MappingProxyType(
    {
        "mobilenet_v1": _TimmFamily((1, 2, 2, 6, 2), _TIMM_STEM),
        "mobilenet_v1_h": _TimmFamily((1, 2, 2, 6, 2), {**_TIMM_STEM, **_TIMM_HEAD}),
        "mobilenet_v2": _TimmFamily((1, 2, 3, 4, 3, 3, 1), {**_TIMM_STEM, **_TIMM_HEAD}),
        "mobilenet_v3_small": _headed((1, 2, 3, 2, 3)),
        "mobilenet_v3_small_minimalistic": _headed((1, 2, 3, 2, 3)),
        "mobilenet_v3_large": _headed((1, 2, 3, 4, 2, 3)),
        "mobilenet_v3_large_minimalistic": _headed((1, 2, 3, 4, 2, 3)),
        "mobilenet_v4_conv_small": _headed((2, 2, 6, 6)),
        "mobilenet_v4_conv_medium": _headed((1, 2, 8, 11)),
        "mobilenet_v4_conv_large": _headed((1, 2, 11, 13)),
    }
)


@cache
def timm_names() -> tuple[CheckpointNames, ...]:
    """Every network that timm has, as it names the layers.

    >>> by_name = {checkpoint.network: checkpoint.rows for checkpoint in timm_names()}
    >>> by_name["mobilenet_v1"]["blocks.1.1.bn2"], by_name["mobilenet_v4_conv_small"]["blocks.2.0.dw_mid.conv"]
    ('block3.pointwise.batch_norm', 'block5.depthwise')
    """
    return tuple(CheckpointNames(name, MappingProxyType(_timm_rows(name, family))) for name, family in _TIMM.items())


def _timm_rows(name: str, family: _TimmFamily) -> dict[str, str]:
    network = CATALOG[name]()
    numbers = [(stage, index) for stage, count in enumerate(family.stages) for index in range(count)]
    rows = dict(family.others)
    for block, (stage, index) in enumerate(numbers, start=1):
        parts = _parts_of(network, f"block{block}")
        rows |= _rows(f"blocks.{stage}.{index}", f"block{block}", parts, _timm_block(network, f"block{block}", parts))
    return _only_layers_of(network, rows)


def _parts_of(network: Network, block: str) -> list[str]:
    """Names of a block's layers with weights, without the block's own; one of them empty where it is a layer itself."""
    names = [layer.name for layer in network.layers if layer.has_weight]
    return [name[len(block) + 1 :] for name in names if name == block or name.startswith(f"{block}.")]


def _timm_block(network: Network, block: str, parts: list[str]) -> _Parts:
    if parts == [""]:
        return _TIMM_CONVOLUTION
    if "pointwise" in parts:
        return _TIMM_V1_BLOCK
    if isinstance(network[f"{block}.{parts[0]}"], Convolution):
        return _TIMM_FUSED
    if network.name.startswith("mobilenet_v4"):
        return _TIMM_UNIVERSAL
    return _TIMM_INVERTED if "expand" in parts else _TIMM_UNEXPANDED


def _rows(theirs: str, ours: str, parts: Iterable[str], names: _Parts) -> dict[str, str]:
    """Rows of one block, by its name in the checkpoint and here."""
    rows: dict[str, str] = {}
    for part in parts:
        convolution, norm = names[part]
        layer = f"{ours}.{part}".removesuffix(".")
        rows[f"{theirs}.{convolution}"] = layer
        if norm:
            rows[f"{theirs}.{norm}"] = f"{layer}.batch_norm"
    return rows


def _only_layers_of(network: Network, rows: Mapping[str, str]) -> dict[str, str]:
    """The rows without those of batch norms that the network does not have."""
    known = {name.rpartition(".")[0] for name in network.parameter_shapes()}
    return {theirs: ours for theirs, ours in rows.items() if ours in known}


@cache
def torchvision_names() -> tuple[CheckpointNames, ...]:
    """Every network that torchvision has, as it names the layers; V2 also as it named them before version 0.3.

    >>> v2, v2_of_before, v3_small, v3_large = (checkpoint.rows for checkpoint in torchvision_names())
    >>> v2["features.2.conv.0.1"], v3_small["features.1.block.1.fc1"]
    ('block2.expand.batch_norm', 'block1.se.reduce')
    """
    flat = {"classifier.1": "classifier", "classifier": "classifier"}
    hidden = {"classifier.0": "hidden", "classifier.3": "classifier"}
    return (
        CheckpointNames("mobilenet_v2", _torchvision_rows("mobilenet_v2", 17, "conv", flat)),
        CheckpointNames("mobilenet_v2", _torchvision_rows("mobilenet_v2", 17, "conv", flat, nested=False)),
        CheckpointNames("mobilenet_v3_small", _torchvision_rows("mobilenet_v3_small", 11, "block", hidden)),
        CheckpointNames("mobilenet_v3_large", _torchvision_rows("mobilenet_v3_large", 15, "block", hidden)),
    )


def _torchvision_rows(
    name: str, blocks: int, sequence: str, others: Mapping[str, str], *, nested: bool = True
) -> Mapping[str, str]:
    network = CATALOG[name]()
    rows = dict(others)
    for number, layer in ((0, "stem"), (blocks + 1, HEAD)):
        rows |= {f"features.{number}.0": layer, f"features.{number}.1": f"{layer}.batch_norm"}
    for block in range(1, blocks + 1):
        parts = _parts_of(network, f"block{block}")
        names = _torchvision_block(parts, linear_is_nested=sequence == "block") if nested else _flat_block(parts)
        rows |= _rows(f"features.{block}.{sequence}", f"block{block}", parts, names)
    return MappingProxyType(_only_layers_of(network, rows))


def _torchvision_block(parts: list[str], *, linear_is_nested: bool) -> _Parts:
    """The children of a block are numbered; a convolution and its batch norm are 0 and 1 of theirs.

    Both convolutions of a squeeze-and-excite are in one child. V2's projection is no child of its own: its convolution
    and batch norm are the block's.
    """
    names: dict[str, tuple[str, str]] = {}
    number = 0
    for part in parts:
        if part == "se.reduce":
            names[part] = (f"{number}.fc1", "")
            continue
        if part == "se.gate":
            names[part] = (f"{number}.fc2", "")
        elif part == "project" and not linear_is_nested:
            names[part] = (f"{number}", f"{number + 1}")
        else:
            names[part] = (f"{number}.0", f"{number}.1")
        number += 1
    return names


def _flat_block(parts: list[str]) -> _Parts:
    """Convolution, batch norm and ReLU6 one after the other."""
    return {part: (f"{3 * number}", f"{3 * number + 1}") for number, part in enumerate(parts)}


_KERAS_V3: _Parts = {
    **{part: (part, f"{part}_bn") for part in ("expand", "depthwise", "project")},
    "se.reduce": ("squeeze_excite_conv", ""),
    "se.gate": ("squeeze_excite_conv_1", ""),
}


@cache
def keras_v3_names() -> tuple[CheckpointNames, ...]:
    """Keras's MobileNet V3: the layers by their own names, and by their numbers in archives.

    >>> rows = keras_v3_names()[0].rows
    >>> rows["expanded_conv_1_expand_bn"], rows["conv2d_1"]
    ('block2.expand.batch_norm', 'block1.se.reduce')
    """
    sizes = ("small", "small_minimalistic", "large", "large_minimalistic")
    return tuple(CheckpointNames(f"mobilenet_v3_{size}", _keras_v3_rows(f"mobilenet_v3_{size}")) for size in sizes)


def _keras_v3_rows(name: str) -> Mapping[str, str]:
    network = CATALOG[name]()
    rows = {"conv_2": "hidden", "logits": "classifier"}
    for theirs, ours in (("conv", "stem"), ("conv_1", HEAD)):
        rows |= {theirs: ours, f"{theirs}_bn": f"{ours}.batch_norm"}
    blocks = sum(layer.name.endswith(".depthwise") for layer in network.layers)
    for block in range(1, blocks + 1):
        prefix = f"expanded_conv_{block - 1}_" if block > 1 else "expanded_conv_"
        named = {part: (f"{prefix}{layer}", norm and f"{prefix}{norm}") for part, (layer, norm) in _KERAS_V3.items()}
        for theirs, ours in _rows("", f"block{block}", _parts_of(network, f"block{block}"), named).items():
            rows[theirs.removeprefix(".")] = ours
    kinds: list[tuple[str, str]] = []
    for layer in network.layers:
        if layer.has_weight:
            kinds.append(("depthwise_conv2d" if layer.name.endswith(".depthwise") else "conv2d", layer.name))
        if layer.batch_norm is not None:
            kinds.append(("batch_normalization", f"{layer.name}.batch_norm"))
    return MappingProxyType(_only_layers_of(network, {**counted(kinds), **rows}))
