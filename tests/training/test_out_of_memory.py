"""Memory that runs out in training: one line that says what to lower, and the checkpoint is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import TrainingError
from mobilenets.training.fit import fit
from mobilenets.training.run_folder import CHECKPOINT_FILE
from mobilenets.training.settings import Settings, set_up


def test_memory_runs_out_in_a_step(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def hungry(*_: Any) -> None:
        steps.append(1)
        if len(steps) == 4:
            torch.empty(1 << 55, dtype=torch.uint8)

    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    settings = Settings(width=0.25, resolution=32, epochs=2, threads=1, batch_size=8)
    hook = register_optimizer_step_pre_hook(hungry)
    try:
        with pytest.raises(TrainingError) as caught:
            fit(colours, tmp_path / "run", settings)
    finally:
        hook.remove()
    message = str(caught.value)
    assert message.startswith("there is not enough memory to train mobilenet_v1 with 8 images of 32×32 in a step; ")
    assert "lower the batch size (batch_size=N), the resolution or the width" in message
    assert message.endswith("resume=True goes on from the last checkpoint")
    assert (tmp_path / "run" / CHECKPOINT_FILE).exists()
    assert len(fit(colours, tmp_path / "run", settings, resume=True).history) == 2


def test_the_batch_size_of_the_settings_goes_before_the_recipe_s() -> None:
    assert set_up(Settings(batch_size=8, threads=1))[0].batch == 8
    assert set_up(Settings(threads=1))[0].batch == 64
    for wrong in (1, 0, 2.5):
        with pytest.raises(TrainingError, match="batch_size must be"):
            Settings(batch_size=wrong)  # type: ignore[arg-type]


def test_a_network_that_no_memory_holds_is_refused_at_once(colours: Path) -> None:
    with pytest.raises(TrainingError, match=r"has [\d,]+ parameters, whose training takes .*Lower the width"):
        fit(
            colours,
            settings=Settings(mobilenet_v1(width_multiplier=500, resolution=32, classes=3), epochs=1, weights=None),
        )


def test_threads_that_no_machine_has_are_refused() -> None:
    with pytest.raises(TrainingError, match="threads must be from 1 to 256, not 1000000"):
        Settings(threads=1_000_000)
