"""``mobilenets fit``: a folder of images in, a trained Model out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenets.base.deadline import Deadline
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, say
from mobilenets.cli.data_options import data_options
from mobilenets.cli.grouped_help import GroupedCommand
from mobilenets.cli.input_size import SquareSide
from mobilenets.cli.number import POSITIVE, Integer, Number
from mobilenets.cli.options import Quantity, budget_options, precision_list
from mobilenets.cli.ray_address import cluster_of, ray_option
from mobilenets.data.augmentation import Flip
from mobilenets.data.reading import Reading
from mobilenets.errors import MissingDependencyError, MobileNetsError
from mobilenets.search.budget import parse_time
from mobilenets.training.beforehand import check_beforehand

if TYPE_CHECKING:
    from mobilenets.base.progress import Progress
    from mobilenets.compression.result import CompressionResult
    from mobilenets.model.provenance import Training
    from mobilenets.search.candidates import Device
    from mobilenets.search.record import SearchRecord
    from mobilenets.training.result import Fit


_SETTINGS = {"train_on": "device", "training_precision": "precision", "training_threads": "threads"}
"""Options whose names differ from those of :class:`~mobilenets.training.settings.Settings`."""
INT8_SHARE = 0.2
"""Share of a limited time that --int8 has after training."""
_TRAINING_OPTIONS = {
    "--precision": "--training-precision",
    "--threads": "--training-threads",
    "--device": "--train-on",
}


def precisions(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """Read ``float32``, ``int8`` or ``auto``; None if the option is not given."""
    return None if text is None else precision_list(context, parameter, text)


_EVERYDAY = (
    *(
        "output",
        "weights",
        "epochs",
        "time",
        "width",
        "resolution",
        "max_latency",
        "max_size",
        "max_memory",
        "min_accuracy",
    ),
    *("int8", "dry_run", "resume", "force", "quiet", "help", "help_all"),
)
_GROUPS = {
    "Results": ("output", "int8", "folds", "logs", "resume", "force", "dry_run", "as_json", "quiet"),
    "Network": ("architecture", "width", "resolution", "channels", "weights"),
    "Training": (
        *("epochs", "time", "batch_size", "recipe", "flip", "validation_apart", "seed"),
        *("train_on", "training_precision", "training_threads", "memory_share", "ray"),
    ),
    "Budget": (
        *("max_latency", "max_size", "max_memory", "max_flash", "max_instructions", "max_macs", "min_accuracy"),
        *("search", "precision", "threads", "device"),
    ),
    "Reading DATA": (
        "parts",
        "exclude",
        "classes_from",
        "letter_case",
        "columns",
        "split_words",
        "task",
        "separator",
        "images_in",
    ),
    "Help": ("help", "help_all"),
}
_SHORT = """Train a classifier on the labeled images of DATA: a folder with one folder of images per class, a table of
file and class, or "digits". Part of the images is kept for validation and for the test at the end. With a limit
(--max-…), or --min-accuracy, the size of the network is chosen for it."""


@click.command("fit", cls=GroupedCommand, everyday=_EVERYDAY, groups=_GROUPS, short=_SHORT)
@click.argument("data")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("model"),
    show_default=True,
    help="Folder for the Model, its figures and its report.",
)
@click.option(
    "--architecture", help="Such as mobilenet_v1@0.5-160.  [default: that of the weights; from scratch, mobilenet_v1]"
)
@click.option(
    "--width",
    type=POSITIVE,
    help="Width multiplier α; with a budget the largest.  [default: that of the weights; else 0.5, or 1]",
)
@click.option(
    "--resolution",
    type=SquareSide(),
    help="Side of the input in pixels; with a budget the largest.  [default: by the images]",
)
@click.option("--channels", type=click.Choice([1, 3]), help="1 for a network of grey images.  [default: 3]")
@click.option(
    "--epochs",
    type=Integer(min=1),
    help="Passes over the images; from scratch and with a budget, three times as many for its supernet.  [default: by "
    "their number]",
)
@click.option(
    "--time",
    type=Quantity("TIME", parse_time),
    help="What all of it may take, such as 20m or 90s; it ends with the best Model so far.  [default: as long as it "
    "gets better]",
)
@click.option("--batch-size", type=Integer(min=2), help="Images in a step; fewer take less memory.  [default: 64]")
@click.option(
    "--seed",
    type=Integer(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Random seed.",
)
@click.option("--recipe", default="default", show_default=True, help="How to train: default or paper.")
@click.option(
    "--flip",
    type=click.Choice(list(Flip)),
    help="Mirror images that show the same.  [default: none for digits and letters, else horizontal]",
)
@click.option(
    "--weights",
    metavar="MODEL",
    default="auto",
    show_default=True,
    help="What to start from, of any classes: a Model, a foreign file, published weights such as keras:0.25-224, auto "
    "for those that suit the images, or none to train from scratch.",
)
@click.option(
    "--validation-apart",
    is_flag=True,
    help="With --weights: do not train on the validation images in the last third.  [set by --int8]",
)
@click.option("--train-on", default="auto", show_default=True, help="auto, cpu, cuda, mps, or several GPUs: cuda:all.")
@click.option("--training-precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@click.option("--training-threads", type=Integer(min=1), help="Threads on the CPU.  [default: all cores]")
@click.option(
    "--memory-share",
    type=Number(0, 1),
    default=0.04,
    show_default=True,
    help="Share of memory that resized images may take; more are kept on disk.",
)
@budget_options
@click.option("--search", is_flag=True, help="Without a budget: find the knee of accuracy against latency.")
@click.option("--precision", callback=precisions, help="Precision within a budget: float32, int8 or auto for both.")
@click.option("--threads", type=Integer(1, 256), help="Threads for one image when the Model is used.  [default: 1]")
@click.option(
    "--device",
    help="A microcontroller, such as cortex-m4, or the profile of another machine.  [default: this machine, measured]",
)
@click.option("--resume", is_flag=True, help="Continue the unfinished run in the output folder.")
@click.option("--force", is_flag=True, help="Overwrite what the output folder holds.")
@click.option("--int8", is_flag=True, help="Also write model.int8.safetensors, trained with quantization if needed.")
@click.option(
    "--cross-validate",
    "folds",
    type=Integer(2, 100),
    metavar="K",
    help="Before it, train K times on other parts of all images, so that each is tested once: for few images.",
)
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="LOG",
    help="Log every epoch to FILE.csv, tensorboard:FOLDER or wandb:PROJECT; repeatable.",
)
@ray_option("Train candidates, or folds, beside each other on a Ray cluster.")
@click.option("--dry-run", is_flag=True, help="Print how DATA is understood; train nothing.")
@data_options
@json_option
@quiet_option
def command(
    data: str,
    output: Path,
    resume: bool,
    force: bool,
    int8: bool,
    folds: int | None,
    logs: tuple[str, ...],
    ray: str | None,
    dry_run: bool,
    reading: Reading | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a classifier on the labeled images of DATA.

    DATA is a folder of class folders, of train/val[/test] folders, a CSV of file,class, or "digits". Where a table
    gives images several labels, the Model gives several too. Parts that it does not give are split off. The test
    images are evaluated once, at the end. What DATA is understood as is printed first;
    where it could be meant in several ways, --parts and the options after it say how.

    With a budget (any of --max-latency, --max-size, --max-macs, --max-memory, --min-accuracy, or --search for none) the
    network, its resolution and the precision are chosen by it: published networks are compared on the images, the
    cheapest look first, and the one that is chosen is fine-tuned. With --weights none it is one of the subnets of a
    supernet that is trained from scratch. With --device cortex-m4, or another microcontroller, networks are int8, and
    --max-memory, --max-flash and --max-instructions limit what the C file takes there.
    """
    deadline = Deadline.after(options["time"])
    reading = reading or Reading()
    if dry_run:
        from mobilenets.cli.dataset import print_dataset

        print_dataset(data, options["seed"], reading, as_json=as_json, quiet=quiet)
        return
    wanted = _search_options(options)
    _refuse_contradictions(wanted, int8=int8, logs=logs, folds=folds, ray=ray, resume=resume, force=force)
    check_beforehand(
        data,
        output,
        **{name: options[name] for name in ("weights", "architecture", "width", "resolution", "recipe")},
        device=options["train_on"],
        precision=options["training_precision"],
        logs=logs,
        several_weights=wanted is not None,
        resume=resume,
        replace_existing=force,
        progress=progress_to_stderr(quiet=quiet),
    )
    try:
        from mobilenets.search.search import search
        from mobilenets.training.cross_validation import cross_validate
        from mobilenets.training.distributed import launch
        from mobilenets.training.fit import fit
        from mobilenets.training.launcher import processes_named, start_processes
        from mobilenets.training.loggers import logger_named
        from mobilenets.training.quantize import quantize_fitted
        from mobilenets.training.run_folder import is_finished, left_after_training, left_by_interruption
        from mobilenets.training.settings import Settings
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train") from None
    chosen_flip, apart = options.pop("flip"), options.pop("validation_apart")
    if int8 and options["time"] is not None:
        options["time"] *= 1 - INT8_SHARE
    settings = Settings(
        **{_SETTINGS.get(name, name): value for name, value in options.items()},
        flip=Flip(chosen_flip) if chosen_flip else None,
        validation_apart=apart or int8,  # they evaluate the int8 Model
    )
    process = launch()
    if (processes := processes_named(options["train_on"])) is not None:
        device, count = processes
        if count > 1 and process.count == 1:
            words = (click.get_current_context().obj or ("mobilenets",))[1:]
            raise SystemExit(start_processes(words, count))
        settings = replace(settings, device=device)
    progress = progress_to_stderr(quiet=quiet or process.rank > 0)
    if process.restarts and not force and is_finished(output):
        progress.note(f"{output} was finished before the processes were started again")
        return
    try:
        cluster = cluster_of(ray)
        validated = (
            cross_validate(data, folds, settings, reading=reading, ray=cluster, progress=progress) if folds else None
        )
        how: dict[str, Any] = {"reading": reading, "resume": resume, "replace_existing": force, "progress": progress}
        result = (
            fit(data, output, settings, callbacks=[logger_named(text) for text in logs], **how)
            if wanted is None
            else search(data, output, settings=settings, ray=cluster, **wanted, **how)
        )
    except KeyboardInterrupt:
        progress.note(left_by_interruption(output))
        raise
    if process.rank > 0:  # one process writes and speaks
        if int8:
            quantize_fitted(result.model, result.dataset)  # as far as all of them train
        return
    # Resuming changes nothing: the run is the same without the word.
    words = [word for word in click.get_current_context().obj or () if word != "--resume"]
    quantized = None
    try:
        if as_json:
            print_json({**result.to_json(), **({"cross_validation": validated.to_json()} if validated else {})})
        else:
            _print(result, output, cross_validated=validated is not None)
            if validated:
                say(validated.summary)
        if int8:
            quantized = _quantize(result, output, deadline.left, progress, as_json=as_json)
        _report(result, output, quantized, words, deadline.left, progress)
    except KeyboardInterrupt:
        progress.note(left_after_training(output, int8=int8 and quantized is None))
        raise
    _check_int8(result, output, quantized)


