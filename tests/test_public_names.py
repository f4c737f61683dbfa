"""The public interface: a name that comes or goes is a decision, so it is written down here too."""

from __future__ import annotations

import ast

import pytest
from tests.conftest import ROOT

import mobilenets

PUBLIC_NAMES = {
    "Budget",
    "CATALOG",
    "Classification",
    "Classifier",
    "MobileNetsError",
    "Model",
    "Network",
    "Preprocessing",
    "Session",
    "Settings",
    "benchmark",
    "cost",
    "evaluate",
    "export",
    "extract_subnet",
    "fit",
    "calibrate",
    "import_model",
    "load",
    "load_collection",
    "load_dataset",
    "mobilenet_v1",
    "plan",
    "quantize",
    "report",
    "save",
    "search",
}


def test_these_names_and_no_others_are_public() -> None:
    assert set(mobilenets.__all__) == PUBLIC_NAMES
    assert set(dir(mobilenets)) == PUBLIC_NAMES | {"__version__"}
    assert list(mobilenets.__all__) == sorted(mobilenets.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(mobilenets, name)
    assert isinstance(value, dict) or value.__doc__


def test_a_function_named_like_its_package_is_callable_whatever_is_imported() -> None:
    import mobilenets.search.budget

    with pytest.raises(TypeError, match="search"):
        mobilenets.search()  # type: ignore[call-arg]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mobilenets' has no attribute 'MobileNet'"):
        mobilenets.MobileNet  # noqa: B018


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse((ROOT / "src" / "mobilenets" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: str(statement.module).removeprefix("mobilenets.")
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == mobilenets._HOMES


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES - {"MobileNetsError"}))
def test_every_public_name_is_in_the_api_reference(name: str) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"::: mobilenets.{mobilenets._HOMES[name]}.{name}\n" in page
