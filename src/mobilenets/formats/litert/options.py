"""What a LiteRT file can be asked for, and what to know of an int8 one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilenets.base.progress import Progress
from mobilenets.base.text import plural
from mobilenets.engine.output_ranges import MARGIN, with_output_ranges
from mobilenets.formats.detections import DETECTIONS
from mobilenets.formats.format import PROBABILITIES, SYMMETRIC, Options, option
from mobilenets.formats.litert.write import to_litert
from mobilenets.model.integer_weights import symmetric_weights
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import real_outputs

RANGE_IMAGES = 64
"""Images that the ranges of outputs are taken from, where the Model keeps none."""
FEW_IMAGES = 16
FEW_IMAGES_MARGIN = 0.5
"""Share by which ranges are widened that come from fewer images than :data:`FEW_IMAGES`."""


@dataclass(frozen=True)
class LiteRTOptions(Options):
    """Options of :func:`write_litert`."""

    half: bool = option(False, "Store float weights as float16", float32_only=True)
    float_output: bool = option(False, "Let an int8 file give float32 outputs, exact, by float32 output layers")
    uint8_input: bool = option(False, "Let an int8 file read pixels as uint8, not less 128 as int8")
    symmetric_weights: bool = option(False, SYMMETRIC)
    probabilities: bool = option(False, PROBABILITIES)
    detections: bool = option(False, DETECTIONS)


def write_litert(model: Model, path: Path, options: LiteRTOptions) -> None:
    """:func:`to_litert`, as the registry of formats calls it."""
    if options.symmetric_weights:
        model = symmetric_weights(model)
    to_litert(
        model,
        path,
        weights="float16" if options.half else "float32",
        uint8_input=options.uint8_input,
        float_output=options.float_output,
        probabilities=options.probabilities,
        detections=options.detections,
    )


def with_ranges(model: Model, options: LiteRTOptions, images: Callable[[int], Pixels], progress: Progress) -> Model:
    """A Model whose outputs have the scales that a file of integers needs.

    A Model that was calibrated keeps them from then. Those of any other are taken from images.

    Args:
        model: What is written.
        options: How.
        images: Loads at most so many images.
        progress: Told where the ranges come from, if not from the Model.
    """
    quantization = model.quantization
    if quantization is None or options.float_output or not real_outputs(model.network) - set(quantization.outputs):
        return model
    pixels = images(RANGE_IMAGES)
    margin = FEW_IMAGES_MARGIN if len(pixels) < FEW_IMAGES else MARGIN
    progress.note(
        f"the Model keeps no range of its outputs: taken from {plural(len(pixels), 'image')} and widened by "
        f"{100 * margin:g} %; images=FOLDER, with images like those that it will see, makes it finer"
    )
    return with_output_ranges(model, pixels, margin=margin)


def output_bounds(model: Model, options: LiteRTOptions) -> dict[str, tuple[float, float]]:
    """The lowest and the highest number of each output that a file gives as bytes."""
    if model.quantization is None or options.float_output:
        return {}
    return {name: held.span for name, held in model.quantization.outputs.items()}


def litert_notes(model: Model, options: LiteRTOptions) -> tuple[str, ...]:
    """What an int8 file reads and gives."""
    quantization = model.quantization
    if quantization is None:
        return ()
    in_uint8 = options.uint8_input or any(name.endswith(".weight_zero_point") for name in model.parameters)
    reads = f"input: {'uint8, the pixels' if in_uint8 else 'int8, pixels less 128'}"
    name = model.network.outputs[0]
    held = {**quantization.activations, **quantization.outputs}.get(name)
    if options.float_output or held is None:
        return reads, "output: float32"
    low, high = held.span
    kind, shift = ("uint8", 0) if any(n.endswith(".weight_zero_point") for n in model.parameters) else ("int8", 128)
    gives = f"output: {kind}, {held.scale:.4g} · (q − {held.zero_point - shift}) from {low:.3g} to {high:.3g}"
    if model.task.labels is not None:
        gives += "; closer classes may tie"
    return reads, gives.replace("− -", "+ ")
