"""Whether a search chooses well: its choice against every candidate, each fine-tuned alone for the search's whole time.

    python benchmarks/choice.py ../shared/data/clothing --max-latency 0.3ms --precision int8

The search runs first. Then each network that it considered within the budget is fine-tuned alone, from the same
weights, for as long as the whole search took, quantized where the choice is int8, and evaluated on the validation
images. The test images are looked at once for each, at the end. Run it on a quiet machine: times are those of a clock.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from mobilenets.cli.console import progress_to_stderr
from mobilenets.data.dataset import Dataset
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget, parse_bytes, parse_latency, parse_macs
from mobilenets.search.contenders import Contender, Started, contenders_of, with_prices
from mobilenets.search.finishing import allowed_drop
from mobilenets.search.from_weights import PreparedImages, usable_model
from mobilenets.search.halving import network_of
from mobilenets.search.pretrained import pretrained_weights, trainable
from mobilenets.search.result import SearchResult
from mobilenets.search.search import search
from mobilenets.training.fine_tuning import fine_tune
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.settings import Settings


def accuracies(model: Model, dataset: Dataset) -> tuple[float, float]:
    """Top-1 on the validation and on the test images, in percent."""
    classifier = Classifier(model)
    return 100 * evaluate(classifier, dataset.validation).top1, 100 * evaluate(classifier, dataset.test).top1


def considered(result: SearchResult, settings: Settings, most: int | None) -> list[Contender]:
    """The networks within the budget that a search has looked at, each once."""
    record, dataset = result.search, result.dataset
    looked_at = [one for one in record.candidates if isinstance(one, Started) and record.budget.meets(one)]
    looked_at.sort(key=lambda one: -(one.head_top1 or 0.0))
    seen = dict(list({network_of(one): one for one in looked_at}.items())[:most])
    sides = sorted({one.resolution for one in seen.values()})
    classes = len(dataset.labels)
    found = []
    for weights in pretrained_weights(
        settings.weights, record.budget, family=None, sides=sides, classes=classes, precisions=("float32", "int8")
    ):
        source = trainable(weights, dataset)
        for cut in (False, True):
            entered = contenders_of(source, sides, classes=classes, cut=cut)
            priced = [with_prices(one, None, (record.choice.precision,), 1) for one in entered]
            found += [one for one in priced if network_of(one.candidates[0]) in seen]
    return found


def alone(one: Contender, dataset: Dataset, settings: Settings, seconds: float, *, int8: bool) -> tuple[float, float]:
    """What a candidate gets that is fine-tuned alone for so long."""
    start = usable_model(one, PreparedImages(dataset))
    how = replace(settings, resolution=None, validation_apart=True)
    model = fine_tune(start, dataset, how, seconds=seconds).model
    if int8:
        model = quantize_fitted(model, dataset, max_drop=allowed_drop(len(dataset.validation))).model
    return accuracies(model, dataset)


def main() -> None:
    """Run the search, then every candidate alone, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--max-latency", type=parse_latency)
    parser.add_argument("--max-size", type=parse_bytes)
    parser.add_argument("--max-macs", type=parse_macs)
    parser.add_argument("--precision", choices=("float32", "int8"), default="int8")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of training")
    parser.add_argument("--most", type=int, help="candidates alone, those whose heads got most; by default all")
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args()
    progress = progress_to_stderr(quiet=given.quiet)
    settings = Settings(
        weights=given.weights,
        epochs=given.epochs,
        seed=given.seed,
        threads=given.threads,
        validation_apart=True,  # which all are compared by
    )
    budget = Budget(given.max_latency, given.max_size, given.max_macs)
    begun, used = time.monotonic(), time.process_time()
    result = search(given.data, None, budget, settings, precisions=given.precision, progress=progress)
    seconds, used = time.monotonic() - begun, time.process_time() - used
    dataset, choice = result.dataset, result.search.choice
    found = accuracies(result.model, dataset)
    print(f"search: {seconds:.0f} s, {used:.0f} s of processor time; {choice}: {found[0]:.1f} / {found[1]:.1f} %")
    rows: list[tuple[str, float, float]] = []
    for one in considered(result, settings, given.most):
        assert isinstance(choice, Started)  # of a search that began from weights
        same = " (the choice)" if network_of(one.candidates[0]) == network_of(choice) else ""
        validation, test = alone(one, dataset, settings, seconds, int8=given.precision == "int8")
        rows.append((f"{one.candidates[0].label}{same}", validation, test))
        print(f"  alone: {rows[-1][0]}: {validation:.1f} / {test:.1f} %", flush=True)
    best = max(rows, key=lambda row: row[1])
    print(f"best alone on the validation images: {best[0]}, {best[1]:.1f} / {best[2]:.1f} %")
    print(f"choice − best: {found[0] - best[1]:+.1f} points of validation, {found[1] - best[2]:+.1f} of test top-1")
    print(f"time: {1 / max(1, len(rows)):.2f} of all of them")


if __name__ == "__main__":
    main()
