"""Write a Model in any format, and run what was written before it takes its place."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.base.arguments import typed
from mobilenets.base.atomic_write import check_folder_of, errors_name
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.image import ImageSource
from mobilenets.data.loading import prepare_image
from mobilenets.data.sources import images_of, photographs
from mobilenets.data.splitting import spread
from mobilenets.errors import DataError, FormatError, MissingDependencyError
from mobilenets.formats import verification
from mobilenets.formats.c.run import NoCompilerError
from mobilenets.formats.detections import compare_detections
from mobilenets.formats.format import Footprint, Format, Options, Outputs, SecondRuntime, Writer
from mobilenets.formats.litert.detections import found_in_slots
from mobilenets.formats.onnx.detections import found_by_image
from mobilenets.formats.registry import format_of, writable
from mobilenets.formats.web.run import NoNodeError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import RGB_CHANNELS, Pixels, check_pixels
from mobilenets.tasks.task import Agreement

MOST_IMAGES = 8
"""Real images that a written file is run on; of more, a selection spread evenly."""
FLOAT_TOLERANCE = 1e-4
"""Largest difference of a float32 file's outputs, as a share of the largest value. Ten times what is seen."""
HALF_TOLERANCE = 0.02
"""The same for a file whose weights are stored as float16."""
SYMMETRIC_TOLERANCE = 0.25
"""The same for an int8 file whose weights were quantized anew."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        format: Its row in the registry.
        paths: The files (and, for Core ML, the folder).
        bytes: Of all of them.
        agreement: How the file's outputs compare with the Model's; None if it was not run.
        real_images: Of the images that it was run on, how many are real ones.
        not_run: Why it was not run.
        footprint: What a C file needs on a device.
        at_defaults: How the file's outputs compare at the runtime's default settings on this processor; None if they
            are the same there.
        advice: The settings that gave ``agreement``, where the default ones do not.
        notes: What to know to use the file, one line each.
        second: How the outputs of a further runtime compare, where one was at hand.
        second_bytes: What that runtime takes of the memory that it is given for tensors.
        second_refusal: Why that runtime does not run the file.
    """

    format: Format
    paths: tuple[Path, ...]
    bytes: int
    agreement: Agreement | None
    real_images: int = 0
    not_run: str = ""
    footprint: Footprint | None = None
    at_defaults: Agreement | None = None
    advice: str = ""
    notes: tuple[str, ...] = ()
    second: Agreement | None = None
    second_bytes: int = 0
    second_refusal: str = ""


@typed(FormatError)
def export(
    model: Model,
    path: str | Path,
    format_name: str | Format | None = None,
    *,
    images: str | Path | Iterable[str | Path] | Pixels | None = None,
    verify: bool = True,
    progress: Progress = SILENT,
    **options: Any,
) -> Exported:
    """Write a Model in a format, run the result, and only then put it in its place.

    The file is run on synthetic and on real images, and its outputs must be the Model's.

    Args:
        model: float32 or int8. Batch norms are folded where the format has none.
        path: Where to. Other files may come beside it: OpenVINO's ``.bin``, C's ``main.c``.
        format_name: A name of :data:`~mobilenets.formats.registry.FORMATS`, or a row like those; by default the path's
            suffix tells.
        images: Real images to run the file on: an image file or a folder of them, several of these, or uint8 pixels
            (N, height, width, channels). By default scikit-learn's two photographs, where it is installed and the
            network reads RGB.
        verify: Whether to run what was written.
        progress: Receives a note where there are no real images.
        options: What the format can be asked for, such as ``half=True`` or ``example=True``: the fields of its
            :class:`~mobilenets.formats.format.Options`, and flags of ``mobilenets export``.

    Returns:
        The files, their size in bytes, and how the outputs compare with the Model's.

    Raises:
        FormatError: If the format or an option is unknown, the format cannot hold the Model, or the file's outputs are
            not the Model's; what was at the path before is then still there.
        DataError: If an image cannot be read, or is RGB and the network reads another number of channels.
        ModelError: If pixels are not a batch of the network's input.
        MissingDependencyError: If a package that writes the format is not installed.
        OSError: If a file cannot be written; a folder that does not exist is named before the work begins.

    >>> import tempfile
    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> from mobilenets.tasks.classification import Classification
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> parameters = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> model = Model(network, parameters, Classification(("cat", "dog")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     exported = export(model, Path(folder) / "model.c", verify=False)
    >>> exported.format.title, exported.footprint
    ('C99', Footprint(flash_bytes=843424, ram_bytes=20480, by_rows=0))
    """
    path = Path(path)
    row, writer = _row(path, format_name)
    chosen = _options(row, writer, options, model)
    check_folder_of(path)
    if path.is_dir() and path.suffix not in row.suffixes:
        raise FormatError(f"{path} is there already, and holds what is not replaced; name another folder")
    if writer.prepare is not None:
        model = writer.prepare(model, chosen, lambda most: _some_images(model, images, progress, most), progress)
    real = _real_images(model, images, progress) if verify else None
    with errors_name(path), tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        written = Path(folder) / path.name
        footprint = writer.write(model, written, chosen)
        verified = _Verified(None, not_run="as asked")
        if verify:
            verified = _verify(row, writer, model, written, chosen, real)
        paths = tuple(_move(made, path.with_name(made.name)) for made in sorted(Path(folder).iterdir()))
    sizes = (file.stat().st_size for made in paths for file in ([made] if made.is_file() else made.rglob("*")))
    return Exported(
        row,
        paths,
        sum(sizes),
        verified.agreement,
        verified.real_images,
        verified.not_run,
        footprint,
        verified.at_defaults,
        writer.advice if verified.at_defaults is not None else "",
        () if writer.notes is None else writer.notes(model, chosen),
        verified.second,
        verified.second_bytes,
        verified.second_refusal,
    )


