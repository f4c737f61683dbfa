"""What the commands say of images, and the options that say how to read them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from tests.cli.conftest import RunCommand
from tests.support.image_folders import write_images, write_tree
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.cli.main import COMMANDS, group
from mobilenets.model.file import save
from mobilenets.tasks.classification import Classification

SMALL = ("--width", "0.25", "--resolution", "32", "--epochs", "1", "--training-threads", "1")


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Parts whose test images are copies of training images."""
    folder = write_tree(tmp_path / "data", {f"{part}/{label}": 8 for part in ("train", "val") for label in "ab"})
    shutil.copytree(folder / "train", folder / "test")
    return folder


def test_a_dry_run_prints_what_was_understood_and_makes_nothing(
    leaking: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("fit", str(leaking), "--dry-run", "-o", str(tmp_path / "out"))
    assert outcome.code == 0
    assert f"{leaking}: part folders of class folders, 2 classes".replace("\n", " ") in outcome.out.replace("\n  ", " ")
    assert "16 of 16 test images are copies of training images" in outcome.out.replace("\n  ", " ")
    assert not (tmp_path / "out").exists()
    facts = mobilenets("fit", str(leaking), "--dry-run", "--json", "-q").json
    assert facts["parts"]["test"]["classes"] == {"a": 8, "b": 8}
    assert facts["duplicates"]["leaks"][0]["part"] == "test"
    assert mobilenets("show", str(leaking), "--json").json == facts


def test_fit_says_it_before_training_and_by_the_figure(leaking: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    outcome = mobilenets("fit", str(leaking), "-o", str(tmp_path / "out"), *SMALL)
    assert outcome.code == 0, outcome.err
    assert outcome.err.index("classes (train/validation/test): a 8/8/8") < outcome.err.index("training:")
    lines = outcome.out.splitlines()
    figure = next(number for number, line in enumerate(lines) if line.startswith("test top-1"))
    assert lines[figure + 1] == "warning: 16 of 16 test images are copies of training images"
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["data"]["duplicates"]["leaks"][0]["images"] == 16
    assert "16 of 16 test images are copies" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_how_the_images_were_read_is_kept_with_the_model(tmp_path: Path, mobilenets: RunCommand) -> None:
    paths = write_images(tmp_path / "photos", 40)
    rows = [
        f"photos/{path.name},{'cat' if number % 2 else 'dog'},{'exam' if number < 8 else 'study'}"
        for number, path in enumerate(paths)
    ]
    table = tmp_path / "data.csv"
    table.write_text("\n".join(["file,class,split", *rows]))
    refused = mobilenets("fit", str(table), "-o", str(tmp_path / "out"), *SMALL)
    assert refused.code == 1
    assert "--split-words exam=train,study=test" in refused.err
    words = ("--split-words", "study=train,exam=test")
    fitted = mobilenets("fit", str(table), "-o", str(tmp_path / "out"), *words, "--force", *SMALL)
    assert fitted.code == 0, fitted.err
    model = str(tmp_path / "out" / "model.safetensors")
    evaluated = mobilenets("evaluate", model, str(table), "--json", "-q").json
    assert (evaluated["split"], evaluated["images"]) == ("test", 8)
    assert mobilenets("report", str(tmp_path / "out")).code == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--split-words", "study"), "'study' is not of the form WORD=PART"),
        (("--split-words", "study=dev"), "train, validation, test or omit, not 'dev'"),
        (("--parts", "test=b"), "leave nothing to train on"),
        (("--columns", "label=b"), "a column is named for file, class or split"),
    ],
)
def test_a_misused_option_is_explained(
    option: tuple[str, ...], message: str, tmp_path: Path, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("fit", str(tmp_path), "--dry-run", *option)
    assert outcome.code == 2
    assert message in outcome.err.replace("\n", " ")


def test_every_command_that_reads_labeled_images_is_told_how() -> None:
    """Whatever takes DATA, as an argument or an option, takes what says how it is read."""
    takers = set()
    with click.Context(group) as context:
        for name in COMMANDS:
            command = group.get_command(context, name)
            assert command is not None
            named = {parameter.name for parameter in command.params}
            if "data" in named:
                assert {"parts", "exclude", "classes_from", "columns", "split_words", "images_in"} <= named, name
                takers.add(name)
    assert takers >= {"fit", "evaluate", "quantize", "compare", "calibrate", "report", "plan"}


def test_a_table_with_words_of_its_own_judges_an_int8_model(tmp_path: Path, mobilenets: RunCommand) -> None:
    paths = write_images(tmp_path / "photos", 40)
    rows = [
        f"photos/{path.name},{'cat' if number % 2 else 'dog'},{'exam' if number < 20 else 'study'}"
        for number, path in enumerate(paths)
    ]
    table = tmp_path / "data.csv"
    table.write_text("\n".join(["picture,animal,use", *rows]))
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    save(replace(model, task=Classification(("cat", "dog"))), tmp_path / "model.safetensors")
    command = ("quantize", tmp_path / "model.safetensors", "--calibration", tmp_path / "photos", "--data", table)
    refused = mobilenets(*command, "--force")
    assert refused.code == 1
    told = ("--columns", "file=picture,class=animal,split=use", "--split-words", "study=train,exam=validation")
    done = mobilenets(*command, *told, "--force", "--images", "8", "--json", "-q")
    assert done.code == 0, done.err
    assert done.json["top1_after"]["of"] == 20
    alone = mobilenets("quantize", tmp_path / "model.safetensors", "--data-free", *told)
    assert (alone.code, "give it too" in alone.err) == (2, True)


def test_names_of_files_do_not_command_the_terminal(tmp_path: Path, mobilenets: RunCommand) -> None:
    write_tree(tmp_path, {"cat": 30, "dog": 30})
    for number, folder in enumerate(("cat", "dog")):
        copy = (tmp_path / "cat" / "000.png").read_bytes()
        (tmp_path / folder / f"\x1b]0;{number}\x07.png").write_bytes(copy)
    (tmp_path / "\x1b[2J").mkdir()
    outcome = mobilenets("show", str(tmp_path), "--parts", "train=\x1b[2J")
    assert outcome.code == 1
    assert "\x1b" not in outcome.err
    outcome = mobilenets("show", str(tmp_path))
    assert outcome.code == 0, outcome.err
    assert "with a copy in another class" in outcome.out
    assert "\x1b" not in outcome.out + outcome.err
    json.dumps(mobilenets("show", str(tmp_path), "--json").json)


def test_parts_may_be_none_and_folders_left_out(tmp_path: Path, mobilenets: RunCommand) -> None:
    write_tree(tmp_path, {"cat": 4, "dog": 4, "test": 4})
    assert mobilenets("show", str(tmp_path)).code == 1
    assert mobilenets("show", str(tmp_path), "--parts", "none", "--json").json["labels"] == ["cat", "dog", "test"]
    assert mobilenets("show", str(tmp_path), "--exclude", "test", "--json").json["labels"] == ["cat", "dog"]
    assert mobilenets("show", "mobilenet_v1", "--exclude", "test").code == 2
