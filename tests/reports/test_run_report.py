"""The report as text: what it says, that it holds everything, and that no name becomes markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.cli.conftest import Outcome
from tests.support.runs import HOSTILE, HOSTILE_FILE, make_run

from mobilenets.base.deadline import Deadline
from mobilenets.base.text import percent
from mobilenets.cli.main import main
from mobilenets.data.dataset import load_dataset
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError
from mobilenets.reports import charts
from mobilenets.reports.finished_run import read_run
from mobilenets.reports.pages import frontier, training
from mobilenets.reports.pages.markup import tag, to_html
from mobilenets.reports.pages.summary import allowed
from mobilenets.reports.run_report import report, run_page, write_report
from mobilenets.search.budget import Budget
from mobilenets.search.contenders import Started
from mobilenets.tasks.classification_metrics import ClassificationMetrics


class Page(HTMLParser):
    """What a browser would take a page for: its elements, and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\u00a0", " ")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Page]:
    run = make_run(tmp_path_factory.mktemp("hostile"), HOSTILE, search=True)
    write_report(read_run(run), run / "report.html")
    return run, Page((run / "report.html").read_text(encoding="utf-8"))


def test_names_stay_text_whatever_they_are(hostile: tuple[Path, Page]) -> None:
    _, page = hostile
    names = [name for name, _ in page.elements]
    assert "script" not in names
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    images = [str(attributes["src"]) for name, attributes in page.elements if name == "img"]
    assert images
    assert all(source.startswith("data:image/") for source in images)
    for label in HOSTILE:
        assert label.strip() in page.text
    assert HOSTILE_FILE.replace("\x1b", "\ufffd") in page.text


def test_nothing_is_loaded_from_elsewhere(hostile: tuple[Path, Page]) -> None:
    run, page = hostile
    links = [value for _, attributes in page.elements for key, value in attributes.items() if key in ("src", "href")]
    assert links
    assert all(value and value.startswith(("#", "data:image/")) for value in links)
    assert not re.search(r"@import|url\(|https?:", (run / "report.html").read_text(encoding="utf-8"))


def test_it_says_summary_choice_figures_and_how_to_come_by_them(hostile: tuple[Path, Page]) -> None:
    run, page = hostile
    metrics = json.loads((run / "metrics.json").read_text())
    assert re.search(
        r"For at most 0\.3 ms: MobileNet α 0\.25 at 32 px takes 290 µs an image and \d+ kB, and gets [\d.]+ % of 5 "
        r"test images right \(95 % interval [\d.]+ to [\d.]+ %\)\.",
        page.text,
    )
    assert "α 0.75 at 96 px, int8 was taken: the most accurate within the budget." in page.text
    assert "20 epochs of the supernet, then 5 epochs of the chosen subnet" in page.text
    assert "trained with quantization. It gives the same answer as the float32 Model for 97.0 % of 200" in page.text
    assert "SQNR by layer: 20.0 dB in block0.depthwise, the worst of 13" in page.text
    assert metrics["provenance"]["data"]["fingerprint"] in page.text
    assert "block13.pointwise" in page.text
    assert f"mobilenets predict {run}/model.safetensors image.jpg" in page.text
    assert f"mobilenets export {run}/model.int8.safetensors --to litert" in page.text


def test_the_mistakes_are_those_of_the_model_surest_first(hostile: tuple[Path, Page]) -> None:
    run, page = hostile
    found = read_run(run).evaluation
    assert isinstance(found, ClassificationMetrics)
    count = found.wrong
    everything = [attributes["alt"] or "" for name, attributes in page.elements if name == "img"]
    shown = [words for words in everything if "spoke for" not in words]
    assert len([words for words in shown if "taken for" in words]) == len(shown)
    assert page.text.count(" taken for ") >= count
    sure = [int(text) for text in re.findall(r", (\d+) %", page.text[page.text.index("surest first") :])]
    assert sure[:count] == sorted(sure[:count], reverse=True)


