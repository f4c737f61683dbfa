"""Help of a command with many options: one screen of what people need, and everything in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

_ALL = "mobilenets.help_all"
_HELP = "help"


class GroupedCommand(click.Command):
    """A command whose ``--help`` shows some of its options, and ``--help-all`` all of them, in groups.

    Args:
        everyday: Names of the parameters that ``--help`` shows, in its order.
        groups: Title → names of the parameters under it. Options in none of them follow.
        short: The text that ``--help`` shows in place of the whole.
    """

    def __init__(
        self, *arguments: Any, everyday: Sequence[str], groups: Mapping[str, Sequence[str]], short: str, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.everyday, self.groups, self.short = everyday, groups, short
        self.params.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_all,
                help="Show every option and exit.",
            )
        )

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The short text, or the whole."""
        if _ALL in ctx.meta:
            super().format_help_text(ctx, formatter)
            return
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(self.short)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, under the titles of their groups."""
        parameters = {_HELP if "--help" in one.opts else one.name: one for one in self.get_params(ctx)}
        grouped = {name for names in self.groups.values() for name in names}
        others = [name for name in parameters if name not in grouped]
        shown = {"Options": self.everyday} if _ALL not in ctx.meta else {**self.groups, "Other options": others}
        for title, names in shown.items():
            records = [parameters[name].get_help_record(ctx) for name in names]
            if rows := [record for record in records if record is not None]:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _show_all(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context.meta[_ALL] = True
        click.echo(context.get_help())
        context.exit()
