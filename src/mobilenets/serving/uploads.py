"""The images of a request's body: one encoded image, a form of several, or JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mobilenets.data.image import BytesImage
from mobilenets.serving.addresses import Fetcher
from mobilenets.serving.bodies import parsed_aside
from mobilenets.serving.limits import Limits
from mobilenets.serving.refusals import Reason, Refusal, shown

MOST_TOP = 1000
FORM, JSON = "multipart/form-data", "application/json"
IMAGE_KEYS = ("base64", "url")
FORM_FIELDS = ("model", "version", "top")
QUESTION_KEYS = ("image", "images", *FORM_FIELDS)
_LONGEST_NAME = 200


@dataclass(frozen=True, eq=False)
class Question:
    """What a request asks.

    Attributes:
        images: Each an image, or why it is none.
        model: Name of the Model, or None for the first.
        version: Its version, or None for the highest.
        top: Largest number of results per image; None for what the Model's task gives.
    """

    images: tuple[BytesImage | Refusal, ...]
    model: str | None = None
    version: str | None = None
    top: int | None = None


async def read_question(
    content_type: str, query: Mapping[str, str], body: bytes, limits: Limits, fetcher: Fetcher
) -> Question:
    """Read a request.

    Args:
        content_type: Of the body.
        query: The address's: ``model``, ``version``, ``top``.
        body: All of it.
        limits: On images.
        fetcher: Of images that are given by address.

    Raises:
        Refusal: If the request cannot be understood.
    """
    kind, parameters = parse_options_header(content_type)
    media_type = kind.decode("latin-1").strip().lower()
    fields: Mapping[str, Any] = query
    if media_type == FORM:
        files, form = await parsed_aside(body, _parts, parameters.get(b"boundary", b""), limits)
        images: tuple[BytesImage | Refusal, ...] = tuple(BytesImage(n, c, limits.pixels) for n, c in files)
        fields = {**query, **form}
    elif media_type == JSON or media_type.endswith("+json"):
        fields = {**query, **await parsed_aside(body, _json_object)}
        images = await _json_images(fields, limits, fetcher)
    elif media_type.startswith("image/") or media_type in ("", "application/octet-stream"):
        images = (BytesImage("image", body, limits.pixels),) if body else ()
    else:
        raise Refusal(
            Reason.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {shown(media_type)}; expected an image's (image/jpeg), {FORM} or {JSON}",
        )
    if not images:
        raise Refusal(Reason.BAD_REQUEST, "the request holds no image")
    return Question(
        images, _text(fields, "model"), _text(fields, "version"), read_top(fields["top"]) if "top" in fields else None
    )


def read_top(given: object) -> int:
    """How many results are wanted.

    Raises:
        Refusal: If that is no number from 1 to 1000.
    """
    text = given if isinstance(given, str) else str(given) if type(given) is int else ""
    if text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= MOST_TOP:
        return int(text)
    raise Refusal(Reason.BAD_REQUEST, f"top must be an integer from 1 to {MOST_TOP}, not {shown(given)}")


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Refusal(Reason.BAD_REQUEST, f"{key} must be text, not {shown(value)}")
    return value


def parse_json(body: bytes | memoryview) -> Any:
    """JSON values.

    Raises:
        Refusal: If it is none.
    """
    try:
        return json.loads(bytes(body), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.BAD_REQUEST, f"the body is not JSON: {error!s:.120}") from None


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number of JSON")


def _json_object(body: bytes) -> dict[str, Any]:
    data = parse_json(body)
    if not isinstance(data, dict):
        raise Refusal(Reason.BAD_REQUEST, 'the JSON must be an object, such as {"images": [{"base64": "…"}]}')
    unknown = [key for key in data if key not in QUESTION_KEYS]
    if unknown:
        raise Refusal(Reason.BAD_REQUEST, f"unknown field {shown(unknown[0])}; known are {', '.join(QUESTION_KEYS)}")
    if ("image" in data) == ("images" in data):
        raise Refusal(Reason.BAD_REQUEST, "give either image or images")
    return data


async def _json_images(data: Mapping[str, Any], limits: Limits, fetcher: Fetcher) -> tuple[BytesImage | Refusal, ...]:
    given = data["images"] if "images" in data else [data["image"]]
    if not isinstance(given, list):
        raise Refusal(Reason.BAD_REQUEST, f"images must be a list, not {shown(given)}")
    check_count(len(given), limits)
    found = [_json_image(one, number, limits, fetcher) for number, one in enumerate(given, 1)]
    return tuple(await asyncio.gather(*found))


async def _json_image(given: object, number: int, limits: Limits, fetcher: Fetcher) -> BytesImage | Refusal:
    entry = {"base64": given} if isinstance(given, str) else given
    if (
        not isinstance(entry, dict)
        or sum(key in entry for key in IMAGE_KEYS) != 1
        or set(entry) - {"name", *IMAGE_KEYS}
    ):
        raise Refusal(
            Reason.BAD_REQUEST,
            f'image {number} must be base64 text, {{"base64": "…"}} or {{"url": "…"}}, with a "name" if you like',
        )
    source = entry.get("base64", entry.get("url"))
    name = entry.get("name", f"image {number}")
    if not isinstance(source, str) or not isinstance(name, str):
        raise Refusal(Reason.BAD_REQUEST, f"image {number}: name, base64 and url must be text")
    if "base64" in entry:
        return BytesImage(_short(name), decode_base64(source, number), limits.pixels)
    try:
        return BytesImage(_short(name), await fetcher.fetch(source), limits.pixels)
    except Refusal as refused:
        return refused


def decode_base64(text: str, number: int) -> bytes:
    """The bytes behind base64 text, or behind a data URL.

    Raises:
        Refusal: If it is neither.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(Reason.BAD_REQUEST, f"image {number} is not base64: {error!s:.80}") from None


