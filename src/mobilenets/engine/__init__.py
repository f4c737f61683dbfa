"""The runtime: from pixels, pictures and labelled folders to logits, labels and accuracy."""

from mobilenets.errors import EngineError

try:
    from mobilenets.engine import _native as _native
except ImportError as error:  # whichever module of the engine is asked for first, this is what there is to say
    raise EngineError(
        "the engine's native half is missing or was built for another Python; "
        "install the package with pip, or run `make native` in a source tree"
    ) from error
