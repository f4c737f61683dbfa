"""The quality report of an int8 Model, as text and as JSON."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from mobilenets.base.text import milliseconds, percent, plural, size
from mobilenets.cli.console import results, say
from mobilenets.compression.quality import QualityReport
from mobilenets.compression.result import CompressionResult, Method
from mobilenets.tasks.metrics import Share

STEP_OPTIONS = {
    "percentile ranges": "--ranges percentile",
    "reconstructed rounding": "--rounding reconstruct",
    "quantization-aware training": "--qat",
    "more epochs of training": "--epochs",
    "more calibration images": "--images",
    "8-bit weights": "--weight-bits 8",
    "calibration images": "--calibration",
    "labeled images to evaluate on": "--data",
}
"""The option for each step that a refusal proposes."""


def print_report(result: CompressionResult, *, verbose: bool = False) -> None:
    """Print a summary in sentences, then every metric, and the gains if they were asked for.

    Args:
        result: What came of the quantization.
        verbose: Whether to print the SQNR of each layer too.
    """
    report, console = result.report, results()
    for sentence in _summary(result):
        say(sentence)
    console.print()
    if report.evaluated:
        console.print(f"agreement with float32            {report.agreement}")
        console.print(f"  where float32 is sure           {report.sure_agreement}")
        if report.calibration_overlap:
            console.print("  calibration images are among them: too few others were left")
        if result.images.trained_on:
            console.print("  fit trained the float Model on these too: no test (--validation-apart keeps them)")
        if report.top1_before is not None and report.top1_after is not None:
            before, after = 100 * report.top1_before.value, 100 * report.top1_after.value
            figures = "" if result.images.trained_on else f"{before:.2f} → {after:.2f} % "
            console.print(f"top-1                             {figures}({after - before:+.2f} points)")
        if report.primary_before is not None and report.primary_after is not None:
            before, after = 100 * report.primary_before.value, 100 * report.primary_after.value
            title = report.primary_after.title
            console.print(f"{title:<33} {before:.2f} → {after:.2f} % ({after - before:+.2f} points)")
        console.print(f"SQNR of the logits                {report.logits_sqnr_db:.1f} dB")
    if report.bytes_before and report.bytes_after:
        console.print(
            f"size                              {report.bytes_before:,} → {report.bytes_after:,} bytes "
            f"({report.bytes_after / report.bytes_before:.3f})"
        )
    if report.latency_before_ms is not None and report.latency_after_ms is not None:
        console.print(
            f"latency, one thread               {report.latency_before_ms:.3g} → {report.latency_after_ms:.3g} ms"
        )
    if verbose:
        _print_layers(report)
    _print_contributions(result)


def result_to_json(result: CompressionResult) -> dict[str, Any]:
    """JSON-ready values of the report, and what was left without each technique."""
    return {
        **result.report.to_json(),
        "refusal": result.refusal,
        "doubt": result.doubt,
        "float_model_trained_on_evaluation_images": result.images.trained_on,
        "without": {
            item.name: {
                "agreement": item.without.agreement.value,
                "logits_snr_db": item.without.logits_sqnr_db,
                "drop": item.without.drop,
            }
            for item in result.contributions
        },
    }


def steps_with_options(result: CompressionResult, *, all_tried: bool) -> list[str]:
    """What to try after a refusal, each with the option that does it."""
    named = [f"{step} ({STEP_OPTIONS[step]})" if step in STEP_OPTIONS else step for step in result.next_steps]
    if result.method is Method.DATA_FREE:
        return [*named, "--force"]
    return named if all_tried else [*named, "all of these in turn (--auto)"]


def _summary(result: CompressionResult) -> list[str]:
    report = result.report
    sentences = []
    if report.evaluated:
        sentence = f"int8 gives the same answer as float32 for {percent(report.agreement.value)} of the images"
        if report.top1_before is not None and report.top1_after is not None:
            sentence += _accuracy(report.top1_before, report.top1_after, trained_on=result.images.trained_on)
        if report.primary_before is not None and report.primary_after is not None:
            before_, after_ = percent(report.primary_before.value, 2), percent(report.primary_after.value, 2)
            sentence += f"; {report.primary_after.title} is {after_}, and was {before_}"
        sentences.append(f"{sentence}.")
    else:
        sentences.append("int8 was not evaluated: there are no images to evaluate it on.")
    costs = []
    if report.bytes_before and report.bytes_after:
        costs.append(f"the file takes {size(report.bytes_after)} instead of {size(report.bytes_before)}")
    if report.latency_before_ms is not None and report.latency_after_ms is not None:
        before, after = milliseconds(report.latency_before_ms), milliseconds(report.latency_after_ms)
        costs.append(f"an image takes {after} instead of {before} on one thread")
    if costs:
        joined = ", ".join(costs)
        sentences.append(f"{joined[0].upper()}{joined[1:]}.")
    return sentences


def _accuracy(before: Share, after: Share, *, trained_on: bool) -> str:
    """Top-1 before and after; of images that trained the Model only what changed, for it says nothing of new ones."""
    if not trained_on:
        return f"; top-1 is {percent(after.value, 2)}, and was {percent(before.value, 2)}"
    changed = after.count - before.count
    how = "as many" if changed == 0 else f"{plural(abs(changed), 'image')} {'more' if changed > 0 else 'fewer'}"
    return f", and {how} rightly, though it was trained on these: mobilenets evaluate says how right it is on others"


def _print_layers(report: QualityReport) -> None:
    if not report.layers:
        return
    results().print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer")
    table.add_column("kind")
    table.add_column("SQNR, dB", justify="right")
    table.add_column("dead channels", justify="right")
    for layer in report.layers:
        table.add_row(layer.name, layer.kind, f"{layer.sqnr_db:.1f}", str(layer.dead_channels or ""))
    results().print(table)


def _print_contributions(result: CompressionResult) -> None:
    """Each technique's gain: the metrics of the Model with all of them, less those of the Model without it."""
    whole = result.untrained
    if whole is None or not result.contributions:
        return
    total = whole.agreement.total
    results().print(f"\nGain of each technique, on {total} images (one is {100 / total:.2f} %):")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("without")
    for column in ("agreement, %", "gain", "SQNR, dB", "gain"):
        table.add_column(column, justify="right")
    if whole.top1_after is not None:
        table.add_column("top-1, %", justify="right")
        table.add_column("gain", justify="right")
    for item in result.contributions:
        without = item.without
        cells = [
            f"{100 * without.agreement.value:.1f}",
            f"{100 * (whole.agreement.value - without.agreement.value):+.1f}",
            f"{without.logits_sqnr_db:.1f}",
            f"{whole.logits_sqnr_db - without.logits_sqnr_db:+.1f}",
        ]
        if whole.top1_after is not None and without.top1_after is not None:
            cells.append(f"{100 * without.top1_after.value:.2f}")
            cells.append(f"{100 * (whole.top1_after.value - without.top1_after.value):+.2f}")
        table.add_row(item.name, *cells)
    results().print(table)
