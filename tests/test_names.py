"""One name, one meaning: no two public classes or functions of the package share a name."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.conftest import ROOT

SOURCE = ROOT / "src" / "mobilenets"
ENTRY_POINT = "command"
"""What ``cli/main.py`` calls in the file of each command."""


def test_every_public_class_and_function_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for name in public_names(ast.parse(path.read_text(encoding="utf-8"))):
            homes[name].append(path.relative_to(SOURCE).as_posix())
    entry_points = homes.pop(ENTRY_POINT)
    assert all(home.startswith("cli/") for home in entry_points)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def public_names(tree: ast.Module) -> set[str]:
    """Names of the classes and functions at the top of a module, those for its own use left out."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}
