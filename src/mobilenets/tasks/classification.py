"""Classification: the first output holds one logit per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_number
from mobilenets.base.records import record
from mobilenets.base.text import GAP, percent
from mobilenets.errors import DataError, EngineError, ModelError
from mobilenets.tasks.labels import check_labels
from mobilenets.tasks.logits import best_class, is_confident, likeliest, logits_of, softmax
from mobilenets.tasks.metrics import Counts, confusion_matrix, reliability
from mobilenets.tasks.task import Agreement, Array, Geometry, Outputs, Task
from mobilenets.tasks.temperature import fit_temperature
from mobilenets.tasks.unknown import UNKNOWN_LABEL, UnknownThreshold, energy, unknown_threshold

if TYPE_CHECKING:
    from mobilenets.tasks.classification_metrics import ClassificationMetrics

LARGEST_NUMBER = 1e6
"""What no temperature reaches."""
SHOWN_LABELS = 3
"""Labels that the representation of a task shows."""


@record(frozen=True)
class ClassPrediction:
    """The likeliest classes of one image.

    Attributes:
        name: What the image is called.
        labels: The likeliest labels with their probabilities, likeliest first.
        unknown: Whether the image is taken for one of no known class; None where that was not asked.
    """

    name: str
    labels: tuple[tuple[str, float], ...]
    unknown: bool | None = None

    def __repr__(self) -> str:
        labels = ", ".join(f"{label} {percent(probability).replace(GAP, ' ')}" for label, probability in self.labels)
        return f"ClassPrediction({self.name!r}: {f'unknown, {labels}' if self.unknown else labels})"

    @property
    def label(self) -> str:
        """The likeliest label, or ``"unknown"``."""
        return UNKNOWN_LABEL if self.unknown else self.labels[0][0]

    @property
    def probability(self) -> float:
        """Probability of the likeliest label."""
        return self.labels[0][1]

    @property
    def summary(self) -> str:
        """The labels with their probabilities in percent, likeliest first."""
        labels = "  ".join(f"{label} {100 * probability:.1f} %" for label, probability in self.labels)
        return f"{UNKNOWN_LABEL} ({labels})" if self.unknown else labels

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values; ``unknown`` is among them where it was asked."""
        labels = [{"label": label, "probability": probability} for label, probability in self.labels]
        asked = {} if self.unknown is None else {"unknown": self.unknown}
        return {"image": self.name, **asked, "labels": labels}


