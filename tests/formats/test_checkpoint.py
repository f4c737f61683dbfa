"""Checkpoints of timm and torchvision: every family by its names, at any width.

What the frameworks have is held here as a hash of every name and shape of their own networks, so that names which this
package only reads back from itself would not do. The hashes, and the answers of all networks with random weights, were
compared once with timm 1.0.31 and torchvision 0.29.1 (docs/experiments/families.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.conftest import shared
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v3 import TORCHVISION_ENDS
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.engine.session import Session
from mobilenets.errors import EngineError, FormatError
from mobilenets.formats.importing import import_model
from mobilenets.formats.names import CheckpointNames, timm_names, torchvision_names
from mobilenets.formats.pytorch import from_pytorch
from mobilenets.formats.timm import from_timm
from mobilenets.model import reference
from mobilenets.model.model import Model, Tensor
from mobilenets.tasks.classification import class_count

TIMM = {checkpoint.network: checkpoint for checkpoint in timm_names()}
TORCHVISION_V2, TORCHVISION_V2_BEFORE, TORCHVISION_V3_SMALL, TORCHVISION_V3_LARGE = torchvision_names()


def tensors_of(model: Model, checkpoint: CheckpointNames, *, hidden_is_linear: bool = False) -> dict[str, Tensor]:
    """A Model's parameters under a checkpoint's names."""
    theirs = {ours: name for name, ours in reversed(list(checkpoint.rows.items()))}
    tensors: dict[str, Tensor] = {}
    for name, value in model.parameters.items():
        layer, _, kind = name.rpartition(".")
        shaped = value[:, :, 0, 0] if hidden_is_linear and name == "hidden.weight" else value
        tensors[f"{theirs[layer]}.{kind}"] = shaped
    return tensors


def listing(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, str]:
    """How many tensors, and a hash of their names and shapes."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def model_of(network: Network) -> Model:
    return random_model(np.random.default_rng(0), network)


@pytest.mark.parametrize(
    ("network", "width_multiplier", "count", "digest"),
    [
        ("mobilenet_v1", 1.0, 137, "e250f51a0cb24476"),
        ("mobilenet_v1", 1.25, 137, "911363337b67a9f3"),
        ("mobilenet_v1_h", 1.0, 142, "df8ee1dbb280ab86"),
        ("mobilenet_v2", 0.35, 262, "92c80eca17d9e551"),
        ("mobilenet_v2", 0.5, 262, "39fd84fdc02983db"),
        ("mobilenet_v2", 1.0, 262, "f80c23110dfdfaab"),
        ("mobilenet_v2", 1.4, 262, "5c9f343d9d87b311"),
        ("mobilenet_v3_small", 0.5, 210, "f30b75a0297da249"),
        ("mobilenet_v3_small", 0.75, 210, "41066692aeb9c7d1"),
        ("mobilenet_v3_small", 1.0, 210, "2f71436315921079"),
        ("mobilenet_v3_small_minimalistic", 1.0, 174, "3595557c8fce0738"),
        ("mobilenet_v3_large", 0.75, 266, "2a5b2a06e81dee91"),
        ("mobilenet_v3_large", 1.0, 266, "577e14f5662a0b4f"),
        ("mobilenet_v3_large_minimalistic", 1.0, 234, "517aebebb6771a69"),
        ("mobilenet_v4_conv_small", 0.35, 232, "ea845937f222cfa5"),
        ("mobilenet_v4_conv_small", 0.5, 232, "98465a5219d566eb"),
        ("mobilenet_v4_conv_small", 1.0, 232, "2131d38bb2b714ae"),
        ("mobilenet_v4_conv_medium", 1.0, 387, "60fc24be553301cd"),
        ("mobilenet_v4_conv_large", 1.0, 512, "f9d81a70f905f146"),
    ],
)
def test_names_and_shapes_are_those_of_timm(network: str, width_multiplier: float, count: int, digest: str) -> None:
    shapes = CATALOG[network](width_multiplier=width_multiplier).parameter_shapes()
    theirs = {ours: name for name, ours in TIMM[network].rows.items()}
    named = {f"{theirs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": shape for name, shape in shapes.items()}
    assert listing(named) == (count, digest)


