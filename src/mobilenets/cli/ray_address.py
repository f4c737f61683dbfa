"""``--ray [ADDRESS]``: the Ray cluster that work is shared out over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class RayAddress(click.ParamType[str]):
    """The address of a Ray cluster. What follows ``--ray`` may be meant as something else, and is refused then."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address; empty for the cluster that is running here, or this machine."""
        text = str(value)
        if text not in ("", "auto", "local") and not re.fullmatch(r"(ray://)?[\w.\-\[\]:]+:\d+", text):
            self.fail(
                f"{text!r} is no address of a Ray cluster, such as ray://head:10001; to use the one that is running "
                "here, write --ray at the end of the line",
                param,
                ctx,
            )
        return text


def ray_option(help_text: str) -> Callable[[Command], Command]:
    """``--ray``: None where it is not given, and an empty text where it has no address.

    Args:
        help_text: What is shared out.
    """
    return click.option("--ray", is_flag=False, flag_value="", type=RayAddress(), metavar="[ADDRESS]", help=help_text)


def cluster_of(ray: str | None) -> bool | str:
    """What library functions take for the option."""
    return False if ray is None else ray or True
