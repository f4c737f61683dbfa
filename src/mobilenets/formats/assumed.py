"""Preprocessing of imported weights: what the file says, what is assumed, and what a caller says instead.

A network answers well only for images that are cropped, resized and scaled as those that trained it, and files of
weights seldom say how that was. A reader lists the parts that its file does say as ``known`` in the provenance of the
Model that it reads (:class:`~mobilenets.model.provenance.Imported`); whatever is not listed there is assumed, and
printed as such.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mobilenets.base.arguments import check_number, word_of
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.normalizing_layer import inner_scaling, with_inner_scaling
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode
from mobilenets.model.provenance import Imported, Provenance

PARTS = ("input_scaling", "crop", "resize", "interpolation")
"""The parts of a Preprocessing, by the names of the options that set them."""
ASSUMED, GIVEN = "assumed", "given"

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALINGS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "-1..1": ((0.5,) * 3, (0.5,) * 3),
    "0..1": ((0.0,) * 3, (1.0,) * 3),
    "imagenet": _IMAGENET,
    "0..255": ((0.0,) * 3, (1 / 255,) * 3),
}
"""Mean and standard deviation by the name of a scaling, on the scale where white is 1."""
ALIASES = {"tf": "-1..1", "inception": "-1..1", "torch": "imagenet", "torchvision": "imagenet"}
"""What Keras' ``preprocess_input`` and others call a scaling."""
SCALING_HELP = f"{', '.join(SCALINGS)}, or MEAN/STD where white is 1, such as 0.45/0.225 or 0.5,0.4,0.3/0.2,0.2,0.2"
LARGEST_OF_ONE = 2.0
"""Means and standard deviations above this are of pixels from 0 to 255, as many configurations write them."""

STEPS_APART = 1.5
"""Steps of a byte by which two scalings may differ and be the same: a zero point of 127.5 is rounded to 128."""

Three = tuple[float, float, float]
Scaling = str | tuple[Sequence[float], Sequence[float]]
"""A name of :data:`SCALINGS`, ``MEAN/STD`` as a text, or the two as numbers."""


@dataclass(frozen=True)
class PreprocessingOptions:
    """What a caller says of the images that trained a network; None where the file, or an assumption, is to hold.

    Attributes:
        input_scaling: A name of :data:`SCALINGS`; ``MEAN/STD``, one number or three each, on the scale where white is
            1 (or 255, where the mean is far above 1); or the mean and the standard deviation themselves.
        crop: Share of the largest centred box that is kept, by side; 1 for all of it.
        resize: ``crop``, or ``squash`` for the whole image, stretched.
        interpolation: ``bilinear``, ``bicubic``, ``lanczos`` or ``box``.
    """

    input_scaling: Scaling | None = None
    crop: float | None = None
    resize: str | None = None
    interpolation: str | None = None

    def check(self) -> None:
        """Raise if a value is no such thing, before anything is read.

        Raises:
            FormatError: Naming the option, what it takes and what came.
        """
        self._applied(Preprocessing())

    def apply(self, model: Model) -> Model:
        """The Model with what was said; its provenance keeps, by part, the value and where it comes from.

        Raises:
            FormatError: If a value is no such thing, or contradicts the integers of an int8 Model.
        """
        inside, before = inner_scaling(model), model.preprocessing
        preprocessing = self._applied(before if inside is None else replace(before, mean=inside.mean, std=inside.std))
        scaling = preprocessing
        if inside is not None:
            if self.input_scaling is not None:
                model = with_inner_scaling(model, preprocessing)
            preprocessing = replace(preprocessing, mean=before.mean, std=before.std)
        elif model.quantization is not None:
            if not _same_scaling(preprocessing, before):
                raise _contradiction(before)
            preprocessing = replace(preprocessing, mean=before.mean, std=before.std)
        known, values = known_parts(model), _values(scaling)
        parts = {
            part: {"value": values[part], "from": GIVEN if vars(self)[part] is not None else known.get(part, ASSUMED)}
            for part in PARTS
        }
        provenance = Provenance.of(model)
        imported = replace(provenance.imported or Imported(), known=None, preprocessing=parts)
        provenance = replace(provenance, imported=imported)
        return replace(model, preprocessing=preprocessing, provenance=provenance.encode())

    def _applied(self, preprocessing: Preprocessing) -> Preprocessing:
        changes: dict[str, Any] = {}
        if self.input_scaling is not None:
            mean, std = scaling_of(self.input_scaling)
            changes |= {"mean": mean, "std": std}
        if self.crop is not None:
            check_number("crop", self.crop, FormatError, above=0, most=1)
            changes["crop_fraction"] = float(self.crop)
        if self.resize is not None:
            changes["fit"] = word_of(ResizeMode, self.resize, "resize", FormatError)
        if self.interpolation is not None:
            changes["interpolation"] = word_of(Interpolation, self.interpolation, "interpolation", FormatError)
        try:
            return replace(preprocessing, **changes)
        except ModelError as error:
            raise FormatError(str(error)) from None


