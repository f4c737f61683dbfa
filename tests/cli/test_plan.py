"""``mobilenets plan`` and ``models``: tables that fit a terminal, and the commands that they end in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import RunCommand
from tests.support.profiles import published_profile

from mobilenets.formats.known_weights import known_weights
from mobilenets.search.candidates import published_networks


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("device") / "device.json"
    published_profile().save(path)
    return path


def test_the_frontier_of_all_families_fits_a_terminal(mobilenets: RunCommand, device: Path, tmp_path: Path) -> None:
    plot = tmp_path / "frontier.svg"
    outcome = mobilenets("plan", "--max-latency", "2ms", "--device", device, "--plot", plot)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    (chosen,) = (line for line in lines if line.startswith("→ ") and " int8 " in line)
    weights = chosen.split()[1]
    command = f"mobilenets fit PHOTOS --resolution {chosen.split()[2]} --int8 --weights {weights}"
    assert command in " ".join(outcome.out.replace("\\", "").split())
    assert any(line.startswith("· ") and "float32" not in line for line in lines)
    drawn = plot.read_text(encoding="utf-8")
    assert weights in drawn
    assert " over" in drawn, "what others beat is faded"


def test_everything_is_listed_if_asked_for(mobilenets: RunCommand, device: Path) -> None:
    outcome = mobilenets("plan", "--all", "--device", device, "--precision", "float32")
    listed = [line for line in outcome.out.splitlines() if " float32 " in line]
    assert len(listed) == len(published_networks())
    assert max(map(len, outcome.out.splitlines())) <= 80
    known = {one.short_name for one in known_weights()}
    assert {line[2:].split()[0] for line in listed} <= known, "to be copied, so none is folded"


@pytest.mark.parametrize(
    ("limit", "column"), [(("--max-macs", "100M"), "Mult-Adds"), (("--max-memory", "300kB"), "activations")]
)
def test_what_a_budget_limits_is_shown(
    mobilenets: RunCommand, device: Path, limit: tuple[str, str], column: str
) -> None:
    outcome = mobilenets("plan", *limit, "--device", device, "--classes", 5)
    assert outcome.code == 0, outcome.err
    assert column in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_a_limit_on_memory_alone_measures_no_latency(mobilenets: RunCommand, tmp_path: Path) -> None:
    outcome = mobilenets("plan", "--max-memory", "300kB", "--plot", tmp_path / "plan.svg")
    assert outcome.code == 0, outcome.err
    assert "activations" in outcome.out
    assert " ms " not in outcome.out
    assert "measur" not in outcome.out + outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 80
    drawn = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert "kB of activations" in drawn
    assert "ms for one image" not in drawn
    data = json.loads(mobilenets("plan", "--max-memory", "300kB", "--json").out)
    assert (data["device"], data["compared_by"], data["choice"]["latency_ms"]) == (None, "memory_bytes", None)


def test_what_another_limit_forbids_beats_nothing(mobilenets: RunCommand) -> None:
    """Within 600 kB there is only V1 at α 0.25, whose larger resolutions V2's files of 2 MB would beat in memory."""
    outcome = mobilenets("plan", "--max-memory", "310kB", "--max-size", "600kB")
    listed = [line.split()[1] for line in outcome.out.splitlines() if line.startswith(("· keras", "→ keras"))]
    assert listed == ["keras:0.25-128", "keras:0.25-160", "keras:0.25-192", "keras:0.25-224"]


def test_the_plan_as_json(mobilenets: RunCommand, device: Path) -> None:
    data = json.loads(mobilenets("plan", "--family", "mobilenet_v3", "--device", device, "--json").out)
    assert data["choice"]["weights"].startswith(("timm:", "keras:"))
    assert {one["architecture"].rpartition("_v3_")[0] for one in data["candidates"]} == {"mobilenet"}
    assert any(one["on_frontier"] for one in data["candidates"])


def test_models_are_listed_with_what_a_choice_needs(mobilenets: RunCommand, device: Path) -> None:
    outcome = mobilenets("models")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "timm:mobilenetv4_conv_small.e2400_r224 " in outcome.out
    assert "keras: Apache-2.0, from storage.googleapis.com\n" in outcome.out
    assert "timm: Apache-2.0, from the Hugging Face hub\n" in outcome.out
    listed = json.loads(mobilenets("models", "--max-latency", "0.2ms", "--device", device, "--json").out)
    assert {
        "name",
        "family",
        "width_multiplier",
        "resolution",
        "parameters",
        "top1",
        "licence",
        "source",
        "cached",
    } <= set(listed[0])
    assert not any(one["family"] == "mobilenet_v4_conv_large" for one in listed)


def test_weights_that_cannot_be_fetched_fail_in_one_line(
    mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    outcome = mobilenets("models", "fetch", "keras:0.25-224")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "mobilenets models fetch keras:0.25-224 --from FILE" in outcome.err
    assert mobilenets("models", "fetch").code == 2
    assert "did you mean keras:0.25-224" in mobilenets("models", "fetch", "keras:0.25-225").err
