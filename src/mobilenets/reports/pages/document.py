"""A page as one file: its head with the style, and its last line."""

from __future__ import annotations

from importlib import resources

from mobilenets import __version__
from mobilenets.reports.pages.markup import Child, Element, tag, to_html


def html_document(title: str, *children: Child) -> str:
    """The page as text.

    Args:
        title: In the tab of the browser.
        children: What it holds.
    """
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("style", resources.files("mobilenets.reports.pages").joinpath("style.css").read_text(encoding="utf-8")),
        ),
        tag("body", tag("main", *children)),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{to_html(page)}\n"


def colophon() -> Element:
    """The last line of a page."""
    return tag(
        "footer",
        tag("p", f"Written by mobilenets {__version__}. This file is whole: it loads nothing and runs nothing."),
    )
