"""One server for the tests that only ask it something."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.support.server import write_model

NEEDED = ("starlette", "uvicorn", "httptools", "python_multipart", "prometheus_client")
collect_ignore_glob = [] if all(find_spec(name) for name in NEEDED) else ["test_*.py"]
"""Without the extra [serve] there is nothing to test."""


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of paper, scissors and stone."""
    return write_model(tmp_path_factory.mktemp("models") / "hands.safetensors")


@pytest.fixture(scope="session")
def address(model_file: Path) -> Iterator[str]:
    """A server of that Model at its defaults."""
    from mobilenets.serving.server import serving

    with serving([model_file]) as found:
        yield found
