"""``mobilenets tables`` as a person and as a program reads it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from mobilenets.cli.main import main
from mobilenets.cli.tables import command
from mobilenets.reports.tables import TABLE_NAMES


def tables(*arguments: str, columns: int = 80) -> Result:
    return CliRunner().invoke(command, list(arguments), env={"COLUMNS": str(columns)}, catch_exceptions=False)


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_every_table_fits_eighty_columns(name: str) -> None:
    output = tables(name).output
    assert max(len(line.rstrip()) for line in output.splitlines()) <= 80
    assert "…" not in output


def test_published_and_computed_stand_side_by_side() -> None:
    lines = tables("9").output.splitlines()
    row = next(line for line in lines if line.startswith("SqueezeNet"))
    assert row.split() == ["SqueezeNet", "57.5", "1700³", "832,667,936", "1.25", "1,248,424"]
    assert any(line.startswith("³ Counts a multiplication and an addition as two") for line in lines)


def test_a_computed_shape_is_printed_where_it_differs() -> None:
    lines = [line.split() for line in tables("1").output.splitlines()]
    assert ["dw", "12", "s2", "=", "3×3×512", "=", "14×14×512", "=", "225,792"] in lines
    assert ["dw", "13", "s2¹", "s1", "3×3×1024", "=", "7×7×1024", "=", "451,584"] in lines


def test_figures_keep_the_precision_they_were_printed_with() -> None:
    assert "country, 750 km       35.4    64.0         60.3" in tables("11").output
    assert tables("10").output.splitlines()[4].split() == ["Inception", "V3", "84", "5000", "23.2"]


def test_without_a_number_all_are_printed() -> None:
    output = tables().output
    assert all(f"Table {number}." in output for number in range(1, 15))
    assert "sixteen released networks" in output
    assert "Later ImageNet results" in output


def test_json_holds_exact_counts() -> None:
    (table,) = json.loads(tables("8", "--json").output)
    vgg16 = next(row for row in table["rows"] if row["label"] == "VGG16")
    assert vgg16["published"] == {"top1_percent": 71.5, "macs_millions": 15300, "parameters_millions": 138}
    assert vgg16["computed"] == {"macs": 15_470_264_320, "parameters": 138_357_544}


def test_a_table_that_is_not_there_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["tables", "99"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is no table '99'; known are 1, 2")
