"""Griffe extension of the documentation's site: doctests in docstrings become blocks of Python code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"(?m)^>>> (?:.*\n?)(?:^(?!\s*$).+\n?)*")


class Doctests(griffe.Extension):
    """Fences every doctest, which Markdown would take for a quotation."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = _DOCTEST.sub(lambda match: f"```python\n{match[0].rstrip()}\n```\n", text)