@pytest.mark.parametrize(
    ("checkpoint", "width_multiplier", "classes", "count", "digest"),
    [
        (TORCHVISION_V2, 1.0, 1000, 262, "1f27e3d93ac9d0ff"),
        (TORCHVISION_V2, 0.6, 7, 262, "e40cf7ce617c5524"),
        (TORCHVISION_V3_SMALL, 1.0, 1000, 210, "c9434bf8fbe13322"),
        (TORCHVISION_V3_LARGE, 1.0, 1000, 266, "3abde803707966e4"),
    ],
)
def test_names_and_shapes_are_those_of_torchvision(
    checkpoint: CheckpointNames, width_multiplier: float, classes: int, count: int, digest: str
) -> None:
    network = CATALOG[checkpoint.network](width_multiplier=width_multiplier, classes=classes)
    tensors = tensors_of(model_of(network), checkpoint, hidden_is_linear=True)
    assert listing({name: value.shape for name, value in tensors.items()}) == (count, digest)


def torch_born(name: str, epsilon: float = 1e-5, **settings: Any) -> Model:
    if name.startswith("mobilenet_v1"):
        settings["activation"] = Activation.RELU6
    build: Callable[..., Network] = CATALOG[name]
    network = build(batch_norm=BatchNorm(epsilon), padding_policy=PaddingPolicy.SYMMETRIC, **{"classes": 5, **settings})
    return model_of(network)


def assert_same(first: Model, second: Model) -> None:
    assert first.network == second.network
    assert first.parameters.keys() == second.parameters.keys()
    for name, value in first.parameters.items():
        np.testing.assert_array_equal(value, second.parameters[name])


@pytest.mark.parametrize(
    ("name", "width_multiplier"),
    [
        *[(name, 1.0) for name in TIMM if "large" not in name],
        *[("mobilenet_v1", width) for width in (0.25, 1.25)],
        *[("mobilenet_v2", width) for width in (0.35, 0.6, 0.75, 1.4)],
        *[("mobilenet_v3_small", width) for width in (0.35, 0.5, 0.75, 1.5)],
        *[("mobilenet_v3_large", width) for width in (0.75, 1.0)],
        *[("mobilenet_v4_conv_small", width) for width in (0.35, 0.5)],
    ],
)
def test_a_file_of_timm_is_read_with_its_width(tmp_path: Path, name: str, width_multiplier: float) -> None:
    model = torch_born(name, resolution=224, width_multiplier=width_multiplier)
    save_file(tensors_of(model, TIMM[name]), tmp_path / "model.safetensors")
    assert_same(from_timm(tmp_path / "model.safetensors"), model)


@pytest.mark.parametrize("checkpoint", [TORCHVISION_V2, TORCHVISION_V2_BEFORE, TORCHVISION_V3_SMALL])
@pytest.mark.parametrize("width_multiplier", [0.6, 1.0])
def test_a_file_of_torchvision_is_read(tmp_path: Path, checkpoint: CheckpointNames, width_multiplier: float) -> None:
    v3 = "v3" in checkpoint.network
    ends = {"ends": TORCHVISION_ENDS} if v3 else {}
    model = torch_born(checkpoint.network, 1e-3 if v3 else 1e-5, width_multiplier=width_multiplier, **ends)
    tensors = tensors_of(model, checkpoint, hidden_is_linear=True)
    tensors["features.1.conv.0.1.num_batches_tracked"] = np.array(7)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, tmp_path / "w.safetensors")
    assert_same(from_pytorch(tmp_path / "w.safetensors"), model)


@pytest.mark.parametrize("name", ["fc", "classifier", "classifier.0", "classifier.1.1", "head.1", "output"])
def test_a_head_of_one_layer_may_be_called_as_people_like(name: str, tmp_path: Path) -> None:
    model = torch_born("mobilenet_v2", 1e-5, width_multiplier=0.35, classes=3)
    tensors = tensors_of(model, TORCHVISION_V2)
    for kind in ("weight", "bias"):
        tensors[f"{name}.{kind}"] = tensors.pop(f"classifier.1.{kind}")
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, tmp_path / "w.safetensors")
    assert_same(from_pytorch(tmp_path / "w.safetensors"), model)
    tensors["fc2.weight"] = np.ones((3, 3), np.float32)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, tmp_path / "w.safetensors")
    with pytest.raises(FormatError, match="belongs to no layer"):
        from_pytorch(tmp_path / "w.safetensors")


