"""The paper's tables: every published figure is confirmed by the computed one, or a footnote says why it is not."""

from __future__ import annotations

import json

import pytest

from mobilenets.architecture.published import MACS, PARAMETERS, SSD_ON_MOBILENET, Figure
from mobilenets.errors import ArchitectureError
from mobilenets.formats.published import published_source
from mobilenets.reports.computed_figures import COMPUTED_MACS, COMPUTED_PARAMETERS
from mobilenets.reports.footnotes import FOOTNOTES
from mobilenets.reports.tables import TABLE_NAMES, Table, TableRow, table

UNIT = {MACS: 1e6, PARAMETERS: 1e6}


def confirmed(published: Figure, computed: Figure, column: str) -> bool:
    """Whether a computed figure, rounded as far as the published one is printed, is the published one."""
    if published is None or isinstance(published, str) or isinstance(computed, str):
        return published == computed
    assert computed is not None
    digits = len(str(published).partition(".")[2])
    return round(computed / UNIT.get(column, 1), digits) == published


def noted(row: TableRow, shown: Table, column: str) -> bool:
    return any(place in row.notes for place in (column, "")) or column in shown.column_notes


@pytest.mark.parametrize("number", range(1, 10))
def test_a_figure_is_confirmed_or_has_a_footnote(number: int) -> None:
    shown = table(str(number))
    compared = 0
    for row in shown.rows:
        for published, computed in shown.columns:
            if published and computed:
                compared += 1
                agrees = confirmed(row.published[published], row.computed.get(computed), published)
                assert agrees or noted(row, shown, published), (row.label, published)
    assert compared >= 2 * len(shown.rows)


@pytest.mark.parametrize("name", ["v2", "v3", "v4"])
def test_a_figure_of_a_successor_is_confirmed_or_has_a_footnote(name: str) -> None:
    shown = table(name)
    for row in shown.rows:
        for published, computed in shown.columns:
            if published and computed:
                agrees = confirmed(row.published[published], row.computed.get(computed), published)
                assert agrees or noted(row, shown, published), (row.label, published)


@pytest.mark.parametrize(("name", "labels"), [("13", {SSD_ON_MOBILENET}), ("ssdlite", None)])
def test_what_is_computed_of_a_detector_is_what_is_printed(name: str, labels: set[str] | None) -> None:
    shown = table(name)
    compared = set()
    for row in shown.rows:
        for published, computed in shown.columns:
            if published and computed and row.computed:
                compared.add(row.label)
                printed, counted = row.published[published], row.computed[computed]
                assert isinstance(counted, float)
                assert round(counted, 1) == printed, (row.label, published)
    assert compared == (labels or {row.label for row in shown.rows})


def test_successors_are_shown_with_what_they_cost() -> None:
    rows = {row.label: row for name in ("v2", "v3", "v4") for row in table(name).rows}
    assert len(rows) == 22 + 6 + 3
    large = rows["large 0.75-224"]
    assert (large.published["top1_percent"], large.computed) == (73.3, {"macs": 154_560_624, "parameters": 3_993_528})


def test_weights_are_listed_by_the_names_that_import_takes() -> None:
    rows = table("weights").rows
    assert [row.label for row in rows if row.label == published_source(row.label)] == []
    best = next(row for row in rows if row.label == "timm:mobilenetv4_conv_small.e2400_r224_in1k")
    assert best.published == {"resolution": 224, "top1_percent": 73.8}
    assert best.computed == {"macs_computed_millions": 186}


def unconfirmed() -> list[tuple[int, str, str]]:
    return [
        (number, row.label, published)
        for number in range(1, 10)
        for shown in [table(str(number))]
        for row in shown.rows
        for published, computed in shown.columns
        if published and computed and not confirmed(row.published[published], row.computed.get(computed), published)
    ]


