"""``/v1``: images in, predictions out, in the words of each Model's task."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mobilenets.data.image import BytesImage
from mobilenets.serving.models import ServedModel
from mobilenets.serving.refusals import Reason, Refusal
from mobilenets.serving.requests import HTML, Answer, Incoming, json_answer
from mobilenets.serving.service import Service
from mobilenets.serving.uploads import Question, read_question
from mobilenets.serving.workers import Ask
from mobilenets.tasks.multilabel import MultiLabel

STATIC_PAGE = b"sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy of a report: nothing runs, and nothing is fetched."""


async def predict(service: Service, request: Incoming) -> Answer:
    """``POST /v1/predict``."""
    begin = time.monotonic()
    service.workers.check_room()
    body = await request.read()
    http = request.http
    question = await read_question(
        http.headers.get("content-type", ""), http.query_params, body, service.limits, service.fetcher
    )
    model = service.models.get(question.model, question.version)
    predictions, refusals = await _predicted(service, request, model, question)
    if len(refusals) == len(predictions) == 1:
        raise refusals[0]
    for refused in refusals:
        service.metrics.refused(refused.reason)
    answer = {
        "model": model.name,
        "version": model.version,
        "latency_ms": round((time.monotonic() - begin) * 1e3, 3),
        "predictions": predictions,
    }
    status = max(refused.reason.status for refused in refusals) if len(refusals) == len(predictions) else 200
    return json_answer(answer, status)


async def _predicted(
    service: Service, request: Incoming, model: ServedModel, question: Question
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    """For each image its prediction, or its error beside its name; and all errors."""
    images = [image for image in question.images if isinstance(image, BytesImage)]
    ask = Ask(model, images, top=question.top, deadline=request.deadline, left=request.left)
    results = iter(await service.workers.run(ask))
    predictions: list[dict[str, Any]] = []
    refusals: list[Refusal] = []
    for number, image in enumerate(question.images, 1):
        name, result = (f"image {number}", image) if isinstance(image, Refusal) else (image.name, next(results))
        if isinstance(result, Refusal):
            refusals.append(result)
            predictions.append({"image": name, "error": result.to_json()})
        else:
            predictions.append(result.prediction)
    return predictions, refusals


async def list_models(service: Service, request: Incoming) -> Answer:
    """``GET /v1/models``."""
    return json_answer({"models": [described_model(model) for model in service.models.all()]})


def described_model(model: ServedModel) -> dict[str, Any]:
    """A Model for people and programs; nothing of it tells where on the machine it lies."""
    own = model.predictor.model
    network, task = own.network, own.task
    return {
        "name": model.name,
        "version": model.version,
        "task": task.kind,
        "description": task.description,
        "network": network.name,
        "precision": "int8" if own.quantization is not None else "float32",
        "input": {"height": network.height, "width": network.width},
        "labels": None if task.labels is None else list(task.labels),
        **({"thresholds": thresholds_of(task)} if isinstance(task, MultiLabel) else {}),
        "report": f"/v1/models/{model.name}/versions/{model.version}/report" if model.report is not None else None,
    }


def thresholds_of(task: MultiLabel) -> dict[str, float]:
    """The probability from which on an image is given each label."""
    return dict(zip(task.labels, task.all_thresholds, strict=True))


async def show_report(service: Service, request: Incoming) -> Answer:
    """``GET /v1/models/{name}/versions/{version}/report``."""
    parameters = request.http.path_params
    model = service.models.get(parameters["name"], parameters["version"])
    if model.report is None:
        raise Refusal(Reason.NOT_FOUND, f"{model.name} has no evaluation report")
    try:
        content = await asyncio.get_running_loop().run_in_executor(None, model.report.read_bytes)
    except OSError:
        raise Refusal(Reason.NOT_FOUND, f"the evaluation report of {model.name} is gone") from None
    return Answer(content, HTML, headers=((b"content-security-policy", STATIC_PAGE),))
