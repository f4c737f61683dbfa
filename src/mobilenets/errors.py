"""Every exception that this package raises on purpose.

::

    MobileNetsError
    ├── ArchitectureError       a Network that cannot exist: a bad size, an unknown name, shapes that do not meet
    ├── ModelError              parameters, labels or numbers that do not belong to the Network
    │   └── ModelFileError      a Model file that is damaged, hostile or of another version
    ├── DataError               images, folders or labels that cannot be used
    │   └── ImageSizeError      an image that has more pixels than are decoded
    ├── TrainingError           a training run that cannot start, go on or be resumed
    ├── CompressionError        a Model that cannot be folded, calibrated or quantised
    │   └── GateError           a compressed Model that lost more than it may
    ├── FormatError             a foreign file that cannot be read or written
    ├── EngineError             a Model or input that the runtime cannot take
    │   └── InputTypeError      an image of a type that is not taken; a DataError and a TypeError too
    ├── ServingError            a server that cannot start: no name for a model, a port that is taken
    ├── PlanningError           a budget or device profile that makes no sense, or that nothing meets
    └── MissingDependencyError  an optional package that the request needs is not installed

An AssumptionWarning is no error: it says, once, what was assumed of images whose files do not say it.

A message says what was wrong, what was expected and what came. The command line prints it as it is, so it
must read well without a traceback.
"""

from __future__ import annotations

from functools import partial
from typing import Any


class MobileNetsError(Exception):
    """Base of every error raised on purpose by this package.

    >>> import mobilenets
    >>> try:
    ...     mobilenets.load("kat.safetensors")
    ... except MobileNetsError as error:
    ...     print(error)
    kat.safetensors does not exist
    """


class ArchitectureError(MobileNetsError):
    """A Network that cannot exist: a bad size, an unknown name, shapes that do not meet."""


class ModelError(MobileNetsError):
    """Parameters, labels or numbers that do not belong to the Network."""


class ModelFileError(ModelError):
    """A Model file that is damaged, hostile or of another version."""


class DataError(MobileNetsError):
    """Images, folders or labels that cannot be used."""


class ImageSizeError(DataError):
    """An image that has more pixels than are decoded."""


class TrainingError(MobileNetsError):
    """A training run that cannot start, go on or be resumed."""


class CompressionError(MobileNetsError):
    """A Model that cannot be folded, calibrated or quantised."""


class GateError(CompressionError):
    """A compressed Model that lost more than it may."""


class FormatError(MobileNetsError):
    """A foreign file that cannot be read or written."""


class EngineError(MobileNetsError):
    """A Model or input that the runtime cannot take."""


class InputTypeError(EngineError, DataError, TypeError):
    """An image, or pixels, of a type that is not taken."""


class ServingError(MobileNetsError):
    """A server that cannot start."""


class PlanningError(MobileNetsError):
    """A budget or device profile that makes no sense, or that nothing meets."""


CPU_BUILDS = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""Option of pip that brings PyTorch for processors: the ordinary one for Linux comes with gigabytes of CUDA."""


class MissingDependencyError(MobileNetsError):
    """An optional package that the request needs is not installed.

    Args:
        package: Name of the missing package.
        extra: The extra of this package that installs it, such as ``train``.
        alone: Whether the package is all that is missing, so that the extra need not be installed for it.

    >>> print(MissingDependencyError("onnx", "formats"))
    onnx is not installed; install it with: pip install 'mobilenets[formats]'
    >>> print(MissingDependencyError("scikit-learn", "train", alone=True))
    scikit-learn is not installed; install it with: pip install scikit-learn
    """

    def __init__(self, package: str, extra: str, *, alone: bool = False) -> None:
        command = f"pip install {package}" if alone else f"pip install 'mobilenets[{extra}]'"
        if extra in ("train", "benchmark") and not alone:
            command = f"{command} {CPU_BUILDS} (without that option PyTorch comes with CUDA, several GB)"
        super().__init__(f"{package} is not installed; install it with: {command}")
        self.package = package
        self.extra = extra
        self.alone = alone

    def __reduce__(self) -> tuple[Any, ...]:  # so that one that a worker raises reaches whoever waits for it
        return partial(MissingDependencyError, alone=self.alone), (self.package, self.extra)


class AssumptionWarning(UserWarning):
    """Something of an image that its file does not say, and what was assumed of it."""
