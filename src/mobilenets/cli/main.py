"""``mobilenets``: dispatch to a command; errors become one line and an exit code.

Exit codes: 0 done, 1 failed, 2 misused, 3 done but for images that could not be read, 130 interrupted. A command's
module is imported when the command is called, and its help line stands here, so that
``mobilenets --help`` answers at once.
"""

from __future__ import annotations

import importlib
import io
import keyword
import sys
import warnings
from typing import Any

import click

from mobilenets.base.memory import is_out_of_memory
from mobilenets.base.text import visible
from mobilenets.cli.arguments import as_options
from mobilenets.errors import AssumptionWarning, MobileNetsError

COMMANDS: dict[str, str] = {
    "fit": "Train a model on labeled images, within a budget if one is given",
    "compare": "Train several networks on the same images and compare them",
    "report": "Write the report of a finished run as one HTML file",
    "evaluate": "Measure a model's accuracy on labeled images",
    "calibrate": "Fit a model's probabilities to how often it is right",
    "predict": "Print the labels or boxes of images",
    "shard": "Write labeled images as Parquet shards of small images",
    "quantize": "Convert a model to int8 and report what it costs",
    "benchmark": "Measure a model's latency, beside other runtimes",
    "import": "Convert published or foreign weights to a model",
    "models": "List published weights by name, and fetch them",
    "export": "Write a model in another format and check its answers",
    "plan": "Find the published network for a budget on this machine",
    "serve": "Answer requests over HTTP with models, beside a page for people",
    "profile": "Measure the latencies of this machine's networks into a file",
    "show": "Print a network's layers and their cost",
    "tables": "Print the paper's tables, published and computed side by side",
}
"""Name of a command → its line in ``--help``. The command itself is ``command`` in ``mobilenets.cli.<name>``,
or ``mobilenets.cli.<name>_`` where Python keeps the name for itself."""


LESS_MEMORY = "use fewer or smaller images, a lower resolution or batch size, or close other programs"
"""What to do where memory runs out in a place that knows no better."""


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would end with 1 and say nothing
            sys.stdout = None  # whoever read our results has left; Python must not try to flush them again
            ctx.exit(0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {cmd_name!r}.{hint}", ctx)
        module_name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name.replace("-", "_")
        module = importlib.import_module(f"mobilenets.cli.{module_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mobilenets")
def group() -> None:
    """From a folder of images and a budget to the best small model that meets it."""


def _suggest(error: click.NoSuchOption) -> click.UsageError:
    """An unknown option with those that are meant by it."""
    from mobilenets.cli.meanings import suggestion

    context = error.ctx
    known = [] if context is None else [name for one in context.command.params for name in one.opts]
    usage = "" if context is None else context.command.get_usage(context).removeprefix("Usage: ")
    said = suggestion(error.option_name, [name for name in known if name.startswith("--")], usage)
    return click.UsageError(f"No such option: {error.option_name}.{said and f' {said}'}", context)


def _system_error(error: OSError) -> str:
    """An error of the system in words: the file first, and no number."""
    if error.strerror is None or error.filename is None:
        return error.strerror or str(error)
    if "cannot be" in error.strerror:  # said by this package
        return f"{error.strerror}: {error.filename}"
    return f"{error.filename}: {error.strerror}"


def _formatted(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: Any = None) -> str:
    """A warning as a line for people: where in the code it stands says nothing to them."""
    if issubclass(category, AssumptionWarning):
        return f"note: {as_options(str(message))}\n"
    return _python_format(message, category, filename, lineno, line)


_python_format = warnings.formatwarning


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit. Commands find their own words in the context's object."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that the terminal cannot show must not end the command
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _formatted
    words = sys.argv[1:] if arguments is None else arguments
    try:
        group.main(args=words, prog_name="mobilenets", standalone_mode=False, obj=("mobilenets", *words))
    except click.NoSuchOption as error:
        _suggest(error).show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except (MobileNetsError, OSError) as error:
        said = str(error) if isinstance(error, MobileNetsError) else _system_error(error)
        click.echo(f"error: {visible(as_options(said))}", err=True)
        sys.exit(1)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # Said where nobody nearer knew what to lower.
        detail = str(error).strip().partition("\n")[0]
        click.echo(f"error: there is not enough memory{detail and f' ({detail})'}; {LESS_MEMORY}", err=True)
        sys.exit(1)
