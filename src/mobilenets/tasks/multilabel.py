"""Several labels an image: the first output holds a logit for each label, with a threshold of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_number
from mobilenets.base.text import plural
from mobilenets.errors import ModelError
from mobilenets.tasks.classification import class_count
from mobilenets.tasks.labels import check_labels
from mobilenets.tasks.logits import logits_of
from mobilenets.tasks.metrics import Counts
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics, best_threshold
from mobilenets.tasks.task import Agreement, Array, Geometry, Outputs

THRESHOLD = 0.5
"""The probability from which on an image is given a label, where nothing was chosen."""
OTHER_COLUMNS = ("image", "labels", "error")
"""Columns of a table of predictions beside those of the probabilities."""
CONFIDENT = 0.25
"""How far the probability of every label must be from its threshold for an answer to be called confident."""


@dataclass(frozen=True)
class LabelsPrediction:
    """The labels of one image.

    Attributes:
        name: What the image is called.
        labels: The labels whose probability reaches their threshold, with it, likeliest first; there may be none.
        probabilities: Every label with its probability, in the Model's order.
    """

    name: str
    labels: tuple[tuple[str, float], ...]
    probabilities: tuple[tuple[str, float], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that the image is given."""
        return tuple(label for label, _ in self.labels)

    @property
    def summary(self) -> str:
        """The labels of the image with their probabilities in percent, or the likeliest where it is given none."""
        if self.labels:
            return "  ".join(f"{label} {100 * probability:.1f} %" for label, probability in self.labels)
        label, probability = max(self.probabilities, key=lambda one: one[1])
        return f"none (likeliest {label} {100 * probability:.1f} %)"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        labels = [{"label": label, "probability": probability} for label, probability in self.labels]
        return {"image": self.name, "labels": labels, "probabilities": dict(self.probabilities)}

    def to_row(self) -> dict[str, Any]:
        """One row of a table: the labels that the image is given, and a column for the probability of each label."""
        return labels_row(self.to_json())


