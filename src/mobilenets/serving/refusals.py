"""Why a request gets no prediction: a closed set of reasons, each with its HTTP status."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The ``code`` of an error. Programs may rely on it; the message beside it is for people."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    URL_REFUSED = "url_refused"
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    SLOW_REQUEST = "slow_request"
    BODY_TOO_LARGE = "body_too_large"
    IMAGE_TOO_LARGE = "image_too_large"
    TOO_MANY_IMAGES = "too_many_images"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNKNOWN_HOST = "unknown_host"
    INVALID_IMAGE = "invalid_image"
    URL_FAILED = "url_failed"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    QUEUE_FULL = "queue_full"
    MEMORY_FULL = "memory_full"
    TIMED_OUT = "timed_out"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    STOPPING = "stopping"

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self]

    @property
    def meaning(self) -> str:
        """What it says, for the documentation."""
        return MEANINGS[self]


_TABLE: tuple[tuple[Reason, int, str], ...] = (
    (Reason.BAD_REQUEST, 400, "the request is not what the endpoint takes: no JSON, a wrong field, no image"),
    (Reason.UNAUTHORIZED, 401, "the server wants an API key, and the request has none or a wrong one"),
    (Reason.URL_REFUSED, 403, "the server fetches no images from that address"),
    (Reason.NOT_FOUND, 404, "nothing is served at that path"),
    (Reason.MODEL_NOT_FOUND, 404, "no Model of that name or version is served"),
    (Reason.METHOD_NOT_ALLOWED, 405, "the path takes another HTTP method"),
    (Reason.SLOW_REQUEST, 408, "the body took longer to arrive than a request may take"),
    (Reason.BODY_TOO_LARGE, 413, "the body has more bytes than are taken"),
    (Reason.IMAGE_TOO_LARGE, 413, "the image has more pixels than are decoded"),
    (Reason.TOO_MANY_IMAGES, 413, "the request has more images than are taken"),
    (Reason.UNSUPPORTED_MEDIA_TYPE, 415, "the body is of a content type or encoding that is not taken"),
    (Reason.UNKNOWN_HOST, 421, "the Host header names another server"),
    (Reason.INVALID_IMAGE, 422, "the image cannot be decoded"),
    (Reason.URL_FAILED, 422, "the address gave no image"),
    (Reason.HEADERS_TOO_LARGE, 431, "the headers have more bytes than are taken"),
    (Reason.INTERNAL_ERROR, 500, "a fault of the server, which its log describes"),
    (Reason.QUEUE_FULL, 503, "as many images wait as may; try again after Retry-After seconds"),
    (Reason.MEMORY_FULL, 503, "as many bytes of bodies are held as may; try again after Retry-After seconds"),
    (Reason.TIMED_OUT, 503, "the image waited as long as a request may take; try again after Retry-After seconds"),
    (Reason.TOO_MANY_CONNECTIONS, 503, "as many connections are open as may; try again after Retry-After seconds"),
    (Reason.STOPPING, 503, "the server is stopping; another one may answer"),
)
STATUSES = {reason: status for reason, status, _ in _TABLE}
MEANINGS = {reason: meaning for reason, _, meaning in _TABLE}

RETRY_AFTER_SECONDS = 1
"""What an answer of 503 gives as Retry-After."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request, or one of its images, gets no prediction.

    Attributes:
        reason: Why.
        message: The same for people, with what was wrong, expected and given. It holds no path of the machine.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def to_json(self) -> dict[str, str]:
        """JSON-ready values."""
        return {"code": self.reason.value, "message": self.message}


def shown(value: object) -> str:
    """A JSON value for a message, in few characters however large it is.

    >>> shown("a" * 100), shown(["secret"] * 1000), shown(None)
    ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'", 'a list', 'null')
    """
    match value:
        case str():
            return repr(value if len(value) <= 40 else value[:40] + "…")
        case list():
            return "a list"
        case dict():
            return "an object"
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return f"{value!r:.40}"