def test_the_command_that_made_a_run_is_kept_or_made_up_for(tmp_path: Path, hostile: tuple[Path, Page]) -> None:
    run, page = hostile
    assert (
        f"mobilenets fit {run.parent}/data --output {run} --max-latency 0.3ms --threads 1 --weights none --seed 0"
        in page.text
    )
    assert f"not measured the same twice: --device {run}/device.json" in page.text
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["command"] = ["mobilenets", "fit", "my data", "--seed", "3"]
    for name in ("model.safetensors", "metrics.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    write_report(read_run(tmp_path), tmp_path / "report.html")
    assert "mobilenets fit 'my data' --seed 3" in Page((tmp_path / "report.html").read_text()).text
    assert "mobilenets quantize" in (tmp_path / "report.html").read_text()


def call(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command(hostile: tuple[Path, Page], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run, _ = hostile
    assert call("report", run, "-o", tmp_path / "again.html", "-q") == 0
    outcome = Outcome(0, *capfd.readouterr())
    assert re.fullmatch(r".*again\.html is written \(\d+ kB\)\n", outcome.out)
    assert outcome.err == ""
    assert call("report", tmp_path, "-q") == 1
    assert "holds no metrics.json; expected the output folder of mobilenets fit" in capfd.readouterr().err


def test_images_that_are_gone_or_changed_are_left_out_and_said_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"))
    write_report(read_run(run), run / "report.html")
    text = (run / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "--architecture mobilenet_v1 --width 0.25 --resolution 32 --epochs 5" in Page(text).text
    assert "for 97.0 % of 200" in text  # from what the int8 Model's provenance keeps
    assert "−0.50 points" in text
    next((tmp_path / "data" / "cat").iterdir()).unlink()
    changed = read_run(run)
    assert changed.dataset is None
    write_report(changed, run / "report.html")
    assert "The images were not at hand" in (run / "report.html").read_text()
    with pytest.raises(DataError, match=r"is not what the Model was fitted to: its fingerprint is"):
        read_run(run, tmp_path / "data")
    with pytest.raises(DataError, match="does not exist"):
        read_run(run, tmp_path / "nowhere")


def test_a_run_that_took_the_validation_images_says_when(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"), images=10)
    figures = json.loads((run / "metrics.json").read_text())
    figures["epochs"][4] |= {"validation_loss": None, "validation_top1": None}
    (run / "metrics.json").write_text(json.dumps(figures | {"best_epoch": 5}))
    write_report(read_run(run), run / "report.html")
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert re.search(
        r"Trained on \d+ images; epoch selected on \d+, and trained on too after epoch 4; tested once, on \d+",
        page.text,
    )
    text = to_html(training.training_section(read_run(run)))
    assert "Epoch 5 was kept. After epoch 4, with 65.2\xa0% validation top-1, the validation images were" in text
    assert "validation 0.652" in text


def test_a_run_that_began_again_says_what_the_first_epochs_were(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"), images=10)
    figures = json.loads((run / "metrics.json").read_text())
    for row in figures["epochs"][2:]:
        row |= {"validation_loss": None, "validation_top1": None}
    figures["provenance"] |= {"validation_joined": 3, "held_out_epochs": 2}
    (run / "metrics.json").write_text(json.dumps(figures | {"best_epoch": 5}))
    write_report(read_run(run), run / "report.html")
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert re.search(
        r"Trained on \d+ images; \d+ validated a short run, and were trained on too after it; tested once, on \d+",
        page.text,
    )
    text = to_html(training.training_section(read_run(run)))
    assert "The first 2 epochs were a short run without the validation images, which reached" in text
    assert "Then training began again from the start, on these too. Epoch 5 was kept." in text


def test_the_first_usable_model_is_reported_as_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"), images=10)
    figures = json.loads((run / "metrics.json").read_text())
    figures["best_epoch"] = 0
    (run / "metrics.json").write_text(json.dumps(figures))
    text = to_html(training.training_section(read_run(run)))
    assert "No epoch was more accurate on the validation images than the first usable Model, which was kept." in text
    write_report(read_run(run), run / "report.html")
    assert "epoch selected on" in Page((run / "report.html").read_text(encoding="utf-8")).text


def test_a_subnet_whose_fine_tuning_gained_nothing_is_reported_as_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"), images=10, search=True)
    text = to_html(training.training_section(read_run(run)))
    assert "Epoch 4 of the chosen subnet was kept, selected by validation" in text
    figures = json.loads((run / "metrics.json").read_text())
    figures["phases"][-1]["best_epoch"] = figures["best_epoch"] = 0
    (run / "metrics.json").write_text(json.dumps(figures))
    text = to_html(training.training_section(read_run(run)))
    assert "no epoch of the chosen subnet was better than what it began as, which was kept" in text
    assert "<title>kept" not in text
    write_report(read_run(run), run / "report.html")
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert "epoch selected on" in page.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "not those that fit writes"),
        ({"epochs": [], "best_epoch": 1}, "epoch 1 of 0 was kept"),
        ({"best_epoch": -1}, "epoch -1 of 5 was kept"),
        ({"best_epoch": 77}, "epoch 77 of 5 was kept"),
        ({"best_epoch": float("inf")}, "not those that fit writes"),
        ({"epochs": [{"number": 10**400}]}, "not those that fit writes"),
        ({"provenance": {}}, "'data' is missing"),
        ({"search": {}}, "this is not the record of a search"),
    ],
)
def test_damaged_figures_are_an_error(change: dict[str, object], message: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"), images=10)
    path = run / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read_run(run)
    for text in ("{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(DataError, match="cannot be read"):
            read_run(run)


def test_a_folder_that_does_not_exist_is_named_before_the_run_is_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"r\.html cannot be written: there is no folder: '.*nowhere'$"):
        report(tmp_path, tmp_path / "nowhere" / "r.html")


def test_a_budget_in_words() -> None:
    def words(budget: Budget) -> str:
        return allowed(budget).replace("\u00a0", " ")

    assert words(Budget()) == ""
    assert words(Budget(max_latency_ms=5)) == "for at most 5 ms"
    assert words(Budget(max_file_bytes=500_000, max_macs=50_000_000)) == "for at most 500 kB and 50.0 M Mult-Adds"
    assert words(Budget(max_latency_ms=5, min_accuracy=0.9)) == "for at most 5 ms and at least 90.0 % right"
    assert words(Budget(min_accuracy=0.925)) == "for at least 92.5 % right"


def test_a_chart_puts_values_where_they_belong() -> None:
    chart = charts.Chart(400, 300, charts.Axis(1, 100, "ms", logarithmic=True), charts.Axis(0, 1, "share"))
    assert chart.across(1) == charts.LEFT
    assert chart.across(100) == 400 - charts.RIGHT
    assert chart.across(10) == pytest.approx((charts.LEFT + 400 - charts.RIGHT) / 2)
    assert chart.down(0) == 300 - charts.BOTTOM
    assert chart.down(1) == charts.TOP


def test_a_lone_candidate_can_be_drawn(tmp_path: Path) -> None:
    search = read_run(make_run(tmp_path, ("cat", "dog"), search=True)).search
    assert search is not None
    lone = search.choice
    assert "polyline" in to_html(frontier.draw([lone], lone, Budget(max_latency_ms=1e-9), 300))


def test_networks_from_published_weights_are_shown_with_the_last_look_at_each(tmp_path: Path) -> None:
    search = read_run(make_run(tmp_path, ("cat", "dog"), search=True)).search
    assert search is not None
    costs = (0.25, 96, "int8", 0.8, 0.2, 250_000, 9_000_000, 90_000)
    head = Started(*costs, "mobilenet_v1", "keras:0.25-224", False, 0.8)
    tuned = replace(head, width_multiplier=0.5, cut=True, weights="<weights>", accuracy=0.9, tuned_top1=0.9)
    choice = replace(tuned, accuracy=0.95)  # what all of its fine-tuning got
    page = to_html(frontier.frontier_section(replace(search, candidates=(head, tuned), choice=choice)))
    assert page.count("dot int8 head") == 2  # wide and narrow: the one that was not fine-tuned is hollow
    assert "polyline" not in page, "accuracies of different looks make no frontier"
    assert "→ &lt;weights&gt; cut to α 0.5 at 96 px, int8" in page
    assert "keras:0.25-224 at 96 px, int8" in page
    assert "short fine-tuning" in page
    assert "began from published weights" in page
    assert percent(0.9) in page


def test_markup_is_escaped_and_unprintable_characters_are_replaced() -> None:
    element = tag("p", 'a<b>&"\x00\udc80', title="x\"y'<\x07")
    assert to_html(element) == '<p title="x&quot;y\'<\ufffd">a&lt;b&gt;&amp;"\ufffd\\udc80</p>'


def test_the_report_says_what_to_do_next(hostile: tuple[Path, Page], tmp_path: Path) -> None:
    _, page = hostile
    advice = page.text.partition("What to do next")[2].partition("What to do next")[2].partition("Predictions")[0]
    assert "Add images of " in advice
    assert "; it has 8 training images." in advice or "; it has 10 training images." in advice
    assert "mobilenets evaluate" in advice
    assert "mobilenets quantize" not in advice  # it has an int8 Model
    run = make_run(tmp_path, ("cat", "dog"), images=30)
    (run / "model.int8.safetensors").unlink()
    advice = Page(report(run).read_text(encoding="utf-8")).text
    assert f"--weights keras:0.5-160 --output {run}-tuned" in advice
    assert f"mobilenets quantize {run / 'model.safetensors'} --calibration" in advice


def test_the_int8_model_is_tested_as_the_float_model_is(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog", "owl"), images=30)
    dataset = load_dataset(tmp_path / "data")
    shares = [
        evaluate(Classifier(run / name), dataset.test).top1 for name in ("model.safetensors", "model.int8.safetensors")
    ]
    page = Page(report(run).read_text(encoding="utf-8"))
    row = page.text.partition("test top-1")[2][:40]
    assert row.startswith("".join(f"{100 * share:.2f} %" for share in shares)), row


def test_what_looks_at_images_is_left_out_when_the_time_is_over(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, ("cat", "dog"), images=60))
    deadline = Deadline.after(0.0)
    page = Page(run_page(run, deadline=deadline))
    assert "the mistakes" in deadline.left_out
    assert "mobilenets report makes this page whole" in page.text
    whole = Page(run_page(run))
    assert "no time left" not in whole.text
    assert whole.text.count("How training went") == page.text.count("How training went") > 0


def test_a_run_that_had_no_time_to_train_has_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("cat", "dog"), images=10)
    path = run / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"epochs": [], "best_epoch": 0}))
    assert "There was no time to train the whole network" in Page(run_page(read_run(run))).text
