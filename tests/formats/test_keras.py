"""Keras files become Models that answer as Keras answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import shared
from tests.support.keras_files import (
    KerasLayer,
    KerasNested,
    Part,
    base_layers,
    batch_norm,
    convolution,
    dense,
    write_keras,
)

from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.keras.config import read_configuration
from mobilenets.formats.keras.read import from_keras
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.tasks.classification import Classification

SIZE = 64  # whose last map is 2×2
RNG = np.random.default_rng(5)
FORMS = ["model.keras", "model.h5"]
POOL = KerasLayer("GlobalAveragePooling2D", "pool", {"keepdims": False})
FLATTEN = KerasLayer("Flatten", "flatten")
KERNEL, BIAS = RNG.normal(0, 0.1, (256, 3)).astype(np.float32), RNG.normal(0, 0.1, 3).astype(np.float32)
STATISTICS = [RNG.uniform(0.5, 1.5, 256).astype(np.float32) for _ in range(4)]
HEAD = dense("out", KERNEL, BIAS, "softmax")


def random(*shape: int) -> Any:
    return RNG.normal(0, 0.1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def whole() -> Model:
    """MobileNet V1 of quarter width whose maps are neither all zero nor all clipped."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=SIZE, classes=1, activation=Activation.RELU6)
    rng = np.random.default_rng(3)
    parameters: dict[str, Any] = {}
    for name, shape in network.parameter_shapes().items():
        scale = (2.0 / max(int(np.prod(shape[1:])), 1)) ** 0.5 if name.endswith(".weight") and len(shape) > 1 else 0.2
        value = rng.normal(0, scale, shape)
        if name.endswith(("batch_norm.weight", "running_var")):
            value = rng.uniform(0.8, 1.2, shape)
        parameters[name] = value.astype(np.float32)
    return Model(network, parameters, Classification(("thing",)))


@pytest.fixture(scope="module")
def pixels() -> Any:
    return np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


def last_map(whole: Model, pixels: Any, preprocessing: Preprocessing | None = None) -> Any:
    """What the base network makes of images, channels last as Keras has them."""
    model = replace(whole, preprocessing=preprocessing or Preprocessing())
    return reference.activations(model, pixels)["block13.pointwise"].transpose(0, 2, 3, 1)


def read(path: Path, model: Sequence[Part], shape: Sequence[int | None] = (SIZE, SIZE, 3), **compiled: Any) -> Model:
    """Write a Keras file, import it, and save and load the Model."""
    imported = from_keras(write_keras(path, model, shape, **compiled), resolution=SIZE)
    save(imported, path.with_suffix(".safetensors"))
    return load(path.with_suffix(".safetensors"))


def assert_answers(model: Model, pixels: Any, expected: Any) -> None:
    got = Session(model).run(pixels)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def base(whole: Model) -> KerasNested:
    return KerasNested("mobilenet_0.25_64", base_layers(whole))


def mean(maps: Any) -> Any:
    return maps.mean(axis=(1, 2))


def relu(values: Any) -> Any:
    return np.maximum(values, 0)


def normalized(values: Any) -> Any:
    gamma, beta, center, variance = STATISTICS
    return gamma * (values - center) / np.sqrt(variance + 1e-3) + beta


