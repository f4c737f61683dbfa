"""The section on how far the probabilities of a Model can be believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.support.runs import make_run

from mobilenets.reports.finished_run import read_run
from mobilenets.reports.pages.confidence import confidence_section
from mobilenets.reports.pages.markup import to_html
from mobilenets.reports.run_report import write_report
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.classification_metrics import ClassificationMetrics


def evaluated(scale: float) -> ClassificationMetrics:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 3000)
    return Classification(tuple("abc")).metrics([scale * (np.eye(3)[targets] + rng.normal(0, 0.5, (3000, 3)))], targets)


def test_it_says_how_sure_how_right_and_what_to_do() -> None:
    unsure, truer = evaluated(0.5), evaluated(4.0)
    page = to_html(confidence_section(unsure, 1.0, "mobilenets calibrate model photos"))
    assert f"right for {100 * unsure.top1:.1f}" in page
    assert f"is {100 * (unsure.expected_calibration_error or 0):.1f}" in page
    assert "It has no temperature." in page
    assert "<code>mobilenets calibrate model photos</code>" in page
    assert page.count("<circle") >= len(unsure.reliability)
    good = to_html(confidence_section(truer, 0.61, "mobilenets calibrate model photos"))
    assert "is 0.61, fitted on images that are not test images" in good
    assert "mobilenets calibrate" not in good


def test_a_run_that_did_not_measure_it_has_no_such_section(tmp_path: Path) -> None:
    run = make_run(tmp_path, ("a", "b", "c"))
    write_report(read_run(run), run / "report.html")
    assert "How sure it is" in (run / "report.html").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("reliability", "expected_calibration_error", "mean_confidence"):
        del metrics["test"][name]
    (run / "metrics.json").write_text(json.dumps(metrics))
    write_report(read_run(run), run / "report.html")
    assert "How sure it is" not in (run / "report.html").read_text()
