"""Who may import whom, and that nothing but training needs more than the base dependencies."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from tests.conftest import ROOT

SOURCE = ROOT / "src" / "mobilenets"

LEVELS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("base", "native"),
    ("architecture",),
    ("tasks",),
    ("model",),
    ("data",),
    ("engine",),
    ("formats", "compression"),
    ("training",),
    ("search",),
    ("benchmark", "reports"),
    ("serving",),
    ("cli",),
    ("__main__",),
)
"""A part imports itself and parts of earlier rows."""

DEBTS: dict[str, set[str]] = {}
"""What modules still import and should not; the list only ever gets shorter."""

OPTIONAL_PACKAGES = (
    "torch",
    "sklearn",
    "onnx",
    "h5py",
    "flatbuffers",
    "tflite",
    "huggingface_hub",
    "onnxruntime",
    "ai_edge_litert",
    "starlette",
    "uvicorn",
    "httptools",
    "python_multipart",
    "prometheus_client",
    "pyarrow",
    "fsspec",
    "datasets",
    "ray",
)
"""None of these is a base dependency; each belongs to an extra."""

MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((SOURCE / module).read_text(encoding="utf-8"))


def imported(module: str) -> Iterator[str]:
    """Full names of everything that a module imports, inside its functions too."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield str(node.module)


def imported_first(module: str) -> Iterator[str]:
    """Full names of what a module imports as it is imported, outside of functions and of TYPE_CHECKING."""
    open_nodes: list[ast.stmt] = list(tree_of(module).body)
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If):
            checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            open_nodes += node.orelse if checking else [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            open_nodes += [*node.body, *node.orelse, *(each for handler in node.handlers for each in handler.body)]


def test_no_modules_import_each_other() -> None:
    full = {"mobilenets." + module.removesuffix(".py").replace("/", "."): module for module in MODULES}
    graph = {module: {full[name] for name in imported_first(module) if name in full} for module in MODULES}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the modules


def part_of(module: str) -> str:
    """``architecture/layers.py`` → ``architecture``; ``errors.py`` → ``errors``."""
    return module.split("/")[0].removesuffix(".py")


def level_of(part: str) -> int:
    return next(level for level, parts in enumerate(LEVELS) if part in parts)


def test_every_part_of_the_house_has_its_place() -> None:
    parts = {part_of(module) for module in MODULES} - {"__init__"}
    assert parts <= {part for level in LEVELS for part in level}


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__init__.py"])
def test_a_module_imports_only_what_stands_below_it(module: str) -> None:
    part = part_of(module)
    for name in imported(module):
        if not name.startswith("mobilenets."):
            continue
        other = name.split(".")[1]
        allowed = other == part or level_of(other) < level_of(part) or other in DEBTS.get(module, ())
        assert allowed, f"{module} imports {name}, which does not stand below {part}"


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("training/")])
def test_only_training_imports_torch(module: str) -> None:
    assert "torch" not in {name.split(".")[0] for name in imported(module)} - DEBTS.get(module, set())


def test_debts_are_owed() -> None:
    for module, parts in DEBTS.items():
        used = {
            name.split(".")[1] if name.startswith("mobilenets.") else name.split(".")[0] for name in imported(module)
        }
        assert parts <= used, f"{module} no longer imports {parts - used}: take it off the list"


@pytest.mark.parametrize(
    "module", [module for module in MODULES if part_of(module) in ("errors", "base", "architecture")]
)
def test_architecture_needs_nothing_but_the_standard_library(module: str) -> None:
    roots = {name.split(".")[0] for name in imported(module)}
    assert roots - {"mobilenets"} <= sys.stdlib_module_names


IMPORT_ALL = """
import importlib, sys

for package in {packages!r}:
    sys.modules[package] = None  # from here on, importing it fails
for module in {modules!r}:
    importlib.import_module(module)
"""


@cache
def trains(module: str) -> bool:
    """Whether a module is, or imports when it is imported, one of ``training/``."""
    if module.startswith("training/"):
        return True
    names = [str(node.module) for node in tree_of(module).body if isinstance(node, ast.ImportFrom)]
    paths = [
        name.removeprefix("mobilenets.").replace(".", "/") + ".py" for name in names if name.startswith("mobilenets.")
    ]
    return any(trains(path) for path in paths if path in MODULES)


def test_everything_but_training_is_imported_where_no_optional_package_is_installed() -> None:
    modules = [
        "mobilenets." + module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for module in MODULES
        if not trains(module) and module != "__init__.py" and not serves(module)
    ]
    run_python(IMPORT_ALL.format(packages=OPTIONAL_PACKAGES, modules=["mobilenets", *modules]))


def serves(module: str) -> bool:
    """Whether a module is one of ``serving/``, which needs the packages of its extra and no others."""
    return module.startswith("serving/")


def test_serving_needs_its_extra_and_nothing_else() -> None:
    pytest.importorskip("uvicorn")
    modules = ["mobilenets." + module.removesuffix(".py").replace("/", ".") for module in MODULES if serves(module)]
    extra = ("starlette", "uvicorn", "httptools", "python_multipart", "prometheus_client")
    packages = tuple(package for package in OPTIONAL_PACKAGES if package not in extra)
    run_python(IMPORT_ALL.format(packages=packages, modules=[one.removesuffix(".__init__") for one in modules]))


def test_importing_the_package_brings_in_neither_the_command_line_nor_training() -> None:
    heavy = ("torch", "sklearn", "click", "rich", "onnx", "h5py")
    run_python(
        f"import sys, mobilenets; assert not set({heavy!r}) & set(sys.modules), set({heavy!r}) & set(sys.modules)"
    )


def run_python(program: str) -> None:
    """Run a program in a fresh interpreter; what it says on failure is shown."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(ROOT) / "src"), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
