"""A Network as plain JSON values, and back, trusting nothing.

The reading half decides what a Model file may contain: every field is checked for type and range before a layer is
built, unknown kinds and fields are refused by name, and the counts are bounded so that a hostile file cannot ask
for more than a real network would.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from mobilenets.architecture.layers import LAYER_TYPES, Activation, BatchNorm, Layer, Padding
from mobilenets.architecture.multipliers import PaddingPolicy, Rounding
from mobilenets.architecture.network import Network
from mobilenets.errors import ArchitectureError

LARGEST_INTEGER = 1 << 24
"""Bound on every integer of an encoded network: sizes, channels, strides."""
LARGEST_NUMBER = 1e6
"""Bound on every other number."""
MOST_VALUES = 1 << 28
"""Bound on the values of one activation of one image: what fits in no memory is refused before memory is asked for."""
MOST_LAYERS = 10_000
LONGEST_NAME = 200

Member = TypeVar("Member", bound=StrEnum)


def encode_network(network: Network) -> dict[str, Any]:
    """The network as JSON-ready values. ``decode(encode(network)) == network``."""
    return {
        "name": network.name,
        "height": network.height,
        "width": network.width,
        "channels": network.channels,
        "width_multiplier": network.width_multiplier,
        "rounding": dataclasses.asdict(network.rounding),
        "padding_policy": str(network.padding_policy),
        "outputs": list(network.outputs),
        "layers": [_encode_layer(layer) for layer in network.layers],
    }


def decode_network(data: object) -> Network:
    """The network that :func:`encode_network` wrote.

    Raises:
        ArchitectureError: If anything is missing, unknown, of the wrong type or out of range.
    """
    fields = _mapping(data, "network")
    known = {
        "name",
        "height",
        "width",
        "channels",
        "width_multiplier",
        "rounding",
        "padding_policy",
        "outputs",
        "layers",
    }
    _refuse_others(fields, known, "network")
    listed = _get(fields, "layers", list, "network")
    if len(listed) > MOST_LAYERS:
        raise ArchitectureError(f"network lists {len(listed)} layers; at most {MOST_LAYERS} are allowed")
    rounding = _mapping(_get(fields, "rounding", dict, "network"), "rounding")
    _refuse_others(rounding, {"divisor", "minimum"}, "rounding")
    width_multiplier = _get(fields, "width_multiplier", (int, float), "network")
    if not 0 < width_multiplier < LARGEST_NUMBER:
        raise ArchitectureError(
            f"network: width_multiplier must be above 0 and below {LARGEST_NUMBER:g}, not {_quote(width_multiplier)}"
        )
    network = Network(
        name=_name(fields.get("name"), "network name"),
        height=_integer(fields.get("height"), "network height"),
        width=_integer(fields.get("width"), "network width"),
        channels=_integer(fields.get("channels"), "network channels"),
        layers=tuple(_decode_layer(item, number) for number, item in enumerate(listed)),
        outputs=tuple(_name(item, "output") for item in _get(fields, "outputs", list, "network")),
        width_multiplier=float(width_multiplier),
        rounding=Rounding(
            divisor=_integer(rounding.get("divisor"), "rounding divisor"),
            minimum=_integer(rounding.get("minimum"), "rounding minimum"),
        ),
        padding_policy=_member(PaddingPolicy, fields.get("padding_policy"), "padding_policy"),
    )
    for name, shape in network.shapes.items():
        if shape.size > MOST_VALUES:
            raise ArchitectureError(f"{name} makes {shape} values, more than the {MOST_VALUES} that are allowed")
    return network


def _encode_layer(layer: Layer) -> dict[str, Any]:
    encoded: dict[str, Any] = {"type": type(layer).__name__}
    for name, value in vars(layer).items():
        if isinstance(value, BatchNorm):
            value = {"epsilon": value.epsilon}
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, StrEnum):
            value = str(value)
        encoded[name] = value
    return encoded


def _decode_layer(data: object, number: int) -> Layer:
    fields = _mapping(data, f"layer {number}")
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in LAYER_TYPES:
        raise ArchitectureError(f"layer {number} has type {_quote(kind)}; known are {', '.join(LAYER_TYPES)}")
    layer_type = LAYER_TYPES[kind]
    readers = _FIELDS[kind]
    _refuse_others(fields, set(readers) | {"type"}, f"layer {number} ({kind})")
    missing = sorted(set(readers) - set(fields))
    if missing:
        raise ArchitectureError(f"layer {number} ({kind}) lacks {', '.join(missing)}")
    values: dict[str, Any] = {
        name: read(fields[name], f"layer {number} ({kind}) {name}") for name, read in readers.items()
    }
    return layer_type(**values)


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ArchitectureError(f"{where} must be true or false, not {_quote(value)}")
    return value


def _padding(value: object, where: str) -> Padding:
    if not isinstance(value, list) or len(value) != 4:
        raise ArchitectureError(f"{where} must be four numbers, not {_quote(value)}")
    return Padding(*(_integer(item, where) for item in value))


def _stride(value: object, where: str) -> int | tuple[int, int]:
    if not isinstance(value, list):
        return _integer(value, where)
    if len(value) != 2:
        raise ArchitectureError(f"{where} must be one integer, or two, not {_quote(value)}")
    return _integer(value[0], where), _integer(value[1], where)


def _names(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_LAYERS:
        raise ArchitectureError(f"{where} must be a list of names, not {_quote(value)}")
    return tuple(_name(item, where) for item in value)


def _batch_norm(value: object, where: str) -> BatchNorm | None:
    if value is None:
        return None
    fields = _mapping(value, where)
    _refuse_others(fields, {"epsilon"}, where)
    epsilon = _get(fields, "epsilon", (int, float), where)
    if not 0 < epsilon < LARGEST_NUMBER:
        raise ArchitectureError(f"{where}: epsilon must be above 0 and below {LARGEST_NUMBER:g}, not {_quote(epsilon)}")
    return BatchNorm(epsilon=float(epsilon))


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ArchitectureError(f"{where} must be an object, not {_quote(value)}")
    return value


def _refuse_others(fields: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ArchitectureError(f"{where} has the unknown field {_quote(unknown[0])}")


def _get(fields: Mapping[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ArchitectureError(f"{where}: {name} is missing or of the wrong type: {_quote(value)}")
    return value


def _integer(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_INTEGER:
        raise ArchitectureError(f"{where} must be an integer from 0 to {LARGEST_INTEGER}, not {_quote(value)}")
    return value


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME or not value.isprintable():
        raise ArchitectureError(f"{where} must be a name of 1 to {LONGEST_NAME} characters, not {_quote(value)}")
    return value


def _member(kind: type[Member], value: object, where: str) -> Member:
    try:
        return kind(str(value))
    except ValueError:
        raise ArchitectureError(f"{where} is {_quote(value)}; known are {', '.join(kind)}") from None


def _quote(value: object) -> str:
    """A hostile value may be as long or as deep as it likes; the message about it is short."""
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = f"a {type(value).__name__} too large to write"
    return text if len(text) <= 60 else text[:57] + "..."


_READERS: dict[str, Callable[[object, str], object]] = {
    "int": _integer,
    "int | tuple[int, int]": _stride,
    "bool": _boolean,
    "str": _name,
    "tuple[str, ...]": _names,
    "Padding": _padding,
    "Activation": partial(_member, Activation),
    "BatchNorm | None": _batch_norm,
}
"""How a field is read, by its annotation as it is written. Evaluating annotations takes longer than reading a Model."""

_FIELDS = {
    kind: {field.name: _READERS[str(field.type)] for field in dataclasses.fields(layer_type)}
    for kind, layer_type in LAYER_TYPES.items()
}
