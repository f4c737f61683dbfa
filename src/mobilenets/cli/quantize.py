"""``mobilenets quantize``: an int8 Model, written only with a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.compression.calibrate import RangeMethod
from mobilenets.compression.fold import refuse_int8
from mobilenets.compression.gate import (
    DEFAULT_MAX_DROP,
    QAT_STEP,
    Contribution,
    Jury,
    Stopwatch,
    Verdict,
    contributions,
    ladder,
    refuse,
)
from mobilenets.compression.quantize import Options, Rounding, quantize
from mobilenets.data.dataset import Collection, load_collection, load_dataset
from mobilenets.data.decoding import prepare
from mobilenets.data.folders import pictures_of
from mobilenets.data.subset import Subset
from mobilenets.errors import EngineError, GateError, MissingDependencyError
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.progress import Progress

MOST_JUDGES = 1000
"""Pictures beyond those that calibrate that a Model without labels is judged on."""
FEWEST_JUDGES = 16
"""With fewer left over, the calibration pictures judge, and the verdict says so."""


@click.command("quantize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calibration", required=True, help="Folder of pictures like those that the Model will see.")
@click.option("--pictures", type=click.IntRange(min=1), default=64, show_default=True, help="How many calibrate.")
@click.option("--data", help="Labelled pictures to judge by: a folder of class folders, or a CSV.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="[default: MODEL with .int8 in its name]")
@click.option("--max-drop", type=float, default=DEFAULT_MAX_DROP, show_default=True, help="Points of top-1.")
@click.option("--force", is_flag=True, help="Write the Model whatever the verdict.")
@click.option("--auto", is_flag=True, help="Go on trying, up to training, until the verdict is good.")
@click.option("--qat", "train_it", is_flag=True, help="Train with quantisation right away.")
@click.option("--epochs", type=click.IntRange(min=1), default=4, show_default=True, help="Of that training.")
@click.option("--weight-bits", type=click.Choice(["8", "4"]), default="8", show_default=True)
@click.option("--ranges", type=click.Choice([*map(str, RangeMethod)]), default=str(RangeMethod.MSE), show_default=True)
@click.option("--percentile", type=float, default=99.99, show_default=True, help="Values kept by percentile ranges.")
@click.option(
    "--rounding", type=click.Choice([*map(str, Rounding)]), default=str(Rounding.RECONSTRUCT), show_default=True
)
@click.option("--equalize/--no-equalize", default=True, show_default=True)
@click.option("--absorb/--no-absorb", default=True, show_default=True, help="Absorption of high biases.")
@click.option("--bias-correction/--no-bias-correction", default=True, show_default=True)
@click.option("--explain", is_flag=True, help="Also say what each lever bought: makes the Model again without it.")
@json_option
@quiet_option
def command(
    model: Path,
    calibration: str,
    pictures: int,
    data: str | None,
    output: Path | None,
    max_drop: float,
    force: bool,
    auto: bool,
    train_it: bool,
    epochs: int,
    explain: bool,
    as_json: bool,
    quiet: bool,
    **levers: Any,
) -> None:
    """Write MODEL in int8, if it still answers as it did.

    The verdict says how often both agree, what became of the accuracy where there are labels, and the noise of every
    layer. With --data, more than --max-drop points of top-1 lost refuse the Model; without, agreement under 97 % on
    the pictures where the float Model is sure.
    """
    progress = progress_to_stderr(quiet=quiet)
    original = load(model)
    refuse_int8(original)
    options = Options(
        **levers
        | {
            "weight_bits": int(levers["weight_bits"]),
            "ranges": RangeMethod(levers["ranges"]),
            "rounding": Rounding(levers["rounding"]),
        }
    )
    found = tuple(pictures_of([calibration]))
    chosen, others = _calibrators(found, pictures)
    pixels = _prepare(original, Subset(chosen, np.zeros(len(chosen), np.int64)), progress)
    jury = _jury(original, data, others, pixels, progress)

    def trained(start: Options) -> Model:
        return _train(original, _training_pixels(original, data, found, progress), pixels, start, epochs, progress)

    made, options, verdict = _make(original, jury, pixels, options, trained, train_it, auto, max_drop, progress)
    explained = contributions(jury, pixels, options, progress=progress) if explain else []
    refusal = _refusal(verdict, options, max_drop)
    path = output or model.with_suffix(".int8.safetensors")
    if refusal is None or force:  # before anything is printed: whoever reads may leave early
        save(_with_provenance(made, options, len(pixels), verdict), path)
    if not as_json:
        _print(verdict, explained)
    if refusal is not None:
        if not force:
            raise refusal
        progress.note(f"written all the same: {refusal}")
    if as_json:
        print_json({"model": str(path), **verdict.encode(), "without": _encode(explained)})
    else:
        click.echo(f"{path} is written")


def _refusal(verdict: Verdict, options: Options, max_drop: float) -> GateError | None:
    """Why the Model should not be written, if it should not."""
    try:
        refuse(verdict, options, max_drop)
    except GateError as error:
        return error
    return None


def _make(
    model: Model,
    jury: Jury,
    pixels: Pixels,
    options: Options,
    trained: Callable[[Options], Model],
    train_it: bool,
    auto: bool,
    max_drop: float,
    progress: Progress,
) -> tuple[Model, Options, Verdict]:
    """The first Model on the ladder that passes the gate, or the best one there is."""
    if train_it:
        made = trained(options)
        return made, options, jury.judge(made)
    first = quantize(model, pixels, options, progress=progress)
    best = (first.model, options, jury.judge(first.model, first.layers))
    for step, changed in ladder(options) if auto else ():
        if best[2].refusal(max_drop) is None:
            break
        progress.note(f"{best[2].refusal(max_drop)}; trying {step}")
        if step == QAT_STEP:
            made = trained(changed)
            tried = (made, changed, jury.judge(made))
        else:
            result = quantize(model, pixels, changed, progress=progress)
            tried = (result.model, changed, jury.judge(result.model, result.layers))
        if _merit(tried[2]) > _merit(best[2]):
            best = tried
    return best


def _merit(verdict: Verdict) -> tuple[float, float]:
    """What makes one Model better than another: accuracy, or agreement where there are no labels; then less noise."""
    share = verdict.top1_after or verdict.sure_agreement
    return (share.value if share.total else verdict.agreement.value, verdict.logits_snr_db)


def _calibrators(found: tuple[Any, ...], count: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Pictures spread evenly over the folder, and the ones between them."""
    positions = set(np.unique(np.linspace(0, len(found) - 1, count).round().astype(int)).tolist())
    others = tuple(picture for index, picture in enumerate(found) if index not in positions)
    return tuple(found[index] for index in sorted(positions)), others


