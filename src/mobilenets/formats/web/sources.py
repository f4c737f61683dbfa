"""The scripts, styles and elements that pages are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files


def source(name: str) -> str:
    """A file of this folder."""
    return files("mobilenets.formats").joinpath("web", name).read_text(encoding="utf-8")


def filled(text: str, words: Mapping[str, str]) -> str:
    """A text with each ``@word@`` that is known replaced, once.

    >>> filled("@who@ <@who@@example.org>", {"who": "me"})
    'me <me@example.org>'
    """
    return re.sub(r"@(\w+)@", lambda found: words.get(found[1], found[0]), text)


def without_comments(script: str) -> str:
    r"""A script without the lines that are comments, which a page need not carry.

    >>> without_comments("// Adds.\nconst sum = (a, b) => a + b;  // numbers\n")
    'const sum = (a, b) => a + b;  // numbers\n'
    """
    return re.sub(r"(?m)^[ \t]*//.*\n", "", script)


def viewer_parts() -> dict[str, str]:
    """What pages that take images and show predictions have in common: style, elements and script, by ``@word@``."""
    return {
        "viewer_style": source("viewer.css").rstrip(),
        "viewer_elements": source("viewer.html").rstrip(),
        "viewer": source("viewer.js"),
    }
