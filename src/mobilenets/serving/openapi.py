"""The server's own description: an OpenAPI document, and a page made of it that needs no scripts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from mobilenets.serving.limits import Limits
from mobilenets.serving.metrics import CONTENT_TYPE
from mobilenets.serving.refusals import Reason
from mobilenets.serving.requests import HTML, Answer, Incoming, json_answer
from mobilenets.serving.service import Service

Document = dict[str, Any]

STATIC_PAGE = b"default-src 'none'; style-src 'unsafe-inline'"
_ALWAYS = (Reason.BAD_REQUEST, Reason.UNAUTHORIZED, Reason.UNKNOWN_HOST, Reason.HEADERS_TOO_LARGE)
_OF_MODELS = (Reason.MODEL_NOT_FOUND,)
_OF_BODIES = (
    Reason.SLOW_REQUEST,
    Reason.BODY_TOO_LARGE,
    Reason.IMAGE_TOO_LARGE,
    Reason.TOO_MANY_IMAGES,
    Reason.UNSUPPORTED_MEDIA_TYPE,
    Reason.INVALID_IMAGE,
    Reason.QUEUE_FULL,
    Reason.MEMORY_FULL,
    Reason.TIMED_OUT,
)
_OF_ADDRESSES = (Reason.URL_REFUSED, Reason.URL_FAILED)


def _object(properties: Document, required: tuple[str, ...] = (), **more: Any) -> Document:
    return {"type": "object", "properties": properties, "required": list(required), **more}


_TEXT: Document = {"type": "string"}
_LABEL = _object({"label": _TEXT, "probability": {"type": "number"}}, ("label", "probability"))
_BOX = _object(
    {
        "category_id": {"type": "integer", "description": "Number of the class, from 1."},
        "label": _TEXT,
        "bbox": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "Left, top, width and height in pixels.",
        },
        "score": {"type": "number"},
    },
    ("category_id", "label", "bbox", "score"),
)
_ERROR = _object(
    {"code": {"type": "string", "enum": [reason.value for reason in Reason]}, "message": _TEXT}, ("code", "message")
)
_TENSOR = _object(
    {
        "name": _TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": _TEXT,
        "parameters": {"type": "object"},
        "data": {"description": "Values, flat or nested; absent where they follow the JSON as bytes."},
    },
    ("name", "shape", "datatype"),
)


def _schemas(limits: Limits) -> Document:
    image = {
        "oneOf": [
            {"type": "string", "contentEncoding": "base64"},
            _object({"name": _TEXT, "base64": {"type": "string", "contentEncoding": "base64"}}, ("base64",)),
            _object({"name": _TEXT, "url": {"type": "string", "format": "uri"}}, ("url",)),
        ]
    }
    chosen = {
        "model": {"type": "string", "description": "By default the first one."},
        "version": {"type": "string", "description": "By default the highest."},
        "top": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "By default 5 labels, or all boxes."},
    }
    of_many = {"type": "array", "items": image, "minItems": 1, "description": f"At most {limits.images}."}
    return {
        "Error": _object({"error": _ERROR}, ("error",)),
        "ProtocolError": _object({"error": _TEXT, "code": _TEXT}, ("error",)),
        "Question": {
            "oneOf": [
                _object({"images": of_many, **chosen}, ("images",), additionalProperties=False),
                _object({"image": image, **chosen}, ("image",), additionalProperties=False),
            ]
        },
        "Prediction": _object(
            {
                "image": _TEXT,
                "labels": {
                    "type": "array",
                    "items": _LABEL,
                    "description": "Of a classifier, likeliest first; or those that an image is given, of several.",
                },
                "probabilities": {
                    "type": "object",
                    "additionalProperties": {"type": "number"},
                    "description": "Of every label, where an image may have several.",
                },
                "width": {"type": "integer", "description": "Of the upright image, for a detector."},
                "height": {"type": "integer"},
                "detections": {"type": "array", "items": _BOX, "description": "Of a detector, highest score first."},
                "note": {"type": "string", "description": "What was assumed of the image."},
                "error": _ERROR,
            },
            ("image",),
            description="What the Model's task says of one image, or why it says nothing.",
        ),
        "Answer": _object(
            {
                "model": _TEXT,
                "version": _TEXT,
                "latency_ms": {"type": "number"},
                "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
            },
            ("model", "version", "latency_ms", "predictions"),
        ),
        "InferenceRequest": _object(
            {
                "id": _TEXT,
                "parameters": {"type": "object"},
                "inputs": {"type": "array", "items": _TENSOR},
                "outputs": {
                    "type": "array",
                    "items": _object({"name": _TEXT, "parameters": {"type": "object"}}, ("name",)),
                },
            },
            ("inputs",),
        ),
        "InferenceResponse": _object(
            {
                "model_name": _TEXT,
                "model_version": _TEXT,
                "id": _TEXT,
                "outputs": {"type": "array", "items": _TENSOR},
            },
            ("model_name", "model_version", "outputs"),
        ),
    }


def _responses(
    reasons: tuple[Reason, ...], content: Document, error: str = "Error", also: Mapping[str, Any] | None = None
) -> Document:
    """What an operation may answer."""
    found: Document = {"200": {"description": "Done.", "content": content}}
    body: Document = {"$ref": f"#/components/schemas/{error}"}
    for status in sorted({reason.status for reason in (*_ALWAYS, *reasons)}):
        own = [reason for reason in (*_ALWAYS, *reasons) if reason.status == status]
        meanings = "\n".join(f"`{reason.value}`: {reason.meaning}." for reason in own)
        schema = {"anyOf": [body, also]} if also is not None and status in (413, 422, 403, 503) else body
        found[str(status)] = {"description": meanings, "content": {"application/json": {"schema": schema}}}
    return found


def _operation(
    summary: str,
    content: Document,
    *,
    reasons: tuple[Reason, ...] = (),
    error: str = "Error",
    also: Mapping[str, Any] | None = None,
    **more: Any,
) -> Document:
    return {"summary": summary, "responses": _responses(reasons, content, error, also), **more}


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}


def _path_parameter(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _predict() -> Document:
    answer: Document = {"$ref": "#/components/schemas/Answer"}
    binary: Document = {"schema": {"type": "string", "format": "binary"}}
    files: Document = _object(
        {
            "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "model": _TEXT,
            "version": _TEXT,
            "top": {"type": "string"},
        },
        ("file",),
    )
    query = [
        {"name": "model", "in": "query", "schema": _TEXT},
        {"name": "version", "in": "query", "schema": _TEXT},
        {"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    ]
    body = {
        "required": True,
        "content": {
            "image/*": binary,
            "multipart/form-data": {"schema": files},
            **_json({"$ref": "#/components/schemas/Question"}),
        },
    }
    return _operation(
        "Predict an image, a form of several, or JSON with base64 or addresses",
        _json(answer),
        reasons=(*_OF_MODELS, *_OF_BODIES, *_OF_ADDRESSES),
        also=answer,
        parameters=query,
        requestBody=body,
    )


def _of_models() -> Iterator[tuple[str, Document]]:
    """Paths of ``/v2`` about one Model, with and without its version."""
    body = {
        "required": True,
        "content": {
            **_json({"$ref": "#/components/schemas/InferenceRequest"}),
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
    answered = {
        **_json({"$ref": "#/components/schemas/InferenceResponse"}),
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    length = {"name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "string"}}
    for path, names in (("", ("name",)), ("/versions/{version}", ("name", "version"))):
        parameters = [_path_parameter(name) for name in names]
        root = "/v2/models/{name}" + path
        common: Document = {"error": "ProtocolError", "parameters": parameters}
        yield (
            root,
            {
                "get": _operation(
                    "Inputs and outputs of a Model", _json({"type": "object"}), reasons=_OF_MODELS, **common
                )
            },
        )
        ready = (*_OF_MODELS, Reason.STOPPING)
        yield (
            root + "/ready",
            {"get": _operation("Whether a Model is ready", _json({"type": "object"}), reasons=ready, **common)},
        )
        infer = {**common, "parameters": [*parameters, length]}
        yield (
            root + "/infer",
            {
                "post": _operation(
                    "Run a Model", answered, reasons=(*_OF_MODELS, *_OF_BODIES), requestBody=body, **infer
                )
            },
        )


def document(service: Service) -> Document:
    """The OpenAPI document of a server."""
    anything = _json({"type": "object"})
    report = [_path_parameter("name"), _path_parameter("version")]
    html_page: Document = {"text/html": {"schema": _TEXT}}
    gone = (*_OF_MODELS, Reason.NOT_FOUND)
    paths: Document = {
        "/v1/predict": {"post": _predict()},
        "/v1/models": {"get": _operation("The Models that are served", anything)},
        "/v1/models/{name}/versions/{version}/report": {
            "get": _operation("A Model's evaluation report", html_page, reasons=gone, parameters=report)
        },
        "/metrics": {"get": _operation("Counts for Prometheus", {CONTENT_TYPE.partition(";")[0]: {"schema": _TEXT}})},
        "/v2": {"get": _operation("Name, version and extensions", anything, error="ProtocolError")},
        "/v2/health/live": {"get": _operation("Whether the server answers", anything, error="ProtocolError")},
        "/v2/health/ready": {
            "get": _operation(
                "Whether the server takes requests", anything, reasons=(Reason.STOPPING,), error="ProtocolError"
            )
        },
        **dict(_of_models()),
    }
    found: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "MobileNets",
            "version": version("mobilenets"),
            "description": "Predictions of images. /v2 is the Open Inference Protocol.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(service.limits)},
    }
    if service.access.keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


async def show_document(service: Service, request: Incoming) -> Answer:
    """``GET /openapi.json``."""
    return json_answer(document(service))


async def show_documentation(service: Service, request: Incoming) -> Answer:
    """``GET /docs``."""
    body = page_of(document(service)).encode()
    return Answer(body, HTML, headers=((b"content-security-policy", STATIC_PAGE),))


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem;color:#1b1f24;background:#fff}"
    "code,pre{font:14px/1.5 ui-monospace,monospace}"
    "pre{background:#f3f4f6;padding:.75rem;overflow-x:auto;border-radius:6px}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;"
    "border-top:1px solid #d9dce0}summary{cursor:pointer;padding:.5rem 0}details{border-top:1px solid #d9dce0}"
    "a{color:#0b57d0}.m{display:inline-block;min-width:3.2em;font-weight:600}"
    "@media(prefers-color-scheme:dark){body{background:#16181b;color:#e6e8eb}pre{background:#23272c}a{color:#8ab4f8}"
    "td,th,details{border-color:#3a3f45}}"
)
_EXAMPLES = """curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' {root}/v1/predict
curl -F file=@cat.jpg -F file=@dog.jpg -F top=3 {root}/v1/predict
curl -H 'Content-Type: application/json' -d '{{"images": [{{"base64": "…"}}]}}' {root}/v1/predict"""


def page_of(found: Document) -> str:
    """An OpenAPI document as a page."""
    operations = "".join(
        _shown(path, method, operation)
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    )
    codes = "".join(
        f"<tr><td><code>{reason.value}</code></td><td>{reason.status}</td><td>{html.escape(reason.meaning)}</td></tr>"
        for reason in Reason
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>Interface</title><style>{_STYLE}</style></head>'
        "<body><main>"
        '<h1>Interface for programs</h1><p>As <a href="openapi.json">OpenAPI document</a>. '
        'The page for people is <a href="./">here</a>.</p>'
        f"<pre>{html.escape(_EXAMPLES.format(root='http://HOST:PORT'))}</pre>"
        f"<h2>Requests</h2>{operations}<h2>Errors</h2><p>An error is JSON with a <code>code</code>. Those of 503 have "
        "<code>Retry-After</code>.</p><table><thead><tr><th>code</th><th>status</th><th>meaning</th></tr></thead>"
        f"<tbody>{codes}</tbody></table></main></body></html>"
    )


def _shown(path: str, method: str, operation: Document) -> str:
    parameters = ", ".join(f"<code>{one['name']}</code> ({one['in']})" for one in operation.get("parameters", ()))
    bodies = ", ".join(f"<code>{kind}</code>" for kind in operation.get("requestBody", {}).get("content", ()))
    statuses = ", ".join(operation["responses"])
    lines = [
        f"<p>{html.escape(label)}: {value}</p>"
        for label, value in (("Parameters", parameters), ("Body", bodies), ("Statuses", statuses))
        if value
    ]
    return (
        f'<details><summary><span class="m">{method.upper()}</span> <code>{html.escape(path)}</code> – '
        f"{html.escape(operation['summary'])}</summary>{''.join(lines)}</details>"
    )
