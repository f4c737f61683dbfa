"""SSDs that end in TFLite_Detection_PostProcess find what LiteRT finds."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.object_detection_api import CLASSES, SETTINGS, SIDE, od_anchors, od_detector, run_od, write_od

from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.exporting import export
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.litert.read import from_tflite
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import ResizeMode
from mobilenets.tasks.detection import Detection
from mobilenets.tasks.detection_heads import AnchorHead, ScoreMeaning
from mobilenets.tasks.task import Geometry

PIXELS = np.random.default_rng(3).integers(0, 256, (3, SIDE // 8, SIDE // 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="module", params=[1, 2])
def float_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model = od_detector(version=request.param)
    return model, write_od(tmp_path_factory.mktemp("float") / "detect.tflite", model)


@pytest.fixture(scope="module")
def uint8_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model = od_detector(uint8=True)
    return model, write_od(tmp_path_factory.mktemp("uint8") / "detect.tflite", model)


def task_of(model: Model) -> tuple[Detection, AnchorHead]:
    assert isinstance(model.task, Detection)
    assert isinstance(model.task.head, AnchorHead)
    return model.task, model.task.head


def test_what_the_operator_says_becomes_the_task(float_file: tuple[Model, Path]) -> None:
    original, path = float_file
    model = import_model(path)
    task, head = task_of(model)
    assert (task.iou_threshold, task.class_agnostic, task.labels) == (0.6, True, ("1", "2", "3", "4"))
    assert (head.scores, head.coder, head.step) == (ScoreMeaning.SIGMOID, (10.0, 10.0, 5.0, 5.0), None)
    np.testing.assert_allclose(head.anchors, task_of(original)[1].anchors, atol=1e-6)
    assert model.preprocessing.fit is ResizeMode.SQUASH
    said = recognition(model)
    assert said["assumed"] == "boxes are reported from a score of 0.3; the file gives its best 20, of any score"
    assert said["network"] == original.network.name


def test_a_float_file_finds_what_litert_finds(float_file: tuple[Model, Path]) -> None:
    original, path = float_file
    model = import_model(path)
    images = original.preprocessing.normalize(PIXELS)
    whole = [Geometry("", (1, 1), (0.0, 0.0, 1.0, 1.0))] * len(PIXELS)
    found = task_of(model)[0].decode(list(Session(model).outputs(PIXELS).values()), whole, top=20, threshold=0)
    for ours, theirs in zip(found, run_od(path, images), strict=True):
        boxes = np.array([[*box.box, box.score, box.index] for box in ours.boxes])
        corners = theirs["boxes"][:, [1, 0, 3, 2]].clip(0, 1)
        expected = np.column_stack([corners, theirs["scores"], theirs["classes"]])
        assert boxes.shape == expected.shape
        # Scores that differ in their last bits only may stand in either order.
        assert np.abs(boxes[:, None] - expected).max(axis=2).min(axis=0).max() < 1e-4


def test_a_uint8_file_stays_integers_and_finds_what_litert_finds(uint8_file: tuple[Model, Path]) -> None:
    original, path = uint8_file
    model = import_model(path)
    assert model.precision == "int8"
    task, head = task_of(model)
    assert head.step is not None
    np.testing.assert_allclose(head.anchors[:, [1, 0, 3, 2]], od_anchors(original, uint8=True)[0], atol=1e-7)
    quantization = model.quantization
    assert quantization is not None
    outputs = Session(model).outputs(PIXELS)
    # The file rounds its maps and its scores to bytes; a Model gives real numbers.
    rounded = [
        np.clip(np.rint(value / 0.1), -128, 127).astype(np.float32) * np.float32(0.1) for value in outputs.values()
    ]
    boxes, scores = head.decode(rounded)
    for theirs, candidates, chances in zip(run_od(path, PIXELS), boxes, scores, strict=True):
        assert len(theirs["scores"]) == SETTINGS["max_detections"]
        for box, label, score in zip(
            theirs["boxes"][:, [1, 0, 3, 2]], theirs["classes"], theirs["scores"], strict=True
        ):
            apart = np.abs(candidates - box).max(axis=1) + np.abs(chances[:, int(label)] - score)
            assert apart.min() < 1 / 256
    assert task.labels == ("1", "2", "3", "4")


def test_an_imported_detector_is_saved_and_exported_again(uint8_file: tuple[Model, Path], tmp_path: Path) -> None:
    model = import_model(uint8_file[1])
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").task == model.task
    export(model, tmp_path / "again.tflite", detections=True, float_output=True)
    assert import_model(tmp_path / "again.tflite").task == model.task


def test_regular_suppression_a_threshold_and_softmax(tmp_path: Path) -> None:
    settings = {**SETTINGS, "use_regular_nms": True, "nms_score_threshold": 0.25}
    model = import_model(write_od(tmp_path / "detect.tflite", od_detector(), "SOFTMAX", settings))
    task, head = task_of(model)
    assert (task.class_agnostic, task.score_threshold, head.scores) == (False, 0.25, ScoreMeaning.SOFTMAX)
    assert model.network.shapes[model.network.outputs[1]].channels == 3 * (CLASSES + 1)


def test_labels_of_the_archive_may_name_the_background(float_file: tuple[Model, Path], tmp_path: Path) -> None:
    _, path = float_file
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("labelmap.txt", "???\nperson\nbicycle\n???\ncar\n")
    packed = tmp_path / "packed.tflite"
    packed.write_bytes(path.read_bytes() + archive.getvalue())
    assert task_of(import_model(packed))[0].labels == ("person", "bicycle", "???", "car")
    with pytest.raises(FormatError, match="2 labels, and a detector over 4 classes"):
        import_model(path, labels=("a", "b"))


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        import_model(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "score", "expected"),
    [
        ({"num_classes": 7}, "LOGISTIC", "reads 5 scores of an anchor, and says 7 classes"),
        ({"num_classes": 0}, "LOGISTIC", "says 0 classes"),
        ({"y_scale": float("nan")}, "LOGISTIC", "does not say y_scale"),
        ({"y_scale": -1.0}, "LOGISTIC", "the coder of boxes must be four numbers above 0"),
        ({"nms_iou_threshold": 3.0}, "LOGISTIC", "iou_threshold must be"),
        ({"num_classes": CLASSES + 1}, "SOFTMAX", "reads 5 scores of an anchor, and says 5 classes"),
        ({}, "", "made neither by a sigmoid nor by a softmax"),
    ],
)
def test_what_no_detector_gives_is_refused(changes: dict[str, Any], score: str, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(write_od(tmp_path / "detect.tflite", od_detector(), score, {**SETTINGS, **changes}))


def test_anchors_beside_their_cells_are_refused(tmp_path: Path) -> None:
    path = write_od(tmp_path / "detect.tflite", od_detector(), shift=0.01)
    assert "the anchors of the map of 6×6 lie 0.01 of the input's side from the centres" in refusal(path)


@pytest.mark.parametrize("uint8", [False, True])
def test_damaged_files_are_read_or_refused(uint8: bool, tmp_path: Path) -> None:
    path = write_od(tmp_path / "detect.tflite", od_detector(uint8=uint8))
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(3):  # near the ends, where tables and settings lie
            place = int(rng.integers(0, 8000))
            damaged[place if rng.random() < 0.5 else -1 - place] = int(rng.integers(0, 256))
        path.write_bytes(damaged)
        try:
            from_tflite(path)
        except FormatError:
            continue
