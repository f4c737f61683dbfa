"""Running the command line inside the test's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from mobilenets.cli.main import main


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


RunCommand = Callable[..., Outcome]


@pytest.fixture
def mobilenets(capfd: pytest.CaptureFixture[str]) -> RunCommand:
    """A function that runs ``mobilenets`` with some arguments."""

    def run(*arguments: object) -> Outcome:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
