"""The channels of an image as a graph has reordered them: networks for BGR, and channels taken one by one.

A network that was trained on blue, green and red begins by reversing the channels of its image. A Model reads red,
green and blue, so that the input channels of its first convolution are exchanged instead: the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.weights import NamedTensor

Order = tuple[int, ...]
"""Which channel of the image each channel of a tensor is; empty for the image as it is."""


def selected(order: Order, channels: int, which: Any, node: str) -> Order:
    """Some channels of an image, in another order.

    Args:
        order: Of what they are taken from.
        channels: Of the image.
        which: A slice, a number, or numbers; negative ones count from the end.
        node: What takes them.

    Raises:
        FormatError: If there is no such channel, or none is taken.

    >>> selected((), 3, slice(None, None, -1), "flip"), selected((2, 1, 0), 3, [2, 1, 0], "gather")
    ((2, 1, 0), ())
    """
    held = np.array(order or range(channels))
    try:
        taken = np.atleast_1d(held[which if isinstance(which, slice) else np.asarray(which, np.int64)])
    except (IndexError, ValueError, TypeError, OverflowError):
        raise FormatError(f"{node} takes channels {which!s:.60} of {len(held)}") from None
    if taken.ndim != 1 or taken.size == 0:
        raise FormatError(f"{node} takes channels {which!s:.60} of {len(held)}")
    return _written(taken.tolist(), channels)


def joined(orders: Sequence[Order], channels: int) -> Order | None:
    """The order of tensors of an image's channels that are put behind each other; None if one comes twice."""
    together = [channel for order in orders for channel in order or range(channels)]
    return _written(together, channels) if len(set(together)) == len(together) else None


def of_image(values: Any, order: Order, channels: int, node: str) -> Any:
    """Numbers for the channels of a tensor as numbers for those of the image.

    Args:
        values: One for all channels, or one each.
        order: Of the tensor.
        channels: Of the image.
        node: What has them.

    Raises:
        FormatError: If the tensor does not have all channels of the image: the others stay as they are.
    """
    values = np.asarray(values)
    if not order:
        return values
    if len(order) != channels:
        raise FormatError(f"{node} scales some channels of the image only; scale the whole image")
    if values.size != channels:
        return values
    made = np.empty_like(values.reshape(-1))
    made[list(order)] = values.reshape(-1)
    return made.reshape(values.shape)


def exchanged(weight: NamedTensor, order: Order, channels: int, groups: int, node: str) -> NamedTensor:
    """The weight of a convolution for the image as it is.

    Args:
        weight: (out, in / groups, kernel, kernel), for the image's channels in another order.
        order: That order.
        channels: Of the image.
        groups: Of the convolution.
        node: Its name in the file.

    Raises:
        FormatError: If it does not read all channels at once.
    """
    if not order:
        return weight
    if groups != 1 or len(order) != channels or weight.value.shape[1] != channels:
        raise FormatError(f"{node} reads some channels of the image only, or each by itself in another order")
    return replace(weight, value=np.ascontiguousarray(weight.value[:, np.argsort(order)]))


def _written(order: list[int], channels: int) -> Order:
    return () if order == list(range(channels)) else tuple(order)