def test_a_network_without_its_classifier_is_said_to_give_features(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v2", 1e-5, width_multiplier=0.35), TORCHVISION_V2)
    body = {key: np.ascontiguousarray(value) for key, value in tensors.items() if not key.startswith("classifier")}
    save_file(body, tmp_path / "w.safetensors")
    model = import_model(tmp_path / "w.safetensors")
    assert model.summary.endswith("1,280 features")
    for ask in (Classifier(model).predict, Predictor(model).predict):
        with pytest.raises(EngineError, match="gives 1,280 features and no classes, as it has no classifier: train"):
            ask(np.zeros((8, 8, 3), np.uint8))


def test_a_narrow_network_has_the_shortcuts_of_its_own_width(tmp_path: Path) -> None:
    model = torch_born("mobilenet_v3_small", width_multiplier=0.5)
    save_file(tensors_of(model, TIMM["mobilenet_v3_small"]), tmp_path / "model.safetensors")
    names = [layer.name for layer in from_timm(tmp_path / "model.safetensors").network.layers]
    assert "block7.add" in names
    assert "block7.add" not in [layer.name for layer in CATALOG["mobilenet_v3_small"]().layers]


def test_weights_that_tensorflow_trained_are_padded_as_there(tmp_path: Path) -> None:
    network = CATALOG["mobilenet_v3_small"](classes=5)
    save_file(tensors_of(model_of(network), TIMM["mobilenet_v3_small"]), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "tf_mobilenetv3_small_100"}))
    assert from_timm(tmp_path).network == network


