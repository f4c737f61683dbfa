"""How often checkpoints are written within an epoch: the environment says it, or is refused."""

from __future__ import annotations

import pytest

from mobilenets.errors import TrainingError
from mobilenets.training.state import CHECKPOINT_SECONDS, checkpoint_seconds


@pytest.mark.parametrize(("text", "seconds"), [("", CHECKPOINT_SECONDS), ("0", 0.0), ("2.5", 2.5)])
def test_the_environment_says_it(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", text)
    assert checkpoint_seconds() == seconds


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "often"])
def test_what_is_no_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", text)
    with pytest.raises(TrainingError, match="MOBILENETS_CHECKPOINT_SECONDS must be"):
        checkpoint_seconds()
