"""``mobilenets profile``: a table that fits a terminal, and what is refused before a minute of measuring."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import RunCommand

from mobilenets.cli import profile
from mobilenets.engine.steadiness import Steadiness
from mobilenets.search.measuring import PROFILED_RESOLUTIONS
from mobilenets.search.profile import EIGHTHS, DeviceProfile, Point


def measured(others: float) -> DeviceProfile:
    """Of a machine of which other processes used so many of its two processors."""
    points = tuple(
        Point(width, side, precision, 1, 1e-4 * width * side**2, 1.1e-4 * width * side**2)
        for precision in ("float32", "int8")
        for width in EIGHTHS
        for side in PROFILED_RESOLUTIONS
    )
    steadiness = Steadiness(900, 300 if others > 1 else 0, 0, others, 2, 1)
    return DeviceProfile("a machine", "none", points, steadiness=steadiness)


@pytest.mark.parametrize(("others", "warned"), [(0.1, False), (1.9, True)])
def test_the_table_fits_a_terminal_and_says_when_the_machine_was_busy(
    others: float, warned: bool, mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(profile, "measure_profile", lambda **_: measured(others))
    outcome = mobilenets("profile", "-o", tmp_path / "device.json")
    assert outcome.code == 0
    rows = [line for line in outcome.out.splitlines() if line.startswith("α ")]
    assert len(rows) == 2 * len(EIGHTHS)
    assert max(map(len, rows)) <= 80
    assert ("used 1.9 of 2 processors): 300 of 900 runs were" in " ".join(outcome.out.split())) is warned
    assert DeviceProfile.load(tmp_path / "device.json") == measured(others)


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(
    mobilenets: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(profile, "measure_profile", lambda **_: pytest.fail("this must be refused before"))
    for path, message in ((tmp_path / "nowhere" / "device.json", "there is no folder"), (tmp_path, "is a directory")):
        outcome = mobilenets("profile", "-o", path)
        assert outcome.code == 2
        assert message in " ".join(outcome.err.split())
    outcome = mobilenets("plan", "--plot", tmp_path / "plan.xyz")
    assert outcome.code == 2
    assert "must end in .svg" in " ".join(outcome.err.split())
