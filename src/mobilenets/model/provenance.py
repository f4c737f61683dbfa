"""How a Model came to be, typed.

``Model.provenance`` holds plain JSON values, so that a file keeps whatever another release wrote. :class:`Provenance`
is the typed view of them. Reading never fails: what is missing is None, and what has another name or type than expected
stays in ``others``, so that ``Provenance.read(data).encode()`` equals ``data`` for every JSON object. What writes
provenance fills the typed view too, and gives a Model its ``encode()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from mobilenets.model.model import Model

Json = Mapping[str, Any]
Part = TypeVar("Part", bound="_Part")

_NUMBER = (int, float)


@dataclass(frozen=True)
class _Part:
    """Named values of known types, and all others."""

    TYPES: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    """Type of each field in JSON."""
    NAMES: ClassVar[Mapping[str, str]] = {}
    """Name in JSON of each field whose own name is another."""

    others: Json = field(default_factory=dict, kw_only=True)

    @classmethod
    def read(cls: type[Part], data: Json) -> Part:
        """The values of a JSON object; what is unknown or of another type is kept in ``others``."""
        keys = {cls.NAMES.get(name, name): name for name in cls.TYPES}
        known = {keys[key]: value for key, value in data.items() if key in keys and cls._fits(keys[key], value)}
        others = {key: value for key, value in data.items() if keys.get(key) not in known}
        return cls(**known, others=others)

    @classmethod
    def _fits(cls, name: str, value: object) -> bool:
        kind = cls.TYPES[name]
        return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))

    def encode(self) -> dict[str, Any]:
        """JSON-ready values; those that are None are left out."""
        known = {self.NAMES.get(name, name): getattr(self, name) for name in self.TYPES}
        return {**self.others, **{key: value for key, value in known.items() if value is not None}}


@dataclass(frozen=True)
class Data(_Part):
    """The images that a Model was fitted to.

    Attributes:
        source: Where they were.
        fingerprint: Hash of their content, classes and parts.
        seed: Random seed of the split.
        reading: How the source was read, where it could be read in several ways.
    """

    TYPES: ClassVar = {"source": str, "fingerprint": str, "seed": int, "reading": dict}

    source: str | None = None
    fingerprint: str | None = None
    seed: int | None = None
    reading: Json | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the images can be found, split and checked by it."""
        return self.source is not None and self.fingerprint is not None and self.seed is not None


@dataclass(frozen=True)
class Training(_Part):
    """How a Model was trained.

    Attributes:
        made_by: What trained it, such as ``fit``.
        recipe: Every value of the recipe.
        seed: Random seed.
        epochs: Number of epochs.
        best_epoch: The epoch that was kept, from 1.
        validation_joined: First epoch, from 1, that was trained on the validation images too.
        device: Kind of device, such as ``cpu``.
        precision: Of the arithmetic, such as ``float32``.
        threads: Number of threads.
        supernet: Of a supernet, its ``narrowest`` width and its ``resolutions``.
        supernet_epochs: Of a subnet, the number of epochs of its supernet.
        budget: Of a search, its limits.
        weights: What training began from, where it was not from scratch.
        held_out_epochs: Number of first epochs that were a short run without the validation images, from which their
            figures are; then the network was refitted from the start on all images. None where there was none.
    """

    TYPES: ClassVar = {
        "made_by": str,
        "recipe": dict,
        "seed": int,
        "epochs": int,
        "best_epoch": int,
        "validation_joined": int,
        "device": str,
        "precision": str,
        "threads": int,
        "supernet": dict,
        "supernet_epochs": int,
        "budget": dict,
        "weights": str,
        "held_out_epochs": int,
    }

    made_by: str | None = None
    recipe: Json | None = None
    seed: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    validation_joined: int | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    supernet: Json | None = None
    supernet_epochs: int | None = None
    budget: Json | None = None
    weights: str | None = None
    held_out_epochs: int | None = None


@dataclass(frozen=True)
class TrainingMetrics(_Part):
    """What a Model reached when it was trained.

    Attributes:
        validation_top1: Top-1 of a classifier on the validation images, from 0 to 1.
        test_top1: Top-1 of a classifier on the test images, from 0 to 1.
        metric: Name of the primary figure of another task, such as ``mean_average_precision``.
        validation: That figure on the validation images.
        test: That figure on the test images.
    """

    TYPES: ClassVar = {
        "validation_top1": _NUMBER,
        "test_top1": _NUMBER,
        "metric": str,
        "validation": _NUMBER,
        "test": _NUMBER,
    }

    validation_top1: float | None = None
    test_top1: float | None = None
    metric: str | None = None
    validation: float | None = None
    test: float | None = None

    @staticmethod
    def named(metric: str, validation: float | None, test: float) -> TrainingMetrics:
        """What was reached in the primary figure of a task, ``top1`` of a classifier."""
        if metric == "top1":
            return TrainingMetrics(validation, test)
        return TrainingMetrics(metric=metric, validation=validation, test=test)

    @property
    def validation_primary(self) -> float | None:
        """The primary figure on the validation images, whatever the task is."""
        return self.validation_top1 if self.metric is None else self.validation


