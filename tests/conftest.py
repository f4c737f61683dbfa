"""Where tests find the third-party images and weights, if they are there at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run and every machine: a failure is then about the change, never about luck.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    """A file or folder of the shared data; the test is skipped where it is not present."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data {name} is not here")
    return path
