"""The task of a detector: from maps to boxes in pixels of the image, and back."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.detectors import LABELS, detector

from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.boxes import GroundTruth, as_targets, with_geometry
from mobilenets.tasks.catalog import decode_task
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel, CentreHead
from mobilenets.tasks.task import Geometry

NETWORK, TASK = detector()
SQUASHED = Geometry("a.jpg", (640, 480), (0.0, 0.0, 640.0, 480.0))


def maps(**scores: float) -> list[np.ndarray]:
    """Outputs for one image: anchors as they are; ``first_row_column_anchor_class`` has that logit, others −9."""
    boxes, logits = np.zeros((1, 8, 4, 4), np.float32), np.full((1, 4, 4, 4), -9, np.float32)
    for place, logit in scores.items():
        row, column, anchor, label = map(int, place.removeprefix("at_").split("_"))
        logits[0, 2 * anchor + label, row, column] = logit
    return [boxes, logits]


def test_boxes_are_in_pixels_of_the_image() -> None:
    (prediction,) = TASK.decode(maps(at_1_2_0_1=2.0), [SQUASHED])
    (box,) = prediction.boxes
    assert (box.label, box.index, round(box.score, 3)) == ("platelet", 1, 0.881)
    assert box.box == pytest.approx((320, 120, 480, 240))  # the cell (1, 2) of 4×4 and an anchor of a quarter
    assert prediction.to_json() == {
        "image": "a.jpg",
        "width": 640,
        "height": 480,
        "detections": [{"category_id": 2, "label": "platelet", "bbox": [320.0, 120.0, 160.0, 120.0], "score": 0.8808}],
    }
    assert prediction.summary.replace("\u00a0", " ") == "platelet 88.1 % (320, 120, 160×120)"


def test_letterboxed_and_reduced_images_give_boxes_of_the_full_image() -> None:
    letterboxed = Geometry("a.jpg", (320, 240), (0.0, -40.0, 320.0, 280.0), full_size=(640, 480))
    (prediction,) = TASK.decode(maps(at_1_2_0_1=2.0), [letterboxed])
    assert prediction.size == (640, 480)
    assert prediction.boxes[0].box == pytest.approx((320, 80, 480, 240))


def test_boxes_are_clipped_to_the_image() -> None:
    outputs = maps(at_0_0_1_0=3.0)
    (prediction,) = TASK.decode(outputs, [SQUASHED])  # half the image wide, centred on an eighth
    assert prediction.boxes[0].box == pytest.approx((0, 0, 240, 120))
    padding_only = Geometry("a.jpg", (640, 480), (0.0, -640.0, 640.0, 480.0))
    assert TASK.decode(outputs, [padding_only])[0].boxes == ()


def test_top_and_threshold_limit_what_is_reported() -> None:
    outputs = maps(at_0_0_0_0=3.0, at_2_2_0_0=1.0, at_3_3_0_1=-1.0)
    assert len(TASK.decode(outputs, [SQUASHED])[0].boxes) == 2  # a logit of −1 is a score of 0.27
    assert len(TASK.decode(outputs, [SQUASHED], threshold=0.2)[0].boxes) == 3
    assert [box.label for box in TASK.decode(outputs, [SQUASHED], top=1)[0].boxes] == ["cell"]
    (nothing,) = TASK.decode(outputs, [SQUASHED], threshold=0.99)
    assert nothing.summary == "nothing found"


def test_metrics_count_what_is_found() -> None:
    truth = GroundTruth.of([(320, 120, 480, 240), (0, 0, 100, 100)], [1, 0], (640, 480))
    targets = with_geometry(as_targets([truth]), [SQUASHED])
    metrics = TASK.metrics(maps(at_1_2_0_1=2.0), targets)
    assert (metrics.found.count, metrics.objects, metrics.invented) == (1, 2, 0)
    assert metrics.map50 == pytest.approx(0.5)
    assert metrics.primary.name == "map50_95"


def test_metrics_need_images_and_what_their_inputs_were_made_of() -> None:
    with pytest.raises(DataError, match="no images"):
        TASK.metrics(maps(), as_targets([]))
    with pytest.raises(DataError, match="geometry"):
        TASK.metrics(maps(), as_targets([GroundTruth.of([], [], (640, 480))]))


def test_equal_outputs_agree_and_others_do_not() -> None:
    outputs, other = maps(at_1_2_0_1=2.0), maps(at_1_2_0_0=2.0)
    agreement = TASK.compare(outputs, outputs)
    assert (agreement.same.value, agreement.largest_difference) == (1.0, 0.0)
    assert TASK.compare(other, outputs).same.value == 0.0
    assert TASK.compare(maps(at_1_2_0_1=1.9), outputs).same.value == 1.0
    assert TASK.compare(maps(), maps()).same_where_confident.total == 0


def test_json_gives_the_task_back() -> None:
    for task in (TASK, Detection(LABELS, CentreHead(2, 3, ((0.5, 0.5), (0.1, 0.2))), 0.4, 0.6, class_agnostic=True)):
        assert decode_task(task.encode()) == task


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": []}, "needs a class"),
        ({"labels": ["a\nb", "c"]}, "control character"),
        ({"labels": "ab"}, "list of strings"),
        ({"iou_threshold": 2}, "iou_threshold must be .*from 0 to 1, not 2"),
        ({"score_threshold": "high"}, "score_threshold"),
        ({"class_agnostic": 1}, "class_agnostic"),
        ({"head": None}, "head of a detector"),
        ({"other": 1}, "must hold exactly"),
    ],
)
def test_damaged_json_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        decode_task(TASK.encode() | change)


def test_a_network_of_another_shape_is_refused() -> None:
    TASK.check(NETWORK)
    with pytest.raises(ModelError, match="logits"):
        Detection(("a", "b", "c"), TASK.head).check(NETWORK)
    with pytest.raises(ModelError, match="boxes"):
        Detection(LABELS, AnchorHead((AnchorLevel(8, 8, ((0.1, 0.1),) * 2),))).check(NETWORK)
