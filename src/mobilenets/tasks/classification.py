"""Classification: the first output holds one logit per class."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import is_number
from mobilenets.base.records import record
from mobilenets.base.text import GAP, percent
from mobilenets.errors import DataError, EngineError, ModelError
from mobilenets.tasks.metrics import (
    Counts,
    ReliabilityBin,
    Share,
    confusion_matrix,
    decibels,
    expected_calibration_error,
    reliability,
)
from mobilenets.tasks.task import Agreement, Array, Geometry, Metric, Outputs, Task
from mobilenets.tasks.temperature import fit_temperature
from mobilenets.tasks.unknown import UNKNOWN_LABEL, UnknownThreshold, energy, unknown_threshold

LARGEST_NUMBER = 1e6
"""What no temperature reaches."""
CONFIDENT = 0.5
"""How far from chance to certainty the likeliest class must be to be called confident: 0.75 of two classes."""
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
class ClassMetrics:
    """Metrics of one class; None where there was nothing to divide by.

    Attributes:
        label: Name of the class.
        images: Images of the class.
        precision: Share of the images that were given this class and are of it.
        recall: Share of the images of this class that were given it.
    """

    label: str
    images: int
    precision: float | None
    recall: float | None


@record(frozen=True)
class ConfusedPair:
    """Images of one class that were given another.

    Attributes:
        truth: Their class.
        given: The class that they were given.
        share: How many of the images of their class.
    """

    truth: str
    given: str
    share: Share


@record(frozen=True, eq=False)
class ClassificationMetrics:
    """Accuracy on labeled images.

    Attributes:
        labels: Names of the classes.
        confusion: int64 (classes, classes): images of the class of the row that were given the class of the column.
        top5_correct: Images whose class is among the five likeliest.
        skipped: Names of the images that could not be decoded.
        reliability: Confidence beside accuracy; empty in figures of releases that did not compute it.
        unknown: Images that are taken for unknown, among all and among the wrong answers; None without a threshold.
    """

    labels: tuple[str, ...]
    confusion: Counts
    top5_correct: int
    skipped: tuple[str, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    unknown: tuple[int, int] | None = None

    def __repr__(self) -> str:
        share = f"top-1 {percent(self.top1)}".replace(GAP, " ") if self.images else "no images"
        return f"ClassificationMetrics({share}, {self.images} images, {len(self.labels)} classes)"

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> Share:
        """Images whose class is the likeliest."""
        return Share(int(np.trace(self.confusion)), self.images)

    @property
    def wrong(self) -> int:
        """Number of images whose class is not the likeliest."""
        return self.images - self.correct.count

    @property
    def top1(self) -> float:
        """Share of images whose class is the likeliest."""
        return self.correct.value

    @property
    def top1_interval(self) -> tuple[float, float]:
        """95 % confidence interval of top-1."""
        return self.correct.interval

    @property
    def top5(self) -> float:
        """Share of images whose class is among the five likeliest."""
        return Share(self.top5_correct, self.images).value

    @property
    def expected_calibration_error(self) -> float | None:
        """Mean distance of confidence from accuracy, from 0 to 1; None where it was not computed."""
        return expected_calibration_error(self.reliability) if self.reliability else None

    @property
    def mean_confidence(self) -> float | None:
        """Mean probability of the class that each image was given; None where it was not computed."""
        if not self.reliability:
            return None
        return sum(one.images * one.confidence for one in self.reliability) / self.images

    @property
    def called_unknown(self) -> Share | None:
        """Images of these, all of known classes, that are taken for unknown; None where the Model has no threshold."""
        return None if self.unknown is None else Share(self.unknown[0], self.images)

    @property
    def wrong_called_unknown(self) -> Share | None:
        """The same among the images whose likeliest class is the wrong one."""
        return None if self.unknown is None else Share(self.unknown[1], self.wrong)

    @property
    def primary(self) -> Metric:
        """Top-1."""
        return Metric("top1", self.top1, self.top1_interval)

    @property
    def classes(self) -> list[ClassMetrics]:
        """Metrics of every class that is among the images or the answers."""
        truth, answers, right = self.confusion.sum(axis=1), self.confusion.sum(axis=0), np.diagonal(self.confusion)
        return [
            ClassMetrics(
                label=self.labels[index],
                images=int(truth[index]),
                precision=int(right[index]) / int(answers[index]) if answers[index] else None,
                recall=int(right[index]) / int(truth[index]) if truth[index] else None,
            )
            for index in np.flatnonzero(truth + answers)
        ]

    def most_confused(self, most: int) -> list[ConfusedPair]:
        """The pairs of classes that are confused most often, of equals the first.

        Args:
            most: Largest number of pairs.
        """
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        totals = self.confusion.sum(axis=1)
        places = [divmod(int(place), len(wrong)) for place in np.argsort(-wrong, axis=None, kind="stable")[:most]]
        return [
            ConfusedPair(self.labels[row], self.labels[column], Share(int(wrong[row, column]), int(totals[row])))
            for row, column in places
            if wrong[row, column]
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values. The confusion matrix covers the classes that are listed, in their order."""
        kept = np.flatnonzero(self.confusion.sum(axis=0) + self.confusion.sum(axis=1))
        return {
            "images": self.images,
            "skipped": list(self.skipped),
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "mean_confidence": self.mean_confidence,
            "expected_calibration_error": self.expected_calibration_error,
            "reliability": [dict(vars(one)) for one in self.reliability],
            **({} if self.unknown is None else {"unknown": {"images": self.unknown[0], "wrong": self.unknown[1]}}),
            "classes": [dict(vars(one)) for one in self.classes],
            "confusion": self.confusion[np.ix_(kept, kept)].tolist(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ClassificationMetrics:
        """What :meth:`to_json` wrote.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        labels = tuple(str(row["label"]) for row in data["classes"])
        try:
            confusion = np.array(data["confusion"], np.int64)
        except OverflowError as error:
            raise ValueError(f"a confusion matrix whose counts are no integers of 64 bits: {error}") from None
        if confusion.shape != (len(labels), len(labels)) or confusion.min() < 0 or not confusion.sum():
            raise ValueError(f"a confusion matrix of shape {confusion.shape} for {len(labels)} classes")
        if not 0 <= data["top5"] <= 1:
            raise ValueError(f"a top-5 of {data['top5']!r:.40}; it must be from 0 to 1")
        top5_correct = round(data["top5"] * int(confusion.sum()))
        bins = tuple(_reliability_bin(row) for row in data.get("reliability", ()))
        unknown = (int(data["unknown"]["images"]), int(data["unknown"]["wrong"])) if "unknown" in data else None
        if unknown is not None and not 0 <= unknown[1] <= unknown[0] <= confusion.sum():
            raise ValueError(f"{unknown[0]} unknown images, {unknown[1]} of them wrong, of {confusion.sum()}")
        return ClassificationMetrics(labels, confusion, top5_correct, tuple(map(str, data["skipped"])), bins, unknown)


def _reliability_bin(data: Mapping[str, Any]) -> ReliabilityBin:
    one = ReliabilityBin(int(data["images"]), float(data["confidence"]), float(data["accuracy"]))
    if one.images < 1 or not 0 <= one.confidence <= 1 or not 0 <= one.accuracy <= 1:
        raise ValueError(f"reliability of {one.images} images, {one.confidence} sure and {one.accuracy} right")
    return one


@record(frozen=True)
class Classification:
    """One label per image: the first output of the network holds one logit per class.

    Attributes:
        labels: Name of each class, in the order of the logits.
        temperature: What logits are divided by before the softmax makes probabilities of them; see
            :func:`~mobilenets.tasks.temperature.fit_temperature`. It changes no answer, only how sure it is said to be.
        unknown: What tells images of no known class; None where nothing was set.

    Raises:
        ModelError: If there are no labels, one cannot be printed (see :func:`is_label`), or the temperature is not
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
        if not isinstance(self.labels, tuple) or not all(isinstance(label, str) for label in self.labels):
            raise ModelError(f"labels must be a tuple of strings, not {self.labels!r:.80}")
        for label in self.labels:
            if not is_label(label):
                raise ModelError(f"label {label!r:.80} holds a control character or is not Unicode text")

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
        return ClassificationMetrics.from_json(data)

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the likeliest classes and the logits; the difference is the largest of all outputs.

        Args:
            outputs: Outputs of the changed Model, the logits (N, classes) first.
            expected: Outputs of the original for the same images.
        """
        found, wanted = logits_of(outputs), logits_of(expected)
        same = best_class(found) == best_class(wanted)
        error = np.square(found.astype(np.float64) - wanted).sum()
        pairs = list(zip(outputs, expected, strict=True))
        return Agreement(
            same=Share.of(same),
            same_where_confident=Share.of(same[is_confident(wanted / self.temperature)]),
            largest_difference=max(float(np.abs(one - other).max(initial=0)) for one, other in pairs),
            largest_value=max(float(np.abs(other).max(initial=0)) for _, other in pairs),
            sqnr_db=decibels(float(np.square(wanted, dtype=np.float64).sum()), float(error)),
        )

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


def is_label(text: str) -> bool:
    """Whether a class may be called so.

    Labels are printed, so they hold no control characters, and written as UTF-8, so they hold no lone surrogates.

    >>> is_label("zebra crossing 🦓"), is_label("a\\nb"), is_label("\\udcff")
    (True, False, False)
    """
    # Printable text holds neither, and nearly every label is printable.
    return text.isprintable() or not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def logits_of(outputs: Outputs) -> Array:
    """The first output as a matrix, (N, classes)."""
    return outputs[0].reshape(len(outputs[0]), -1)


def softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities along the last axis."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def best_class(logits: Array) -> Counts:
    """The likeliest class along the last axis; of equals the first."""
    best: Counts = logits.argmax(axis=-1)
    return best


def likeliest(logits: Array, top: int) -> Counts:
    """The likeliest classes along the last axis, likeliest first; of equals the first."""
    order: Counts = np.argsort(-logits, axis=-1, kind="stable")[..., :top]
    return order


def is_confident(logits: Array) -> npt.NDArray[np.bool_]:
    """Whether the likeliest class is at least :data:`CONFIDENT` of the way from chance to certainty; (N,).

    Of two classes the likeliest has half at least, so that half alone would say nothing.

    >>> is_confident(np.log([[0.7, 0.3], [0.8, 0.2]])).tolist()
    [False, True]
    """
    chance = 1 / logits.shape[-1]
    confident: npt.NDArray[np.bool_] = softmax(logits).max(axis=-1) >= chance + CONFIDENT * (1 - chance)
    return confident


def top1(logits: Array, targets: Counts) -> Share:
    """Images whose likeliest class is the right one.

    Args:
        logits: (N, classes).
        targets: int64 (N,), the right class of each image.
    """
    return Share.of(best_class(logits) == targets)
