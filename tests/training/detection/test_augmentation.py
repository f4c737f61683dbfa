"""Windows of images, and the boxes of what is seen in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.support.drawn_objects import drawn_objects

from mobilenets.data.augmentation import Flip
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.detection_heads import AnchorHead, AnchorLevel
from mobilenets.training.detection.augmentation import BoxAugmentation, objects_seen
from mobilenets.training.detection.batches import DetectionBatches
from mobilenets.training.detection.matching import Objects
from mobilenets.training.image_cache import cache_images

PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def test_an_object_whose_centre_is_outside_is_neither_asked_for_nor_background() -> None:
    truth = GroundTruth.of([(40, 0, 60, 100), (45, 10, 90, 90)], [0, 1], (100, 100))
    seen = objects_seen(truth, np.array([[0.5, 0, -0.5], [0, 1, 0]], np.float32))
    assert seen.boxes[0].tolist() == pytest.approx([0.8, 0, 1, 1])
    assert seen.boxes[1].tolist() == pytest.approx([0.9, 0.1, 1, 0.9])
    assert (seen.labels.tolist(), seen.ignored.tolist()) == ([0, 1], [True, True])
    wider = objects_seen(truth, np.array([[0.6, 0, -0.4], [0, 1, 0]], np.float32))
    assert wider.ignored.tolist() == [False, True]


def test_mirrored_and_exchanged_axes_move_the_boxes() -> None:
    truth = GroundTruth.of([(10, 20, 30, 60)], [0], (100, 100))
    mirrored = objects_seen(truth, np.array([[-1, 0, 0], [0, 1, 0]], np.float32))
    assert mirrored.boxes[0].tolist() == pytest.approx([0.7, 0.2, 0.9, 0.6])
    exchanged = objects_seen(truth, np.array([[0, 1, 0], [1, 0, 0]], np.float32))
    assert exchanged.boxes[0].tolist() == pytest.approx([0.2, 0.1, 0.6, 0.3])


@pytest.mark.parametrize("fit", [ResizeMode.SQUASH, ResizeMode.LETTERBOX])
@pytest.mark.parametrize("flip", Flip)
def test_boxes_follow_the_pixels(fit: ResizeMode, flip: Flip) -> None:
    images = cache_images(drawn_objects(12, width=96, height=72), 64)
    head = AnchorHead((AnchorLevel(1, 1, ((1, 1),)),))
    given: list[Objects] = []

    def keep(objects: Objects) -> np.ndarray:
        given.append(objects)
        return np.zeros((head.count, 5), np.float32)

    augmentation = BoxAugmentation(flip=flip, smallest=0.6, **PLAIN)
    preprocessing = Preprocessing(fit=fit, crop_fraction=1.0)
    batches = DetectionBatches(images, keep, preprocessing, augmentation, batch=6, seed=3, device=torch.device("cpu"))
    shown = torch.cat([batch.images for batch in batches.epoch(0, (64, 64))])
    hits = []
    for pixels, objects in zip(shown * 127.5 + 127.5, given, strict=True):
        for (left, top, right, bottom), label in zip(objects.boxes, objects.labels, strict=True):
            x, y = (int(np.clip(64 * (low + high) / 2, 0, 63)) for low, high in ((left, right), (top, bottom)))
            red, blue = float(pixels[0, y, x]), float(pixels[2, y, x])
            hits.append((red > blue) == (label == 1) and abs(red - blue) > 60)
    assert len(hits) > 12
    assert np.mean(hits) > 0.9  # the others are covered by another rectangle


def test_the_same_step_is_the_same_batch_and_reserved_images_are_left_out() -> None:
    images = cache_images(drawn_objects(10), 32)
    seen: list[bytes] = []

    def matcher(objects: Objects) -> np.ndarray:
        seen.append(objects.boxes.tobytes())
        return np.zeros((1, 5), np.float32)

    def batches(reserved: int) -> DetectionBatches:
        still = BoxAugmentation(smallest=1, largest=1, stretch=1, flip=Flip.NONE, **PLAIN)
        fit = Preprocessing(fit=ResizeMode.SQUASH, crop_fraction=1.0)
        return DetectionBatches(
            images, matcher, fit, still, batch=5, seed=0, device=torch.device("cpu"), reserved=reserved
        )

    whole = list(batches(0).epoch(1, (32, 32)))
    later = list(batches(0).epoch(1, (32, 32), first=1))
    assert torch.equal(whole[1].images, later[0].images)
    assert [batch.step for batch in whole] == [2, 3]
    seen.clear()
    list(batches(6).epoch(0, (32, 32)))
    assert len(set(seen)) == 4


def test_numbers_out_of_range_are_refused() -> None:
    for wrong in ({"smallest": 0}, {"largest": 0.5}, {"whole": 2}):
        with pytest.raises(DataError):
            BoxAugmentation(**wrong)
