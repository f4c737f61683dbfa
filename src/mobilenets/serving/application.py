"""The ASGI application: which path is answered by what."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from mobilenets.serving.inference_protocol import (
    infer,
    is_live,
    is_model_ready,
    is_ready,
    model_metadata,
    protocol_refusal,
    server_metadata,
)
from mobilenets.serving.metrics import CONTENT_TYPE
from mobilenets.serving.openapi import show_document, show_documentation
from mobilenets.serving.page import show_page
from mobilenets.serving.predict import list_models, predict, show_report
from mobilenets.serving.refusals import Reason, Refusal
from mobilenets.serving.requests import Answer, Endpoint, Handler, Incoming, refusal_answer, send_answer
from mobilenets.serving.service import Service

METHODS_OF_PAGES = "GET, POST, OPTIONS"


async def _metrics(service: Service, request: Incoming) -> Answer:
    """``GET /metrics``."""
    return Answer(service.metrics.text(), CONTENT_TYPE)


def application(service: Service) -> Router:
    """All endpoints of a server.

    Args:
        service: What they share; it runs while the application does.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[None]:
        async with service.running():
            yield

    endpoint = partial(_route, service)
    routes = [
        endpoint("/v1/predict", "predict", predict, methods=("POST",)),
        endpoint("/v1/models", "models", list_models),
        endpoint("/v1/models/{name}/versions/{version}/report", "report", show_report),
        endpoint("/metrics", "metrics", _metrics),
        endpoint("/", "page", show_page, public=True),
        endpoint("/openapi.json", "openapi", show_document, public=True),
        endpoint("/docs", "docs", show_documentation, public=True),
        *_protocol_routes(service),
    ]
    return Router(routes, redirect_slashes=False, default=_Nothing(service), lifespan=lifespan)


def _protocol_routes(service: Service) -> list[Route]:
    """``/v2``. Whether the server is there is nobody's secret: probes have no API key."""
    endpoint = partial(_route, service, refusal=protocol_refusal)
    models = "/v2/models/{name}"
    routes = [
        endpoint("/v2", "server_metadata", server_metadata),
        endpoint("/v2/health/live", "live", is_live, public=True),
        endpoint("/v2/health/ready", "ready", is_ready, public=True),
    ]
    for path in (models, models + "/versions/{version}"):
        routes += [
            endpoint(path, "model_metadata", model_metadata),
            endpoint(path + "/ready", "model_ready", is_model_ready),
            endpoint(path + "/infer", "infer", infer, methods=("POST",)),
        ]
    return routes


def _route(
    service: Service,
    path: str,
    name: str,
    handler: Handler,
    *,
    methods: tuple[str, ...] = ("GET",),
    refusal: Callable[[Refusal], Any] | None = None,
    public: bool = False,
) -> Route:
    own = {} if refusal is None else {"refusal": refusal}
    served = Endpoint(service, name, handler, public=public, **own)
    return Route(path, _Methods(service, served, methods))


class _Methods:
    """An endpoint that answers to some methods, to OPTIONS from pages that may ask, and to others that it does not."""

    def __init__(self, service: Service, served: ASGIApp, methods: tuple[str, ...]) -> None:
        self._service = service
        self._served = served
        self._methods = (*methods, "HEAD") if "GET" in methods else methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method in self._methods:
            await self._served(scope, receive, send)
            return
        request = Request(scope, receive)
        headers = [*self._service.access.headers(request), (b"allow", ", ".join(self._methods).encode())]
        if method == "OPTIONS" and any(name == b"access-control-allow-origin" for name, _ in headers):
            headers += [
                (b"access-control-allow-methods", METHODS_OF_PAGES.encode()),
                (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
                (b"access-control-max-age", b"600"),
            ]
            await send_answer(Answer(b"", status=204), send, headers)
            return
        await _refuse(
            self._service,
            Refusal(Reason.METHOD_NOT_ALLOWED, f"{scope['path'][:200]} takes {' or '.join(self._methods)}"),
            send,
            headers,
        )


class _Nothing:
    """What answers where nothing is served."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            refused = Refusal(Reason.NOT_FOUND, "nothing is served here; GET /docs lists what is")
            await _refuse(self._service, refused, send, self._service.access.headers(Request(scope, receive)))


async def _refuse(service: Service, refused: Refusal, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    service.metrics.refused(refused.reason)
    service.metrics.answered("none", refused.reason.status, 0.0)
    await send_answer(refusal_answer(refused, {"error": refused.to_json()}), send, headers)
