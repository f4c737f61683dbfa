"""The part of YAML that describes data sets: keys of scalars, lists and numbered names.

A reader of the whole language is no dependency of the base install, and the files are a dozen lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

Value: TypeAlias = str | list[str] | dict[str, str]

_KEY = re.compile(r"""(?P<indent>\s*)(?P<key>"[^"]*"|'[^']*'|[^:#\s][^:#]*?)\s*:(?:\s+(?P<value>.*))?$""")
_BLOCK = re.compile(r":\s+[|>][+-]?$")
_ITEM = re.compile(r"(?P<indent>\s*)-\s+(?P<value>.*)$")
_PARTS = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]*)\s*(?:,|$)""")


def read_yaml(text: str) -> dict[str, Value]:
    """Keys of the outermost level with their values; what is nested deeper is passed over.

    Raises:
        ValueError: If a line is none of a key, an item of a list and a comment.

    >>> read_yaml("nc: 2  # classes\\nnames: ['cat', dog]\\ntest:\\n  - a\\n  - b")
    {'nc': '2', 'names': ['cat', 'dog'], 'test': ['a', 'b']}
    >>> read_yaml("names:\\n  0: cat\\n  1: 'a: b'")
    {'names': {'0': 'cat', '1': 'a: b'}}
    """
    found: dict[str, Value] = {}
    key = ""
    for number, line in _lines(text):
        item, pair = _ITEM.match(line), _KEY.match(line)
        if key and not found[key] and line.strip()[0] in "[{":
            found[key] = _value(line)
        elif item is not None and key:
            items = found[key] if isinstance(found[key], list) else []
            found[key] = [*items, _plain(item["value"])]
        elif pair is not None and not pair["indent"]:
            key = _plain(pair["key"])
            found[key] = _value(pair["value"] or "")
        elif pair is not None and key:
            inner = found[key]
            found[key] = {
                **(inner if isinstance(inner, dict) else {}),
                _plain(pair["key"]): _plain(pair["value"] or ""),
            }
        else:
            raise ValueError(f"line {number} is {line.strip()[:60]!r}")
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments; a list in brackets may take several."""
    open_line, begun, in_block = "", 0, False
    for number, line in enumerate(text.splitlines(), start=1):
        in_block = in_block and (not line.strip() or line[0].isspace())
        if in_block:
            continue
        bare = _without_comment(line)
        if not bare.strip() or bare.strip() in ("---", "..."):
            continue
        if _BLOCK.search(bare) is not None and not open_line:  # a script or a text of many lines
            in_block = True
            yield number, _BLOCK.sub(":", bare)
            continue
        open_line, begun = (f"{open_line} {bare.strip()}", begun) if open_line else (bare, number)
        if open_line.count("[") + open_line.count("{") <= open_line.count("]") + open_line.count("}"):
            yield begun, open_line
            open_line = ""
    if open_line:
        raise ValueError(f"line {begun} opens a bracket that nothing closes")


def _without_comment(line: str) -> str:
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (place == 0 or line[place - 1] in " [{,:"):
            quote = character
        elif character == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place].rstrip()
    return line.rstrip()


def _value(text: str) -> Value:
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        return [_plain(part) for part in _split(inner[1:-1])]
    if inner.startswith("{") and inner.endswith("}"):
        pairs = [part.partition(":") for part in _split(inner[1:-1])]
        return {_plain(name): _plain(value) for name, _, value in pairs}
    return _plain(inner)


def _split(text: str) -> list[str]:
    """What commas separate, without those in quotes."""
    parts, place = [], 0
    while place < len(text):
        found = _PARTS.match(text, place)
        if found is None or found.end() == place:
            break
        parts.append(found[1])
        place = found.end()
    return [part for part in parts if part.strip()]


def _plain(text: str) -> str:
    inner = text.strip()
    if len(inner) > 1 and inner[0] == inner[-1] and inner[0] in "\"'":
        return inner[1:-1].replace("''", "'") if inner[0] == "'" else inner[1:-1].replace('\\"', '"')
    return "" if inner in ("~", "null") else inner
