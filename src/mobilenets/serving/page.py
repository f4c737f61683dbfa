"""The page for people: one file of HTML that asks nobody but its own server.

Its style, elements and script are those of web pages with a Model inside (:mod:`mobilenets.formats.web`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from mobilenets.formats.web.sources import filled, viewer_parts
from mobilenets.serving.requests import HTML, Answer, Incoming
from mobilenets.serving.service import Service


async def show_page(service: Service, request: Incoming) -> Answer:
    """``GET /``."""
    content, policy = page()
    return Answer(content, HTML, headers=((b"content-security-policy", policy), (b"cache-control", b"no-cache")))


@cache
def page() -> tuple[bytes, bytes]:
    """The page, and a content security policy under which nothing runs in it but its own script and style."""
    own = {
        name: files("mobilenets.serving").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html", "page.js")
    }
    text = filled(own["page.html"], {"page": own["page.js"]} | viewer_parts())
    script, style = (_hash_of(text, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; "
        "media-src blob: mediastream:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy.encode()


def _hash_of(text: str, tag: str) -> str:
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
