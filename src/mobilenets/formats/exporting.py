"""Writing a Model in any format, and running what was written before it takes its place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats import verification
from mobilenets.formats.c.write import Footprint, to_c
from mobilenets.formats.coreml import to_coreml
from mobilenets.formats.litert.write import to_litert
from mobilenets.formats.onnx.run import EXACT_INTEGERS
from mobilenets.formats.onnx.write import to_onnx
from mobilenets.formats.openvino import to_openvino
from mobilenets.formats.synthetic import synthetic_images
from mobilenets.formats.verification import Agreement
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Outputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Options:
    """What a format may be asked for. What one does not know is refused.

    Attributes:
        half: Store the weights of a float32 Model as float16: LiteRT, OpenVINO, Core ML.
        normalized_input: Read normalised floats instead of pixels: ONNX, float32.
        name: Beginning of the public names: C.
        example: Write an example program beside the file: C.
    """

    half: bool = False
    normalized_input: bool = False
    name: str = "model"
    example: bool = False


@dataclass(frozen=True)
class Target:
    """A format.

    Attributes:
        title: Its name for people.
        suffix: What its files end in.
        folds: Whether batch norms must be folded before.
        options: Names of the options that it knows.
        write: Writes a file.
        run: Gives a written file's outputs for pixels; None where it cannot be run here.
        int8_tolerance: Largest difference of an int8 file's outputs, as a share of the largest value. Runtimes round
            otherwise in places: where branches meet, by one step of a byte.
        run_at_defaults: The same as ``run``, at the runtime's default settings, where it needs another one to compute
            int8 networks exactly.
        advice: What that setting is.
    """

    title: str
    suffix: str
    write: Callable[[Model, Path, Options], Footprint | None]
    run: Callable[[Model, Path, Pixels], Outputs] | None
    options: frozenset[str] = frozenset()
    folds: bool = False
    int8_tolerance: float = 0.05
    run_at_defaults: Callable[[Model, Path, Pixels], Outputs] | None = None
    advice: str = ""


def _onnx(model: Model, path: Path, options: Options) -> None:
    to_onnx(model, path, pixel_input=not options.normalized_input)


def _litert(model: Model, path: Path, options: Options) -> None:
    to_litert(model, path, weights="float16" if options.half else "float32")


def _c(model: Model, path: Path, options: Options) -> Footprint:
    return to_c(model, path, name=options.name, example=options.example)


def _openvino(model: Model, path: Path, options: Options) -> None:
    to_openvino(model, path, half=options.half)


def _coreml(model: Model, path: Path, options: Options) -> None:
    to_coreml(model, path, half=options.half)


TARGETS: dict[str, Target] = {
    "onnx": Target(
        "ONNX",
        ".onnx",
        _onnx,
        verification.run_onnx,
        frozenset({"normalized_input"}),
        run_at_defaults=verification.run_onnx_at_defaults,
        advice="ONNX Runtime with {}={}".format(*EXACT_INTEGERS),
    ),
    "litert": Target("LiteRT", ".tflite", _litert, verification.run_litert, frozenset({"half"}), folds=True),
    "c": Target("C99", ".c", _c, verification.run_c, frozenset({"name", "example"}), folds=True, int8_tolerance=0.0),
    "openvino": Target("OpenVINO", ".xml", _openvino, verification.run_openvino, frozenset({"half"})),
    "coreml": Target("Core ML", ".mlpackage", _coreml, None, frozenset({"half"})),
}
"""Every format by the name that the command line knows it by."""

FLOAT_TOLERANCE = 1e-4
"""Largest difference of a float32 file's outputs, as a share of the largest value. Ten times what is seen."""
HALF_TOLERANCE = 0.02


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        paths: The files (and, for Core ML, the folder).
        bytes: Of all of them.
        agreement: How the file's answers compare to the Model's; None if it was not run.
        not_run: Why it was not.
        footprint: What a C file needs on a device.
        at_defaults: How the file's answers compare at the runtime's default settings on this processor; None if they
            are the same there.
        advice: The setting that gave ``agreement``, where the default one does not.
    """

    paths: tuple[Path, ...]
    bytes: int
    agreement: Agreement | None
    not_run: str = ""
    footprint: Footprint | None = None
    at_defaults: Agreement | None = None
    advice: str = ""


def target_of(path: Path, name: str | None = None) -> str:
    """The format of that name, or else the one whose files end like the path.

    Raises:
        FormatError: If there is none.
    """
    if name is None:
        for known, target in TARGETS.items():
            if path.suffix == target.suffix:
                return known
        suffixes = ", ".join(f"{target.suffix} ({known})" for known, target in TARGETS.items())
        raise FormatError(f"{path} does not say its format; name one, or end it in {suffixes}")
    if name not in TARGETS:
        raise FormatError(f"no format is called {name!r}; known are {', '.join(TARGETS)}")
    return name


def export(
    model: Model,
    path: str | Path,
    format_name: str | None = None,
    *,
    options: Options = Options(),
    images: Pixels | None = None,
    verify: bool = True,
) -> Exported:
    """Write a Model in a format, run the result, and only then put it in its place.

    Args:
        model: Folded, if the format needs it.
        path: Where to. Other files may come beside it: OpenVINO's ``.bin``, C's ``main.c``.
        format_name: A name of :data:`TARGETS`; by default the path's ending tells.
        options: See there.
        images: Real images to run besides made-up ones, uint8 (N, height, width, 3).
        verify: Whether to run what was written.

    Raises:
        FormatError: If the format is unknown or cannot hold the Model, or the file answers otherwise than the Model;
            what was at the path before is then still there.
        MissingDependencyError: If a package that writes the format is not installed.
        OSError: If a file cannot be written.
    """
    path = Path(path)
    target = TARGETS[target_of(path, format_name)]
    _check_options(target, options, model)
    pixels = synthetic_images(model.network)
    if images is not None:
        pixels = np.concatenate([images, pixels])
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        written = Path(folder) / path.name
        footprint = target.write(model, written, options)
        verified = _Verified(None, not_run="as asked")
        if verify:
            verified = _verify(target, model, written, options, pixels)
        paths = tuple(_move(made, path.with_name(made.name)) for made in sorted(Path(folder).iterdir()))
    sizes = (file.stat().st_size for made in paths for file in ([made] if made.is_file() else made.rglob("*")))
    return Exported(
        paths,
        sum(sizes),
        verified.agreement,
        verified.not_run,
        footprint,
        verified.at_defaults,
        target.advice if verified.at_defaults is not None else "",
    )


def _check_options(target: Target, options: Options, model: Model) -> None:
    for name in ("half", "normalized_input", "name", "example"):
        if getattr(options, name) != getattr(Options, name) and name not in target.options:
            raise FormatError(f"{target.title} has no option {name}; it has {', '.join(target.options) or 'none'}")
    if options.half and model.quantization is not None:
        raise FormatError("an int8 Model's weights are stored as they are; half is for float32 Models")


@dataclass(frozen=True)
class _Verified:
    """The part of :class:`Exported` that running a file tells."""

    agreement: Agreement | None
    not_run: str = ""
    at_defaults: Agreement | None = None


def _verify(target: Target, model: Model, written: Path, options: Options, pixels: Pixels) -> _Verified:
    """Run what was written; raises if it does not answer as the Model does."""
    if target.run is None:
        return _Verified(None, f"{target.title} runs on Apple's systems only")
    with ThreadPoolExecutor(1) as pool:  # the Model's own answers, while the file is compiled or loaded
        computing = pool.submit(verification.expected_outputs, model, pixels)
        try:
            found = target.run(model, written, pixels)
        except (MissingDependencyError, verification.NoCompilerError) as error:
            return _Verified(None, str(error))
        expected = computing.result()
    agreement = verification.compare(expected, found)
    allowed = HALF_TOLERANCE if options.half else FLOAT_TOLERANCE
    if model.quantization is not None:
        allowed = target.int8_tolerance
    if not agreement.relative <= allowed:  # NaN is no agreement either
        raise FormatError(
            f"the {target.title} file answers otherwise than the Model: values differ by up to "
            f"{agreement.largest_difference:.3g} of {agreement.largest_value:.3g}; {allowed:g} of that is allowed"
        )
    return _Verified(agreement, at_defaults=_at_defaults(target, model, written, pixels, expected, found))


def _at_defaults(
    target: Target, model: Model, written: Path, pixels: Pixels, expected: Outputs, found: Outputs
) -> Agreement | None:
    """How the answers at the runtime's default settings compare, if they are others."""
    if target.run_at_defaults is None or model.quantization is None:
        return None
    plain = target.run_at_defaults(model, written, pixels)
    if all(np.array_equal(plain[name], values) for name, values in found.items()):
        return None
    return verification.compare(expected, plain)


def _move(made: Path, place: Path) -> Path:
    """Put a finished file or folder where it belongs."""
    if made.is_dir() and place.is_dir():
        shutil.rmtree(place)
    os.replace(made, place)
    return place