def test_the_network_before_v3_has_its_own_gates_and_one_shortcut_less(tmp_path: Path) -> None:
    model = torch_born("mobilenet_v3_large")
    tensors = tensors_of(model, TIMM["mobilenet_v3_large"])
    del tensors["conv_head.bias"]
    # It has no multiples of eight in its squeeze-and-excites: a quarter of 72 is 18 there.
    tensors["blocks.2.0.se.conv_reduce.weight"] = np.ones((18, 72, 1, 1), np.float32)
    tensors["blocks.2.0.se.conv_reduce.bias"] = np.ones(18, np.float32)
    tensors["blocks.2.0.se.conv_expand.weight"] = np.ones((72, 18, 1, 1), np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    network = from_timm(tmp_path / "model.safetensors").network
    assert network["block2.expand"].inputs == ("block1.project",)
    assert network["block4.se.reduce"].activation is Activation.RELU
    assert network["block11.se.reduce"].activation is Activation.HARD_SWISH


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"])
@pytest.mark.parametrize("dropped", [("classifier",), ("classifier", "conv_head", "norm_head")])
def test_without_a_classifier_it_gives_features(tmp_path: Path, name: str, dropped: tuple[str, ...]) -> None:
    tensors = tensors_of(torch_born(name), TIMM[name])
    if name == "mobilenet_v2":
        dropped = ("classifier",)
    kept = {key: value for key, value in tensors.items() if key.partition(".")[0] not in dropped}
    save_file(kept, tmp_path / "model.safetensors")
    model = from_timm(tmp_path / "model.safetensors")
    last = "pool" if len(dropped) == 3 or name == "mobilenet_v2" else "hidden"
    assert model.network.outputs == (last,)
    assert class_count(model.network) == model.network.shapes[last].channels


def refusal(tmp_path: Path, tensors: dict[str, Tensor]) -> str:
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(FormatError) as caught:
        import_model(tmp_path / "model.safetensors")
    return str(caught.value)


def test_a_network_of_no_known_family_is_told_the_nearest(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v4_conv_medium", resolution=64), TIMM["mobilenet_v4_conv_medium"])
    tensors["blocks.2.8.attn.query.weight"] = np.ones((4, 4), np.float32)
    assert refusal(tmp_path, tensors) == (
        "blocks.2.8.attn.query.weight belongs to no layer of timm's mobilenet_v4_conv_medium, which is the nearest of "
        "the networks that are known by their names: it has 155 of the file's 156 layers"
    )


def test_half_a_network_is_said_to_be_a_part(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v2"), TIMM["mobilenet_v2"])
    half = dict(list(tensors.items())[: len(tensors) // 2])
    assert refusal(tmp_path, half) == (
        "the tensor for block10.expand.weight is missing; the file holds 27 of the 53 layers of mobilenet_v2 and may "
        "be one of several parts of it"
    )


@pytest.mark.parametrize("family", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"])
def test_so_is_the_second_half_which_has_no_first_layer(family: str, tmp_path: Path) -> None:
    tensors = tensors_of(torch_born(family), TIMM[family])
    half = dict(list(tensors.items())[len(tensors) // 2 :])
    said = refusal(tmp_path, half)
    assert said.startswith("the tensor for stem.weight is missing; the file holds")
    assert said.endswith("and may be one of several parts of it")


def test_so_is_what_begins_at_a_stage_though_other_networks_have_layers_of_those_names(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v3_small"), TIMM["mobilenet_v3_small"])
    first = ("conv_stem", "bn1", "blocks.0", "blocks.1")
    part = {name: value for name, value in tensors.items() if not name.startswith(first)}
    part["classifier.bias"] = np.zeros(1000, np.float32)
    assert refusal(tmp_path, part) == (
        "the tensor for stem.weight is missing; the file holds 43 of the 54 layers of mobilenet_v3_small and may be "
        "one of several parts of it"
    )


def test_a_network_of_other_names_is_told_the_nearest_and_what_does_not_fit(tmp_path: Path) -> None:
    shapes = {"conv1.weight": (64, 3, 7, 7), "bn1.weight": (64,), "layer1.0.conv1.weight": (64, 64, 3, 3)}
    said = refusal(tmp_path, {name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    assert "are of no MobileNet whose names are known" in said
    assert "it has 1 of the file's 3 layers; the first that does not fit is conv1.weight (64×3×7×7)" in said


def test_a_network_whose_layers_have_other_names_is_told_the_nearest_by_its_shapes(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v3_small"), TIMM["mobilenet_v3_small"])
    foreign = {f"body{number}.{name.rpartition('.')[2]}": value for number, (name, value) in enumerate(tensors.items())}
    foreign["body0.patch"] = np.ones((40, 3, 4, 4), np.float32)
    said = refusal(tmp_path, foreign)
    assert "None of its layers has a name of theirs; by the shapes of its weights the nearest is mobilenet_v3_" in said
    assert "the first that does not fit is body0.patch (40×3×4×4)" in said


def test_one_missing_layer_is_named(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v2"), TIMM["mobilenet_v2"])
    del tensors["blocks.3.1.conv_dw.weight"]
    assert "the tensor for block8.depthwise.weight is missing; the file holds 52" in refusal(tmp_path, tensors)


def test_channels_that_no_width_gives_are_refused_by_name(tmp_path: Path) -> None:
    tensors = tensors_of(torch_born("mobilenet_v2"), TIMM["mobilenet_v2"])
    tensors["blocks.3.1.conv_pw.weight"] = np.ones((100, 64, 1, 1), np.float32)
    assert refusal(tmp_path, tensors).startswith(
        "blocks.3.1.conv_pw.weight has 100 output channels; with 320 in block17.project, mobilenet_v2 has 384 there"
    )


def test_another_network_of_timm_is_refused_by_its_configuration(tmp_path: Path) -> None:
    save_file(tensors_of(torch_born("mobilenet_v2"), TIMM["mobilenet_v2"]), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "efficientnet_b0"}))
    with pytest.raises(FormatError, match="the configuration says 'efficientnet_b0'"):
        from_timm(tmp_path)


def test_torchvisions_v2_answers_as_torchvision() -> None:
    model = import_model(shared("weights/mobilenet_v2_torchvision.pth"))
    assert (model.network.name, model.network.width_multiplier) == ("mobilenet_v2", 1.0)
    golden, pixels = np.load(shared("weights/golden_v2.npz")), np.load(shared("weights/golden.npz"))["pixels_224"]
    logits, features = golden["logits"], golden["features"]
    largest = np.abs(logits).max()
    found = reference.activations(model, pixels[:2])
    np.testing.assert_allclose(found["classifier"].reshape(2, -1), logits[:2], atol=1e-4 * largest)
    np.testing.assert_allclose(found["pool"].reshape(2, -1), features[:2], atol=1e-4 * np.abs(features).max())
    answers = Session(model).run(pixels)
    np.testing.assert_allclose(answers, logits, atol=1e-4 * largest)
    assert (answers.argmax(axis=1) == logits.argmax(axis=1)).all()
