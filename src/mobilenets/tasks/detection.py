"""Detection: the outputs hold candidate boxes with scores; those that are left after suppression are the objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.arguments import check_number
from mobilenets.base.text import GAP, percent, plural
from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.box_matching import MOST_DETECTIONS, FoundBoxes
from mobilenets.tasks.boxes import GroundTruth, area, clip, intersection_over_union
from mobilenets.tasks.detection_heads import AnchorHead, CentreHead, DetectionHead, head_from_json
from mobilenets.tasks.detection_metrics import DetectionMetrics
from mobilenets.tasks.labels import check_labels
from mobilenets.tasks.suppression import Kept, Suppression, detect, suppress
from mobilenets.tasks.task import Agreement, Geometry, Outputs

EVALUATION_FLOOR = 0.01
"""Score below which a detection is not even evaluated; the figures of COCO want those far below any threshold."""
SAME_IOU, SAME_SCORE = 0.75, 0.1
"""Boxes of one class that overlap so much, with scores no further apart from the threshold, are called the same."""
SHOWN_BOXES = 5
"""Boxes that a line for people shows."""


@dataclass(frozen=True)
class DetectedBox:
    """One object.

    Attributes:
        label: Its class.
        index: The same as a number, from 0.
        score: From 0 to 1.
        box: Left, top, right and bottom, in pixels of the image at full size, upright.
    """

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values as in COCO's results: ``bbox`` is left, top, width and height; categories count from 1."""
        left, top, right, bottom = self.box
        sides = [left, top, right - left, bottom - top]
        return {
            "category_id": self.index + 1,
            "label": self.label,
            "bbox": [round(side, 2) for side in sides],
            "score": round(self.score, 5),
        }


@dataclass(frozen=True)
class DetectionPrediction:
    """The objects of one image.

    Attributes:
        name: What the image is called.
        size: Its width and height at full size, upright.
        boxes: The objects, highest score first.
    """

    name: str
    size: tuple[int, int]
    boxes: tuple[DetectedBox, ...]

    def __repr__(self) -> str:
        return f"DetectionPrediction({self.name!r}: {self.summary.replace(GAP, ' ')})"

    @property
    def summary(self) -> str:
        """The objects, highest score first, each with its left, top, width and height."""
        if not self.boxes:
            return "nothing found"
        shown = "  ".join(_in_words(box) for box in self.boxes[:SHOWN_BOXES])
        more = len(self.boxes) - SHOWN_BOXES
        return f"{shown}  and {more:,} more" if more > 0 else shown

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values; ``detections`` are in COCO's form."""
        width, height = self.size
        detections = [box.to_json() for box in self.boxes]
        return {"image": self.name, "width": width, "height": height, "detections": detections}


