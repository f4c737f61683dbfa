"""Accuracy against latency, as an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mobilenets.errors import MissingDependencyError
from mobilenets.search.candidates import Candidate
from mobilenets.search.frontier import frontier

COLOURS = {"float32": "#9a5b13", "int8": "#1f5fa8"}
MARKERS = ("s", "D", "o", "v", "^", "P", "X", "*")
"""For resolutions, largest first."""


def plot_frontier(candidates: Sequence[Candidate], choice: Candidate, path: Path, *, title: str) -> None:
    """Draw candidates, the frontier among them, and the choice.

    Args:
        candidates: What is to be drawn.
        choice: The one to mark.
        path: Where the image goes; its suffix decides the format.
        title: Above the image.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullLocator
    except ModuleNotFoundError:
        raise MissingDependencyError("matplotlib", "train") from None
    with mpl.rc_context({"svg.hashsalt": "mobilenets"}):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot()
        sides = sorted({one.resolution for one in candidates}, reverse=True)
        for precision in dict.fromkeys(candidate.precision for candidate in candidates):
            _scatter(axes, [one for one in candidates if one.precision == precision], COLOURS[precision], sides)
        best = frontier(candidates)
        axes.plot([one.latency_ms for one in best], [100 * one.accuracy for one in best], color="#888", lw=1, zorder=0)
        axes.scatter(choice.latency_ms, 100 * choice.accuracy, s=190, facecolors="none", edgecolors="#c01818", lw=2)
        times = [one.latency_ms for one in candidates]
        left = choice.latency_ms > (min(times) * max(times)) ** 0.5  # the half with more room for words
        axes.annotate(
            str(choice),
            (choice.latency_ms, 100 * choice.accuracy),
            xytext=(-12, 8) if left else (12, -12),
            textcoords="offset points",
            color="#c01818",
            ha="right" if left else "left",
        )
        axes.set(xscale="log", xlabel="latency of one image, ms", ylabel="top-1, %")
        axes.set_title(title, fontsize=10, loc="left")
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.08, y=0.12)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, loc="lower right", ncols=2)
        figure.savefig(path, dpi=150)


def _scatter(axes: object, candidates: Sequence[Candidate], colour: str, sides: Sequence[int]) -> None:
    for number, resolution in enumerate(sides):
        some = [one for one in candidates if one.resolution == resolution]
        axes.scatter(  # type: ignore[attr-defined]
            [one.latency_ms for one in some],
            [100 * one.accuracy for one in some],
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            s=28,
            label=f"{candidates[0].precision}, {resolution} px",
        )
