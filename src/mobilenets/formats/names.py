"""How checkpoints name the layers of each network family: the only place that knows.

A family has one table for each kind of checkpoint. A row gives a layer's name in the checkpoint and in this package;
``{block}`` is the number of a block, from 1, and where a checkpoint numbers the blocks within stages, ``{stage}`` and
``{index}`` (both from 0) stand for it. A batch norm's name here is ``<layer>.batch_norm``. What the variables inside a
layer are called (``kernel``, ``gamma``) is not the family's business but the reader's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

HEAD = "head"
"""Name of the pointwise layer that some networks have between the last block and the pool."""

_HOLES = {"block": r"(?P<block>[1-9]\d?)", "stage": r"(?P<stage>\d)", "index": r"(?P<index>\d)"}


@dataclass(frozen=True)
class Names:
    """Layer names of one family in one kind of checkpoint.

    Attributes:
        rows: This package's name, by the checkpoint's.
        stages: Blocks of each stage, where the checkpoint numbers blocks within stages.
    """

    rows: Mapping[str, str]
    stages: tuple[int, ...] = field(default=())

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(_pattern(theirs)), ours) for theirs, ours in self.rows.items()]

    def layer(self, name: str) -> str | None:
        """This package's name for a layer (or for its batch norm), or None where the family has no such layer.

        >>> MOBILENET_V1["timm"].layer("blocks.1.1.bn2")
        'block3.pointwise.batch_norm'
        """
        for pattern, ours in self._patterns:
            if found := pattern.fullmatch(name):
                block = self._block(found.groupdict())
                return None if block is None else ours.format(block=block)
        return None

    def _block(self, numbers: Mapping[str, str]) -> int | None:
        """The number of the block that a name is about, 0 where it is about none, None where there is no such block."""
        if "stage" not in numbers:
            return int(numbers.get("block", 0))
        stage, index = int(numbers["stage"]), int(numbers["index"])
        if stage >= len(self.stages) or index >= self.stages[stage]:
            return None
        return sum(self.stages[:stage]) + index + 1


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
        "timm": Names(
            {
                "conv_stem": "stem",
                "bn1": "stem.batch_norm",
                "blocks.{stage}.{index}.conv_dw": "block{block}.depthwise",
                "blocks.{stage}.{index}.bn1": "block{block}.depthwise.batch_norm",
                "blocks.{stage}.{index}.conv_pw": "block{block}.pointwise",
                "blocks.{stage}.{index}.bn2": "block{block}.pointwise.batch_norm",
                "conv_head": HEAD,
                "bn2": f"{HEAD}.batch_norm",
                "classifier": "classifier",
            },
            stages=(1, 2, 2, 6, 2),
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

FAMILIES: Mapping[str, Mapping[str, Names]] = MappingProxyType({"mobilenet_v1": MOBILENET_V1})
"""Every family whose checkpoints are read."""
