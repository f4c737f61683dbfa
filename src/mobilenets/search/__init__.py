"""From images and a budget to the best network that meets it. The package can be called: see ``search.search``."""

from mobilenets.base.callable_package import make_callable

make_callable(__name__, "search:search")
