"""Features: numbers that describe an image, for other programs to compare, cluster or learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_integer
from mobilenets.base.text import plural
from mobilenets.errors import EngineError, ModelError
from mobilenets.tasks.task import Agreement, Geometry, Metrics, Outputs

SAME_COSINE = 0.999
"""Features of one image whose cosine is at least that are called the same."""
SHOWN = 3
"""Numbers of an image that are shown to people."""


@dataclass(frozen=True, eq=False)
class FeaturePrediction:
    """The features of one image.

    Attributes:
        name: What the image is called.
        values: float32, (C,), or (C, H, W) of a layer that gives a map.
    """

    name: str
    values: npt.NDArray[np.float32]

    @property
    def summary(self) -> str:
        """How many there are, and the first ones."""
        first = " ".join(f"{value:.3g}" for value in self.values.reshape(-1)[:SHOWN])
        return f"{self.values.size} features: {first}{' …' * (self.values.size > SHOWN)}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"image": self.name, "features": self.values.tolist()}


@dataclass(frozen=True)
class Features:
    """The first output describes the image; there is no right answer to it.

    Attributes:
        layer: Name of the layer that gives them.
        shape: Channels, height and width of what it gives.

    >>> Features("pool", (256, 1, 1)).description
    'features, 256 numbers an image'
    """

    layer: str
    shape: tuple[int, int, int]

    @property
    def kind(self) -> str:
        """``features``."""
        return "features"

    @property
    def description(self) -> str:
        """``features, … numbers an image``."""
        return f"features, {plural(math.prod(self.shape), 'number')} an image"

    @property
    def compared_by(self) -> str:
        """``direction``."""
        return "direction"

    @property
    def labels(self) -> None:
        """None: features have no names."""
        return None

    def check(self, network: Network) -> None:
        """Raise if the first output is not that layer's.

        Raises:
            ModelError: If it is another layer, or has another shape.
        """
        output = network.outputs[0]
        if output != self.layer or tuple(network.shapes[output]) != tuple(self.shape):
            raise ModelError(
                f"the features are those of {self.layer}, {self.shape}; the first output of {network.name} "
                f"is {output}, {tuple(network.shapes[output])}"
            )

    def decode(self, outputs: Outputs, geometry: Sequence[Geometry], *, top: int = 5) -> tuple[FeaturePrediction, ...]:
        """The features of each image; ``top`` says nothing about them."""
        return tuple(FeaturePrediction(image.name, one) for image, one in zip(geometry, outputs[0], strict=True))

    def metrics(self, outputs: Outputs, targets: Any, *, skipped: Sequence[str] = ()) -> Metrics:
        """Refuse: features are neither right nor wrong.

        Raises:
            EngineError: Always.
        """
        raise EngineError("features are neither right nor wrong; evaluate the Model that they were taken from")

    def read_metrics(self, data: Mapping[str, Any]) -> Metrics:
        """Refuse: features have no metrics.

        Raises:
            EngineError: Always.
        """
        raise EngineError("features are neither right nor wrong, so they have no metrics")

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the directions of the features: the same where their cosine is at least 0.999."""
        found, wanted = (one[0].reshape(len(one[0]), -1).astype(np.float64) for one in (outputs, expected))
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
        products = (found * wanted).sum(axis=1)
        same: npt.NDArray[np.bool_] = (products >= SAME_COSINE * lengths) | (found == wanted).all(axis=1)
        return Agreement.of(same, same, outputs, expected, read=1)

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"kind": self.kind, "layer": self.layer, "shape": list(self.shape)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Features:
        """What :meth:`encode` wrote.

        Raises:
            ModelError: If it is something else.
        """
        if set(data) != {"kind", "layer", "shape"} or not isinstance(data["layer"], str):
            raise ModelError("a features task must hold kind, layer and shape")
        shape = data["shape"]
        if not isinstance(shape, list) or len(shape) != 3 or not all(is_integer(size) for size in shape):
            raise ModelError(f"the shape of features must be three integers, not {shape!r:.60}")
        return Features(data["layer"], (shape[0], shape[1], shape[2]))
