"""What ``mobilenets quantize`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from mobilenets.cli.console import results
from mobilenets.compression.quality import Contribution, Verdict


def print_verdict(verdict: Verdict, *, familiar: bool = False) -> None:
    """All figures of a verdict, and the noise of each layer.

    Args:
        verdict: The verdict.
        familiar: Whether the float Model was trained on the images that judge.
    """
    console = results()
    if verdict.judged:
        console.print(f"agreement with the float Model    {verdict.agreement}")
        console.print(f"  where the float Model is sure   {verdict.sure_agreement}")
        if verdict.seen:
            console.print("  calibration images are among them: too few others were left")
        if familiar:
            console.print("  fit trained the float Model on these too (unless --validation-apart)")
        if verdict.top1_before is not None and verdict.top1_after is not None:
            before, after = 100 * verdict.top1_before.value, 100 * verdict.top1_after.value
            console.print(
                f"top-1                             {before:.2f} → {after:.2f} % ({after - before:+.2f} points)"
            )
        console.print(f"signal over noise of the logits   {verdict.logits_snr_db:.1f} dB")
    else:
        console.print("agreement with the float Model    not judged: there are no images")
    ratio = verdict.bytes_after / verdict.bytes_before
    console.print(
        f"size                              {verdict.bytes_before:,} → {verdict.bytes_after:,} bytes ({ratio:.3f})"
    )
    if verdict.latency_before_ms is not None and verdict.latency_after_ms is not None:
        console.print(
            f"latency, one thread               {verdict.latency_before_ms:.3g} → {verdict.latency_after_ms:.3g} ms"
        )
    _print_layers(verdict)


def print_contributions(whole: Verdict, explained: Sequence[Contribution]) -> None:
    """What each lever bought: the figures of the Model with all of them, less those of the Model without one.

    Args:
        whole: Of the Model with all levers.
        explained: Of those without one each.
    """
    total = whole.agreement.total
    results().print(f"\nwhat each lever bought, on {total} images (one is {100 / total:.2f} %):")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("without")
    for column in ("agreement, %", "bought", "SNR, dB", "bought"):
        table.add_column(column, justify="right")
    if whole.top1_after is not None:
        table.add_column("top-1, %", justify="right")
        table.add_column("bought", justify="right")
    for item in explained:
        without = item.without
        cells = [
            f"{100 * without.agreement.value:.1f}",
            f"{100 * (whole.agreement.value - without.agreement.value):+.1f}",
            f"{without.logits_snr_db:.1f}",
            f"{whole.logits_snr_db - without.logits_snr_db:+.1f}",
        ]
        if whole.top1_after is not None and without.top1_after is not None:
            cells.append(f"{100 * without.top1_after.value:.2f}")
            cells.append(f"{100 * (whole.top1_after.value - without.top1_after.value):+.2f}")
        table.add_row(item.lever, *cells)
    results().print(table)


def encode_contributions(explained: Sequence[Contribution]) -> dict[str, Any]:
    """JSON-ready values of what was left without each lever."""
    return {
        item.lever: {
            "agreement": item.without.agreement.value,
            "logits_snr_db": item.without.logits_snr_db,
            "drop": item.without.drop,
        }
        for item in explained
    }


def _print_layers(verdict: Verdict) -> None:
    if not verdict.layers:
        return
    results().print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer")
    table.add_column("kind")
    table.add_column("signal over noise, dB", justify="right")
    table.add_column("dead channels", justify="right")
    for layer in verdict.layers:
        table.add_row(layer.name, layer.kind, f"{layer.snr_db:.1f}", str(layer.dead_channels or ""))
    results().print(table)
