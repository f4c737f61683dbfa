"""Which channels of the image the operators of a Keras model take: ``x[..., ::-1]``, ``flip``, ``take``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobilenets.errors import FormatError
from mobilenets.formats.keras.config import KerasCall

_SLICED = ("GetItem", "__operators__.getitem", "getitem")
_REVERSED = ("Flip", "flip", "reverse")
_TAKEN = ("Take", "take", "gather", "compat.v1.gather")
CHANNEL_OPERATORS = frozenset((*_SLICED, *_REVERSED, *_TAKEN))
_AXES = (-1, 3)
_ALL: tuple[Any, ...] = (None, 0)


def keras_channels(call: KerasCall) -> slice | int | list[int]:
    """Which channels of an image a call takes.

    Raises:
        FormatError: If it takes something along another axis.
    """
    constants = [*call.constants, *(call.keywords[key] for key in ("slice_spec", "indices") if key in call.keywords)]
    axis = call.config.get("axis", call.keywords.get("axis"))
    axes = axis if isinstance(axis, list) else [axis]
    if call.kind in _REVERSED and len(axes) == 1 and axes[0] in _AXES:
        return slice(None, None, -1)
    if call.kind in _TAKEN and len(axes) == 1 and axes[0] in _AXES and len(constants) == 1:
        return constants[0]  # type: ignore[no-any-return]
    if call.kind in _SLICED and len(constants) == 1 and isinstance(constants[0], list) and constants[0]:
        *others, last = constants[0]
        if all(_is_all(one) for one in others) and (len(others) == 3 or any(map(_is_ellipsis, others))):
            return _part(call, last)
    raise FormatError(f"layer {call.name!r} ({call.kind}) turns or cuts what it reads, which no Model does")


def _is_ellipsis(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("class_name") == "__ellipsis__"


def _bounds(part: Any) -> tuple[Any, Any, Any] | None:
    """Start, stop and step of a slice, as Keras 3 and 2 write it."""
    config = part.get("config", part) if isinstance(part, Mapping) else None
    if not isinstance(config, Mapping) or not {"start", "stop", "step"} <= config.keys():
        return None
    return config["start"], config["stop"], config["step"]


def _is_all(part: Any) -> bool:
    """Whether a part of an index takes a whole axis."""
    bounds = _bounds(part)
    whole = bounds is not None and bounds[0] in _ALL and bounds[1] is None and bounds[2] in (None, 1)
    return whole or _is_ellipsis(part)


def _part(call: KerasCall, part: Any) -> slice | int:
    bounds = _bounds(part)
    numbers = (part,) if bounds is None else bounds
    if not all(number is None or type(number) is int for number in numbers) or numbers == (None,):
        raise FormatError(
            f"layer {call.name!r} ({call.kind}) takes {part!s:.60}, which is no part of an image's channels"
        )
    return int(part) if bounds is None else slice(*bounds)
