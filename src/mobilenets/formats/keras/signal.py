"""What a tensor of a Keras model stands for while its network is built, and what waits to be folded into a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.formats.graph import Value

Factors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChannelAffine:
    """``x · scale + shift`` per channel, which the next layer with weights takes in.

    Attributes:
        scale: float64 (channels,).
        shift: Likewise.
    """

    scale: Factors
    shift: Factors

    def then(self, scale: Factors, shift: Factors) -> ChannelAffine:
        """This, and then another."""
        return ChannelAffine(self.scale * scale, self.shift * scale + shift)

    def same_as(self, other: ChannelAffine) -> bool:
        """Whether both compute the same."""
        return np.allclose(self.scale, other.scale, rtol=1e-6) and np.allclose(self.shift, other.shift, atol=1e-6)

    @staticmethod
    def nothing(channels: int) -> ChannelAffine:
        """The one that changes nothing."""
        return ChannelAffine(np.ones(channels), np.zeros(channels))


@dataclass(frozen=True)
class Signal:
    """A tensor of the model.

    Attributes:
        value: The layer that makes it.
        affine: What is still to be done to it.
        flat: Whether Keras has made one axis of its rows, columns and channels, in this order.
        ending: ``softmax`` or ``sigmoid`` where that has been applied: it must leave the model.
        maker: Name of the Keras layer that made it.
    """

    value: Value
    affine: ChannelAffine | None = None
    flat: bool = False
    ending: str = ""
    maker: str = ""
