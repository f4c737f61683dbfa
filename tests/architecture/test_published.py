"""Published figures: whole, and as printed."""

from __future__ import annotations

import csv

import pytest
from tests.conftest import shared

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.imagenet_results import LATER_RESULTS, RELEASED_MODELS, WEIGHTS
from mobilenets.architecture.published import MACS, PARAMETERS, PUBLISHED_TABLES, TOP1, PublishedTable
from mobilenets.errors import ArchitectureError

ROWS = {1: 22, 2: 4, 3: 4, 4: 2, 5: 2, 6: 4, 7: 4, 8: 3, 9: 3, 10: 5, 11: 5, 12: 7, 13: 9, 14: 5}


def test_all_fourteen_tables_are_there_with_all_their_rows() -> None:
    assert {number: len(table.rows) for number, table in PUBLISHED_TABLES.items()} == ROWS


@pytest.mark.parametrize("table", PUBLISHED_TABLES.values(), ids=lambda table: str(table.number))
def test_every_row_has_a_figure_for_every_column(table: PublishedTable) -> None:
    assert {len(row.figures) for row in table.rows} == {len(table.columns)}
    assert len({row.label for row in table.rows}) == len(table.rows)
    assert table.source == f"Howard et al. 2017, arXiv:1704.04861, Table {table.number}"


def test_the_same_network_has_the_same_figures_in_every_table() -> None:
    for number in (6, 7, 8):
        figures = [PUBLISHED_TABLES[number].figure("1.0 MobileNet-224", column) for column in (TOP1, MACS, PARAMETERS)]
        assert figures == [70.6, 569, 4.2]


def test_a_figure_that_is_not_printed_is_an_error() -> None:
    with pytest.raises(ArchitectureError, match="table 8 has no figure 'top1_percent' for 'ResNet'"):
        PUBLISHED_TABLES[8].figure("ResNet", TOP1)


def test_the_sixteen_released_networks_lose_little_to_eight_bits() -> None:
    assert len({(model.width_multiplier, model.resolution) for model in RELEASED_MODELS}) == 16
    assert all(0 < model.top1 - model.int8_top1 < 2.5 for model in RELEASED_MODELS)
    assert all(model.top5 > model.top1 and model.int8_top5 > model.int8_top1 for model in RELEASED_MODELS)


def test_published_weights_are_of_networks_of_the_catalog() -> None:
    for one in WEIGHTS:
        assert Specification.parse(one.network).network(classes=2).height >= 96
        assert 39 < one.top1 < (one.top5 or 100)
    assert len({(one.short_name, one.network) for one in WEIGHTS}) == len(WEIGHTS)


def test_accuracies_are_those_of_timms_results() -> None:
    figures = {(one.short_name, one.network.rpartition("-")[2]): (one.top1, one.top5) for one in WEIGHTS}
    known = 0
    with shared("timm-results.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = (f"timm:{row['model']}", row["img_size"])
            if key in figures:
                known += 1
                assert figures[key] == (float(row["top1"]), float(row["top5"]))
    assert known >= sum(name.startswith("timm:") for name, _ in figures)


def test_every_later_result_names_its_source() -> None:
    assert all(result.source and 0 < result.top1 < 100 for result in LATER_RESULTS)
