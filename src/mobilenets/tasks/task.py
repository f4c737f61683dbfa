"""The contract of a task: what the outputs of a network mean.

Outputs are passed as a sequence of arrays, (N, C) or (N, C, H, W) each, in the order of
:attr:`~mobilenets.architecture.network.Network.outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.tasks.metrics import Share

Array = npt.NDArray[Any]
Outputs = Sequence[Array]


@record(frozen=True)
class Geometry:
    """The image that an input of the network was made of, and the part of it that was used.

    Attributes:
        name: What the image is called.
        size: Its width and height as decoded, in pixels; a JPEG may be decoded at a fraction of its size.
        box: Left, top, right and bottom of the part that was resized to the input, in pixels of the image.
    """

    name: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]


@record(frozen=True)
class Metric:
    """A figure with its 95 % confidence interval.

    Attributes:
        name: What is measured, such as ``top1``.
        value: From 0 to 1; more is better.
        interval: Lower and upper end.
    """

    name: str
    value: float
    interval: tuple[float, float]


class Prediction(Protocol):
    """What a Model says of one image."""

    @property
    def name(self) -> str:
        """What the image is called."""

    @property
    def summary(self) -> str:
        """One line for people, without the name: ``cat 98.1 %  dog 1.2 %``."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""


class Metrics(Protocol):
    """How right a Model is on images whose answers are known."""

    @property
    def images(self) -> int:
        """Number of images."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the images that could not be decoded."""

    @property
    def primary(self) -> Metric:
        """The figure that Models of this task are compared by."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""


@record(frozen=True)
class Agreement:
    """How the outputs of a changed Model compare with those of the original.

    Attributes:
        same: Images of which both say the same.
        same_where_confident: The same, of the images of which the original is confident.
        largest_difference: Between any two values of any output.
        largest_value: Largest magnitude in the original's outputs.
        sqnr_db: Signal over error power of the outputs that the task reads, in dB.
    """

    same: Share
    same_where_confident: Share
    largest_difference: float
    largest_value: float
    sqnr_db: float

    @property
    def relative_difference(self) -> float:
        """The largest difference as a share of the largest value."""
        return self.largest_difference / max(self.largest_value, 1e-30)


class Task(Protocol):
    """What the outputs of a network mean."""

    @property
    def kind(self) -> str:
        """The tag in a Model file, such as ``classification``."""

    @property
    def description(self) -> str:
        """What a network of this task does, such as ``image classifier over 10 classes``."""

    @property
    def compared_by(self) -> str:
        """What is the same where two Models agree on an image, such as ``top-1``; see :meth:`compare`."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Name of each channel of the first output, such as the classes of a classifier; None where they have none."""

    def check(self, network: Network) -> None:
        """Raise if a network cannot do this task.

        Raises:
            ModelError: If the outputs are too few or have the wrong shape.
        """

    def decode(self, outputs: Outputs, geometry: Sequence[Geometry], *, top: int = 5) -> Sequence[Prediction]:
        """Read predictions from the outputs.

        Args:
            outputs: The network's outputs for N images.
            geometry: The N images.
            top: Largest number of results per image.

        Returns:
            One prediction per image.
        """

    def metrics(self, outputs: Outputs, targets: Any, *, skipped: Sequence[str] = ()) -> Metrics:
        """Compare the outputs with the right answers.

        Args:
            outputs: The network's outputs for N images.
            targets: The right answers; their type is the task's.
            skipped: Names of images that could not be decoded.

        Raises:
            DataError: If there are no images.
        """

    def read_metrics(self, data: Mapping[str, Any]) -> Metrics:
        """Read what :meth:`Metrics.to_json` of this task wrote.

        Args:
            data: JSON values.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the outputs of a changed Model, such as a quantized or exported one, with the original's.

        Args:
            outputs: Outputs of the changed Model for N images.
            expected: Outputs of the original for the same images.
        """

    def encode(self) -> dict[str, Any]:
        """JSON-ready values, ``kind`` among them."""