def test_these_figures_and_no_others_are_not_confirmed() -> None:
    assert unconfirmed() == [
        (1, "dw 13", "stride"),
        (2, "convolution 3×3", "macs_percent"),
        (4, "Conv MobileNet", "macs_millions"),
        (7, "1.0 MobileNet-160", "macs_millions"),
        (8, "GoogLeNet", "macs_millions"),
        (8, "GoogLeNet", "parameters_millions"),
        (8, "VGG16", "macs_millions"),
        (9, "0.5 MobileNet-160", "macs_millions"),
        (9, "0.5 MobileNet-160", "parameters_millions"),
        (9, "SqueezeNet", "macs_millions"),
        (9, "AlexNet", "macs_millions"),
        (9, "AlexNet", "parameters_millions"),
    ]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_every_footnote_is_pointed_at(name: str) -> None:
    shown = table(name)
    places = [shown.column_notes, *(row.notes for row in shown.rows)]
    pointed = {number for place in places for numbers in place.values() for number in numbers}
    assert pointed == set(range(1, len(shown.notes) + 1))
    for place in places:
        assert set(place) <= {"", *(column.published for column in shown.columns)}


def test_footnotes_are_about_rows_that_exist() -> None:
    for number, footnotes in FOOTNOTES.items():
        labels = {row.label for row in table(str(number)).rows}
        assert {footnote.label for footnote in footnotes} <= labels | {None}


def computed_of(name: str, key: str) -> dict[str, Figure]:
    return {row.label: row.computed.get(key) for row in table(name).rows}


def test_table_1_adds_up_to_the_whole_network() -> None:
    macs = computed_of("1", COMPUTED_MACS).values()
    assert sum(float(value or 0) for value in macs) == 568_740_352


def test_table_2_is_computed() -> None:
    assert computed_of("2", "macs_percent") == {
        "convolution 1×1": 94.8574,
        "depthwise 3×3": 3.0569,
        "convolution 3×3": 1.9056,
        "linear": 0.1800,
    }
    assert computed_of("2", "parameters_percent") == {
        "convolution 1×1": 74.5906,
        "depthwise 3×3": 1.0606,
        "convolution 3×3": 0.0205,
        "linear": 24.3283,
    }


def test_table_3_is_computed() -> None:
    assert computed_of("3", COMPUTED_MACS) == {
        "convolution": 462_422_016,
        "depthwise separable": 52_283_392,
        "α = 0.75": 29_578_752,
        "ρ = 0.714": 15_091_200,
    }


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("4", [4_867_293_184, 568_740_352], [29_294_088, 4_231_976]),
        ("5", [325_400_448, 307_323_392], [2_585_560, 2_887_976]),
        ("6", [568_740_352, 325_400_448, 149_497_088, 41_030_272], [4_231_976, 2_585_560, 1_331_592, 470_072]),
        ("7", [568_740_352, 418_121_728, 290_675_200, 186_400_768], [4_231_976] * 4),
        ("8", [568_740_352, 1_582_671_872, 15_470_264_320], [4_231_976, 6_998_552, 138_357_544]),
        ("9", [76_524_800, 832_667_936, 724_406_816], [1_331_592, 1_248_424, 60_965_224]),
    ],
)
def test_tables_4_to_9_are_computed(name: str, macs: list[int], parameters: list[int]) -> None:
    assert list(computed_of(name, COMPUTED_MACS).values()) == macs
    assert list(computed_of(name, COMPUTED_PARAMETERS).values()) == parameters


@pytest.mark.parametrize("name", ["10", "11", "12", "14", "later"])
def test_measurements_on_data_that_is_not_here_are_given_as_published(name: str) -> None:
    assert all(not row.computed for row in table(name).rows)


def test_numbers_that_the_footnotes_state() -> None:
    from mobilenets.architecture.catalog import Specification
    from mobilenets.architecture.cost import cost

    def millions(specification: str) -> float:
        return cost(Specification.parse(specification).network()).macs / 1e6

    assert round(millions("mobilenet_v1@0.25-224")) == 41
    assert round(millions("mobilenet_v1@0.25-128")) == 14
    assert round(millions("mobilenet_v1@0.75-160")) == 166
    assert round(millions("mobilenet_v1@0.75-128")) == 107
    assert round(millions("squeezenet")) == 833
    vgg16 = cost(Specification.parse("vgg16").network()).by_kind()
    assert round(vgg16["linear"].macs / 1e6) == 124


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_a_table_is_json(name: str) -> None:
    encoded = table(name).encode()
    assert json.loads(json.dumps(encoded, allow_nan=False)) == encoded
    assert encoded["table"] == name


@pytest.mark.parametrize("name", ["0", "15", "", "-1", "one", "²", "Released"])
def test_a_table_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(ArchitectureError, match=r"there is no table .*; known are 1, 2"):
        table(name)