W1, B1, W2 = random(256, 8), random(8), random(8, 3)
WIDE = random(1024, 3)
PLAIN = Classification(("0", "1", "2"))
HEADS: dict[str, tuple[list[KerasLayer], Callable[[Any], Any]]] = {
    "one Dense": ([POOL, KerasLayer("Dropout", "drop"), HEAD], lambda maps: mean(maps) @ KERNEL + BIAS),
    "two Dense": (
        [POOL, dense("fc1", W1, B1, "relu"), KerasLayer("Dropout", "drop"), dense("fc2", W2)],
        lambda maps: relu(mean(maps) @ W1 + B1) @ W2,
    ),
    "a ReLU layer": (
        [POOL, dense("fc1", W1, B1), KerasLayer("ReLU", "relu", {"max_value": None}), dense("fc2", W2)],
        lambda maps: relu(mean(maps) @ W1 + B1) @ W2,
    ),
    "batch norm before Dense": (
        [POOL, batch_norm("bn", STATISTICS), HEAD],
        lambda maps: normalized(mean(maps)) @ KERNEL + BIAS,
    ),
    "batch norm behind Dense": (
        [POOL, dense("fc1", W1, B1), batch_norm("bn", [part[:8] for part in STATISTICS]), dense("fc2", W2)],
        lambda maps: (
            (
                STATISTICS[0][:8] * (mean(maps) @ W1 + B1 - STATISTICS[2][:8]) / np.sqrt(STATISTICS[3][:8] + 1e-3)
                + STATISTICS[1][:8]
            )
            @ W2
        ),
    ),
    "batch norm on the map": (
        [batch_norm("bn", STATISTICS), KerasLayer("GlobalMaxPooling2D", "max"), HEAD],
        lambda maps: normalized(maps).max(axis=(1, 2)) @ KERNEL + BIAS,
    ),
    "flatten": ([FLATTEN, dense("out", WIDE)], lambda maps: maps.reshape(len(maps), -1) @ WIDE),
    "largest value": (
        [KerasLayer("GlobalMaxPooling2D", "max"), HEAD],
        lambda maps: maps.max(axis=(1, 2)) @ KERNEL + BIAS,
    ),
    "average of the whole map": (
        [KerasLayer("AveragePooling2D", "avg", {"pool_size": [2, 2], "padding": "valid"}), FLATTEN, HEAD],
        lambda maps: mean(maps) @ KERNEL + BIAS,
    ),
    "1×1 convolution": (
        [
            KerasLayer("GlobalAveragePooling2D", "pool", {"keepdims": True}),
            convolution("conv", KERNEL[None, None], padding="valid"),
            KerasLayer("Reshape", "reshape", {"target_shape": [3]}),
            KerasLayer("Activation", "act", {"activation": "softmax"}),
        ],
        lambda maps: mean(maps) @ KERNEL,
    ),
    "convolution, then average": (
        [convolution("conv", KERNEL[None, None]), POOL, KerasLayer("Softmax", "softmax")],
        lambda maps: mean(maps @ KERNEL),
    ),
    "Dense on every pixel": (
        [dense("fc1", W1, B1, "relu"), FLATTEN, dense("fc2", WIDE[:32])],
        lambda maps: relu(maps @ W1 + B1).reshape(len(maps), -1) @ WIDE[:32],
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("head", HEADS)
def test_heads_as_people_write_them(tmp_path: Path, whole: Model, pixels: Any, form: str, head: str) -> None:
    layers, computed = HEADS[head]
    model = read(tmp_path / form, [base(whole), *layers], loss="categorical_crossentropy")
    assert model.network.name.startswith("mobilenet_v1")
    assert model.network.width_multiplier == 0.25
    assert_answers(model, pixels, computed(last_map(whole, pixels)))


ADAPTED: dict[str, Any] = {
    "mean": np.array([102, 51, 127.5], np.float32),
    "variance": np.array([3251] * 3, np.float32),
    "count": np.array(9),
}
SCALED: dict[str, tuple[list[KerasLayer], Preprocessing]] = {
    "preprocess_input of Keras 3": (
        [KerasLayer("TrueDivide", "div", {}, {}, (127.5,)), KerasLayer("Subtract", "sub", {}, {}, (1.0,))],
        Preprocessing(),
    ),
    "preprocess_input of Keras 2": (
        [
            KerasLayer("TFOpLambda", "tf.math.truediv", {"function": "math.truediv"}, {}, (127.5,)),
            KerasLayer("TFOpLambda", "tf.math.subtract", {"function": "math.subtract"}, {}, (1.0,)),
        ],
        Preprocessing(),
    ),
    "Rescaling": (
        [KerasLayer("RandomFlip", "flip"), KerasLayer("Rescaling", "scale", {"scale": 1 / 255, "offset": 0.0})],
        Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)),
    ),
    "Normalization": (
        [KerasLayer("Normalization", "n", {"axis": [-1], "mean": [[[[102.0, 51, 127.5]]]], "variance": [3251.0] * 3})],
        Preprocessing(mean=(0.4, 0.2, 0.5), std=(3251**0.5 / 255,) * 3),
    ),
    "adapted Normalization": (
        [
            KerasLayer(
                "Normalization",
                "n",
                {"axis": [-1], "mean": None, "variance": None},
                ADAPTED,
            )
        ],
        Preprocessing(mean=(0.4, 0.2, 0.5), std=(3251**0.5 / 255,) * 3),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scaling", SCALED)
def test_what_is_done_to_pixels_is_the_preprocessing(
    tmp_path: Path, whole: Model, pixels: Any, form: str, scaling: str
) -> None:
    layers, preprocessing = SCALED[scaling]
    model = read(tmp_path / form, [*layers, base(whole), POOL, HEAD])
    assert model.preprocessing.mean == pytest.approx(preprocessing.mean, abs=1e-6)
    assert model.preprocessing.std == pytest.approx(preprocessing.std, abs=1e-6)
    assert model.provenance["imported"]["known"] == {"input_scaling": "the model's own layers"}
    assert_answers(model, pixels, mean(last_map(whole, pixels, preprocessing)) @ KERNEL + BIAS)


def index(last: Any) -> tuple[Any, ...]:
    """What ``x[..., last]`` is written as."""
    return ([{"class_name": "__ellipsis__", "config": {}}, last],)


BACKWARDS = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": -1}}
REVERSED = {
    "slice": [KerasLayer("GetItem", "reverse", {}, {}, index(BACKWARDS))],
    "flip": [KerasLayer("Flip", "flip", {"axis": -1})],
    "take": [KerasLayer("Take", "take", {"axis": -1}, {}, ([2, 1, 0],))],
}
CAFFE = [103.939, 116.779, 123.68]
"""Means of blue, green and red that Keras' ``preprocess_input`` of VGG and ResNet subtracts."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", REVERSED)
def test_a_network_for_bgr_reads_rgb(tmp_path: Path, whole: Model, pixels: Any, form: str, how: str) -> None:
    means = KerasLayer("Subtract", "means", {}, {}, (CAFFE,))
    model = read(tmp_path / form, [*REVERSED[how], means, base(whole), POOL, HEAD])
    of_bgr = Preprocessing(mean=tuple(value / 255 for value in CAFFE), std=(1 / 255,) * 3)  # type: ignore[arg-type]
    assert_answers(model, pixels, mean(last_map(whole, pixels[..., ::-1], of_bgr)) @ KERNEL + BIAS)
    assert model.preprocessing.mean == pytest.approx([value / 255 for value in CAFFE[::-1]], abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_channels_that_are_cut_off_are_refused(tmp_path: Path, whole: Model, form: str) -> None:
    first = {"class_name": "__slice__", "config": {"start": 0, "stop": 2, "step": None}}
    path = write_keras(tmp_path / form, [KerasLayer("GetItem", "g", {}, {}, index(first)), base(whole)], (64, 64, 3))
    with pytest.raises(FormatError, match=r"reads some channels of the image only"):
        from_keras(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_grey_image_that_is_repeated_is_read(tmp_path: Path, whole: Model, pixels: Any, form: str) -> None:
    repeat = KerasLayer("Repeat", "repeat", {"repeats": 3, "axis": -1})
    model = read(tmp_path / form, [repeat, base(whole), POOL, HEAD], (SIZE, SIZE, 1))
    assert model.network.channels == 1
    grey = np.repeat(pixels[..., :1], 3, axis=3)
    assert_answers(
        replace(model, preprocessing=replace(model.preprocessing, channels=1)),
        pixels[..., :1],
        mean(last_map(whole, grey)) @ KERNEL + BIAS,
    )


def test_scaling_that_the_file_does_not_say_is_not_called_known(tmp_path: Path, whole: Model) -> None:
    model = read(tmp_path / "model.keras", [base(whole), POOL, HEAD])
    assert not model.provenance["imported"]["known"]


@pytest.mark.parametrize("form", FORMS)
def test_one_sigmoid_becomes_two_classes(tmp_path: Path, whole: Model, pixels: Any, form: str) -> None:
    model = read(tmp_path / form, [base(whole), POOL, dense("out", KERNEL[:, :1], BIAS[:1], "sigmoid")])
    logit = mean(last_map(whole, pixels)) @ KERNEL[:, :1] + BIAS[:1]
    assert_answers(model, pixels, np.concatenate([-logit / 2, logit / 2], axis=1))
    assert model.labels == ("0", "1")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", ["binary_crossentropy", {"class_name": "BinaryCrossentropy", "config": {}}])
def test_one_output_is_a_logit_where_the_loss_says_so(tmp_path: Path, whole: Model, form: str, loss: Any) -> None:
    parts: list[Part] = [base(whole), POOL, dense("out", KERNEL[:, :1], BIAS[:1])]
    assert read(tmp_path / form, parts, loss=loss).labels == ("0", "1")


def test_one_output_of_unknown_meaning_needs_names(tmp_path: Path, whole: Model) -> None:
    path = write_keras(tmp_path / "m.keras", [base(whole), POOL, dense("out", KERNEL[:, :1])], (SIZE, SIZE, 3))
    with pytest.raises(FormatError, match=r"a logit of two classes, or a regression.*labels=FILE"):
        from_keras(path)
    assert from_keras(path, labels=("cat", "dog")).labels == ("cat", "dog")


def test_several_sigmoids_are_refused(tmp_path: Path, whole: Model) -> None:
    path = write_keras(tmp_path / "m.keras", [base(whole), POOL, dense("out", KERNEL, BIAS, "sigmoid")], (64, 64, 3))
    with pytest.raises(FormatError, match=r"ends in 3 sigmoids.*classes that do not exclude each other"):
        from_keras(path)


@pytest.mark.parametrize("form", FORMS)
def test_sequential_of_sequential(tmp_path: Path, whole: Model, pixels: Any, form: str) -> None:
    """As Teachable Machine saves them."""
    head = KerasNested("sequential_3", (dense("fc1", W1, B1, "relu"), dense("fc2", W2, None, "softmax")), "Sequential")
    features = KerasNested("sequential_1", (*base_layers(whole), POOL), "Sequential")
    model = read(tmp_path / form, [features, head])
    assert_answers(model, pixels, relu(mean(last_map(whole, pixels)) @ W1 + B1) @ W2)
    assert [layer.name for layer in model.network.layers[-3:]] == ["pool", "hidden", "classifier"]


@pytest.mark.parametrize("form", FORMS)
def test_layers_of_one_name_in_two_models(tmp_path: Path, whole: Model, pixels: Any, form: str) -> None:
    model = read(tmp_path / form, [base(whole), POOL, dense("conv1", KERNEL, BIAS)])
    assert_answers(model, pixels, mean(last_map(whole, pixels)) @ KERNEL + BIAS)


def test_resizing_within_the_model_is_the_preprocessing(tmp_path: Path, whole: Model) -> None:
    resize = KerasLayer("Resizing", "resizing", {"height": SIZE, "width": SIZE, "interpolation": "bicubic"})
    path = write_keras(tmp_path / "m.keras", [resize, base(whole), POOL, HEAD], (None, None, 3))
    model = from_keras(path)
    assert (model.network.height, model.network.width) == (SIZE, SIZE)
    assert (model.preprocessing.fit, model.preprocessing.interpolation) == (ResizeMode.SQUASH, "bicubic")
    assert set(model.provenance["imported"]["known"]) == {"crop", "resize", "interpolation"}


def test_a_grey_network_reads_one_channel(tmp_path: Path, whole: Model) -> None:
    first, *others = base_layers(whole)
    kernel = others[0].variables["kernel"].sum(axis=2, keepdims=True)
    layers = (first, replace(others[0], variables={"kernel": kernel}), *others[1:])
    model = read(tmp_path / "m.keras", [KerasNested("base", layers), POOL, HEAD], (SIZE, SIZE, 1))
    assert model.network.channels == 1
    assert model.network.name == "mobilenet_v1"


# Weights alone


@pytest.mark.parametrize(
    ("head", "assumed"),
    [
        ("one Dense", None),
        ("two Dense", "ReLU after dense"),
        ("batch norm before Dense", "ε 0.001 in batch_normalization"),
        ("flatten", None),
        ("largest value", None),
        ("average of the whole map", "a global average pool"),
        ("1×1 convolution", None),
    ],
)
def test_weights_alone_say_what_is_assumed(
    tmp_path: Path, whole: Model, pixels: Any, head: str, assumed: str | None
) -> None:
    layers, computed = HEADS[head]
    model = read(tmp_path / "model.weights.h5", [base(whole), *layers])
    assert_answers(model, pixels, computed(last_map(whole, pixels)))
    assert model.provenance["imported"].get("assumed") == assumed


def test_weights_that_fit_nowhere_are_named(tmp_path: Path, whole: Model) -> None:
    path = write_keras(tmp_path / "m.weights.h5", [base(whole), POOL, dense("out", random(100, 3))], (64, 64, 3))
    with pytest.raises(FormatError, match=r"layers/dense/vars holds .*\(100, 3\).* fits nowhere behind 256 channels"):
        from_keras(path, resolution=SIZE)


def test_weights_of_another_network_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "m.weights.h5", [convolution("c", random(3, 3, 3, 8))], (64, 64, 3))
    with pytest.raises(FormatError, match=r"found 0 depthwise layers; .*save the whole model"):
        from_keras(path)


# What is refused


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (KerasLayer("LSTM", "memory"), "layer 'memory' is a LSTM, which this package does not have"),
        (KerasLayer("Lambda", "own"), "layer 'own' is a Lambda: Python code of its author, which is not run"),
        (dense("fc", KERNEL, BIAS, "gelu"), "layer 'fc' has activation 'gelu', which this package does not have"),
        (KerasLayer("LeakyReLU", "leaky"), "layer 'leaky' is a LeakyReLU"),
        (KerasLayer("ReLU", "r", {"max_value": 4.0}), "layer 'r' clips at 4"),
        (dense("fc", random(255, 3)), r"fc/vars/0 has shape \(255, 3\)|\(255, 3\).*256 numbers"),
    ],
)
def test_what_no_model_has_is_refused_by_name(tmp_path: Path, whole: Model, layer: KerasLayer, message: str) -> None:
    path = write_keras(tmp_path / "m.keras", [base(whole), POOL, layer], (SIZE, SIZE, 3))
    with pytest.raises(FormatError, match=message):
        from_keras(path)


def test_a_softmax_within_the_network_is_refused(tmp_path: Path, whole: Model) -> None:
    parts: list[Part] = [base(whole), POOL, dense("fc1", W1, B1, "softmax"), dense("fc2", W2)]
    with pytest.raises(FormatError, match=r"layer 'fc2' .* reads the softmax of 'fc1'"):
        from_keras(write_keras(tmp_path / "m.keras", parts, (SIZE, SIZE, 3)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class_name": "MyModel", "config": {}}, "'MyModel' written as a class of its own"),
        ({"class_name": "Functional", "config": {"layers": 3}}, "not readable"),
        ([], "not readable"),
    ],
)
def test_configurations_that_are_none(tmp_path: Path, config: Any, message: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("model_weights/a/a/kernel:0", data=KERNEL)
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(FormatError, match=message):
        from_keras(tmp_path / "m.h5")


def test_models_within_models_do_not_cost_time_without_end() -> None:
    image = {"class_name": "InputLayer", "config": {}, "name": "i"}
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["n0", 0, 0]]}
    model: dict[str, Any] = {"layers": [image], "input_layers": [["i", 0, 0]], "output_layers": [["i", 0, 0]]}
    for _ in range(7):
        inner = {"class_name": "Functional", "config": model, "inbound_nodes": [[["i", 0, 0, {}]]]}
        model = {"layers": [image, *({**inner, "name": f"n{number}"} for number in range(4))], **ends}
    with pytest.raises(FormatError, match="more than 4096 layers"):
        read_configuration(json.dumps({"class_name": "Functional", "config": model}))


# Published files


def test_published_quarter_width_network_gives_keras_logits() -> None:
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    golden = np.load(shared("weights/golden.npz"))
    expected = golden["keras_0.25_224_logits"]
    (logits,) = reference.run_reference(model, golden["pixels_224"][:4]).values()
    largest = np.abs(expected).max(axis=1, keepdims=True)
    assert np.abs((logits - expected[:4]) / largest[:4]).max() < 1e-4


def test_published_file_says_everything_about_its_network() -> None:
    model = from_keras(shared("weights/mobilenet_v1_0.25_224.h5"))
    assert model.network == mobilenet_v1(width_multiplier=0.25, resolution=224, activation=Activation.RELU6)
    assert model.preprocessing.mean == model.preprocessing.std == (0.5, 0.5, 0.5)
    assert len(model.labels) == 1000


def test_the_configuration_is_believed(tmp_path: Path, whole: Model) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=(96, 64), batch_norm=BatchNorm(1e-4), classes=3)
    layers = replace(network, layers=network.layers[:-1], outputs=("pool",))
    parameters = {name: whole.parameters[name] for name in layers.parameter_shapes()}
    features = Model(layers, parameters, Classification.numbered(layers))
    parts: list[Part] = [KerasNested("base", base_layers(features, relu=None)), POOL, HEAD]
    assert from_keras(write_keras(tmp_path / "m.keras", parts, (96, 64, 3))).network == network
