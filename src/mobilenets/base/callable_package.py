"""Packages that are also the function that they are named after.

``mobilenets.search`` is a public function, and the package of its modules: importing any of them puts the package
where the function stood. So the package itself can be called.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def make_callable(package: str, function: str) -> None:
    """Make a package callable; the function is imported when the package is first called.

    Args:
        package: Full name of the package, as its ``__name__`` says.
        function: The function as ``module:name``, the module relative to the package.
    """
    module_name, _, name = function.partition(":")

    class CallablePackage(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return getattr(importlib.import_module(f"{package}.{module_name}"), name)(*arguments, **options)

    sys.modules[package].__class__ = CallablePackage