def _prepare(model: Model, subset: Subset, progress: Progress) -> Pixels:
    return prepare(subset, model.preprocessing, model.network.height, model.network.width, progress=progress).pixels


def _jury(model: Model, data: str | None, others: tuple[Any, ...], calibration: Pixels, progress: Progress) -> Jury:
    latency_ms = _stopwatch()
    if data is None:
        if len(others) < FEWEST_JUDGES:
            return Jury.of(model, calibration, seen=True, latency_ms=latency_ms, progress=progress)
        some = others[:: -(-len(others) // MOST_JUDGES)]
        pixels = _prepare(model, Subset(some, np.zeros(len(some), np.int64)), progress)
        return Jury.of(model, pixels, latency_ms=latency_ms, progress=progress)
    from mobilenets.engine.evaluation import match_labels

    collection = load_collection(data)
    indices = match_labels(collection, model.labels)
    subset = _part(model, collection, data, "validation")
    prepared = prepare(subset, model.preprocessing, model.network.height, model.network.width, progress=progress)
    return Jury.of(model, prepared.pixels, indices[prepared.targets], latency_ms=latency_ms, progress=progress)


def _part(model: Model, collection: Collection, data: str, name: str) -> Subset:
    """A part of labelled pictures: as the source gives it, as the Model was fitted to it, or else everything.

    The gate is a choice, so it is made by the validation pictures, and the test pictures stay unseen.
    """
    if name in collection.parts:
        return collection.parts[name]
    fitted_to = model.provenance.get("data")
    if isinstance(fitted_to, dict):
        dataset = load_dataset(data, seed=int(fitted_to.get("seed", 0)))
        if dataset.fingerprint == fitted_to.get("fingerprint"):
            return dataset.part(name)
    return collection.everything


def _training_pixels(model: Model, data: str | None, found: tuple[Any, ...], progress: Progress) -> Pixels:
    if data is None:
        return _prepare(model, Subset(found, np.zeros(len(found), np.int64)), progress)
    return _prepare(model, _part(model, load_collection(data), data, "train"), progress)


def _train(
    model: Model, pixels: Pixels, calibration: Pixels, options: Options, epochs: int, progress: Progress
) -> Model:
    try:
        from mobilenets.compression.qat import Recipe, train
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train") from None
    return train(model, pixels, calibration, options, Recipe(epochs=epochs), progress=progress)


def _stopwatch() -> Stopwatch | None:
    """A function that times Models on the engine, or None where the engine is not built."""
    try:
        from mobilenets.engine.session import Session
    except EngineError:
        return None

    def latency_ms(models: Sequence[Model]) -> list[float]:
        sessions = [Session(model, threads=1) for model in models]
        network = models[0].network
        picture = np.zeros((1, network.height, network.width, network.channels), np.uint8)
        times: list[list[float]] = [[] for _ in sessions]
        for _ in range(30):
            for session, measured in zip(sessions, times, strict=True):
                begun = time.perf_counter()
                session.run(picture)
                measured.append(time.perf_counter() - begun)
        return [1000 * min(measured) for measured in times]

    return latency_ms


def _with_provenance(model: Model, options: Options, pictures: int, verdict: Verdict) -> Model:
    entry = {
        "weight_bits": options.weight_bits,
        "ranges": str(options.ranges),
        "rounding": str(options.rounding),
        "equalize": options.equalize,
        "bias_correction": options.bias_correction,
        "calibration_pictures": pictures,
        "verdict": verdict.figures(),
    }
    return replace(model, provenance={**model.provenance, "quantization": entry})


def _encode(explained: list[Contribution]) -> dict[str, Any]:
    return {
        item.lever: {
            "agreement": item.without.agreement.value,
            "logits_snr_db": item.without.logits_snr_db,
            "drop": item.without.drop,
        }
        for item in explained
    }


def _print(verdict: Verdict, explained: list[Contribution]) -> None:
    console = results()
    whose = " (the calibration pictures: no others were left)" if verdict.seen else ""
    console.print(f"agreement with the float Model    {verdict.agreement}{whose}")
    console.print(f"  where the float Model is sure   {verdict.sure_agreement}")
    if verdict.top1_before is not None and verdict.top1_after is not None and verdict.drop is not None:
        before, after = 100 * verdict.top1_before.value, 100 * verdict.top1_after.value
        console.print(f"top-1                             {before:.2f} → {after:.2f} % ({after - before:+.2f} points)")
    console.print(f"signal over noise of the logits   {verdict.logits_snr_db:.1f} dB")
    ratio = verdict.bytes_after / verdict.bytes_before
    console.print(
        f"size                              {verdict.bytes_before:,} → {verdict.bytes_after:,} bytes ({ratio:.3f})"
    )
    if verdict.latency_before_ms is not None and verdict.latency_after_ms is not None:
        console.print(
            f"latency, one thread               {verdict.latency_before_ms:.2f} → {verdict.latency_after_ms:.2f} ms"
        )
    _print_layers(verdict)
    for item in explained:
        lost = verdict.logits_snr_db - item.without.logits_snr_db
        console.print(
            f"without {item.lever:<25} agreement {100 * item.without.agreement.value:.1f} %, "
            f"{item.without.logits_snr_db:.1f} dB: it bought {lost:+.1f} dB"
        )


def _print_layers(verdict: Verdict) -> None:
    if not verdict.layers:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer")
    table.add_column("kind")
    table.add_column("signal over noise, dB", justify="right")
    table.add_column("dead channels", justify="right")
    for layer in verdict.layers:
        table.add_row(layer.name, layer.kind, f"{layer.snr_db:.1f}", str(layer.dead_channels or ""))
    results().print(table)
