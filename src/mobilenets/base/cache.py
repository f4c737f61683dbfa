"""The cache: one folder for everything that may be deleted at any time, and one scheme of keys."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder below the cache; it need not exist yet.

    ``MOBILENETS_CACHE`` where it is set; else ``mobilenets`` below ``XDG_CACHE_HOME``, ``LOCALAPPDATA`` on Windows, or
    ``~/.cache``.

    Args:
        parts: Names of folders below it, such as ``tuning``.

    >>> cache_folder("tuning").name
    'tuning'
    """
    chosen = os.environ.get("MOBILENETS_CACHE")
    return (Path(chosen) if chosen else _user_folder() / "mobilenets").joinpath(*parts)


def _user_folder() -> Path:
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder)
    if sys.platform == "win32" and (folder := os.environ.get("LOCALAPPDATA")):
        return Path(folder)
    return Path.home() / ".cache"


def cache_key(*facts: object) -> str:
    """A name for what is computed from some facts: 32 hexadecimal digits, the same in every process.

    Args:
        facts: JSON values that the result follows from; a change of any gives another key.

    >>> cache_key("tuning", 1, {"threads": 2}) == cache_key("tuning", 1, {"threads": 2})
    True
    >>> cache_key("a", "b") == cache_key("ab")
    False
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