def scaling_of(scaling: Scaling) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of a scaling, for red, green and blue, on the scale where white is 1.

    Raises:
        FormatError: If it is no scaling.

    >>> scaling_of("0..1")
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    >>> scaling_of("0.5,0.4,0.3/0.25")
    ((0.5, 0.4, 0.3), (0.25, 0.25, 0.25))
    >>> scaling_of("127.5/127.5")
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """
    try:
        mean, std = _named(scaling) if isinstance(scaling, str) else scaling
        result = _of_white_1(_three(mean), _three(std))
        Preprocessing(mean=result[0], std=result[1])
    except (TypeError, ValueError, ModelError) as error:
        raise FormatError(f"{scaling!r:.80} is no input scaling ({error}); it may be {SCALING_HELP}") from None
    return result


def scaling_name(preprocessing: Preprocessing) -> str:
    """The name of a Preprocessing's scaling, or the formula where it has none.

    >>> scaling_name(Preprocessing()), scaling_name(Preprocessing(mean=(0.5,) * 3, std=(0.25,) * 3))
    ('-1..1', '(pixel / 255 − 0.5) / 0.25')
    """
    for name, (mean, std) in SCALINGS.items():
        if _same_scaling(preprocessing, Preprocessing(mean=_three(mean), std=_three(std))):
            return name
    return formula(preprocessing)


def formula(preprocessing: Preprocessing) -> str:
    """What is computed from a pixel."""
    return f"(pixel / 255 − {_short(preprocessing.mean)}) / {_short(preprocessing.std)}"


def known_parts(model: Model) -> dict[str, str]:
    """The parts of its preprocessing that the file of a Model says, as it was read, and what said each.

    A reader of foreign weights says where they come from, and :func:`~mobilenets.formats.importing.import_model` adds
    the source. A Model that has no such entry, or one with its source, was one before it was written, and its file
    says everything; what was assumed when it was made still is.
    """
    imported = Provenance.of(model).imported
    described = dict.fromkeys(PARTS, "the Model that was written") if imported is None or imported.source else {}
    found = {} if imported is None or imported.known is None else imported.known
    return {**described, **sources(model), **found}


def with_known(model: Model, parts: Mapping[str, str]) -> Model:
    """A Model as a reader gives it, with more parts of its preprocessing known, and what said so."""
    provenance = Provenance.of(model)
    imported = provenance.imported or Imported()
    imported = replace(imported, known={**parts, **(imported.known or {})})
    return replace(model, provenance=replace(provenance, imported=imported).encode())


def sources(model: Model) -> dict[str, str]:
    """Where each part of an imported Model's preprocessing comes from: ``assumed``, ``given``, or what said so."""
    imported = Provenance.of(model).imported
    found = {} if imported is None or imported.preprocessing is None else imported.preprocessing
    return {part: str(found[part].get("from", ASSUMED)) for part in PARTS if isinstance(found.get(part), dict)}


def assumption(model: Model) -> str | None:
    """What is to be said where the scaling of an imported network's pixels is assumed; None where it is not."""
    if sources(model).get("input_scaling") != ASSUMED:
        return None
    scaling = scaling_name(inner_scaling(model) or model.preprocessing)
    return (
        f"the file does not say how pixels are scaled; {scaling} is assumed. If the network "
        "was trained on another scaling its answers are wrong: say it with input_scaling=SCALING"
    )


def _contradiction(preprocessing: Preprocessing) -> FormatError:
    return FormatError(
        f"the integers of this file are for pixels scaled as {scaling_name(preprocessing)}; with another input scaling "
        "they would answer wrongly. Import it with dequantized=True, and quantize it then"
    )


def _values(preprocessing: Preprocessing) -> dict[str, str | float]:
    return {
        "input_scaling": scaling_name(preprocessing),
        "crop": preprocessing.crop_fraction,
        "resize": str(preprocessing.fit),
        "interpolation": str(preprocessing.interpolation),
    }


def _same_scaling(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether two scalings give black and white the same values, but for the rounding of a file's constants."""
    step = 1 / (255 * np.array(one.std))
    ends = [np.array([-np.array(each.mean), 1 - np.array(each.mean)]) / np.array(each.std) for each in (one, other)]
    return bool((np.abs(ends[0] - ends[1]) < STEPS_APART * step).all())


def _of_white_1(mean: Three, std: Three) -> tuple[Three, Three]:
    """A mean and a standard deviation where white is 1, of those of pixels from 0 to 255 as well."""
    if max(map(abs, mean)) > LARGEST_OF_ONE or (not any(mean) and max(std) > LARGEST_OF_ONE):
        return _divided(mean), _divided(std)
    if max(std) > LARGEST_OF_ONE:
        raise ValueError(f"a mean of {_short(mean)} is of pixels from 0 to 1, a std of {_short(std)} of those to 255")
    return mean, std


def _divided(values: Three) -> Three:
    red, green, blue = (value / 255 for value in values)
    return red, green, blue


def _named(text: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation by a name of :data:`SCALINGS`, or from ``MEAN/STD``."""
    name = re.sub(r"[\[\]()]", " ", text).strip().lower().replace("…", "..").replace("−", "-")
    plain = name.replace(" ", "")
    plain = ALIASES.get(plain, plain)
    if plain in SCALINGS:
        return SCALINGS[plain]
    mean, slash, std = name.partition("/")
    if not slash:
        raise ValueError("neither a name nor MEAN/STD")
    first, second = ([float(part) for part in re.split(r"[\s,;]+", one.strip())] for one in (mean, std))
    return first, second


def _three(values: Sequence[float] | float) -> tuple[float, float, float]:
    listed = [float(value) for value in values] if isinstance(values, Sequence) else [float(values)]
    red, green, blue = listed * 3 if len(listed) == 1 else listed
    return red, green, blue


def _short(values: tuple[float, ...]) -> str:
    return f"{values[0]:.4g}" if len(set(values)) == 1 else f"({', '.join(f'{value:.4g}' for value in values)})"
