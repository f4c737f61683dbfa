"""The server's description of itself."""

from __future__ import annotations

import re
from typing import Any

from tests.support.server import ask, photo, post_image

from mobilenets.serving.refusals import Reason


def test_every_reference_leads_somewhere(address: str) -> None:
    document = ask(address, "GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names == set(document["components"]["schemas"])


def test_every_path_that_is_described_is_served(address: str) -> None:
    for path, methods in ask(address, "GET", "/openapi.json").json["paths"].items():
        real = path.replace("{name}", "hands").replace("{version}", "1")
        for method in methods:
            answer = ask(address, method.upper(), real, b"{}" if method == "post" else None)
            assert answer.status in (200, 400, 422) or (path.endswith("report") and answer.status == 404), (
                path,
                answer,
            )


def test_an_answer_is_as_it_is_described(address: str) -> None:
    schemas: dict[str, Any] = ask(address, "GET", "/openapi.json").json["components"]["schemas"]
    answer = post_image(address, photo()).json
    assert set(answer) == set(schemas["Answer"]["required"])
    assert set(answer["predictions"][0]) <= set(schemas["Prediction"]["properties"])


def test_the_page_of_the_interface_needs_nothing_else(address: str) -> None:
    answer = ask(address, "GET", "/docs")
    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in text
    assert "https://" not in text
    assert all(reason.value in text for reason in Reason)
    assert "/v1/predict" in text
