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
    assert "is not in the range" in outcome.err or "it must be " in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--epochs", "1.5"), "'1.5' is not an integer; it must be at least 1"),
        (("--epochs", "0"), "it must be at least 1, not 0"),
        (("--seed", "-1"), "it must be from 0 to 2147483647, not -1"),
        (("--channels", "2"), "'2' is not one of '1', '3'"),
        (("--resolution", "224x"), "'224x' is no size; it is a number of pixels such as 224"),
        (("--resolution", "48x192"), "are square: give one number of pixels, such as 192; import takes both"),
        (("--max-latency", "0.3"), "'0.3' has no unit; did you mean 0.3ms?"),
        (("--max-latency", "1,5ms"), "did you mean 1.5ms?"),
        (("--max-latency", "2min"), "has the unit of a time, and goes with --time TIME"),
        (("--max-size", "300"), "did you mean 300kB?"),
        (("--time", "20"), "did you mean 20m or 20s?"),
        (("--time", "1h 30m"), "did you mean 90m?"),
        (("--time", "1:30"), "did you mean 90m or 90s?"),
    ],
)
def test_a_wrong_number_or_unit_gets_the_right_one(
    words: tuple[str, ...], message: str, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("fit", "digits", *words)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())


def test_sides_in_pixels_are_understood_as_people_write_them(mobilenets: RunCommand) -> None:
    for words in ("96", "96x96", "96 × 96", "96px"):
        shown = mobilenets("show", "mobilenet_v1@0.25", "--resolution", words, "--json")
        assert shown.json["input"] == [3, 96, 96]
