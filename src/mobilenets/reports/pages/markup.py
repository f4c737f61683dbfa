"""HTML as a tree of elements: whatever comes from data is text, and is escaped when the tree is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree

Element = ElementTree.Element
Child: TypeAlias = "str | Element | Iterable[Child] | None"

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Element:
    """An element.

    Args:
        name: Such as ``p``.
        children: Texts and elements, or lists of them; None is left out.
        attributes: ``class_`` stands for ``class``, and underscores for hyphens. None and False are left out.

    >>> to_html(tag("p", "1 < 2 & ", tag("b", "so on"), class_="x", title='"quoted"'))
    '<p class="x" title="&quot;quoted&quot;">1 &lt; 2 &amp; <b>so on</b></p>'
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        element.set(key.rstrip("_").replace("_", "-"), "" if value is True else _text(value))
    for child in children:
        _append(element, child)
    return element


def _append(element: Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, Element):
        element.append(child)
    elif isinstance(child, str):
        if len(element):
            element[-1].tail = (element[-1].tail or "") + printable(child)
        else:
            element.text = (element.text or "") + printable(child)
    else:
        for one in child:
            _append(element, one)


def _text(value: str | float | bool) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.6g}"


def printable(text: str) -> str:
    """Text with what a page may not hold replaced: control characters, and the bytes of names that are no text.

    >>> printable("a\\x1bb"), printable("caf\\udce9")
    ('a\ufffdb', 'caf\\\\udce9')
    """
    return _UNPRINTABLE.sub("\ufffd", text.encode("utf-8", "backslashreplace").decode("utf-8"))


def name(text: str, *, class_: str | None = None) -> Element:
    """A label or file name: its direction of writing stays its own, and where it is too long it may be broken."""
    return tag("bdi", text, class_=class_)


def to_html(element: Element) -> str:
    """The element as HTML."""
    return ElementTree.tostring(element, encoding="unicode", method="html")


def html_table(*heads: Child, rows: Iterable[Iterable[Child]], class_: str | None = None, caption: str) -> Element:
    """A table whose first column names its rows.

    Args:
        heads: The header of each column.
        rows: Cells of each row.
        class_: Of the table.
        caption: What it is about; it is read out, and not shown.
    """
    return tag(
        "table",
        tag("caption", caption, class_="spoken"),
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag(
            "tbody",
            [
                tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in others])
                for first, *others in map(list, rows)
            ],
        ),
        class_=class_,
    )


def scrolling(content: Element, label: str) -> Element:
    """Something wide that scrolls by itself, so that the page does not."""
    return tag("div", content, class_="scrolling", role="region", tabindex=0, aria_label=label)


def section(identifier: str, title: str, *children: Child) -> Element:
    """A section of the page, with its heading."""
    return tag("section", tag("h2", title), *children, id=identifier)