def _options(row: Format, writer: Writer, given: dict[str, Any], model: Model) -> Options:
    """The writer's options, checked."""
    known = {field.name: field for field in fields(writer.options)}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise FormatError(f"{row.title} has no option {name}; it has {', '.join(known) or 'none'}{hint}")
        if value != known[name].default and known[name].metadata["float32_only"] and model.quantization is not None:
            raise FormatError(f"{name} is for float32 Models; an int8 Model's weights are stored as they are")
    return writer.options(**given)


def _some_images(
    model: Model, images: str | Path | Iterable[str | Path] | Pixels | None, progress: Progress, most: int
) -> Pixels:
    """Real images as far as there are some, and synthetic ones where they are few."""
    real, synthetic = _real_images(model, images, progress, most), verification.synthetic_images(model.network)
    if real is None:
        return synthetic
    return real if len(real) >= most else np.concatenate([real, synthetic])


def _real_images(
    model: Model,
    images: str | Path | Iterable[str | Path] | Pixels | None,
    progress: Progress,
    most: int = MOST_IMAGES,
) -> Pixels | None:
    """Real images as the network takes them, or None where there are none."""
    network = model.network
    if isinstance(images, np.ndarray):
        check_pixels(network, images)
        return images
    sources = [images] if isinstance(images, str | Path) else list(images or ())
    if network.channels != RGB_CHANNELS:
        reads = f"{network.name} reads {plural(network.channels, 'channel')}"
        if sources:
            raise DataError(f"image files are read as RGB and {reads}; pass uint8 pixels instead")
        progress.note(f"the sample photographs are RGB and {reads}; synthetic images only")
        return None
    found: list[ImageSource]
    try:
        found = [*(images_of(sources) if sources else photographs())]
    except MissingDependencyError:
        progress.note("no photographs are at hand (images=FOLDER, or scikit-learn's); synthetic images must do")
        return None
    chosen = [found[index] for index in spread(len(found), most)]
    return np.stack([prepare_image(image, model.preprocessing, network.height, network.width) for image in chosen])


@dataclass(frozen=True)
class _Verified:
    """The part of :class:`Exported` that running a file tells."""

    agreement: Agreement | None
    real_images: int = 0
    not_run: str = ""
    at_defaults: Agreement | None = None
    second: Agreement | None = None
    second_bytes: int = 0
    second_refusal: str = ""


