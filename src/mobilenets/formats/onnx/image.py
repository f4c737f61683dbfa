"""Scaling of the image inside an ONNX graph: Sub, Div, Mul and Add before the first layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.affine import Affine
from mobilenets.formats.channel_order import Order, of_image
from mobilenets.formats.onnx.file import Node
from mobilenets.formats.weights import NamedTensor

OPERATORS = ("Sub", "Div", "Mul", "Add")


@dataclass
class ImageScaling:
    """What was computed of the image so far.

    Attributes:
        channels: Of the image.
        made: What each tensor that is the image, scaled, holds.
    """

    channels: int
    made: dict[str, Affine] = field(default_factory=dict)

    def scales(self, node: Node, constants: Mapping[str, NamedTensor]) -> bool:
        """Whether a node computes the image and a constant."""
        images = [tensor for tensor in node.inputs if tensor in self.made]
        return node.operator in OPERATORS and len(images) == 1 and sum(one in constants for one in node.inputs) == 1

    def read(self, node: Node, constants: Mapping[str, NamedTensor], order: Order) -> None:
        """Add such a node.

        Args:
            node: The node.
            constants: All constants by name.
            order: Of the channels of the image that it reads.

        Raises:
            FormatError: If its constant is not one number, or one for each channel, or divides by the image.
        """
        first = node.input(0) in self.made
        before, constant = self.made[node.input(0 if first else 1)], constants[node.input(1 if first else 0)]
        if constant.value.size not in (1, self.channels) or constant.value.dtype.kind not in "fiu":
            shape = constant.value.shape
            raise FormatError(f"{node.name} ({node.operator}) scales the image by numbers of shape {shape}")
        value = of_image(constant.value.astype(np.float64).ravel(), order, self.channels, node.name)
        if not np.isfinite(value).all() or (node.operator == "Div" and not value.all()):
            raise FormatError(f"{node.name} ({node.operator}) scales the image by {value.tolist()}")
        match node.operator:
            case "Sub" if first:
                result = before.plus(-value)
            case "Div" if first:
                result = before.times(1 / value)
            case "Mul":
                result = before.times(value)
            case "Add":
                result = before.plus(value)
            case _:
                raise FormatError(f"{node.name} ({node.operator}) takes the image from a constant, which no Model does")
        for output in node.outputs:
            self.made[output] = result

    def pass_on(self, node: Node) -> None:
        """A node that changes nothing but the layout, or joins channels.

        Raises:
            FormatError: If it joins what has been scaled in different ways.
        """
        found = [self.made[one] for one in node.inputs if one in self.made]
        if found and any(one is not found[0] for one in found):
            raise FormatError(
                f"{node.name} ({node.operator}) joins channels of the image that are scaled each by itself"
            )
        if found:
            self.made |= dict.fromkeys(node.outputs, found[0])

    def scaling(self, readers: Mapping[str, object]) -> Affine | None:
        """What the layers read; None where that is the image as it is.

        Args:
            readers: The tensors that layers read.

        Raises:
            FormatError: If layers read the image scaled in different ways.
        """
        read = {id(one): one for tensor, one in self.made.items() if tensor in readers}
        if len(read) > 1:
            raise FormatError("layers read the image scaled in different ways, which no Model does")
        (found,) = read.values() or (None,)
        same = found is None or (bool((found.factor == 1).all()) and not found.offset.any())
        return None if same else found
