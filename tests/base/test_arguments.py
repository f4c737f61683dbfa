"""What callers pass: what is taken, and what messages say of the rest."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import pytest

from mobilenets.base.arguments import check_integer, is_number, word_of


class Color(StrEnum):
    RED = "red"
    DARK_BLUE = "dark blue"


def test_a_word_is_taken_as_itself_and_as_its_text() -> None:
    assert word_of(Color, Color.RED, "color", ValueError) is Color.RED
    assert word_of(Color, "dark blue", "color", ValueError) is Color.DARK_BLUE


@pytest.mark.parametrize("given", ["green", "RED", None, 1, ["red"]])
def test_an_unknown_word_is_refused_with_the_known_ones(given: Any) -> None:
    with pytest.raises(KeyError, match=r"no color is called .*; known are red, dark blue"):
        word_of(Color, given, "color", KeyError)


def test_integers_of_any_kind_are_taken() -> None:
    for given in (1, np.int64(1), np.uint8(3)):
        check_integer("count", given, ValueError, least=1, most=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "count must be from 1 to 3, not 0"),
        (4, "count must be from 1 to 3, not 4"),
        (1.5, "count must be an integer, not 1.5"),
        ("2", "count must be an integer, not '2'"),
        (True, "count must be an integer, not True"),
        (None, "count must be an integer, not None"),
        (float("nan"), "count must be an integer, not nan"),
    ],
)
def test_other_things_are_no_count(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_integer("count", given, ValueError, least=1, most=3)


def test_numbers() -> None:
    assert all(is_number(given) for given in (1, 1.5, np.float32(1), np.int8(1), float("inf")))
    assert not any(is_number(given) for given in (True, "1", None, [1], 1j))