def check_count(images: int, limits: Limits) -> None:
    """Raise if a request has too many images.

    Raises:
        Refusal: Then.
    """
    if images > limits.images:
        raise Refusal(Reason.TOO_MANY_IMAGES, f"the request has {images} images; at most {limits.images} are taken")


def _parts(body: bytes, boundary: bytes, limits: Limits) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """Files, and the values of other fields."""
    if not boundary:
        raise Refusal(Reason.BAD_REQUEST, f"the content type {FORM} lacks its boundary")
    form = _Form(limits)
    try:
        parser = MultipartParser(boundary, form.callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(Reason.BAD_REQUEST, f"the form is damaged: {error!s:.120}") from None
    if not form.ended:
        raise Refusal(Reason.BAD_REQUEST, "the form breaks off before its last boundary")
    return form.files, form.fields


class _Form:
    """Gathers the parts of a form as the parser finds them."""

    def __init__(self, limits: Limits) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.fields: dict[str, str] = {}
        self.ended = False
        self._begun = 0
        self._limits = limits
        self._headers: dict[str, bytes] = {}
        self._name = self._value = b""
        self._data: list[bytes] = []

    @property
    def callbacks(self) -> Any:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._of_value,
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._part,
            "on_end": self._end,
        }

    def _end(self) -> None:
        self.ended = True

    def _begin(self) -> None:
        self._headers, self._data = {}, []
        self._begun += 1
        if self._begun > self._limits.images + len(FORM_FIELDS):
            check_count(self._begun, self._limits)

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _of_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _part(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        content = b"".join(self._data)
        field = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options or self._headers.get("content-type", b"").startswith(b"image/"):
            check_count(len(self.files) + 1, self._limits)
            name = options.get(b"filename", b"").decode(errors="replace") or f"image {len(self.files) + 1}"
            self.files.append((_short(name), content))
        elif field in FORM_FIELDS:
            self.fields[field] = content[:_LONGEST_NAME].decode(errors="replace")
        else:
            raise Refusal(
                Reason.BAD_REQUEST,
                f"the form's field {shown(field)} is no file; others may be {', '.join(FORM_FIELDS)}",
            )


def _short(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:_LONGEST_NAME]
