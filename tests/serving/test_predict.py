"""``/v1``: what is posted is predicted as ``Classifier.predict`` does it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.detectors import detector
from tests.support.random_models import random_model
from tests.support.server import Answer, ask, form, in_base64, photo, post_image, post_json
from tests.support.stub_task import StrongestChannel

import mobilenets
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.serving.server import serving
from mobilenets.tasks import catalog


def expected(model_file: Path, content: bytes, top: int = 5) -> list[dict[str, object]]:
    prediction = mobilenets.Classifier(model_file).predict(content, top=top)
    return [{"label": label, "probability": probability} for label, probability in prediction.labels]


def labels(answer: Answer) -> list[list[dict[str, object]]]:
    assert answer.status == 200, answer.body
    return [one["labels"] for one in answer.json["predictions"]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_an_image_as_the_body_is_predicted(kind: str, address: str, model_file: Path) -> None:
    content = photo(kind=kind)
    answer = post_image(address, content)
    assert labels(answer) == [expected(model_file, content)]
    assert (answer.json["model"], answer.json["version"]) == ("hands", "1")
    assert answer.json["latency_ms"] > 0


def test_a_body_without_a_content_type_is_an_image(address: str) -> None:
    assert ask(address, "POST", "/v1/predict", photo(), {"content-type": "application/octet-stream"}).status == 200


def test_a_form_of_many_files_is_answered_in_order(address: str, model_file: Path) -> None:
    files = {f"{seed}.jpg": photo(seed) for seed in range(9)}
    body, content_type = form(files, {"top": "2"})
    answer = ask(address, "POST", "/v1/predict", body, {"content-type": content_type})
    assert labels(answer) == [expected(model_file, content, 2) for content in files.values()]
    assert [one["image"] for one in answer.json["predictions"]] == list(files)


def test_json_holds_base64_and_data_urls(address: str, model_file: Path) -> None:
    one, other = photo(1), photo(2, kind="PNG")
    images = [in_base64(one), {"base64": "data:image/png;base64," + in_base64(other), "name": "other.png"}]
    answer = post_json(address, "/v1/predict", {"images": images, "top": 1, "model": "hands", "version": "1"})
    assert labels(answer) == [expected(model_file, one, 1), expected(model_file, other, 1)]
    assert [entry["image"] for entry in answer.json["predictions"]] == ["image 1", "other.png"]


def test_json_of_a_single_image(address: str, model_file: Path) -> None:
    assert labels(post_json(address, "/v1/predict?top=1", {"image": in_base64(photo())})) == [
        expected(model_file, photo(), 1)
    ]


def test_one_broken_image_among_others_has_its_error_beside_its_name(address: str) -> None:
    body, content_type = form({"good.jpg": photo(), "page.html": b"<!DOCTYPE html><title>404</title>"})
    answer = ask(address, "POST", "/v1/predict", body, {"content-type": content_type})
    assert answer.status == 200
    good, broken = answer.json["predictions"]
    assert "labels" in good
    assert broken["image"] == "page.html"
    assert broken["error"]["code"] == "invalid_image"
    assert "is a web page" in broken["error"]["message"]


def test_where_every_image_is_broken_the_status_says_so(address: str) -> None:
    body, content_type = form({"a.jpg": b"", "b.jpg": photo()[:100]})
    answer = ask(address, "POST", "/v1/predict", body, {"content-type": content_type})
    assert answer.status == 422
    assert [one["error"]["code"] for one in answer.json["predictions"]] == ["invalid_image"] * 2


def test_what_was_assumed_of_an_image_stands_beside_its_prediction(address: str) -> None:
    deep = np.arange(60 * 50, dtype=np.uint16).reshape(50, 60)
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG")
    answer = post_image(address, file.getvalue())
    assert "note" in answer.json["predictions"][0]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?model=feet", 404, "model_not_found"),
        ("?version=7", 404, "model_not_found"),
        ("?model=../../etc/passwd", 404, "model_not_found"),
        ("?top=0", 400, "bad_request"),
        ("?top=many", 400, "bad_request"),
        ("?top=1001", 400, "bad_request"),
    ],
)
def test_a_question_that_makes_no_sense_says_what_is_served(query: str, status: int, code: str, address: str) -> None:
    answer = post_image(address, photo(), query)
    assert (answer.status, answer.code) == (status, code)
    message = answer.json["error"]["message"]
    assert "hands" in message or "top must be an integer from 1 to 1000" in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "must be an object"),
        ({}, "either image or images"),
        ({"image": "", "images": []}, "either image or images"),
        ({"images": []}, "holds no image"),
        ({"images": "x"}, "must be a list"),
        ({"images": [3]}, "image 1 must be base64"),
        ({"images": [{"base64": "x", "url": "y"}]}, "image 1 must be base64"),
        ({"images": [{"base64": 3}]}, "must be text"),
        ({"image": "%%%"}, "not base64"),
        ({"image": "", "colour": 1}, "unknown field 'colour'"),
        ({"image": "", "model": 3}, "model must be text"),
        ({"image": "", "top": True}, "top must be"),
        ({"image": "", "top": 10**400}, "top must be"),
    ],
)
def test_json_of_another_form_says_what_is_expected(value: object, said: str, address: str) -> None:
    answer = post_json(address, "/v1/predict", value)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert said in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("text/plain", b"hello", 415, "unsupported_media_type"),
        ("application/json", b"{", 400, "bad_request"),
        ("application/json", b"[" * 100_000, 400, "bad_request"),
        ("application/json", b'{"image": NaN}', 400, "bad_request"),
        ("application/json", b"\xff\xfe", 400, "bad_request"),
        ("multipart/form-data", b"", 400, "bad_request"),
        ("multipart/form-data; boundary=x", b"--y\r\n", 400, "bad_request"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disp", 400, "bad_request"),
        ("image/jpeg", b"", 400, "bad_request"),
    ],
)
def test_bodies_that_cannot_be_read_are_the_clients_fault(
    content_type: str, body: bytes, status: int, code: str, address: str
) -> None:
    answer = ask(address, "POST", "/v1/predict", body, {"content-type": content_type})
    assert (answer.status, answer.code) == (status, code)


def test_a_compressed_body_is_refused(address: str) -> None:
    answer = post_image(address, photo(), **{"content-encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_other_paths_and_methods_are_answered_in_json(address: str) -> None:
    assert ask(address, "GET", "/v1/nothing").code == "not_found"
    wrong = ask(address, "DELETE", "/v1/predict")
    assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_models_are_listed_and_a_report_is_a_link_away(tmp_path: Path) -> None:
    save(load_any(tmp_path), tmp_path / "pets" / "model.safetensors")
    (tmp_path / "pets" / "report.html").write_text("<h1>How good it is</h1>")
    with serving([tmp_path / "pets"]) as address:
        (listed,) = ask(address, "GET", "/v1/models").json["models"]
        assert listed["labels"] == ["paper", "scissors", "stone"]
        assert (listed["task"], listed["precision"]) == ("classification", "float32")
        assert listed["input"] == {"height": 32, "width": 32}
        report = ask(address, "GET", listed["report"])
        assert report.body == b"<h1>How good it is</h1>"
        assert "sandbox" in report.headers["content-security-policy"]
        assert str(tmp_path) not in ask(address, "GET", "/v1/models").body.decode()


def load_any(tmp_path: Path) -> Model:
    from tests.support.server import write_model

    return load(write_model(tmp_path / "pets" / "model.safetensors"))


def test_any_task_answers_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.TASKS, "strongest-channel", StrongestChannel.from_json)
    classifier = load_any(tmp_path)
    save(Model(classifier.network, classifier.parameters, StrongestChannel()), tmp_path / "channels.safetensors")
    with serving([tmp_path / "channels.safetensors"]) as address:
        (prediction,) = post_image(address, photo()).json["predictions"]
        assert set(prediction) == {"image", "channel"}
        (listed,) = ask(address, "GET", "/v1/models").json["models"]
        assert (listed["task"], listed["labels"]) == ("strongest-channel", None)


def test_metrics_count_requests_batches_and_refusals(model_file: Path) -> None:
    with serving([model_file]) as address:
        for seed in range(3):
            post_image(address, photo(seed))
        post_image(address, b"no image")
        text = ask(address, "GET", "/metrics").body.decode()
    assert 'mobilenets_requests_total{endpoint="predict",status="200"} 3.0' in text
    assert 'mobilenets_requests_total{endpoint="predict",status="422"} 1.0' in text
    assert 'mobilenets_request_seconds_count{endpoint="predict"} 4.0' in text
    assert 'mobilenets_batch_images_sum{model="hands"} 3.0' in text
    assert 'mobilenets_rejections_total{reason="invalid_image"} 1.0' in text
    assert 'mobilenets_rejections_total{reason="queue_full"} 0.0' in text
    assert "mobilenets_queue_images 0.0" in text


def test_a_detector_answers_with_every_box_of_the_upright_image(tmp_path: Path) -> None:
    network, task = detector()
    made = random_model(np.random.default_rng(0), network, task=replace(task, score_threshold=0.0))
    save(made, tmp_path / "boxes.safetensors")
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.open(io.BytesIO(photo())).resize((90, 60)).save(content, "JPEG", exif=exif)
    with serving([tmp_path / "boxes.safetensors"]) as found:
        answer = post_image(found, content.getvalue())
        (prediction,) = answer.json["predictions"]
        (limited,) = post_json(found, "/v1/predict?top=2", {"image": in_base64(content.getvalue())}).json["predictions"]
    expected = mobilenets.Detector(made).predict(content.getvalue()).to_json()
    assert prediction == {**expected, "image": prediction["image"]}
    assert (prediction["width"], prediction["height"]) == (60, 90)
    assert len(prediction["detections"]) > 5
    assert limited["detections"] == prediction["detections"][:2]
