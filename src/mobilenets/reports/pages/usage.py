"""How to run, export and reproduce what a report is about."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mobilenets.base.text import duration, plural
from mobilenets.model.provenance import Training
from mobilenets.reports.finished_run import Run
from mobilenets.reports.pages.markup import Child, Element, name, section, tag
from mobilenets.search.microcontroller import microcontrollers
from mobilenets.search.record import SearchRecord
from mobilenets.training.run_folder import INT8_FILE, MODEL_FILE


def model_path(run: Run, *, smallest: bool = False) -> str:
    """The Model's file, as commands name it; the smallest is the int8 one, where there is one."""
    beside = smallest and run.int8 is not None and run.int8 is not run.model
    return f"{run.place.rstrip('/')}/{INT8_FILE if beside else MODEL_FILE}"


def usage_section(run: Run) -> Element:
    """How to run and export it."""
    model = shlex.quote(model_path(run))
    smallest = shlex.quote(model_path(run, smallest=True))
    folder = shlex.quote(run.place.rstrip("/"))
    path = json.dumps(model_path(run), ensure_ascii=False)
    predictor, answer = ("Classifier", "prediction.label, prediction.probability")
    if run.model.task.kind != "classification":
        predictor, answer = ("Predictor", "prediction.summary")
    python = (
        f'from mobilenets import {predictor}\n\nprediction = {predictor}({path}).predict("image.jpg")\nprint({answer})'
    )
    return section(
        "use",
        "Use it",
        tag("h3", "Run"),
        _commands(f"mobilenets predict {model} image.jpg", f"mobilenets benchmark {model}"),
        tag("h3", "Run from Python"),
        _code(python),
        tag("h3", "Export"),
        _commands(
            f"mobilenets export {smallest} --to litert -o {folder}/model.tflite",
            f"mobilenets export {smallest} --to onnx -o {folder}/model.onnx",
            f"mobilenets export {smallest} --to c -o {folder}/model.c",
        ),
    )


def reproduction_section(run: Run) -> Element:
    """What the run was, exactly."""
    provenance, made = run.provenance, run.provenance.training
    counts = run.metrics["images"]
    versions = provenance.versions or {}
    facts: list[tuple[str, Child]] = [
        ("seed", "unknown" if made.seed is None else str(made.seed)),
        ("data", name(run.source)),
        ("fingerprint", tag("code", str(run.data.fingerprint))),
        ("images", f"{counts['train']:,} for training, {counts['validation']:,} validation, {counts['test']:,} test"),
        ("trained on", _machine(made)),
        ("versions", ", ".join(f"{package} {version}" for package, version in versions.items())),
    ]
    if (seconds := run.metrics.get("seconds")) is not None:
        facts.append(("took", duration(float(seconds))))
    recipe = made.recipe or {}
    named = recipe.get("name", "")
    return section(
        "reproduce",
        "Reproduce it",
        _commands(command_of(run)),
        tag("p", *_repeats(run)),
        tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in facts], class_="facts"),
        tag(
            "details",
            tag("summary", f"The whole recipe ({named})"),
            _code(json.dumps(recipe, indent=2, ensure_ascii=False)),
        ),
    )


def _repeats(run: Run) -> tuple[Child, ...]:
    same = "The same data, seed, versions and number of threads give the same Model, bit for bit, on the same machine"
    if run.search is None or run.search.device is None or not run.search.device.measured_here:
        return (f"{same}.",)
    return (
        f"{same} and with the latencies of this run, which are not measured the same twice: ",
        tag("code", shlex.join(["--device", f"{run.place}/device.json"])),
        ".",
    )


def _machine(made: Training) -> str:
    return f"{made.device or 'cpu'}, {made.precision or 'float32'}, {plural(made.threads or 1, 'thread')}"


def command_of(run: Run) -> str:
    """The command that made the run; where it was made from Python, one that does the same."""
    given = run.metrics.get("command")
    if isinstance(given, list) and given and all(isinstance(word, str) for word in given):
        return shlex.join(given)
    network, made = run.model.network, run.provenance.training
    seed = ["--seed", str(made.seed or 0)]
    words = ["mobilenets", "fit", run.source, "--output", run.place]
    if run.search is not None:
        weights = ["--weights", "none"] if made.weights is None else []
        return shlex.join([*words, *_budget(run.search), *weights, *seed])
    words += ["--architecture", network.name, "--width", f"{network.width_multiplier:g}"]
    words += [
        "--resolution",
        str(network.height),
        "--epochs",
        str(made.epochs or len(run.phases[-1].epochs)),
    ]
    words += [*seed, *_recipe(made.recipe or {})]
    return shlex.join([*words, "--training-threads", str(made.threads or 1)])


def _budget(search: SearchRecord) -> Sequence[str]:
    budget = search.budget
    limits = (
        ("--max-latency", budget.max_latency_ms, "ms"),
        ("--max-size", budget.max_file_bytes, "B"),
        ("--max-macs", budget.max_macs, ""),
        ("--max-memory", budget.max_memory_bytes, "B"),
        ("--max-flash", budget.max_flash_bytes, "B"),
        ("--max-instructions", budget.max_instructions, ""),
        ("--min-accuracy", budget.min_accuracy, ""),
    )
    words = [word for name, limit, unit in limits if limit is not None for word in (name, f"{limit:.12g}{unit}")]
    return [*(words or ["--search"]), *_device(search)]


def _device(search: SearchRecord) -> Sequence[str]:
    if search.device is None:
        return []
    if search.choice.instructions is not None:
        return ["--device", *(one.name for one in microcontrollers().values() if one.device == search.device.name)]
    return ["--threads", str(search.device.threads)]


def _recipe(recipe: Mapping[str, Any]) -> Sequence[str]:
    flip = recipe.get("augmentation", {}).get("flip")
    return ["--recipe", str(recipe.get("name", "default")), *(["--flip", str(flip)] if flip else [])]


def _code(text: str) -> Element:
    return tag("pre", tag("code", text))


def _commands(*lines: str) -> Element:
    """Commands; where one is too long for its line it goes on between words, set in."""
    return tag("pre", tag("code", [tag("span", _words(line), "\n", class_="command") for line in lines]))


def _words(line: str) -> list[Child]:
    """A browser would break ``--output`` after its hyphens."""
    first, *others = [tag("span", word) for word in line.split(" ")]
    return [first, *(part for word in others for part in (" ", word))]
