"""The folder that a run writes into."""

from __future__ import annotations

from pathlib import Path

from mobilenets.training.run_folder import (
    CHECKPOINT_FILE,
    MODEL_FILE,
    is_unfinished,
    left_after_training,
    left_by_interruption,
)


def test_what_an_interruption_leaves_is_said_with_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert left_by_interruption(run) == "no Model of this run is written yet; the same command begins anew"
    run.mkdir()
    (run / CHECKPOINT_FILE).write_bytes(b"")
    assert is_unfinished(run)
    said = left_by_interruption(run)
    assert said.startswith("The same command goes on from here with resume=True; with time=1s too it ends")
    (run / MODEL_FILE).write_bytes(b"")
    assert left_by_interruption(run).startswith(f"{run / MODEL_FILE} is the first usable Model. The same command goes")


def test_what_is_left_to_do_after_training_is_said_with_the_commands() -> None:
    said = left_after_training(Path("out"))
    assert said == "out/model.safetensors and metrics.json are finished. What is left to do: mobilenets report out"
    both = left_after_training(Path("out"), int8=True)
    assert both.endswith("mobilenets quantize out/model.safetensors --data DATA --auto, and mobilenets report out")
