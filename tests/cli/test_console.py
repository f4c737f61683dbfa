"""What commands share in speaking."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from tests.conftest import ROOT
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import SILENT
from mobilenets.cli.console import print_json, progress_to_stderr, results
from mobilenets.cli.terminal import bars_on
from mobilenets.model.file import save


def test_labels_are_printed_as_they_are_brackets_and_colons_included(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_row("[red] panda", ":smile: cat")
    results().print(table)
    results().print("[bold]wolf")
    printed = capsys.readouterr().out
    assert "[red] panda" in printed
    assert ":smile: cat" in printed
    assert "[bold]wolf" in printed


def test_json_keeps_letters_of_every_script(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"label": "Füchse 🦊"})
    printed = capsys.readouterr().out
    assert "Füchse 🦊" in printed
    assert json.loads(printed) == {"label": "Füchse 🦊"}


def test_quiet_says_nothing() -> None:
    assert progress_to_stderr(quiet=True) is SILENT


def test_without_a_terminal_progress_is_plain_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    progress = progress_to_stderr(quiet=False)
    with progress.task("decoding", 3, "images") as task:
        for _ in range(3):
            task.advance(loss="0.5")
    progress.note("skipped: a.jpg")
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second = printed.err.splitlines()
    assert first.startswith("decoding: 3/3 images, ")
    assert first.endswith(", loss 0.5")
    assert second == "skipped: a.jpg"


def test_on_a_terminal_of_80_columns_a_bar_keeps_its_counts_and_its_figures() -> None:
    screen = io.StringIO()
    progress = bars_on(Console(file=screen, width=80, force_terminal=True, highlight=False, color_system=None))
    figures = {"epoch": "120/193", "loss": "1.218", "accuracy": "34.4 %", "validation": "33.3 %"}
    with progress.task("training", 341_224, "images") as task:
        task.advance(1_224)
        task.advance(340_000, **figures)
    *_, bar, below = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).strip().splitlines()
    assert "341224/341224" in bar
    assert "images/s" in bar
    assert below.strip() == "epoch 120/193, loss 1.218, accuracy 34.4 %, validation 33.3 %"


@pytest.mark.parametrize("width", [80, 160])
def test_a_bar_uses_the_width_of_the_terminal(width: int) -> None:
    screen = io.StringIO()
    progress = bars_on(Console(file=screen, width=width, force_terminal=True, highlight=False, color_system=None))
    with progress.task("training", 341_224, "images") as task:
        task.advance(341_224)
    bar = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).strip().splitlines()[-1]
    assert bar.count("━") == width - 64
    assert len(bar) <= width


@pytest.mark.parametrize("arguments", ["tables", "tables --json", "show googlenet", "show googlenet --json"])
def test_a_reader_that_leaves_early_is_no_error(arguments: str) -> None:
    program = "from mobilenets.cli.main import main; main()"
    shell = f'{{ "{sys.executable}" -c "{program}" {arguments}; echo "code $?" >&2; }} | head -c 1 >/dev/null'
    done = subprocess.run(
        ["bash", "-c", shell],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.stderr == "code 0\n"


def test_the_interpreter_runs_the_package_as_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mobilenets", "tables", "99"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no table '99'")


def test_what_the_terminal_cannot_show_is_written_out() -> None:
    program = "from mobilenets.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "show", "mobilenet_v1"],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "ascii"},
    )
    assert b"32\\xd7112\\xd7112" in done.stdout


def test_errors_of_the_system_name_the_file_in_words(mobilenets: Callable[..., Any], tmp_path: Path) -> None:
    """And not a temporary file beside it, nor a number."""
    path = tmp_path / f"{'x' * 250}.safetensors"  # longer than names of files may be
    outcome = mobilenets("import", "does-not-exist.pth", "--output", str(tmp_path / "a.safetensors"))
    assert outcome.err.strip().splitlines()[-1].startswith("error: does-not-exist.pth does not exist")
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    save(random_model(np.random.default_rng(0), network), tmp_path / "model.safetensors")
    outcome = mobilenets("import", str(tmp_path / "model.safetensors"), "--output", str(path))
    assert outcome.code == 1
    assert outcome.err.strip().splitlines()[-1] == f"error: {path}: File name too long"


def test_a_wrong_command_gets_the_nearest_right_one(mobilenets: Callable[..., Any]) -> None:
    outcome = mobilenets("evalute", "model.safetensors", "photos")
    assert outcome.code == 2
    assert "No such command 'evalute'. Did you mean 'evaluate'?" in outcome.err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("fit", "photos", "--batch", "8"), "Did you mean --batch-size?"),
        (("fit", "photos", "--lr", "0.1"), "Did you mean --recipe? (the recipe sets the learning rate"),
        (("fit", "photos", "--imgsz", "64"), "Did you mean --resolution?"),
        (("fit", "photos", "--folds", "5"), "Did you mean --cross-validate?"),
        (("export", "model.safetensors", "--pictures", "photos"), "Did you mean --images?"),
        (("fit", "photos", "--epoch", "3"), "Did you mean --epochs?"),
        (("predict", "model.safetensors", "a.jpg", "--topk", "2"), "Did you mean --top?"),
        (("fit", "photos", "--batch_size", "8"), "Did you mean --batch-size?"),
        (("fit", "--dataset", "photos"), "What to read is named without an option, as in: mobilenets fit DATA"),
        (("fit", "photos", "--num-classes", "3"), "Classes are found in the images"),
        (("fit", "photos", "--patience", "3"), "The best of all epochs is kept"),
        (("predict", "pets", "a.jpg", "--device", "cuda"), "It runs on the processor"),
    ],
)
def test_an_option_of_another_program_gets_the_one_that_means_the_same(
    words: tuple[str, ...], meant: str, mobilenets: Callable[..., Any]
) -> None:
    outcome = mobilenets(*words)
    assert outcome.code == 2
    assert meant in outcome.err


def test_every_option_that_is_suggested_exists(mobilenets: Callable[..., Any]) -> None:
    from mobilenets.cli.main import COMMANDS, group
    from mobilenets.cli.meanings import MEANT

    commands = [group.get_command(click.Context(group), name) for name in COMMANDS]
    known = {option for command in commands if command for one in command.params for option in one.opts}
    assert set(MEANT) <= known
