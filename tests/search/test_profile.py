"""Device profiles: files that are refused, and interpolation where the truth is known."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.profiles import quadratic_profile

from mobilenets.architecture.catalog import CATALOG, Specification
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.cli.main import main
from mobilenets.engine.session import Session
from mobilenets.engine.steadiness import Steadiness
from mobilenets.errors import PlanningError
from mobilenets.model.file import save
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import predicted_file_bytes, published_candidates
from mobilenets.search.frontier import choose
from mobilenets.search.measuring import measure_profile, synthetic_model
from mobilenets.search.plan import check_trusted, plan
from mobilenets.search.profile import DeviceProfile, Point
from mobilenets.search.search import search


def test_interpolation_is_exact_for_a_power_law() -> None:
    profile = quadratic_profile()
    for width, side in ((1.0, 224), (0.25, 128), (0.6, 150), (0.3, 200)):
        assert profile.latency_ms(width, side, "float32", 1) == pytest.approx(1e-4 * (width * side) ** 2)
    assert profile.interpolation_error == pytest.approx(0)


def test_what_was_not_measured_is_refused() -> None:
    profile = quadratic_profile()
    with pytest.raises(PlanningError, match=r"covers resolution from 128 to 224, not 96"):
        profile.latency_ms(0.5, 96, "float32", 1)
    with pytest.raises(PlanningError, match=r"covers α from 0.25 to 1, not 1.5"):
        profile.latency_ms(1.5, 128, "float32", 1)
    with pytest.raises(PlanningError, match=r"has no int8 with 4 thread\(s\), only float32 with 1"):
        profile.latency_ms(0.5, 128, "int8", 4)


def test_a_smaller_last_layer_is_quicker_by_what_was_measured() -> None:
    """A machine on which a class costs 1e-4 ms · α."""
    points = tuple(
        Point(width, side, "float32", 1, 1.0, 1e-4 * (width * side) ** 2 + 1e-4 * width * classes, classes)
        for width in (0.25, 0.5, 1.0)
        for side, classes in ((32, 1000), (64, 1000), (32, 10))
    )
    profile = DeviceProfile("a machine", "none", points)
    for width, side in ((0.25, 32), (0.5, 64), (1.0, 64)):
        for classes in (2, 10, 1000, 1001):
            expected = 1e-4 * (width * side) ** 2 + 1e-4 * width * classes
            assert profile.latency_ms(width, side, "float32", 1, classes) == pytest.approx(expected)
    only = DeviceProfile("a machine", "none", points[:2])
    assert only.latency_ms(0.25, 32, "float32", 1) == points[0].median_ms
    with pytest.raises(PlanningError, match="networks of 1000 classes only; measure it again"):
        only.latency_ms(0.25, 32, "float32", 1, 10)


def test_a_profile_survives_its_file(tmp_path: Path) -> None:
    quadratic_profile().save(tmp_path / "device.json")
    assert DeviceProfile.load(tmp_path / "device.json") == quadratic_profile()
    measured = replace(quadratic_profile(), steadiness=Steadiness(500, 40, 1, 1.4, 2, 1))
    measured.save(tmp_path / "device.json")
    assert DeviceProfile.load(tmp_path / "device.json") == measured
    older = {name: value for name, value in measured.to_json().items() if name != "steadiness"}
    (tmp_path / "device.json").write_text(json.dumps(older))
    assert DeviceProfile.load(tmp_path / "device.json") == quadratic_profile()
    (tmp_path / "device.json").write_text(json.dumps(older | {"steadiness": {"runs": "many"}}))
    with pytest.raises(PlanningError, match="damaged device profile"):
        DeviceProfile.load(tmp_path / "device.json")


def test_latencies_that_say_nothing_of_a_network_choose_none() -> None:
    calm, crowded = Steadiness(500, 0, 0, 0.2, 2, 1), Steadiness(500, 0, 0, 1.9, 2, 2)
    check_trusted(calm)
    check_trusted(None)
    check_trusted(replace(crowded, threads=1))
    with pytest.raises(PlanningError, match=r"used 1.9 of 2 processors.*not to be trusted.*device=FILE"):
        check_trusted(crowded)


def test_plan_says_what_was_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = replace(quadratic_profile(), steadiness=Steadiness(500, 40, 1, 1.9, 2, 1))
    profile.save(tmp_path / "device.json")
    with suppress(SystemExit):
        main(["plan", "--device", str(tmp_path / "device.json"), "--precision", "float32"])
    assert "measured while other processes were in the way" in " ".join(capsys.readouterr().out.split())
    result = plan(precisions="float32", device=profile)
    assert result.to_json()["steadiness"]["by_processor_time"] == 1


def older(version: int) -> dict[str, Any]:
    """The quadratic machine as earlier versions of the package wrote it."""
    data: dict[str, Any] = json.loads(json.dumps(quadratic_profile().to_json())) | {"format_version": version}
    for point in data["points"] + data["checks"]:
        del point["architecture"]
    return data | {"architecture": "mobilenet_v1"} if version == 3 else data


@pytest.mark.parametrize("version", [2, 3])
def test_profiles_of_earlier_versions_are_read(version: int, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(older(version)))
    assert DeviceProfile.load(tmp_path / "old.json") == quadratic_profile()


def test_a_profile_names_the_architectures_that_it_measured() -> None:
    data = quadratic_profile().to_json()
    assert (data["format_version"], data["points"][0]["architecture"]) == (4, "mobilenet_v1")
    network = CATALOG["mobilenet_v1_shallow"](width_multiplier=0.5, resolution=128)
    with pytest.raises(PlanningError, match="measured mobilenet_v1; mobilenet_v1_shallow is of another architecture"):
        quadratic_profile().latency_of(network, "float32", 1)


def test_single_sizes_of_other_families_are_measured_beside_a_grid() -> None:
    others = (Specification("mobilenet_v3_small", 0.5, 32), Specification("mobilenet_v4_conv_small", 0.5, 32))
    profile = measure_profile(widths=(0.25,), resolutions=(32,), others=others, rounds=1)
    assert profile.architectures == ("mobilenet_v1", "mobilenet_v3_small", "mobilenet_v4_conv_small")
    for one in others:
        for precision in ("float32", "int8"):
            full, few = (profile.latency_of(one.network(classes=number), precision, 1) for number in (1000, 10))
            assert 0 < few <= full
    assert not profile.covers(others[0].network(), "int8", 2)
    assert not profile.covers(Specification("mobilenet_v3_small", 1.0, 32).network(), "int8", 1)


def damaged(change: dict[str, Any] | None = None, point: dict[str, Any] | None = None) -> str:
    data = json.loads(json.dumps(quadratic_profile().to_json())) | (change or {})
    if point is not None:
        data["points"][0] |= point
    return json.dumps(data)


def missing(field: str) -> str:
    data = json.loads(json.dumps(quadratic_profile().to_json()))
    del data["points"][0][field]
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not a readable device profile"),
        ("[]", "is not a device profile; make one with"),
        (damaged({"format_version": 1}), "of version 1; this package reads versions 2, 3, 4"),
        (
            damaged(point={"classes": 0}),
            "damaged device profile: classes is 0; it must be a positive number below 1e\\+12",
        ),
        (
            missing("median_ms"),
            "a point holds width_multiplier, .*minimum_ms, classes, architecture; expected .*, median_ms, classes, a",
        ),
        (damaged({"points": 3}), "damaged device profile"),
        (damaged({"points": ["x"]}), "damaged device profile"),
        (damaged(point={"median_ms": -1}), "damaged device profile: median_ms is -1; it must be a positive number"),
        (damaged(point={"median_ms": 10**400}), "median_ms is 10{39}; it must be a positive number below"),
        (damaged(point={"minimum_ms": float("nan")}), "minimum_ms is nan; it must be a positive number below"),
        (damaged(point={"resolution": 128.5}), "resolution is 128.5; it must be an integer"),
        ("[" * 100_000, "not a readable device profile"),
        (damaged(point={"median_ms": None}), "median_ms is None; it must be"),
        (damaged(point={"precision": "int4"}), "precision 'int4' is not one of"),
        (
            damaged(point={"colour": 1}),
            "a point holds .*, colour; expected width_multiplier, .*, classes, architecture$",
        ),
        (damaged({"points": []}), "damaged|without a single measurement"),
    ],
)
def test_a_damaged_profile_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(text)
    with pytest.raises(PlanningError, match=message):
        DeviceProfile.load(path)
    with pytest.raises(PlanningError, match="does not exist"):
        DeviceProfile.load(tmp_path / "none.json")


def test_measuring_gives_every_point_and_its_checks() -> None:
    profile = measure_profile(widths=(0.25, 0.5), resolutions=(32, 64), threads=(1,))
    settings = [(width, precision) for width in (0.25, 0.5) for precision in ("float32", "int8")]
    found = [(one.width_multiplier, one.resolution, one.precision, one.classes) for one in profile.points]
    assert sorted(found) == sorted(
        (width, side, precision, classes)
        for width, precision in settings
        for side, classes in ((32, 1000), (64, 1000), (32, 10))
    )
    assert len(profile.checks) == 2
    assert profile.latency_ms(0.5, 32, "int8", 1, 10) < profile.latency_ms(1 / 2, 64, "int8", 1)
    assert all(0 < point.minimum_ms <= point.median_ms for point in profile.points)
    assert profile.device


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"])
def test_synthetic_int8_models_of_every_family_run(name: str) -> None:
    network = CATALOG[name](width_multiplier=0.25, resolution=64, classes=10)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    assert np.isfinite(Session(synthetic_model(network, "int8")).run(pixels)).all()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_synthetic_model_runs_and_its_file_has_the_predicted_size(precision: str, tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=10)
    model = synthetic_model(network, precision)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    assert np.isfinite(Session(model).run(pixels)).all()
    save(model, tmp_path / "model.safetensors")
    predicted = predicted_file_bytes(model.network, precision)
    assert predicted == pytest.approx((tmp_path / "model.safetensors").stat().st_size, rel=0.03)


def test_the_released_networks_are_candidates() -> None:
    candidates = published_candidates(quadratic_profile(), precisions=("float32", "int8"), threads=1)
    assert len(candidates) == 32
    largest = next(
        one for one in candidates if (one.width_multiplier, one.resolution, one.precision) == (1, 224, "float32")
    )
    assert largest.macs == 568_740_352
    assert largest.accuracy == pytest.approx(0.709)
    assert choose(candidates, Budget(max_macs=42_000_000)).width_multiplier == 0.25


def test_a_profile_with_a_hole_says_what_it_lacks() -> None:
    points = tuple(
        Point(width, side, "int8", 1, 1.0, 1.0) for width in (0.5, 1.0) for side in (32, 64) if (width, side) != (1, 64)
    )
    profile = DeviceProfile("a machine", "none", points)
    assert profile.latency_ms(0.5, 48, "int8", 1) == pytest.approx(1.0)
    with pytest.raises(PlanningError, match=r"lacks α 1 at 64 px, int8: measure it again"):
        profile.latency_ms(0.75, 48, "int8", 1)


def test_a_text_is_one_precision() -> None:
    for precision in ("float32", "int8"):
        result = plan(precisions=precision, device=quadratic_profile())
        assert {one.precision for one in result.candidates} == {precision}
    profile = measure_profile(widths=(0.25,), resolutions=(32,), precisions="int8", classes=10, rounds=1)
    assert {point.precision for point in profile.points} == {"int8"}


@pytest.mark.parametrize("asked", ["int4", ("float32", "INT8"), [None], 8, ()])
def test_an_unknown_precision_is_refused_before_any_work(asked: Any, tmp_path: Path) -> None:
    for ask in (
        lambda: plan(precisions=asked, device=quadratic_profile()),
        lambda: plan(precisions=asked, supernet=tmp_path / "missing.safetensors"),
        lambda: search(tmp_path / "missing", tmp_path / "out", precisions=asked),
        lambda: measure_profile(precisions=asked),
        lambda: published_candidates(quadratic_profile(), precisions=asked, threads=1),
    ):
        with pytest.raises(PlanningError, match="float32, int8"):
            ask()
    assert not (tmp_path / "out").exists()


def test_nothing_takes_an_unknown_precision_for_int8() -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=128, classes=10)
    for ask in (
        lambda: quadratic_profile().latency_ms(0.5, 128, "int4", 1),
        lambda: predicted_file_bytes(network, "int4"),
        lambda: synthetic_model(network, "int4"),
    ):
        with pytest.raises(PlanningError, match="no precision is called 'int4'; known are float32, int8"):
            ask()