def _refuse_contradictions(
    wanted: dict[str, Any] | None,
    *,
    int8: bool,
    logs: tuple[str, ...],
    folds: int | None,
    ray: str | None,
    resume: bool,
    force: bool,
) -> None:
    """Raise a misuse if one option says that another shall do nothing."""
    if wanted is not None and int8:
        raise click.UsageError("--int8 goes without a budget; with one, say --precision int8")
    if wanted is not None and logs:
        raise click.UsageError("--log is of training without a budget; leave one of the two out")
    if wanted is not None and folds:
        raise click.UsageError("--cross-validate is of training without a budget; leave one of the two out")
    if ray is not None and wanted is None and not folds:
        raise click.UsageError(
            "--ray trains several networks beside each other: give a budget or --cross-validate; several processes "
            "train one network with --train-on cuda:all, or torchrun"
        )
    if resume and force:
        raise click.UsageError("--resume goes on with what the folder holds, and --force begins anew: give one")


def _check_int8(result: Fit, output: Path, quantized: CompressionResult | None) -> None:
    """Raise if an int8 Model is not good enough, when all that there is has been written."""
    from mobilenets.errors import GateError
    from mobilenets.search.result import SearchResult
    from mobilenets.training.run_folder import FLOAT_FILE, MODEL_FILE

    if isinstance(result, SearchResult) and result.refusal is not None:
        made_from = "" if result.float_model is None else f", and {output / FLOAT_FILE} what it was made from"
        raise GateError(f"{result.refusal}: {output / MODEL_FILE} is it{made_from}")
    if quantized is not None and quantized.refusal is not None:
        try:
            quantized.check()
        except GateError as error:
            raise GateError(f"{error}. The float32 Model is written: {output / MODEL_FILE}") from None


