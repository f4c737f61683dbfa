"""The public interface: a name that comes or goes is a decision, so it is written down here too."""

from __future__ import annotations

import pytest

import mobilenets

PUBLIC_NAMES = {
    "CATALOG",
    "Classification",
    "Classifier",
    "MobileNetsError",
    "Model",
    "Network",
    "Preprocessing",
    "Session",
    "Settings",
    "cost",
    "evaluate",
    "fit",
    "import_model",
    "load",
    "load_collection",
    "load_dataset",
    "mobilenet_v1",
    "save",
}


def test_these_names_and_no_others_are_public() -> None:
    assert set(mobilenets.__all__) == PUBLIC_NAMES
    assert set(dir(mobilenets)) == PUBLIC_NAMES | {"__version__"}
    assert list(mobilenets.__all__) == sorted(mobilenets.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(mobilenets, name)
    assert isinstance(value, dict) or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mobilenets' has no attribute 'MobileNet'"):
        mobilenets.MobileNet  # noqa: B018
