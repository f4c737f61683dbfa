"""The public interface: a name that comes or goes is a decision, so it is written down here too."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import ROOT

import mobilenets

PUBLIC_NAMES = {
    "Budget",
    "CATALOG",
    "Callback",
    "MultiLabel",
    "Predictor",
    "torch_dataset",
    "Classification",
    "Classifier",
    "Detection",
    "Detector",
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
    "array_dataset",
    "feature_model",
    "from_torch",
    "pretrained",
    "to_torch",
    "features",
    "fit",
    "calibrate",
    "import_model",
    "load",
    "load_collection",
    "load_dataset",
    "mobilenet_v1",
    "plan",
    "predict_to_file",
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


def public(name: str) -> Any:
    """The value itself, where a package of the same name stands before it."""
    return getattr(importlib.import_module(f"mobilenets.{mobilenets._HOMES[name]}"), name)


def documented(name: str) -> str:
    """Docstring of a public name; a value that cannot have one is described by its module."""
    value = public(name)
    home = importlib.import_module(f"mobilenets.{mobilenets._HOMES[name]}")
    return inspect.getdoc(home if isinstance(value, dict) else value) or ""


@pytest.mark.parametrize("name", mobilenets.__all__)
def test_every_public_name_has_an_example_that_the_tests_run(name: str) -> None:
    """Found as pytest finds the examples of a module, and not in a docstring that is inherited."""
    home = importlib.import_module(f"mobilenets.{mobilenets._HOMES[name]}")
    run = {found.docstring for found in doctest.DocTestFinder(exclude_empty=True).find(home)}
    assert documented(name) in {inspect.cleandoc(docstring) for docstring in run if docstring}
    assert any(name in line for line in documented(name).splitlines() if line.startswith((">>> ", "... ")))


def callables(name: str) -> Iterator[tuple[str, Any]]:
    """A public function; of a class itself and its public methods."""
    value = public(name)
    if not callable(value) or value is mobilenets.MobileNetsError:
        return
    yield name, value
    if inspect.isclass(value):
        for method, function in inspect.getmembers(value, inspect.isfunction):
            if not method.startswith("_"):
                yield f"{name}.{method}", function


CALLABLES = dict(one for name in mobilenets.__all__ for one in callables(name))


def arguments(function: Any) -> list[str]:
    fields = getattr(function, "__dataclass_fields__", None)
    return [one for one in fields or inspect.signature(function).parameters if one != "self"]


@pytest.mark.parametrize("name", CALLABLES)
def test_every_argument_is_documented(name: str) -> None:
    text = inspect.getdoc(CALLABLES[name]) or ""
    described = re.findall(r"^    (\w+): ", text, re.MULTILINE)
    assert [one for one in arguments(CALLABLES[name]) if one not in described] == []


@pytest.mark.parametrize("name", [name for name, value in CALLABLES.items() if inspect.isfunction(value)])
def test_every_result_is_documented(name: str) -> None:
    function = CALLABLES[name]
    text = inspect.getdoc(function) or ""
    assert "Returns:\n" in text or inspect.signature(function).return_annotation == "None" or "." in name


@pytest.mark.parametrize("name", [name for name in CALLABLES if "." not in name])
def test_every_error_is_documented(name: str) -> None:
    """Whatever is of a wrong type is refused (tests/test_public_arguments.py), so everything raises something."""
    assert "Raises:\n" in (inspect.getdoc(CALLABLES[name]) or "")


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
