"""An image of how training went."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import MissingDependencyError
from mobilenets.training.selection import Epoch

TRAINING, VALIDATION, MUTED = "#2f6db3", "#d9772b", "#8a8a8a"


def draw_curve(history: Sequence[Epoch], best_epoch: int, title: str, path: Path) -> None:
    """Write a PNG of loss and accuracy by epoch, training and validation, with the best epoch marked.

    Args:
        history: Figures of every epoch.
        best_epoch: The one that was kept, from 0; −1 where none was better than the start.
        title: Above both.
        path: The file.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError:
        raise MissingDependencyError("matplotlib", "train") from None
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=10)
    losses, accuracies = figure.subplots(1, 2)
    numbers = [epoch.number + 1 for epoch in history]
    checked = [epoch for epoch in history if epoch.validation_top1 is not None]
    checked_numbers = [epoch.number + 1 for epoch in checked]
    losses.plot(numbers, [epoch.loss for epoch in history], color=TRAINING, label="training")
    losses.plot(checked_numbers, [epoch.validation_loss for epoch in checked], color=VALIDATION, label="validation")
    losses.set_ylabel("cross-entropy")
    losses.set_ylim(bottom=0)
    accuracies.plot(numbers, [100 * epoch.top1 for epoch in history], color=TRAINING, label="training (distorted)")
    validation = [100 * (epoch.validation_top1 or 0) for epoch in checked]
    accuracies.plot(checked_numbers, validation, color=VALIDATION, label="validation")
    if best_epoch < 0:
        accuracies.set_title("kept: the start; no epoch was better", fontsize=9, color=MUTED)
    elif (top1 := history[best_epoch].validation_top1) is not None:
        share = 100 * top1
        accuracies.axvline(best_epoch + 1, color=MUTED, linewidth=0.8, linestyle=":")
        accuracies.plot([best_epoch + 1], [share], "o", color=VALIDATION, markersize=4)
        accuracies.set_title(f"kept: epoch {best_epoch + 1}, {share:.1f} %", fontsize=9, color=MUTED)
    elif checked:
        after = f"validation images are trained on after epoch {checked[-1].number + 1}"
        accuracies.set_title(f"kept: epoch {best_epoch + 1}; {after}", fontsize=9, color=MUTED)
    accuracies.set_ylabel("top-1 (%)")
    accuracies.set_ylim(0, 101)
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomically(path, content.getvalue())