@dataclass(frozen=True)
class MultiLabel:
    """Several labels an image, or none: the first output of the network holds one logit per label.

    Attributes:
        labels: Name of each label, in the order of the logits.
        thresholds: The probability from which on an image is given each label; empty for one half each.

    Raises:
        ModelError: If there are no labels, one cannot be printed, or the thresholds are no probabilities.

    >>> MultiLabel(("red", "round")).description
    'tagger of images with 2 labels'
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_labels(self.labels)
        if not self.labels:
            raise ModelError("labels must be a tuple of strings, at least one, not ()")
        if not isinstance(self.thresholds, tuple) or len(self.thresholds) not in (0, len(self.labels)):
            raise ModelError(f"{len(self.labels)} labels need as many thresholds or none, not {self.thresholds!r:.80}")
        for threshold in self.thresholds:
            if not is_number(threshold) or not 0 <= threshold <= 1:
                raise ModelError(f"a threshold must be a probability, from 0 to 1, not {threshold!r:.40}")

    @property
    def kind(self) -> str:
        """``multilabel``."""
        return "multilabel"

    @property
    def description(self) -> str:
        """``tagger of images with … labels``."""
        return f"tagger of images with {plural(len(self.labels), 'label')}"

    @property
    def compared_by(self) -> str:
        """``labels``."""
        return "labels"

    @property
    def all_thresholds(self) -> tuple[float, ...]:
        """The threshold of every label."""
        return self.thresholds or (THRESHOLD,) * len(self.labels)

    def with_threshold(self, threshold: float) -> MultiLabel:
        """The same task with one threshold for all labels.

        Args:
            threshold: A probability, from 0 to 1.

        Raises:
            ModelError: If it is none.

        >>> MultiLabel(("red", "round")).with_threshold(0.9).all_thresholds
        (0.9, 0.9)
        """
        return replace(self, thresholds=(threshold,) * len(self.labels))

    def check(self, network: Network) -> None:
        """Raise if a network does not give one value for each label.

        Args:
            network: The network.

        Raises:
            ModelError: If the first output is a map, or the number of labels is another.
        """
        channels = class_count(network)
        if len(self.labels) != channels:
            raise ModelError(f"{len(self.labels)} labels for a network of {channels} outputs")

    def probabilities(self, outputs: Outputs) -> npt.NDArray[np.float64]:
        """Probability of every label, float64 (N, labels): the sigmoid of the logits.

        Args:
            outputs: The first holds the logits, (N, labels).
        """
        return sigmoid(logits_of(outputs))

    def decode(self, outputs: Outputs, geometry: Sequence[Geometry], *, top: int = 5) -> tuple[LabelsPrediction, ...]:
        """Find the labels of each image.

        Args:
            outputs: The first holds the logits, (N, labels).
            geometry: The N images.
            top: Says nothing here: an image is given all labels that reach their thresholds.
        """
        return tuple(
            self._prediction(image.name, row)
            for image, row in zip(geometry, self.probabilities(outputs).tolist(), strict=True)
        )

    def _prediction(self, name: str, row: Sequence[float]) -> LabelsPrediction:
        pairs = tuple(zip(self.labels, row, strict=True))
        given = [pair for pair, least in zip(pairs, self.all_thresholds, strict=True) if pair[1] >= least]
        return LabelsPrediction(name, tuple(sorted(given, key=lambda pair: -pair[1])), pairs)

    def metrics(self, outputs: Outputs, targets: Counts, *, skipped: Sequence[str] = ()) -> MultiLabelMetrics:
        """Compare logits with the right labels.

        Args:
            outputs: The first holds the logits, (N, labels).
            targets: int64 (N, labels), 1 where an image has a label and 0 where it has not.
            skipped: Names of images that could not be decoded.

        Raises:
            DataError: If there are no images, or the targets are of another shape.
        """
        return MultiLabelMetrics.of(self.probabilities(outputs), targets, self.labels, self.all_thresholds, skipped)

    def read_metrics(self, data: Mapping[str, Any]) -> MultiLabelMetrics:
        """What the metrics' ``to_json`` wrote.

        Args:
            data: JSON values.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        return MultiLabelMetrics.from_json(data)

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the labels that images are given.

        Args:
            outputs: Of the changed Model, for N images.
            expected: Of the original, for the same images.
        """
        found, wanted = self.probabilities(outputs), self.probabilities(expected)
        limits = np.array(self.all_thresholds)
        same = ((found >= limits) == (wanted >= limits)).all(axis=1)
        confident = (np.abs(wanted - limits) >= CONFIDENT).all(axis=1)
        return Agreement.of(same, confident, outputs, expected, read=1)

    def encode(self) -> dict[str, Any]:
        """JSON-ready values; thresholds of one half are left out."""
        thresholds = {"thresholds": list(self.thresholds)} if self.thresholds else {}
        return {"kind": self.kind, "labels": list(self.labels), **thresholds}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> MultiLabel:
        """What :meth:`encode` wrote.

        Args:
            data: JSON values.

        Raises:
            ModelError: If it is something else.
        """
        if set(data) - {"thresholds"} != {"kind", "labels"}:
            raise ModelError("a multilabel task must hold kind and labels, and may hold thresholds")
        labels, thresholds = data["labels"], data.get("thresholds", [])
        if not isinstance(labels, list) or not isinstance(thresholds, list):
            raise ModelError("labels and thresholds must be lists")
        return MultiLabel(tuple(labels), tuple(thresholds))


def probability_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of a table that hold the probability of each label: the label itself, where it may be.

    >>> probability_columns(("cat", "image"))
    ('cat', 'probability of image')
    """
    taken = {*OTHER_COLUMNS, *labels}
    found: list[str] = []
    for label in labels:
        name = label
        while name in OTHER_COLUMNS or (name != label and name in taken):
            name = f"probability of {name}"
        found.append(name)
    return tuple(found)


def labels_row(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a table: the labels that the image is given, and a column for the probability of each label.

    Args:
        prediction: What :meth:`LabelsPrediction.to_json` gives.

    >>> given, every = [{"label": "cat", "probability": 0.9}], {"cat": 0.9, "dog": 0.2}
    >>> labels_row({"image": "a.png", "labels": given, "probabilities": every})
    {'image': 'a.png', 'labels': 'cat', 'cat': 0.9, 'dog': 0.2}
    """
    every = prediction["probabilities"]
    return {
        "image": prediction["image"],
        "labels": ";".join(one["label"] for one in prediction["labels"]),
        **dict(zip(probability_columns(tuple(every)), every.values(), strict=True)),
    }


def sigmoid(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities of logits, each by itself.

    >>> sigmoid(np.array([0.0, 800.0, -800.0])).tolist()
    [0.5, 1.0, 0.0]
    """
    values = logits.astype(np.float64)
    powers = np.exp(-np.abs(values))
    found: npt.NDArray[np.float64] = np.where(values >= 0, 1.0, powers) / (1 + powers)
    return found


def fit_thresholds(logits: Array, targets: Counts) -> tuple[float, ...]:
    """The thresholds by which some images are given their labels best: with the largest F1 for each label.

    Args:
        logits: (N, labels), of images that the network was not trained on.
        targets: int64 (N, labels), 0 or 1.

    Returns:
        A probability for each label; one half where all images have it, or none has.

    >>> fit_thresholds(np.array([[2.0], [-1.0], [-3.0]]), np.array([[1], [1], [0]]))
    (0.158184,)
    """
    scores, truth = sigmoid(logits), targets > 0
    found = [best_threshold(scores[:, label], truth[:, label]) for label in range(scores.shape[1])]
    return tuple(THRESHOLD if one is None else float(f"{one:.6g}") for one in found)
