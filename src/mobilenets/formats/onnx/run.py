"""A written ONNX file, run by ONNX Runtime with int8 networks computed exactly on every processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.engine.session import instruction_sets
from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]

RUNTIMES_EXTRA = "benchmark"
"""The extra of this package that installs the runtimes."""

EXACT_INTEGERS = ("session.x64quantprecision", "1")
"""The session configuration entry that makes int8 networks exact on x86 processors with AVX2 but without VNNI.

ONNX Runtime multiplies unsigned activations by signed weights there with ``vpmaddubsw``, which adds two products in 16
bits and saturates: two weights of 127 with activations of 255 are 64,770, and 32,767 is what comes out. With the entry
it shifts the weights to unsigned bytes and takes kernels that widen first. On processors with VNNI its kernels are
exact without the entry, and the entry makes it leave them: 1.6 to 3.5 times slower, with the same bits.
Source: onnxruntime_session_options_config_keys.h, ``kOrtSessionOptionsAvx2PrecisionMode``.
"""


def saturates(instruction_sets: Mapping[str, bool]) -> bool:
    """Whether ONNX Runtime's default int8 kernels saturate on a processor: one with AVX2 or AVX-512 but without VNNI.

    Args:
        instruction_sets: What :func:`mobilenets.engine.session.instruction_sets` gives.
    """
    has = {name for name, present in instruction_sets.items() if present}
    return bool(has & {"avx2", "avx512"}) and not has & {"avxvnni", "avx512vnni"}


def session_options(*, exact: bool = True) -> Any:
    """New ``onnxruntime.SessionOptions``, with exact integers or at the runtime's defaults.

    Args:
        exact: Set :data:`EXACT_INTEGERS` where the default kernels saturate.

    Raises:
        MissingDependencyError: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError("onnxruntime", RUNTIMES_EXTRA, alone=True) from None
    options = onnxruntime.SessionOptions()
    if exact and saturates(instruction_sets()):
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


def run_onnx(model: Model, path: Path, pixels: Pixels, *, exact: bool = True) -> dict[str, Array]:
    """By ONNX Runtime, once onnx's checker has accepted the file.

    Args:
        model: What the file was made from.
        path: The file.
        pixels: See above.
        exact: Whether int8 networks are computed exactly on every processor, or as by default: see
            :data:`EXACT_INTEGERS`.

    Raises:
        FormatError: If the checker or the runtime refuses the file.
        MissingDependencyError: If onnx or onnxruntime is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("onnx", RUNTIMES_EXTRA, alone=True) from None
    options = session_options(exact=exact)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise FormatError(f"onnx's checker refuses {path.name}: {error}") from None
    running = session(str(path), options=options)
    (source,) = running.get_inputs()
    values: Array = pixels
    if source.type == "tensor(float)":
        values = np.ascontiguousarray(model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2))
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, running.run(None, {source.name: values}), strict=True))


def run_onnx_at_defaults(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By ONNX Runtime as most programs call it; raises as :func:`run_onnx` does."""
    return run_onnx(model, path, pixels, exact=False)