@dataclass(frozen=True)
class Detection:
    """Boxes around objects: the outputs of the network are those of a head.

    Attributes:
        labels: Name of each class.
        head: What the outputs mean.
        iou_threshold: Of two boxes whose intersection over union is above it, the one with the lower score is dropped.
        score_threshold: Score from which on a box is reported.
        class_agnostic: Whether boxes of different classes drop each other, too.

    Raises:
        ModelError: If there are no labels, one cannot be printed, or a threshold is not from 0 to 1.

    >>> from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel
    >>> Detection(("cat", "dog"), AnchorHead((AnchorLevel(1, 2, ((0.5, 0.5),)),))).description
    'object detector over 2 classes'
    """

    labels: tuple[str, ...]
    head: DetectionHead
    iou_threshold: float = 0.5
    score_threshold: float = 0.3
    class_agnostic: bool = False

    def __repr__(self) -> str:
        return f"Detection({plural(len(self.labels), 'label')}, {self.head.kind}, {self.head.count} candidates)"

    def __post_init__(self) -> None:
        check_labels(self.labels)
        if not self.labels:
            raise ModelError("a detector needs a class at least")
        if not isinstance(self.head, DetectionHead):
            raise ModelError(f"head must be the head of a detector, not {self.head!r:.80}")
        check_number("iou_threshold", self.iou_threshold, ModelError, least=0, most=1)
        check_number("score_threshold", self.score_threshold, ModelError, least=0, most=1)
        if not isinstance(self.class_agnostic, bool):
            raise ModelError(f"class_agnostic must be true or false, not {self.class_agnostic!r:.40}")

    @property
    def kind(self) -> str:
        """``detection``."""
        return "detection"

    @property
    def description(self) -> str:
        """``object detector over … classes``."""
        return f"object detector over {plural(len(self.labels), 'class', 'classes')}"

    @property
    def compared_by(self) -> str:
        """``boxes``."""
        return "boxes"

    def check(self, network: Network) -> None:
        """Raise if the outputs of a network are not those of the head.

        Args:
            network: The network.

        Raises:
            ModelError: If there are too few or too many, or one has the wrong shape.
        """
        self.head.check(network, len(self.labels))

    def decode(
        self,
        outputs: Outputs,
        geometry: Sequence[Geometry],
        *,
        top: int = MOST_DETECTIONS,
        threshold: float | None = None,
    ) -> tuple[DetectionPrediction, ...]:
        """Find the objects.

        Args:
            outputs: The network's outputs for N images.
            geometry: The N images.
            top: Largest number of objects of an image.
            threshold: Least score; None for the task's own.
        """
        rule = self._rule(self.score_threshold if threshold is None else threshold, top)
        return tuple(
            self._prediction(kept, image) for kept, image in zip(self._suppressed(outputs, rule), geometry, strict=True)
        )

    def _rule(self, score_threshold: float, most: int) -> Suppression:
        return Suppression(self.iou_threshold, score_threshold, most, self.class_agnostic)

    def _suppressed(self, outputs: Outputs, rule: Suppression) -> list[Kept]:
        match self.head:
            case AnchorHead():
                return detect(self.head, outputs, len(self.labels), rule)
            case CentreHead():
                boxes, scores = self.head.decode(outputs)
                return [suppress(one, each, rule) for one, each in zip(boxes, scores, strict=True)]
            case _:
                assert_never(self.head)

    def _prediction(self, kept: Kept, image: Geometry) -> DetectionPrediction:
        size = image.size if image.full_size is None else image.full_size
        boxes = clip(image.to_image(kept.boxes), size)
        found = (
            DetectedBox(self.labels[label], label, score, (box[0], box[1], box[2], box[3]))
            for label, score, box, visible in zip(
                kept.labels.tolist(), kept.scores.tolist(), boxes.tolist(), (area(boxes) > 0).tolist(), strict=True
            )
            if visible
        )
        return DetectionPrediction(image.name, size, tuple(found))

    def found(self, outputs: Outputs, geometry: Sequence[Geometry]) -> list[FoundBoxes]:
        """Everything that is found, far below the score threshold too, for evaluation.

        Args:
            outputs: The network's outputs for N images.
            geometry: The N images.

        Returns:
            N times boxes in pixels of the image, highest score first.
        """
        kept = self._suppressed(outputs, self._rule(EVALUATION_FLOOR, MOST_DETECTIONS))
        return [
            FoundBoxes(clip(image.to_image(one.boxes), image.full_size or image.size), one.scores, one.labels)
            for one, image in zip(kept, geometry, strict=True)
        ]

    def metrics(
        self, outputs: Outputs, targets: Sequence[GroundTruth] | npt.NDArray[Any], *, skipped: Sequence[str] = ()
    ) -> DetectionMetrics:
        """Compare what is found with the objects of the images.

        Args:
            outputs: The network's outputs for N images.
            targets: What is in each image; with the geometry that its input was made of.
            skipped: Names of images that could not be decoded.

        Raises:
            DataError: If there are no images, or a target does not say what its input was made of.
        """
        if not len(targets):
            raise DataError("there are no images to evaluate on")
        return self.metrics_of(self.found(outputs, attached_geometry(targets)), targets, skipped=skipped)

    def metrics_of(
        self,
        found: Sequence[FoundBoxes],
        targets: Sequence[GroundTruth] | npt.NDArray[Any],
        *,
        skipped: Sequence[str] = (),
    ) -> DetectionMetrics:
        """Compare what :meth:`found` gave with the objects of the images.

        Args:
            found: What was found in each of N images.
            targets: What is in each image.
            skipped: Names of images that could not be decoded.

        Raises:
            DataError: If there are no images.
        """
        if not len(targets):
            raise DataError("there are no images to evaluate on")
        return DetectionMetrics.of(
            list(found), list(targets), self.labels, score_threshold=self.score_threshold, skipped=skipped
        )

    def read_metrics(self, data: Mapping[str, Any]) -> DetectionMetrics:
        """Read what :meth:`DetectionMetrics.to_json` wrote.

        Args:
            data: JSON values.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
            ValueError: If the values contradict each other.
        """
        return DetectionMetrics.from_json(data)

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the boxes that are found, and the values of all outputs.

        An image counts as the same where each finds what the other reports: a box of the same class that overlaps by
        :data:`SAME_IOU`, with a score that is at most :data:`SAME_SCORE` below the threshold.

        Args:
            outputs: Outputs of the changed Model.
            expected: Outputs of the original for the same images.
        """
        rule = self._rule(max(0.0, self.score_threshold - SAME_SCORE), MOST_DETECTIONS)
        pairs = list(zip(self._suppressed(outputs, rule), self._suppressed(expected, rule), strict=True))
        same = np.array([self._reports(one, other) and self._reports(other, one) for one, other in pairs], np.bool_)
        sure = np.array([self._reported(one).any() for _, one in pairs], np.bool_)
        return Agreement.of(same, sure, outputs, expected)

    def _reported(self, kept: Kept) -> npt.NDArray[np.bool_]:
        reported: npt.NDArray[np.bool_] = kept.scores >= np.float32(self.score_threshold)
        return reported

    def _reports(self, one: Kept, other: Kept) -> bool:
        """Whether one has every box that another reports."""
        wanted = self._reported(other)
        same_class = other.labels[wanted][:, None] == one.labels
        overlap = intersection_over_union(other.boxes[wanted].astype(np.float64), one.boxes.astype(np.float64))
        return bool((same_class & (overlap >= SAME_IOU)).any(axis=1).all())

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "head": self.head.encode(),
            "iou_threshold": self.iou_threshold,
            "score_threshold": self.score_threshold,
            "class_agnostic": self.class_agnostic,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Detection:
        """Read what :meth:`encode` wrote.

        Args:
            data: JSON values.

        Raises:
            ModelError: If it is something else.
        """
        known = {"kind", "labels", "head", "iou_threshold", "score_threshold", "class_agnostic"}
        if set(data) != known:
            raise ModelError(f"a detection task must hold exactly {', '.join(sorted(known))}")
        labels = data["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ModelError("labels must be a list of strings")
        others = {name: data[name] for name in ("iou_threshold", "score_threshold", "class_agnostic")}
        return Detection(tuple(labels), head_from_json(data["head"]), **others)


def attached_geometry(targets: Sequence[GroundTruth] | npt.NDArray[Any]) -> list[Geometry]:
    """How the input of each image was made of it.

    Args:
        targets: What is in each image.

    Raises:
        DataError: If one does not say it.
    """
    geometry = [truth.geometry for truth in targets if truth.geometry is not None]
    if len(geometry) != len(targets):
        raise DataError("the ground truth of a detector needs the geometry of each image: evaluate attaches it")
    return geometry


def _in_words(box: DetectedBox) -> str:
    """``cat 98.1 % (120, 80, 64×48)``: the class, the score, left and top, width and height."""
    left, top, right, bottom = box.box
    place = f"({left:.0f}, {top:.0f}, {right - left:.0f}×{bottom - top:.0f})"
    return f"{box.label} {percent(box.score)} {place}".replace(GAP, " ")


BOX_COLUMNS = ("image", "label", "score", "left", "top", "width", "height")
"""Columns of a table of boxes, in pixels of the upright image."""


def box_rows(prediction: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The boxes of one image as rows of a table with :data:`BOX_COLUMNS`; of an image without any, its name alone.

    Args:
        prediction: What :meth:`DetectionPrediction.to_json` gives.

    >>> box_rows({"image": "a.jpg", "detections": [{"label": "cat", "score": 0.9, "bbox": [1.0, 2.0, 3.0, 4.0]}]})
    [{'image': 'a.jpg', 'label': 'cat', 'score': 0.9, 'left': 1.0, 'top': 2.0, 'width': 3.0, 'height': 4.0}]
    """
    rows = [
        dict(zip(BOX_COLUMNS, (prediction["image"], box["label"], box["score"], *box["bbox"]), strict=True))
        for box in prediction["detections"]
    ]
    return rows or [{"image": prediction["image"]}]
