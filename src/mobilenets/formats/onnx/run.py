"""ONNX Runtime set to compute int8 networks exactly, whatever the processor."""

from __future__ import annotations

from typing import Any

from mobilenets.errors import MissingDependencyError

RUNTIMES_EXTRA = "benchmark"
"""The extra of this package that installs the runtimes."""

EXACT_INTEGERS = ("session.x64quantprecision", "1")
"""The entry of a session's configuration that makes int8 networks exact on x86 processors with AVX2 but without VNNI.

ONNX Runtime multiplies unsigned activations by signed weights there with ``vpmaddubsw``, which adds two products in 16
bits and saturates: two weights of 127 with activations of 255 are 64,770, and 32,767 is what comes out. With the entry
it shifts the weights to unsigned bytes and takes kernels that widen first. Elsewhere it changes nothing.
Source: onnxruntime_session_options_config_keys.h, ``kOrtSessionOptionsAvx2PrecisionMode``.
"""


def session_options(*, exact: bool = True) -> Any:
    """New ``onnxruntime.SessionOptions``, with exact integers or at the runtime's defaults.

    Raises:
        MissingDependencyError: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError("onnxruntime", RUNTIMES_EXTRA) from None
    options = onnxruntime.SessionOptions()
    if exact:
        options.add_session_config_entry(*EXACT_INTEGERS)
    return options


def session(source: bytes | str, *, options: Any = None) -> Any:
    """An ``onnxruntime.InferenceSession`` on the processor.

    Args:
        source: The file's bytes, or its path.
        options: By default :func:`session_options`.

    Raises:
        MissingDependencyError: If onnxruntime is not installed.
    """
    if options is None:
        options = session_options()
    import onnxruntime

    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
