"""Errors name arguments to whoever calls a function, and options to whoever types a command."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from tests.cli.conftest import RunCommand
from tests.conftest import ROOT
from tests.support.image_folders import write_tree

from mobilenets.cli.arguments import OPTIONS, as_options
from mobilenets.cli.main import COMMANDS, group
from mobilenets.data.dataset import load_dataset
from mobilenets.data.reading import Reading, told
from mobilenets.errors import DataError

SOURCES = sorted((ROOT / "src" / "mobilenets").rglob("*.py"))
FOR_PEOPLE = {"cli", "reports", "serving"}
"""Rooms whose readers type commands: the command line itself, pages that say what to type, and the server."""


@pytest.mark.parametrize(
    ("python", "typed"),
    [
        ("say Reading(exclude=('a', 'b c'))", "say --exclude a --exclude 'b c'"),
        ("say Reading(parts={'train': 'FOLDER', 'test': \"it's\"})", """say --parts 'train=FOLDER,test=it'"'"'s'"""),
        ("say Reading(find_parts=False) or resume=True", "say --parts none or --resume"),
        ("Budget(max_latency_ms=5) or max_file_bytes=500000.", "--max-latency 5ms or --max-size 500000B."),
        ("name the classes (labels=FILE), then", "name the classes (--labels FILE), then"),
        ("nothing=5 and the resume=True of x(parts)", "nothing=5 and the --resume of x(parts)"),
    ],
)
def test_an_argument_is_written_as_its_option(python: str, typed: str) -> None:
    assert as_options(python) == typed


def test_every_option_that_stands_for_an_argument_exists() -> None:
    known = set()
    with click.Context(group) as context:
        for name in COMMANDS:
            command = group.get_command(context, name)
            assert command is not None
            known |= {option for one in command.params for option in one.opts}
    assert set(OPTIONS.values()) <= known


@pytest.mark.parametrize("field", sorted(Reading.__dataclass_fields__))
def test_what_says_how_data_is_read_is_translated_whole(field: str) -> None:
    values: dict[str, object] = {
        "parts": {"train": "a"}, "exclude": ("a",), "columns": {"file": "a"}, "split_words": {"a": "test"},
        "find_parts": False,
    }  # fmt: skip
    assert as_options(told(**{field: values.get(field, "a")})).startswith("--")


def test_a_folder_that_may_be_read_in_two_ways_is_refused_in_the_words_of_the_reader(
    tmp_path: Path, mobilenets: RunCommand
) -> None:
    write_tree(tmp_path, {"cat": 4, "dog": 4, "test": 4})
    with pytest.raises(DataError) as raised:
        load_dataset(tmp_path)
    assert "Reading(find_parts=False) if all are classes, Reading(exclude=('test',))" in str(raised.value)
    assert load_dataset(tmp_path, reading=Reading(exclude=("test",))).labels == ("cat", "dog")
    outcome = mobilenets("fit", tmp_path, "--dry-run")
    assert "--parts none if all are classes, --exclude test to leave" in outcome.err.replace("\n", " ")
    assert "Reading(" not in outcome.err


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.relative_to(ROOT / "src" / "mobilenets").parts[0] not in FOR_PEOPLE],
    ids=lambda path: str(path.relative_to(ROOT / "src" / "mobilenets")),
)
def test_the_library_names_no_option_but_within_a_whole_command(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for text in texts_of(tree):
        named = re.findall(r"(?<![\w`-])--[a-z][a-z-]+", text)
        for_other_programs = re.match(r"-\S+($|\s)", text)  # such as a compiler's --specs=…
        assert not named or for_other_programs or re.search(r"\b(mobilenets|pip) \w+", text), text


def texts_of(tree: ast.AST) -> list[str]:
    """The texts of a module that are no documentation, those with values in them as a whole."""
    passed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):  # what holds a text comes before it
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            passed |= {id(part) for part in parts}
            found.append("".join(str(part.value) for part in parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            found.append(node.value)
    return found
