"""What is drawn on a terminal: tables of results, and bars of progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as BarColumns
from rich.progress import Task as BarTask
from rich.text import Text

from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.base.text import per_second, visible
from mobilenets.cli.arguments import as_options

COLUMNS_BESIDE = 64
"""What the description, the counts, the rate and the time left of a bar take of a terminal."""


class Results(Console):
    """A console that leaves it to :func:`mobilenets.cli.main.main` what to do when the reader has left."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def progress_bars() -> Progress:
    """A bar with rate and time left for each task, on standard error."""
    return bars_on(Console(stderr=True, highlight=False))


def bars_on(console: Console) -> Progress:
    """The same on any console."""
    return _Bars(console)


class _Rate(ProgressColumn):
    def render(self, task: BarTask) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{per_second(rate)} {task.fields['unit']}/s")


class _BarsAndFigures(BarColumns):
    """Bars, each with its figures below it: beside it, those of training leave the counts no room in 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if task.fields["figures"]:
                yield Text(f"  {task.fields['figures']}", no_wrap=True, overflow="ellipsis")


class _BarTask(ProgressTask):
    def __init__(self, bars: BarColumns, number: Any) -> None:
        self._bars, self._number = bars, number
        self._figures: dict[str, str] = {}

    def advance(self, steps: float = 1, **figures: str) -> None:
        self._figures.update(figures)
        text = ", ".join(f"{name} {value}" for name, value in self._figures.items())
        self._bars.update(self._number, advance=steps, figures=text)


class _Bars(Progress):
    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        columns: tuple[ProgressColumn, ...] = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(16, self._console.width - COLUMNS_BESIDE)),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
        )
        with _BarsAndFigures(*columns, console=self._console, transient=False) as bars:
            yield _BarTask(bars, bars.add_task(description, total=total or None, unit=unit, figures=""))

    def note(self, message: str) -> None:
        self._console.print(visible(as_options(message)), markup=False)
