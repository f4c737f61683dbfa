"""Core ML packages compute what the Model does: the written program is run here, operation by operation.

Only macOS runs Core ML. What coremltools writes is a list of plain operations and a file of weights, though, and both
are documented; so this file reads them back and computes them with PyTorch.

Source: coremltools' ``MIL.proto``, and ``MILBlob/Blob/StorageFormat.hpp`` for the file of weights.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_model, random_network, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.formats.coreml import to_coreml
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification

coremltools = pytest.importorskip("coremltools", reason="coremltools, which writes Core ML packages, is not installed")
torch = pytest.importorskip("torch")

# coremltools leaves folders and files to the garbage collector, which warns of them.
pytestmark = pytest.mark.filterwarnings("ignore")

BLOB_SENTINEL = 0xDEADBEEF
BLOB_TYPES = {1: "<f2", 2: "<f4"}


class Package:
    """A written package, run on one image."""

    def __init__(self, path: Path) -> None:
        self.spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
        (self._blobs,) = (file.read_bytes() for file in path.rglob("weight.bin"))
        function = self.spec.mlProgram.functions["main"]
        self._operations = function.block_specializations[function.opset].operations

    @property
    def kinds(self) -> list[str]:
        """The operations that compute something, in order."""
        return [operation.type for operation in self._operations if operation.type != "const"]

    @property
    def labels(self) -> list[str]:
        """Names of the classes, the keys of the answer."""
        (classes,) = self._operations[-1].inputs["classes"].arguments
        names = classes.value.immediateValue.list.values
        return [name.immediateValue.tensor.strings.values[0] for name in names]

    def probabilities(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """What the program gives for an image (height, width, channels), by class."""
        values: dict[str, Any] = {"image": torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]}
        for operation in self._operations:
            if operation.type == "classify":
                (name,) = (binding.name for binding in operation.inputs["probabilities"].arguments)
                return np.asarray(values[name].double().numpy()).reshape(-1)
            given = {
                name: [self._argument(values, argument) for argument in source.arguments]
                for name, source in operation.inputs.items()
            }
            if operation.type == "const":
                values[operation.outputs[0].name] = self._value(operation.attributes["val"])
            else:
                single = {name: each[0] for name, each in given.items() if name != "values"}
                values[operation.outputs[0].name] = compute(operation.type, single, given.get("values", []))
        raise AssertionError("the program classifies nothing")

    def _argument(self, values: dict[str, Any], argument: Any) -> Any:
        return values[argument.name] if argument.name else self._value(argument.value)

    def _value(self, value: Any) -> Any:
        if value.WhichOneof("value") == "blobFileValue":
            shape = [axis.constant.size for axis in value.type.tensorType.dimensions]
            return torch.from_numpy(self._blob(value.blobFileValue.offset).reshape(shape).copy())
        tensor = value.immediateValue.tensor
        kind = tensor.WhichOneof("value")
        if kind == "bytes":  # float16
            raw = np.frombuffer(tensor.bytes.values, "<f2").astype(np.float32)
            return float(raw[0]) if not value.type.tensorType.dimensions else torch.from_numpy(raw)
        numbers = list(getattr(tensor, kind).values)
        if kind == "floats" and value.type.tensorType.dimensions:
            shape = [axis.constant.size for axis in value.type.tensorType.dimensions]
            return torch.tensor(numbers, dtype=torch.float32).reshape(shape)
        return numbers if value.type.tensorType.dimensions else numbers[0]

    def _blob(self, offset: int) -> npt.NDArray[np.float32]:
        sentinel, kind, size, start = struct.unpack_from("<IIQQ", self._blobs, offset)
        assert sentinel == BLOB_SENTINEL
        values: npt.NDArray[Any] = np.frombuffer(self._blobs[start : start + size], np.dtype(BLOB_TYPES[kind]))
        return values.astype(np.float32)


def compute(kind: str, given: dict[str, Any], parts: list[Any]) -> Any:
    """One operation, in float32 whatever the program's type: float16 is a rounding of weights here."""
    functional = torch.nn.functional
    x: Any = given.get("x")
    match kind:
        case "cast":
            return x
        case "add":
            return x + given["y"]
        case "mul":
            return x * given["y"]
        case "batch_norm":
            names = ("mean", "variance", "gamma", "beta")
            mean, variance, gamma, beta = (torch.as_tensor(given[name]).float() for name in names)
            return functional.batch_norm(x, mean, variance, gamma, beta, eps=float(given["epsilon"]))
        case "conv":
            if given["pad_type"] == "custom":
                top, bottom, left, right = given["pad"]
                x = functional.pad(x, (left, right, top, bottom))
            return functional.conv2d(x, given["weight"], given.get("bias"), given["strides"], groups=given["groups"])
        case "max_pool":
            top, bottom, left, right = given["pad"] if given["pad_type"] == "custom" else (0, 0, 0, 0)
            x = functional.pad(x, (left, right, top, bottom), value=-torch.inf)
            return functional.max_pool2d(x, given["kernel_sizes"], given["strides"])
        case "reduce_mean":
            return x.mean(dim=given["axes"], keepdim=given["keep_dims"])
        case "linear":
            return functional.linear(x, given["weight"], given.get("bias"))
        case "reshape":
            return x.reshape(given["shape"])
        case "concat":
            return torch.cat(parts, dim=given["axis"])
        case "relu" | "relu6":
            return x.clamp(0, 6 if kind == "relu6" else None)
        case "sigmoid_hard":
            return (x * float(given["alpha"]) + float(given["beta"])).clamp(0, 1)
        case "softmax":
            return x.softmax(dim=given["axis"])
    raise AssertionError(f"the program holds {kind}, which this test does not know")


