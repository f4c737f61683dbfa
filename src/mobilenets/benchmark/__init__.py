"""Runtimes and networks measured side by side. The package can be called: see ``benchmark.benchmark``."""

from mobilenets.base.callable_package import make_callable

make_callable(__name__, "benchmark:benchmark")
