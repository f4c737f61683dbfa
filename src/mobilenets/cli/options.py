"""Options that several commands take, and the texts that they are read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mobilenets.cli.arguments import as_options
from mobilenets.errors import PlanningError
from mobilenets.search.budget import parse_accuracy, parse_bytes, parse_instructions, parse_latency, parse_macs

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_THREADS = 256


def thread_list(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """``1,2`` → (1, 2)."""
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of thread counts such as 1,2") from None
    if not all(1 <= count <= MOST_THREADS for count in counts):
        raise click.BadParameter(f"thread counts go from 1 to {MOST_THREADS}, got {text}")
    return tuple(dict.fromkeys(counts))


def precision_list(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """``float32``, ``int8`` or ``auto`` → the precisions that are considered."""
    choices = {"auto": ("float32", "int8"), "float32": ("float32",), "int8": ("int8",)}
    if text not in choices:
        raise click.BadParameter(f"{text!r} is not one of {', '.join(choices)}")
    return choices[text]


def budget_options(function: Command) -> Command:
    """``--max-latency`` and the other limits, in the units that people write, and ``--min-accuracy``."""
    for option in reversed(
        (
            click.option(
                "--max-latency", type=Quantity("LATENCY", parse_latency), help="Of one image, such as 5ms or 800us."
            ),
            click.option("--max-size", type=Quantity("BYTES", parse_bytes), help="Of the Model file, such as 500kB."),
            click.option("--max-macs", type=Quantity("MACS", parse_macs), help="Mult-Adds, such as 50M."),
            click.option(
                "--max-memory",
                "--max-ram",
                type=Quantity("BYTES", parse_bytes),
                help="Of activations; the RAM of a device.",
            ),
            click.option(
                "--max-flash", type=Quantity("BYTES", parse_bytes), help="Flash of a microcontroller, such as 256KiB."
            ),
            click.option(
                "--max-instructions",
                type=Quantity("COUNT", parse_instructions),
                help="Of a microcontroller for one image, such as 10M.",
            ),
            click.option(
                "--min-accuracy",
                type=Quantity("SHARE", parse_accuracy),
                help="Top-1 to reach, such as 0.9 or 90%; then the quickest.",
            ),
        )
    ):
        function = option(function)
    return function


class Quantity(click.ParamType[float]):
    """A budget in the units that people write.

    Args:
        name: What the option takes, for the help text.
        parse: One of the parsers of :mod:`mobilenets.search.budget`.
    """

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number behind the text."""
        try:
            return self._parse(str(value))
        except PlanningError as error:
            self.fail(as_options(str(error)), param, ctx)
