"""``/v2``: the Open Inference Protocol over REST, as KServe, Triton and their clients speak it.

A Model takes one of two inputs: ``image``, encoded images as BYTES, or ``pixels``, UINT8 of the network's own size. It
gives the network's outputs by name, and ``prediction``: what its task reads in them, as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.data.image import BytesImage, ImageSource
from mobilenets.model.preprocessing import Pixels
from mobilenets.serving.bodies import parsed_aside
from mobilenets.serving.models import ServedModel
from mobilenets.serving.refusals import Reason, Refusal, shown
from mobilenets.serving.requests import JSON, Answer, Incoming, json_answer
from mobilenets.serving.service import Service
from mobilenets.serving.tensors import (
    BINARY_LENGTH,
    BYTE,
    FLOAT,
    TEXT,
    InputTensor,
    OutputTensor,
    read_inputs,
    split_body,
)
from mobilenets.serving.uploads import check_count, read_top
from mobilenets.serving.workers import Ask, Done

IMAGE, PIXELS, PREDICTION = "image", "pixels", "prediction"


def protocol_refusal(refused: Refusal) -> dict[str, str]:
    """An error as the protocol has it, a text, with the code of :class:`Reason` beside it."""
    return {"error": refused.message, "code": refused.reason.value}


async def server_metadata(service: Service, request: Incoming) -> Answer:
    """``GET /v2``."""
    extensions = ["binary_tensor_data", "classification"]
    return json_answer({"name": "mobilenets", "version": version("mobilenets"), "extensions": extensions})


async def is_live(service: Service, request: Incoming) -> Answer:
    """``GET /v2/health/live``."""
    return json_answer({"live": True})


async def is_ready(service: Service, request: Incoming) -> Answer:
    """``GET /v2/health/ready``: not while the server is stopping, so that balancers send requests elsewhere."""
    return json_answer({"ready": not service.stopping}, 503 if service.stopping else 200)


async def is_model_ready(service: Service, request: Incoming) -> Answer:
    """``GET /v2/models/{name}[/versions/{version}]/ready``."""
    model = _model(service, request)
    return json_answer({"name": model.name, "ready": not service.stopping}, 503 if service.stopping else 200)


async def model_metadata(service: Service, request: Incoming) -> Answer:
    """``GET /v2/models/{name}[/versions/{version}]``."""
    model = _model(service, request)
    network = model.predictor.model.network
    outputs = [
        {"name": name, "datatype": FLOAT, "shape": [-1, *_output_shape(network.shapes[name])]}
        for name in network.outputs
    ]
    return json_answer(
        {
            "name": model.name,
            "versions": service.models.versions(model.name),
            "platform": "mobilenets",
            "inputs": [
                {"name": IMAGE, "datatype": TEXT, "shape": [-1]},
                {"name": PIXELS, "datatype": BYTE, "shape": [-1, network.height, network.width, network.channels]},
            ],
            "outputs": [*outputs, {"name": PREDICTION, "datatype": TEXT, "shape": [-1]}],
        }
    )


def _output_shape(shape: Any) -> list[int]:
    one_value = shape.height == shape.width == 1
    return [shape.channels] if one_value else [shape.channels, shape.height, shape.width]


async def infer(service: Service, request: Incoming) -> Answer:
    """``POST /v2/models/{name}[/versions/{version}]/infer``."""
    service.workers.check_room()
    model = _model(service, request)
    body = await request.read()
    length = request.http.headers.get(BINARY_LENGTH)
    if length == "0":  # all of the body is one image
        data: Any = {}
        images: Sequence[ImageSource | Pixels] = [BytesImage("image 1", body, service.limits.pixels)]
        binary_default = True
    else:
        data, images = await parsed_aside(body, _read, length, service, model)
        binary_default = _parameters(data).get("binary_data_output") is True
    wanted = _wanted(model, data, binary_default=binary_default)
    top = read_top(_parameters(data).get("top", 5))
    ask = Ask(model, images, top=top, raw=True, deadline=request.deadline, left=request.left)
    done: list[Done] = []
    for result in await service.workers.run(ask):
        if isinstance(result, Refusal):
            raise result
        done.append(result)
    tensors = [OutputTensor(name, _values(model, name, count, done), binary) for name, count, binary in wanted]
    return _response(model, data.get("id"), tensors)


def _model(service: Service, request: Incoming) -> ServedModel:
    parameters = request.http.path_params
    return service.models.get(parameters["name"], parameters.get("version"))


def _read(
    body: bytes, length: str | None, service: Service, model: ServedModel
) -> tuple[dict[str, Any], Sequence[ImageSource | Pixels]]:
    """The JSON of a request, and what is to be run."""
    data, rest = split_body(body, length)
    if not isinstance(data, dict):
        raise Refusal(Reason.BAD_REQUEST, "the request must be an object with inputs")
    return data, _images(service, model, read_inputs(data, rest))


def _parameters(data: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = data.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Refusal(Reason.BAD_REQUEST, "parameters must be an object")
    return parameters


def _images(service: Service, model: ServedModel, inputs: list[InputTensor]) -> Sequence[ImageSource | Pixels]:
    """What is to be run: exactly one of the two inputs."""
    network = model.predictor.model.network
    if len(inputs) != 1:
        raise Refusal(Reason.BAD_REQUEST, f"{model.name} takes one input, {IMAGE} or {PIXELS}, not {len(inputs)}")
    (given,) = inputs
    match given.name, given.datatype:
        case "image", "BYTES":
            check_count(given.elements, service.limits)
            return [BytesImage(f"image {n}", one, service.limits.pixels) for n, one in enumerate(given.texts(), 1)]
        case "pixels", "UINT8":
            size = (network.height, network.width, network.channels)
            if len(given.shape) != 4 or given.shape[1:] != size:
                raise Refusal(
                    Reason.BAD_REQUEST, f"{PIXELS} has shape {list(given.shape)}; {model.name} takes {[-1, *size]}"
                )
            check_count(given.shape[0], service.limits)
            return list(given.pixels())
        case _:
            raise Refusal(
                Reason.BAD_REQUEST,
                f"{model.name} takes {IMAGE} (BYTES) or {PIXELS} (UINT8), not {shown(given.name)} "
                f"({shown(given.datatype)})",
            )


def _wanted(model: ServedModel, data: Mapping[str, Any], *, binary_default: bool) -> list[tuple[str, int, bool]]:
    """Names of the outputs that are wanted, each with its number of classes (0 for the numbers), and if as bytes."""
    known = [*model.predictor.model.network.outputs, PREDICTION]
    entries = data.get("outputs")
    if entries is None or entries == []:
        return [(name, 0, binary_default) for name in known]
    if not isinstance(entries, list) or len(entries) > len(known) or not all(isinstance(one, dict) for one in entries):
        raise Refusal(Reason.BAD_REQUEST, f"outputs must be a list of at most {len(known)} objects with name")
    found = []
    for entry in entries:
        if entry.get("name") not in known:
            raise Refusal(Reason.BAD_REQUEST, f"no output is called {shown(entry.get('name'))}; {', '.join(known)} are")
        parameters = _parameters(entry)
        count = parameters.get("classification", 0)
        if count:
            count = read_top(count)
            if entry["name"] != known[0] or model.predictor.model.task.labels is None:
                raise Refusal(Reason.BAD_REQUEST, f"{entry['name']} has no classes")
        found.append((entry["name"], count, parameters.get("binary_data", binary_default) is True))
    return found


def _values(model: ServedModel, name: str, count: int, done: list[Done]) -> npt.NDArray[Any]:
    """One output of all images."""
    if name == PREDICTION:
        texts = [json.dumps(one.prediction, ensure_ascii=False).encode(errors="backslashreplace") for one in done]
        return _objects([[text] for text in texts]).reshape(-1)
    index = model.predictor.model.network.outputs.index(name)
    if not done:
        shape = _output_shape(model.predictor.model.network.shapes[name])
        return np.empty((0, *shape), np.float32)
    values = np.concatenate([one.outputs[index] for one in done])
    return _classes(model, values, count) if count else values


def _classes(model: ServedModel, values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """The largest values of each image as ``value:index:label``, as Triton's classification extension has it."""
    labels = model.predictor.model.labels
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return _objects(
        [[f"{row[i]:f}:{i}:{labels[i]}".encode() for i in own] for row, own in zip(values, order, strict=True)]
    )


def _objects(rows: list[list[bytes]]) -> npt.NDArray[Any]:
    """Bytes of any length in an array."""
    array = np.empty((len(rows), len(rows[0]) if rows else 0), object)
    for index, row in enumerate(rows):
        array[index] = row
    return array


def _response(model: ServedModel, identifier: object, tensors: list[OutputTensor]) -> Answer:
    encoded = [tensor.encode() for tensor in tensors]
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if isinstance(identifier, str):
        answer["id"] = identifier
    answer["outputs"] = [entry for entry, _ in encoded]
    text = json_answer(answer).body
    if not any(tensor.binary for tensor in tensors):
        return Answer(text, JSON)
    header = (BINARY_LENGTH.encode(), str(len(text)).encode())
    return Answer(text + b"".join(raw for _, raw in encoded), "application/octet-stream", headers=(header,))
