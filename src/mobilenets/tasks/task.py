"""The contract of a task: what the outputs of a network mean.

Outputs are passed as a sequence of arrays, (N, C) or (N, C, H, W) each, in the order of
:attr:`~mobilenets.architecture.network.Network.outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.tasks.metrics import Share, decibels

Array = npt.NDArray[Any]
Outputs = Sequence[Array]


@record(frozen=True)
class Geometry:
    """The image that an input of the network was made of, and the part of it that was used.

    Attributes:
        name: What the image is called.
        size: Its width and height as decoded, in pixels; a JPEG may be decoded at a fraction of its size.
        box: Left, top, right and bottom of the part that was resized to the input, in pixels of the image. It reaches
            beyond the image where the input was padded.
        full_size: Its width and height at full size, upright; None where that is ``size``.

    >>> image = Geometry("a.jpg", size=(320, 240), box=(0, -40, 320, 280), full_size=(640, 480))
    >>> image.to_image(np.array([[0.25, 0.25, 0.5, 0.5]])).tolist()
    [[160.0, 80.0, 320.0, 240.0]]
    """

    name: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    full_size: tuple[int, int] | None = None

    def to_image(self, shares: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Boxes of the input as boxes of the image.

        Args:
            shares: (n, 4): left, top, right and bottom as shares of the input's width and height.

        Returns:
            (n, 4), in pixels of the image at full size, upright. They are not clipped to it.
        """
        left, top, right, bottom = self.box
        width, height = right - left, bottom - top
        scale = np.tile(self._scale(), 2)
        placed = shares.astype(np.float64) * (width, height, width, height) + (left, top, left, top)
        return np.asarray(placed * scale)

    def to_input(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Boxes of the image as boxes of the input: the inverse of :meth:`to_image`.

        Args:
            pixels: (n, 4): left, top, right and bottom in pixels of the image at full size, upright.

        Returns:
            (n, 4), as shares of the input's width and height.
        """
        left, top, right, bottom = self.box
        width, height = right - left, bottom - top
        decoded = pixels.astype(np.float64) / np.tile(self._scale(), 2)
        return np.asarray((decoded - (left, top, left, top)) / (width, height, width, height))

    def _scale(self) -> tuple[float, float]:
        """Pixels at full size that stand side by side, and above each other, in a pixel as decoded."""
        full = self.size if self.full_size is None else self.full_size
        return _reduction(full[0], self.size[0]), _reduction(full[1], self.size[1])


_TITLES = {"top1": "top-1", "map50_95": "mAP 50-95"}
"""What primary figures are called whose name is not their words."""


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

    @property
    def title(self) -> str:
        """What is measured, in words.

        >>> Metric("top1", 0.5, (0.4, 0.6)).title, Metric("mean_average_precision", 0.5, (0.4, 0.6)).title
        ('top-1', 'mean average precision')
        """
        return _TITLES.get(self.name, self.name.replace("_", " "))


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

    @property
    def in_words(self) -> str:
        """The primary figure for people, with what so many images can tell of it."""

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

    @classmethod
    def of(
        cls,
        same: npt.NDArray[np.bool_],
        confident: npt.NDArray[np.bool_],
        outputs: Outputs,
        expected: Outputs,
        *,
        read: int | None = None,
    ) -> Agreement:
        """Compare values, once the task has said which images are the same.

        Args:
            same: (N,), whether both say the same of an image.
            confident: (N,), whether the original is confident of it.
            outputs: Of the changed Model.
            expected: Of the original, for the same N images.
            read: How many of the outputs, from the first, the task reads; all by default.

        >>> logits, changed = np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([[3.5, 1.0], [0.0, 2.0]])
        >>> every = np.ones(2, np.bool_)
        >>> Agreement.of(every, every, [changed], [logits]).largest_difference
        0.5
        """
        pairs = [(np.asarray(one), np.asarray(other)) for one, other in zip(outputs, expected, strict=True)]
        error = sum(float(np.square(one.astype(np.float64) - other).sum()) for one, other in pairs[:read])
        signal = sum(float(np.square(other, dtype=np.float64).sum()) for _, other in pairs[:read])
        return cls(
            same=Share.of(same),
            same_where_confident=Share.of(same[confident]),
            largest_difference=max(float(np.abs(one - other).max(initial=0)) for one, other in pairs),
            largest_value=max(float(np.abs(other).max(initial=0)) for _, other in pairs),
            sqnr_db=decibels(signal, error),
        )

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
        """Names of the classes of a classifier (a channel of the first output each) or of a detector; else None."""

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


def _reduction(full: int, decoded: int) -> float:
    """Pixels that became one: a JPEG is decoded at a whole fraction, and its last pixel may stand for fewer."""
    whole = round(full / decoded)
    return float(whole) if -(-full // whole) == decoded else full / decoded
