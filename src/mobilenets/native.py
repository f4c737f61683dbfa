"""The compiled half of the package, or what to do where it is missing."""

from mobilenets.errors import EngineError

try:
    from mobilenets import _native
except ImportError as error:
    raise EngineError(
        "the engine's native half is missing or was built for another Python; "
        "install the package with pip, or run `make native` in a source tree"
    ) from error

__all__ = ["_native"]