@dataclass(frozen=True)
class QuantizationProvenance(_Part):
    """How a Model was quantized.

    Attributes:
        made_by: ``calibrated``, ``data-free`` or ``trained``.
        trained: Whether it was trained in integers.
        weight_bits: Bits per weight.
        calibration_images: Number of images that its ranges come from.
        epoch: The epoch of quantization-aware training that was kept.
        equalize: Whether its layers were equalized.
        absorb: Whether high biases were absorbed.
        bias_correction: Whether the mean of each channel was corrected.
        deviation_correction: Whether the standard deviation of each channel was corrected.
        ranges: How its activation ranges were chosen.
        rounding: How its weights were rounded.
        quality: What it lost.
        verdict: The same, as releases before file format version 3 called it.
    """

    TYPES: ClassVar = {
        "made_by": str,
        "trained": bool,
        "weight_bits": int,
        "calibration_images": int,
        "epoch": int,
        "equalize": bool,
        "absorb": bool,
        "bias_correction": bool,
        "deviation_correction": bool,
        "ranges": str,
        "rounding": str,
        "quality": dict,
        "verdict": dict,
    }

    made_by: str | None = None
    trained: bool | None = None
    weight_bits: int | None = None
    calibration_images: int | None = None
    epoch: int | None = None
    equalize: bool | None = None
    absorb: bool | None = None
    bias_correction: bool | None = None
    deviation_correction: bool | None = None
    ranges: str | None = None
    rounding: str | None = None
    quality: Json | None = None
    verdict: Json | None = None


@dataclass(frozen=True)
class Imported(_Part):
    """Where imported weights came from.

    Attributes:
        format: Name of the format.
        file: Name of the file.
        source: What was asked for: a path, an address or a short name.
        sha256: Hash of the file.
        configuration: Whether a Keras file described its network.
        architecture: Name that timm gives the network.
        moving_averages: Whether a TF-slim checkpoint held averaged weights, which are taken.
        logits_scale: Scale that a LiteRT file has for its first output, whose values are real here.
        logits_zero_point: Zero point that it has for it.
        known: What said each part of the preprocessing that the file says, as a reader found it.
        preprocessing: The value of each part, and whether it was known, given or assumed.
    """

    TYPES: ClassVar = {
        "format": str,
        "file": str,
        "source": str,
        "sha256": str,
        "configuration": bool,
        "architecture": str,
        "moving_averages": bool,
        "logits_scale": _NUMBER,
        "logits_zero_point": int,
        "known": dict,
        "preprocessing": dict,
    }
    NAMES: ClassVar = {"format": "from"}

    format: str | None = None
    file: str | None = None
    source: str | None = None
    sha256: str | None = None
    configuration: bool | None = None
    architecture: str | None = None
    moving_averages: bool | None = None
    logits_scale: float | None = None
    logits_zero_point: int | None = None
    known: Json | None = None
    preprocessing: Json | None = None


@dataclass(frozen=True)
class Conversion(_Part):
    """What was made of a trained or imported Model since.

    Attributes:
        subnet_of: The supernet that it was extracted from, as width and side: ``1-224``.
        symmetric_weights: Whether weights with zero points were requantized without.
        dequantized: Whether an int8 Model became float32.
        temperature_images: Number of images that its temperature was fitted on since.
    """

    TYPES: ClassVar = {"subnet_of": str, "symmetric_weights": bool, "dequantized": bool, "temperature_images": int}
    NAMES: ClassVar = {"subnet_of": "sliced_from"}

    subnet_of: str | None = None
    symmetric_weights: bool | None = None
    dequantized: bool | None = None
    temperature_images: int | None = None


@dataclass(frozen=True)
class Provenance:
    """How a Model came to be.

    Attributes:
        data: What it was fitted to.
        training: How it was trained.
        conversion: What was made of it since.
        metrics: What it reached then.
        quantization: How it was quantized.
        imported: Where its weights came from.
        versions: Version of each package that made it.
        others: Everything else.
    """

    data: Data | None = None
    training: Training = Training()
    conversion: Conversion = Conversion()
    metrics: TrainingMetrics | None = None
    quantization: QuantizationProvenance | None = None
    imported: Imported | None = None
    versions: Json | None = None
    others: Json = field(default_factory=dict)

    @staticmethod
    def of(model: Model) -> Provenance:
        """The provenance of a Model."""
        return Provenance.read(model.provenance)

    @staticmethod
    def read(data: Json) -> Provenance:
        """The values of a JSON object."""
        objects = {name: data[name] for name in _OBJECTS if isinstance(data.get(name), dict)}
        training = Training.read({name: value for name, value in data.items() if name not in objects})
        conversion = Conversion.read(training.others)
        return Provenance(
            data=Data.read(objects["data"]) if "data" in objects else None,
            training=replace(training, others={}),
            conversion=replace(conversion, others={}),
            metrics=TrainingMetrics.read(objects["metrics"]) if "metrics" in objects else None,
            quantization=QuantizationProvenance.read(objects["quantization"]) if "quantization" in objects else None,
            imported=Imported.read(objects["imported"]) if "imported" in objects else None,
            versions=objects.get("versions"),
            others=conversion.others,
        )

    def encode(self) -> dict[str, Any]:
        """JSON-ready values, as a Model keeps them."""
        parts = {
            "data": self.data,
            "metrics": self.metrics,
            "quantization": self.quantization,
            "imported": self.imported,
        }
        encoded = {name: part.encode() for name, part in parts.items() if part is not None}
        if self.versions is not None:
            encoded["versions"] = dict(self.versions)
        return {**self.others, **self.training.encode(), **encoded, **self.conversion.encode()}


_OBJECTS = ("data", "metrics", "quantization", "imported", "versions")