@record(frozen=True)
class Classification:
    """One label per image: the first output of the network holds one logit per class.

    Attributes:
        labels: Name of each class, in the order of the logits.
        temperature: What logits are divided by before the softmax makes probabilities of them; see
            :func:`~mobilenets.tasks.temperature.fit_temperature`. It changes no answer, only how sure it is said to be.
        unknown: What tells images of no known class; None where nothing was set.

    Raises:
        ModelError: If there are no labels, one cannot be printed, or the temperature is not
            above 0.

    >>> Classification(("cat", "dog")).description
    'image classifier over 2 classes'
    """

    labels: tuple[str, ...]
    temperature: float = 1.0
    unknown: UnknownThreshold | None = None

    def __repr__(self) -> str:
        shown = ", ".join(repr(label) for label in self.labels[:SHOWN_LABELS])
        return f"Classification({len(self.labels)} labels: {shown}{' …' * (len(self.labels) > SHOWN_LABELS)})"

    def __post_init__(self) -> None:
        if not is_number(self.temperature) or not 0 < self.temperature < LARGEST_NUMBER:
            raise ModelError(f"a temperature must be a number above 0, not {self.temperature!r:.40}")
        if self.unknown is not None and not isinstance(self.unknown, UnknownThreshold):
            raise ModelError(f"unknown must be an UnknownThreshold or None, not {self.unknown!r:.40}")
        check_labels(self.labels)

    @staticmethod
    def numbered(network: Network) -> Classification:
        """Classification for a network whose classes have no names: their numbers are their labels.

        Args:
            network: Its first output holds one logit per class.

        Raises:
            ModelError: If that output is a map.
        """
        return Classification(numbered_labels(class_count(network)))

    @property
    def kind(self) -> str:
        """``classification``."""
        return "classification"

    @property
    def description(self) -> str:
        """``image classifier over … classes``."""
        return f"image classifier over {len(self.labels)} classes"

    @property
    def compared_by(self) -> str:
        """``top-1``."""
        return "top-1"

    @property
    def is_numbered(self) -> bool:
        """Whether the labels are just the numbers of the classes."""
        return self.labels == numbered_labels(len(self.labels))

    def check(self, network: Network) -> None:
        """Raise if a network is no classifier over these labels.

        Args:
            network: The network.

        Raises:
            ModelError: If the first output is a map, or the number of labels is not the number of classes.
        """
        classes = class_count(network)
        if len(self.labels) != classes:
            raise ModelError(f"{len(self.labels)} labels for a network of {classes} classes")

    def decode(
        self,
        outputs: Outputs,
        geometry: Sequence[Geometry],
        *,
        top: int = 5,
        unknown: bool = False,
        threshold: float | None = None,
    ) -> tuple[ClassPrediction, ...]:
        """Find the likeliest classes.

        Args:
            outputs: The first holds the logits, (N, classes).
            geometry: The N images.
            top: Number of classes per image.
            unknown: Answer ``"unknown"`` where an image is of no known class, by the Model's own threshold.
            threshold: Answer so, too, where the likeliest class has less than this probability.

        Raises:
            EngineError: If ``unknown`` is asked of a task without such a threshold.
        """
        predictions = tuple(
            ClassPrediction(image.name, self._likeliest(logits, top))
            for image, logits in zip(geometry, logits_of(outputs), strict=True)
        )
        if not unknown and threshold is None:
            return predictions
        outside = self.is_unknown(logits_of(outputs)) if unknown else np.zeros(len(predictions), np.bool_)
        return tuple(
            replace(one, unknown=bool(strange) or (threshold is not None and one.probability < threshold))
            for one, strange in zip(predictions, outside, strict=True)
        )

    def is_unknown(self, logits: Array) -> npt.NDArray[np.bool_]:
        """Whether images are of no known class, (N,).

        Args:
            logits: (N, classes).

        Raises:
            EngineError: If the task has no threshold.
        """
        below: npt.NDArray[np.bool_] = energy(logits) < self.check_unknown().energy
        return below

    def check_unknown(self) -> UnknownThreshold:
        """The threshold of unknown images.

        Raises:
            EngineError: If the task has none.
        """
        if self.unknown is None:
            raise EngineError(
                "the Model has no threshold that tells unknown images; mobilenets calibrate MODEL DATA adds one"
            )
        return self.unknown

    def _likeliest(self, logits: Array, top: int) -> tuple[tuple[str, float], ...]:
        probabilities = softmax(logits / self.temperature)
        order = [probabilities.argmax()] if top == 1 else likeliest(probabilities, top)  # sorting takes far longer
        return tuple((self.labels[index], float(probabilities[index])) for index in order)

    def metrics(self, outputs: Outputs, targets: Counts, *, skipped: Sequence[str] = ()) -> ClassificationMetrics:
        """Compare logits with the right classes.

        Args:
            outputs: The first holds the logits, (N, classes).
            targets: int64 (N,), the right class of each image.
            skipped: Names of images that could not be decoded.

        Raises:
            DataError: If there are no images.
        """
        from mobilenets.tasks.classification_metrics import ClassificationMetrics

        if len(targets) == 0:
            raise DataError("there are no images to evaluate on")
        logits = logits_of(outputs)
        best = best_class(logits)
        confusion = confusion_matrix(targets, best, len(self.labels))
        among_five = (likeliest(logits, 5) == targets[:, None]).any(axis=1)
        bins = reliability(softmax(logits / self.temperature).max(axis=-1), best == targets)
        unknown = None
        if self.unknown is not None:
            strange = self.is_unknown(logits)
            unknown = int(strange.sum()), int((strange & (best != targets)).sum())
        return ClassificationMetrics(self.labels, confusion, int(among_five.sum()), tuple(skipped), bins, unknown)

    def read_metrics(self, data: Mapping[str, Any]) -> ClassificationMetrics:
        """Read what :meth:`ClassificationMetrics.to_json` wrote.

        Args:
            data: JSON values.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        from mobilenets.tasks.classification_metrics import ClassificationMetrics

        return ClassificationMetrics.from_json(data)

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the likeliest classes and the logits; the difference is the largest of all outputs.

        Args:
            outputs: Outputs of the changed Model, the logits (N, classes) first.
            expected: Outputs of the original for the same images.
        """
        found, wanted = logits_of(outputs), logits_of(expected)
        same = best_class(found) == best_class(wanted)
        return Agreement.of(same, is_confident(wanted / self.temperature), outputs, expected, read=1)

    def encode(self) -> dict[str, Any]:
        """JSON-ready values; a temperature of 1 is left out, and so is a threshold that is not there."""
        temperature = {} if self.temperature == 1 else {"temperature": self.temperature}
        unknown = {} if self.unknown is None else {"unknown": self.unknown.encode()}
        return {"kind": self.kind, "labels": list(self.labels), **temperature, **unknown}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Classification:
        """Read what :meth:`encode` wrote.

        Args:
            data: JSON values.

        Raises:
            ModelError: If it is something else.
        """
        if set(data) - {"temperature", "unknown"} != {"kind", "labels"}:
            raise ModelError("a classification task must hold kind and labels, and may hold a temperature and unknown")
        labels = data["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ModelError("labels must be a list of strings")
        unknown = UnknownThreshold.from_json(data["unknown"]) if "unknown" in data else None
        return Classification(tuple(labels), data.get("temperature", 1.0), unknown)


def calibrated(task: Classification, logits: Array, targets: Counts) -> Classification:
    """The task with a temperature, and with a threshold of unknown images where there are enough images to set one.

    Args:
        task: What the logits mean.
        logits: (N, classes), of images that the network was not trained on.
        targets: int64 (N,), their classes.

    Raises:
        DataError: If there are no images.
    """
    return replace(task, temperature=fit_temperature(logits, targets), unknown=unknown_threshold(logits))


def with_labels(task: Task, labels: tuple[str, ...]) -> Classification:
    """Classification over other labels; of a classifier, at its temperature and with its threshold of unknown images.

    Raises:
        ModelError: As :class:`Classification`.
    """
    return replace(task, labels=labels) if isinstance(task, Classification) else Classification(labels)


def class_count(network: Network) -> int:
    """Number of classes of a classifier: channels of its first output.

    Raises:
        ModelError: If that output is a map: it has more than one value per channel.
    """
    output = network.outputs[0]
    shape = network.shapes[output]
    if (shape.height, shape.width) != (1, 1):
        raise ModelError(
            f"the first output of a classifier holds one logit per class; that of {network.name}, {output}, "
            f"is a map of {shape}"
        )
    return shape.channels


def numbered_labels(classes: int) -> tuple[str, ...]:
    """Labels for classes without names.

    >>> numbered_labels(3)
    ('0', '1', '2')
    """
    return tuple(str(index) for index in range(classes))


def with_unknown_energy(task: Task, energy: float | None) -> Task:
    """A classifier that answers unknown below another energy, or never; other tasks as they are.

    Args:
        task: The task.
        energy: The threshold, or None for none. A classifier without a threshold gets none.
    """
    if not isinstance(task, Classification) or task.unknown is None:
        return task
    return replace(task, unknown=None if energy is None else replace(task.unknown, energy=energy))