def _verify(
    row: Format, writer: Writer, model: Model, written: Path, options: Options, real: Pixels | None
) -> _Verified:
    """Run what was written; raises if its outputs are not the Model's."""
    if writer.run is None:
        return _Verified(None, not_run=f"{row.title} runs on Apple's systems only")
    pixels = verification.synthetic_images(model.network)
    if real is not None:
        pixels = np.concatenate([real, pixels])
    with ThreadPoolExecutor(1) as pool:  # the Model's own outputs, while the file is compiled or loaded
        computing = pool.submit(verification.expected_outputs, model, pixels)
        try:
            found = writer.run(model, written, pixels)
        except (MissingDependencyError, NoCompilerError, NoNodeError) as error:
            return _Verified(None, not_run=str(error))
        expected = computing.result()
    if vars(options).get("detections"):
        found_boxes = (found_by_image if "images" in found else found_in_slots)(found, len(pixels))
        return _Verified(compare_detections(model, expected, found_boxes), 0 if real is None else len(real))
    if vars(options).get("probabilities"):
        expected = verification.as_probabilities(model, expected)
    agreement = verification.compare_outputs(model.task, expected, found)
    allowed = _tolerance(writer, model, options)
    finite = all(np.isfinite(values).all() for values in found.values())
    bounded = _bounded(writer, model, options, expected)
    within = verification.compare_outputs(model.task, bounded, found)
    if not finite or not within.relative_difference <= allowed:
        raise FormatError(
            f"the {row.title} file's outputs are not the Model's: values differ by up to "
            f"{within.largest_difference:.3g} of {within.largest_value:.3g}; {allowed:g} of that is allowed"
        )
    at_defaults = _at_defaults(writer, model, written, pixels, expected, found)
    verified = _Verified(agreement, 0 if real is None else len(real), at_defaults=at_defaults)
    if writer.also is None or model.quantization is None:
        return verified
    return _verified_by(writer.also, verified, model, written, pixels, bounded)


def _bounded(writer: Writer, model: Model, options: Options, expected: Outputs) -> Outputs:
    """The Model's outputs within what the file can give."""
    if writer.bounds is None:
        return expected
    bounds = writer.bounds(model, options)
    return {name: np.clip(values, *bounds[name]) if name in bounds else values for name, values in expected.items()}


def _verified_by(
    runtime: SecondRuntime, verified: _Verified, model: Model, written: Path, pixels: Pixels, expected: Outputs
) -> _Verified:
    """Run what was written by a further runtime too; raises if its outputs are far from the Model's."""
    try:
        run = runtime.run(model, written, pixels[: runtime.most_images])
    except MissingDependencyError:
        return verified
    except FormatError as error:
        return replace(verified, second_refusal=str(error))
    some = {name: values[: runtime.most_images] for name, values in expected.items()}
    agreement = verification.compare_outputs(model.task, some, run.outputs)
    if not agreement.relative_difference <= runtime.tolerance:
        raise FormatError(
            f"{runtime.title} computes something else from the file: values differ by up to "
            f"{agreement.largest_difference:.3g} of {agreement.largest_value:.3g}"
        )
    return replace(verified, second=agreement, second_bytes=run.ram_bytes)


def _row(path: Path, asked: str | Format | None) -> tuple[Format, Writer]:
    if not isinstance(asked, Format):
        return writable()[format_of(path, asked)]
    if asked.writer is None:
        raise FormatError(f"{asked.title} is read and not written")
    return asked, asked.writer


def _tolerance(writer: Writer, model: Model, options: Options) -> float:
    if vars(options).get("probabilities") and writer.int8_tolerance == 0:
        return FLOAT_TOLERANCE  # the exponential functions of two libraries differ
    if model.quantization is not None:
        return SYMMETRIC_TOLERANCE if vars(options).get("symmetric_weights") else writer.int8_tolerance
    return HALF_TOLERANCE if vars(options).get("half") else FLOAT_TOLERANCE


def _at_defaults(
    writer: Writer, model: Model, written: Path, pixels: Pixels, expected: Outputs, found: Outputs
) -> Agreement | None:
    """How the outputs at the runtime's default settings compare, if they are others."""
    if writer.run_at_defaults is None or model.quantization is None:
        return None
    plain = writer.run_at_defaults(model, written, pixels)
    if all(np.array_equal(plain[name], values) for name, values in found.items()):
        return None
    return verification.compare_outputs(model.task, expected, plain)


def _move(made: Path, place: Path) -> Path:
    """Put a finished file or folder where it belongs."""
    if made.is_dir() and place.is_dir():
        shutil.rmtree(place)
    os.replace(made, place)
    return place
