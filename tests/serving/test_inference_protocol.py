"""``/v2``: the Open Inference Protocol, asked by hand and by Triton's own client."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.server import Answer, ask, in_base64, photo, post_json, write_model

import mobilenets
from mobilenets.serving.limits import Limits
from mobilenets.serving.server import ServerOptions, serving

INFER = "/v2/models/hands/infer"


def logits_of(model_file: Path, *contents: bytes) -> npt.NDArray[np.float32]:
    classifier = mobilenets.Classifier(model_file)
    from mobilenets.data.image import BytesImage

    pixels = [classifier.prepare(BytesImage("image", content)).pixels for content in contents]
    return classifier.session.run(np.stack(pixels))


def infer(address: str, value: dict[str, Any], rest: bytes = b"", path: str = INFER) -> Answer:
    text = json.dumps(value).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(text))}
    return ask(address, "POST", path, text + rest, headers)


def outputs_of(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return {one["name"]: one for one in answer.json["outputs"]}


def test_health_and_metadata(address: str) -> None:
    assert ask(address, "GET", "/v2/health/live").json == {"live": True}
    assert ask(address, "GET", "/v2/health/ready").json == {"ready": True}
    assert ask(address, "GET", "/v2").json["extensions"] == ["binary_tensor_data", "classification"]
    assert ask(address, "GET", "/v2/models/hands/versions/1/ready").json == {"name": "hands", "ready": True}
    metadata = ask(address, "GET", "/v2/models/hands").json
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 32, 32, 3]},
    ]
    assert [one["shape"] for one in metadata["outputs"]] == [[-1, 3], [-1]]


def test_images_in_json(address: str, model_file: Path) -> None:
    contents = photo(1), photo(2)
    value = {"name": "image", "shape": [2], "datatype": "BYTES", "data": [in_base64(one) for one in contents]}
    answer = post_json(address, INFER, {"id": "42", "inputs": [value], "parameters": {"top": 1}})
    assert (answer.json["id"], answer.json["model_name"], answer.json["model_version"]) == ("42", "hands", "1")
    outputs = outputs_of(answer)
    (name,) = set(outputs) - {"prediction"}
    found = np.array(outputs[name]["data"], np.float32).reshape(outputs[name]["shape"])
    np.testing.assert_array_equal(found, logits_of(model_file, *contents))
    predictions = [json.loads(text) for text in outputs["prediction"]["data"]]
    assert [len(one["labels"]) for one in predictions] == [1, 1]


def test_pixels_in_json_may_be_nested_or_flat(address: str, model_file: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    expected = mobilenets.Session(model_file).run(pixels)
    for data in (pixels.tolist(), pixels.reshape(-1).tolist()):
        value = {"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": data}
        outputs = outputs_of(post_json(address, INFER, {"inputs": [value]}))
        np.testing.assert_array_equal(np.array([next(iter(outputs.values()))["data"]], np.float32), expected)


def test_a_body_that_is_one_image(address: str, model_file: Path) -> None:
    answer = ask(address, "POST", INFER, photo(), {"inference-header-content-length": "0"})
    assert answer.status == 200
    length = int(answer.headers["inference-header-content-length"])
    entry = json.loads(answer.body[:length])["outputs"][0]
    size = entry["parameters"]["binary_data_size"]
    found = np.frombuffer(answer.body[length : length + size], "<f4").reshape(entry["shape"])
    np.testing.assert_array_equal(found, logits_of(model_file, photo()))


IMAGE = {"name": "image", "shape": [1], "datatype": "BYTES"}


@pytest.mark.parametrize(
    ("value", "rest", "said"),
    [
        ({}, b"", "inputs must be a list"),
        ({"inputs": []}, b"", "takes one input"),
        ({"inputs": [3]}, b"", "inputs must be a list of objects"),
        ({"inputs": [{"name": "image"}]}, b"", "needs a name and a datatype"),
        ({"inputs": [{**IMAGE, "shape": [-1], "data": []}]}, b"", "shape of input 'image'"),
        ({"inputs": [IMAGE]}, b"", "neither data nor"),
        ({"inputs": [{**IMAGE, "data": [3]}]}, b"", "must hold text"),
        ({"inputs": [{**IMAGE, "data": ["%%"]}]}, b"", "not base64"),
        ({"inputs": [{**IMAGE, "data": ["", ""]}]}, b"", "holds more than 1 elements; its shape [1] has 1"),
        ({"inputs": [{**IMAGE, "datatype": "FP32", "data": [1.0]}]}, b"", "takes image (BYTES) or pixels (UINT8)"),
        ({"inputs": [{**IMAGE, "parameters": {"binary_data_size": 9}}]}, b"abc", "binary_data_size is 9; 3 bytes"),
        ({"inputs": [{**IMAGE, "parameters": {"binary_data_size": 3}}]}, b"abc", "breaks off"),
        ({"inputs": [{**IMAGE, "parameters": {"binary_data_size": 6}}]}, b"\xff\xff\xff\xffab", "breaks off"),
        ({"inputs": [{**IMAGE, "data": [""]}]}, b"abc", "3 bytes follow"),
        (
            {"inputs": [{"name": "pixels", "shape": [1, 3, 32, 32], "datatype": "UINT8", "data": []}]},
            b"",
            "takes [-1, 32",
        ),
        ({"inputs": [{"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": [1]}]}, b"", "holds 1"),
        ({"inputs": [{**IMAGE, "data": [""]}], "outputs": [{"name": "x"}]}, b"", "no output is called 'x'"),
        ({"inputs": [{**IMAGE, "data": [""]}], "parameters": 3}, b"", "parameters must be an object"),
        (
            {
                "inputs": [{**IMAGE, "data": [""]}],
                "outputs": [{"name": "prediction", "parameters": {"classification": 2}}],
            },
            b"",
            "prediction has no classes",
        ),
    ],
)
def test_requests_of_another_form_say_what_is_expected(
    value: dict[str, Any], rest: bytes, said: str, address: str
) -> None:
    answer = infer(address, value, rest)
    assert answer.status == 400, answer.body
    assert said in answer.json["error"]
    assert answer.json["code"] == "bad_request"


@pytest.mark.parametrize("length", ["-1", "x", "99999999", "9" * 30])
def test_a_length_that_is_none(length: str, address: str) -> None:
    assert ask(address, "POST", INFER, b"{}", {"inference-header-content-length": length}).status == 400


@pytest.mark.parametrize("path", ["/v2/models/feet", "/v2/models/hands/versions/2", "/v2/models/..%2f..%2fetc/ready"])
def test_models_that_are_not_served(path: str, address: str) -> None:
    answer = ask(address, "GET", path)
    assert answer.status == 404
    assert isinstance(answer.json["error"] if "v2/models/.." not in path else "", str)


def test_a_batch_of_more_images_than_are_taken(model_file: Path) -> None:
    with serving([model_file], ServerOptions(port=0, limits=Limits(images=2))) as address:
        value = {"name": "pixels", "shape": [2000000000, 32, 32, 3], "datatype": "UINT8", "data": []}
        assert post_json(address, INFER, {"inputs": [value]}).json["code"] == "too_many_images"


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("repository") / "hands"
    for version in ("1", "2"):
        write_model(folder / version / "model.safetensors", seed=int(version))
    with serving([folder]) as address:
        yield address, folder


@pytest.fixture
def client(two_versions: tuple[str, Path]) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gevent and what it patches
        triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    with triton.InferenceServerClient(urlsplit(two_versions[0]).netloc) as found:
        yield found


def test_tritons_client_finds_server_and_models(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("hands")
    assert client.is_model_ready("hands", "2")
    assert not client.is_model_ready("hands", "3")
    assert client.get_server_metadata()["name"] == "mobilenets"
    assert client.get_model_metadata("hands")["versions"] == ["1", "2"]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("version", ["1", "2", ""])
def test_tritons_client_sends_pixels(version: str, binary: bool, client: Any, two_versions: tuple[str, Path]) -> None:
    import tritonclient.http as triton

    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    given = triton.InferInput("pixels", list(pixels.shape), "UINT8")
    given.set_data_from_numpy(pixels, binary_data=binary)
    output = client.get_model_metadata("hands")["outputs"][0]["name"]
    wanted = [triton.InferRequestedOutput(output, binary_data=binary)]
    result = client.infer("hands", [given], model_version=version, outputs=wanted, request_id="7")
    expected = mobilenets.Session(two_versions[1] / (version or "2") / "model.safetensors").run(pixels)
    np.testing.assert_array_equal(result.as_numpy(output), expected)
    assert result.get_response()["id"] == "7"


def test_tritons_client_sends_encoded_images(client: Any, two_versions: tuple[str, Path]) -> None:
    import tritonclient.http as triton

    contents = [photo(seed, kind=kind) for seed, kind in enumerate(("JPEG", "PNG", "WEBP"))]
    given = triton.InferInput("image", [3], "BYTES")
    given.set_data_from_numpy(np.array(contents, object))
    result = client.infer("hands", [given])
    file = two_versions[1] / "2" / "model.safetensors"
    output = client.get_model_metadata("hands")["outputs"][0]["name"]
    np.testing.assert_array_equal(result.as_numpy(output), logits_of(file, *contents))
    first = json.loads(result.as_numpy("prediction")[0])
    assert first["labels"][0]["label"] == mobilenets.Classifier(file).predict(contents[0]).label


def test_tritons_client_asks_for_classes(client: Any, two_versions: tuple[str, Path]) -> None:
    import tritonclient.http as triton

    given = triton.InferInput("image", [1], "BYTES")
    given.set_data_from_numpy(np.array([photo()], object))
    output = client.get_model_metadata("hands")["outputs"][0]["name"]
    result = client.infer("hands", [given], outputs=[triton.InferRequestedOutput(output, class_count=2)])
    classes = result.as_numpy(output)
    assert classes.shape == (1, 2)
    value, index, label = classes[0, 0].decode().split(":")
    file = two_versions[1] / "2" / "model.safetensors"
    assert label == mobilenets.Classifier(file).predict(photo()).label
    assert float(value) == pytest.approx(float(logits_of(file, photo())[0, int(index)]), abs=1e-5)


def test_tritons_client_reads_errors(client: Any) -> None:
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    given = triton.InferInput("image", [1], "BYTES")
    given.set_data_from_numpy(np.array([b"no image"], object))
    with pytest.raises(InferenceServerException, match="image 1"):
        client.infer("hands", [given])