def _search_options(options: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of a search among the options, which are taken out of them; None where they say nothing."""
    from mobilenets.search.budget import Budget
    from mobilenets.search.profile import PRECISIONS

    names = ("max_latency", "max_size", "max_macs", "max_memory", "min_accuracy", "max_flash", "max_instructions")
    budget = Budget(*(options.pop(name) for name in names))
    searched, chosen, threads, device = (options.pop(name) for name in ("search", "precision", "threads", "device"))
    if budget.empty and not searched:
        for name, value in (("--precision", chosen), ("--threads", threads), ("--device", device)):
            if value is not None:
                meant = _TRAINING_OPTIONS[name]
                raise click.UsageError(
                    f"{name} says where a budget holds, and there is none: give one, or --search, "
                    f"or say {meant} to change how training is done"
                )
        return None
    return {
        "budget": budget,
        "precisions": chosen or PRECISIONS,
        "threads": threads or 1,
        "device": None if device is None else _profile(device),
    }


def _profile(path: str) -> Device | None:
    from mobilenets.search.devices import device_named

    if path in ("auto", "cpu", "cuda", "mps") and not Path(path).exists():
        raise click.UsageError(f"--device takes a device profile; to train on another processor say --train-on {path}")
    return device_named(path)


def _quantize(
    result: Fit, output: Path, seconds: float | None, progress: Progress, *, as_json: bool
) -> CompressionResult:
    from mobilenets.model.file import save
    from mobilenets.training.quantize import quantize_fitted
    from mobilenets.training.run_folder import INT8_FILE

    quantized = quantize_fitted(result.model, result.dataset, seconds=seconds, progress=progress)
    path = output / INT8_FILE
    if quantized.refusal is not None:
        return quantized
    save(quantized.model, path)
    if not as_json:
        drop = quantized.report.drop or 0
        say(f"int8: {-drop:+.2f} points on the validation images; {path} is written")
    return quantized


def _report(
    result: Fit,
    output: Path,
    quantized: CompressionResult | None,
    words: list[str],
    seconds: float | None,
    progress: Progress,
) -> None:
    """Write the report beside the Model. The Model is what was asked for: that it has no report is not a failure."""
    from mobilenets.reports.run_report import report_run

    try:
        path = report_run(result, output, quantized=quantized, command=words, seconds=seconds, progress=progress)
    except (MobileNetsError, OSError) as error:
        progress.note(f"no report is written: {error!r}; mobilenets report {output} tries again")
    else:
        progress.note(f"{path} is written")


def _print(result: Fit, output: Path, *, cross_validated: bool) -> None:
    from mobilenets.data.description import classes_in_words
    from mobilenets.model.provenance import Provenance
    from mobilenets.search.result import SearchResult
    from mobilenets.tasks.metrics import FEW
    from mobilenets.training.run_folder import FLOAT_FILE, METRICS_FILE, MODEL_FILE, PROFILE_FILE, SUPERNET_FILE

    network, evaluation, provenance = result.model.network, result.evaluation, Provenance.of(result.model)
    validation = (provenance.metrics and provenance.metrics.validation_primary) or 0.0
    best = result.best_epoch + 1
    kept = f"epoch {best} of {len(result.history)} kept" if best else "first usable Model kept"
    found = result.search if isinstance(result, SearchResult) else None
    if found is not None:
        _print_search(found)
        kept = result.model.precision
    say(
        f"{network.name}, width {network.width_multiplier:g}, {network.height}×{network.width}, "
        f"{classes_in_words(result.dataset)}; {kept}"
    )
    images = len(result.dataset.validation)
    joined = _joined(provenance.training)
    say(f"validation {evaluation.primary.title} {100 * validation:.2f} %, on {images} images{joined}")
    say(f"test {evaluation.in_words}")
    if (leak := result.dataset.duplicates.leak("test")) is not None:
        copies = "is a copy" if leak.images == 1 else "are copies"
        say(f"warning: {leak.images:,} of {leak.total:,} test images {copies} of training images")
    if evaluation.images < FEW and found is None and not cross_validated and result.dataset.task != "detection":
        say("--cross-validate 5 tests every image once, each by a Model that was not trained on it")
    beside = () if found is None else (FLOAT_FILE, SUPERNET_FILE, PROFILE_FILE)
    written = ", ".join(
        [str(output / MODEL_FILE), *(name for name in beside if (output / name).exists()), METRICS_FILE]
    )
    say(f"{result.seconds:.0f} s; {written} are written")


def _joined(training: Training) -> str:
    """Which part of training had the validation images."""
    if training.validation_joined is None:
        return ""
    if training.validation_joined - 1 == training.held_out_epochs:
        return ", after a short run without them; then training began again, on them too"
    return f", which were trained on from epoch {training.validation_joined} on"


def _print_search(search: SearchRecord) -> None:
    from mobilenets.search.budget import costs_in_words

    choice = search.choice
    say(f"{choice}: {search.reason}")
    if search.device is not None and choice.instructions is not None:
        say(f"on {search.device.name}: {costs_in_words(choice)}")
        say(f"{search.device.engine}; they err by {100 * (search.device.interpolation_error or 0):.1f} % at the median")
        return
    cost = f"{choice.macs / 1e6:.1f} M Mult-Adds, {choice.memory_bytes / 1e3:,.0f} kB of activations"
    latency = search.latency
    if search.device is None:
        say(cost)
        return
    if latency is None:
        say(f"{choice.latency_ms:.3g} ms expected on {search.device.name}; {cost}")
        return
    say(f"{latency.median_ms:.3g} ms measured, {latency.predicted_ms:.3g} ms expected; {cost}")
    limit = search.budget.max_latency_ms
    if limit is not None and latency.median_ms > limit:
        say(f"the machine is slower just now than when it was measured: {limit:g} ms are exceeded")
