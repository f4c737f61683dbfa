"""The summary at the head of a report: what was made, what it costs, how accurate it is."""

from __future__ import annotations

from dataclasses import dataclass

from mobilenets.base.text import GAP, interval, macs, milliseconds, percent, plural, size
from mobilenets.model.model import Model
from mobilenets.reports.finished_run import Run
from mobilenets.reports.pages.data import leak_warning
from mobilenets.reports.pages.markup import Child, Element, name, tag
from mobilenets.search.budget import Budget, costs_in_words
from mobilenets.search.costs import ModelCost

NAMES = {
    "mobilenet_v1": "MobileNet",
    "mobilenet_v1_shallow": "shallow MobileNet",
    "mobilenet_v1_full_convolution": "full-convolution MobileNet",
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "googlenet": "GoogLeNet",
    "squeezenet": "SqueezeNet",
}


def network_name(model: Model) -> str:
    """What a Model is, in short.

    A name that is not in the catalog is given as it is.
    """
    network = model.network
    sides = f"{network.height}" if network.height == network.width else f"{network.height}×{network.width}"
    precision = "" if model.quantization is None else ", int8"
    return f"{NAMES.get(network.name, network.name)} α {network.width_multiplier:g} at {sides} px{precision}"


def sentence(run: Run, latency: ShownLatency, file_bytes: int) -> list[Child]:
    """The summary in one sentence."""
    primary, images = run.evaluation.primary, plural(run.evaluation.images, "test image")
    means = f" of {images} right" if primary.name == "top1" else f" {primary.title} on {images}"
    gets: list[Child] = [
        tag("strong", percent(primary.value), class_="figure"),
        f"{means} (95{GAP}% interval {interval(primary.interval)})",
    ]
    takes: list[Child] = [tag("strong", milliseconds(latency.ms), class_="figure"), " an image"]
    chosen = tag("strong", network_name(run.model))
    if run.search is None:
        return [chosen, " gets ", gets, ", takes ", takes, f" and is a file of {size(file_bytes)}."]
    limits = allowed(run.search.budget)
    within = f"{limits[0].upper()}{limits[1:]}: " if limits else "Without a limit: "
    return [within, chosen, " takes ", takes, f" and {size(file_bytes)}, and gets ", gets, "."]


def allowed(budget: Budget) -> str:
    """A budget in words; empty where nothing is limited."""
    limits = (
        (budget.max_latency_ms, lambda limit: f"{limit:g}{GAP}ms", ""),
        (budget.max_file_bytes, size, ""),
        (budget.max_macs, macs, " Mult-Adds"),
        (budget.max_memory_bytes, size, " of memory" if budget.microcontroller else " of activations"),
        (budget.max_flash_bytes, size, " of flash"),
        (budget.max_instructions, macs, " instructions"),
    )
    most = [show(limit) + unit for limit, show, unit in limits if limit is not None]
    words = f"for at most {' and '.join(most)}" if most else ""
    if budget.min_accuracy is None:
        return words
    return f"{words + ' and' if words else 'for'} at least {percent(budget.min_accuracy)} right"


@dataclass(frozen=True)
class ShownLatency:
    """The latency that a report states.

    Attributes:
        ms: Milliseconds.
        note: What kind of figure that is.
        where: Where it holds.
    """

    ms: float
    note: str
    where: str


def latency_of(run: Run, cost: ModelCost) -> ShownLatency:
    """The latency that counts: of the search, if there was one, else measured for the report."""
    here = f"Latencies: {cost.processor}, engine on {cost.instruction_set}."
    search = run.search
    if search is None or search.device is None:
        return ShownLatency(cost.latency_ms, f"median on {plural(cost.threads, 'thread')}", here)
    if search.choice.instructions is not None:
        needs = f"{search.device.name}: {costs_in_words(search.choice)}; {search.device.engine}."
        return ShownLatency(cost.latency_ms, "median of this machine", f"{needs} {here}")
    threads = plural(search.device.threads, "thread")
    if search.latency is not None:
        note = f"median on {threads}; {milliseconds(search.latency.predicted_ms)} was predicted"
        return ShownLatency(search.latency.median_ms, note, here)
    device = search.device
    where = f"Latency: predicted for {device.name}, engine on {device.engine}. Layers are measured on {cost.processor}."
    return ShownLatency(search.choice.cost("latency_ms"), f"predicted, on {threads}", where)


def summary_section(run: Run, cost: ModelCost) -> Element:
    """The header: the summary in one sentence, and the figures in large."""
    primary, latency = run.evaluation.primary, latency_of(run, cost)
    cards = (
        (primary.title, percent(primary.value), f"95{GAP}% interval {interval(primary.interval)}"),
        ("latency", milliseconds(latency.ms), latency.note),
        ("file", size(cost.file_bytes), f"{cost.parameters:,} parameters"),
        ("Mult-Adds", macs(cost.macs), "for one image"),
        ("activations", size(cost.memory_bytes), "at most at one moment"),
    )
    return tag(
        "header",
        tag("p", "Report on ", name(run.source), class_="overline"),
        tag("h1", sentence(run, latency, cost.file_bytes)),
        tag("p", _images(run), class_="lede"),
        leak_warning(run.data_facts, run.evaluation.images),
        tag("dl", [_card(*card) for card in cards], class_="cards"),
        tag("p", latency.where, class_="quiet"),
    )


def _images(run: Run) -> str:
    counts = run.metrics["images"]
    count = len(run.model.task.labels or ())
    classes = plural(count, "label") if run.model.task.kind == "multilabel" else plural(count, "class", "classes")
    validated = run.phases[-1].last_validated
    validation = f"epoch selected on {counts['validation']:,}"
    if run.refitted:
        validation = f"{counts['validation']:,} validated a short run, and were trained on too after it"
    elif validated is not None:
        validation += f", and trained on too after epoch {validated['number']:.0f}"
    words = (
        f"{classes}. Trained on {plural(counts['train'], 'image')}; {validation}; tested once, on {counts['test']:,}."
    )
    skipped = len(run.metrics["skipped"])
    return (
        words
        if not skipped
        else f"{words} {plural(skipped, 'broken image')} {'was' if skipped == 1 else 'were'} skipped."
    )


def _card(title: str, figure: str, note: str) -> Element:
    return tag("div", tag("dt", title), tag("dd", tag("b", figure), tag("small", note)))
