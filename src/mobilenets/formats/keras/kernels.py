"""Kernels and statistics of Keras layers, in PyTorch's layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, Shape
from mobilenets.errors import FormatError
from mobilenets.formats.keras.config import KerasCall
from mobilenets.formats.weights import NamedTensor

_STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


class LayerVariables:
    """Variables of one layer, by the names that its class gives them.

    Args:
        call: The layer.
        found: By the last part of their paths: the name, or in archives the number.
    """

    def __init__(self, call: KerasCall, found: Mapping[str, NamedTensor]) -> None:
        self._call, self._found = call, found

    def get(self, number: int, *names: str) -> NamedTensor | None:
        """A variable by its number or one of its names; None where the file has none."""
        for name in (*names, str(number)):
            if name in self._found:
                return self._found[name]
        return None

    def need(self, number: int, *names: str) -> NamedTensor:
        """A variable.

        Raises:
            FormatError: If the file has none.
        """
        found = self.get(number, *names)
        if found is None:
            raise FormatError(f"the file holds no {names[0]} of the {self._call.kind} {self._call.name!r}")
        return found

    def bias(self, number: int = 1) -> NamedTensor | None:
        """The bias of a layer that has one."""
        return self.need(number, "bias") if self._call.config.get("use_bias", True) else None

    def statistics(self) -> dict[str, NamedTensor]:
        """γ, β, mean and variance of a batch norm; a γ or β that it was made without is written out."""
        config, found, number = self._call.config, {}, 0
        for name, ours in zip(_STATISTICS, BATCH_NORM_TENSORS, strict=True):
            if not config.get({"gamma": "scale", "beta": "center"}.get(name, ""), True):
                continue
            found[ours] = self.need(number, name)
            number += 1
        mean = found["running_mean"].value
        for ours, value in (("weight", 1.0), ("bias", 0.0)):
            if ours not in found:
                found[ours] = NamedTensor(f"{self._call.name}.{ours}", np.full(mean.shape, value, np.float32))
        if any(part.value.shape != mean.shape or mean.ndim != 1 for part in found.values()):
            raise FormatError(f"{found['running_mean'].source} has shape {mean.shape}; γ, β and variance differ")
        if mean.size and found["running_var"].value.min() < 0:
            raise FormatError(f"{found['running_var'].source} holds a negative variance")
        return {ours: found[ours] for ours in BATCH_NORM_TENSORS}


def convolution_kernel(found: NamedTensor) -> NamedTensor:
    """From (height, width, in, out) to (out, in, height, width)."""
    return replace(found, value=np.transpose(_four(found), (3, 2, 0, 1)))


def depthwise_kernel(found: NamedTensor) -> NamedTensor:
    """From (height, width, in, multiplier) to (in · multiplier, 1, height, width)."""
    height, width, channels, multiplier = _four(found).shape
    value = np.transpose(found.value, (2, 3, 0, 1)).reshape(channels * multiplier, 1, height, width)
    return replace(found, value=value)


def dense_kernel(found: NamedTensor, shape: Shape, *, flat: bool) -> NamedTensor:
    """From (in, out) to (out, in), the inputs in the order of channel, row, column where Keras flattened a map.

    Args:
        found: The kernel.
        shape: What the layer reads.
        flat: Whether it reads the whole map as one vector.
    """
    if found.value.ndim != 2:
        raise FormatError(f"{found.source} has shape {found.value.shape}; a Dense layer has (in, out)")
    inputs = shape.size if flat else shape.channels
    if found.value.shape[0] != inputs:
        raise FormatError(
            f"{found.source} has shape {found.value.shape}; the {shape} that it reads is {inputs} numbers"
        )
    value = found.value
    if flat:
        value = value.reshape(shape.height, shape.width, shape.channels, -1).transpose(2, 0, 1, 3).reshape(inputs, -1)
    return replace(found, value=value.T)


def square(config: Mapping[str, Any], key: str, name: str) -> int:
    """A window's side or stride, which must be the same in both directions."""
    value = config[key]
    sides = [value, value] if isinstance(value, int) else list(value)
    if len(sides) != 2 or sides[0] != sides[1] or not isinstance(sides[0], int) or not 0 < sides[0] <= 1024:
        raise FormatError(f"layer {name!r} has {key} {value!r}; it must be the same in both directions")
    return sides[0]


def _four(found: NamedTensor) -> Any:
    if found.value.ndim != 4:
        raise FormatError(f"{found.source} has shape {found.value.shape}; a convolution's kernel has 4 axes")
    return found.value