def probabilities(model: Model, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """What the Model gives for images, (N, classes)."""
    (logits,) = reference.run_reference(model, pixels).values()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def check(network: Network, folder: Path, seed: int) -> None:
    """Write a Model with random parameters and run the package on two images."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, network)
    to_coreml(model, folder / "model.mlpackage")
    package, pixels = Package(folder / "model.mlpackage"), random_pixels(rng, network, 2)
    found = np.stack([package.probabilities(image) for image in pixels])
    np.testing.assert_allclose(found, probabilities(model, pixels), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CATALOG)
def test_every_architecture_gives_the_models_probabilities(name: str, tmp_path: Path) -> None:
    check(CATALOG[name](width_multiplier=0.25, resolution=96, classes=7), tmp_path, 0)


@pytest.mark.parametrize("seed", range(8))
def test_random_classifiers_give_the_models_probabilities(seed: int, tmp_path: Path) -> None:
    network = random_network(np.random.default_rng(seed))
    if len(network.outputs) != 1 or network.shapes[network.outputs[0]][1:] != (1, 1) or network.channels != 3:
        with pytest.raises(FormatError):
            to_coreml(random_model(np.random.default_rng(seed), network), tmp_path / "model.mlpackage")
        return
    check(network, tmp_path, seed)


def test_a_package_is_a_classifier_of_images_with_the_models_labels(tmp_path: Path) -> None:
    network = CATALOG["mobilenet_v1"](width_multiplier=0.25, resolution=64, classes=3)
    model = replace(random_model(np.random.default_rng(0), network), task=Classification(("Kätzchen", "Hund", "Maus")))
    to_coreml(model, tmp_path / "model.mlpackage", half=True)
    package = Package(tmp_path / "model.mlpackage")
    description = package.spec.description
    (image,) = description.input
    assert (image.name, image.type.imageType.width, image.type.imageType.height) == ("image", 64, 64)
    assert description.predictedFeatureName == "classLabel"
    assert package.kinds[-1] == "classify"
    found = package.probabilities(random_pixels(np.random.default_rng(1), network, 1)[0])
    expected = probabilities(model, random_pixels(np.random.default_rng(1), network, 1))[0]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_no_two_classes_share_a_key_of_the_answers_dictionary(tmp_path: Path) -> None:
    network = CATALOG["mobilenet_v1"](width_multiplier=0.25, resolution=32, classes=4)
    model = replace(
        random_model(np.random.default_rng(0), network), task=Classification(("crane", "crow", "crane", "crane (2)"))
    )
    to_coreml(model, tmp_path / "model.mlpackage")
    assert Package(tmp_path / "model.mlpackage").labels == ["crane", "crow", "crane (2) (2)", "crane (2)"]
