"""Numbers on the command line: what is out of range is a misuse, whatever the command."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from tests.cli.conftest import RunCommand

from mobilenets.cli.main import group


def commands(command: click.Command, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, *words, name)


FLOATS = [
    (words, option.opts[0])
    for words, command in commands(group)
    for option in command.params
    if isinstance(option, click.Option) and isinstance(option.type, click.types.FloatParamType)
]
OUT_OF_RANGE = [
    ("fit", "--width", "0"),
    ("show", "--width", "-1"),
    ("quantize", "--max-drop", "-1"),
    ("quantize", "--max-drop", "101"),
    ("quantize", "--percentile", "50"),
    ("import", "--crop", "1.5"),
    ("compare", "--minutes-each", "0"),
    ("benchmark", "--seconds", "0"),
]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("words", "option"), FLOATS)
def test_what_is_not_finite_is_refused_by_every_option(
    words: tuple[str, ...], option: str, value: str, mobilenets: RunCommand
) -> None:
    outcome = mobilenets(*words, f"{option}={value}")
    assert outcome.code == 2
    assert f"Invalid value for '{option}'" in outcome.err


def test_options_with_numbers_are_found() -> None:
    assert {(words[0], option) for words, option in FLOATS} >= {
        (command, option) for command, option, _ in OUT_OF_RANGE
    }


@pytest.mark.parametrize(("command", "option", "value"), OUT_OF_RANGE)
def test_what_is_out_of_range_is_refused(command: str, option: str, value: str, mobilenets: RunCommand) -> None:
    outcome = mobilenets(command, f"{option}={value}")
    assert outcome.code == 2
    assert "is not in the range" in outcome.err
