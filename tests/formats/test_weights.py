"""The same weights, as every source writes them, become the same Model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support import foreign
from tests.support.random_models import random_pixels

from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.assumed import PARTS
from mobilenets.formats.containers.hdf5 import read_hdf5
from mobilenets.formats.keras.read import from_keras
from mobilenets.formats.pytorch import from_pytorch
from mobilenets.formats.tf_slim import from_tf_slim
from mobilenets.formats.timm import from_timm
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.classification import Classification, class_count


def model_of(network: Network) -> Model:
    rng = np.random.default_rng(3)
    parameters = {
        name: rng.uniform(0.5, 1.5, shape).astype(np.float32)
        if name.endswith("running_var")
        else rng.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in network.parameter_shapes().items()
    }
    return Model(network, parameters, Classification.numbered(network))


def tensorflow_born(width: float = 0.25, **settings: Any) -> Model:
    return model_of(mobilenet_v1(width_multiplier=width, activation=Activation.RELU6, **{"classes": 7, **settings}))


def torch_born(activation: Activation, width: float = 0.25) -> Model:
    return model_of(
        mobilenet_v1(
            width_multiplier=width,
            classes=7,
            activation=activation,
            batch_norm=BatchNorm(1e-5),
            padding_policy=PaddingPolicy.SYMMETRIC,
        )
    )


def assert_same(first: Model, second: Model) -> None:
    assert first.network == second.network
    for name, value in first.parameters.items():
        np.testing.assert_array_equal(value, second.parameters[name])


def write_hdf5(path: Path, tensors: dict[str, Any], **attributes: Any) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in tensors.items():
            file.create_dataset(name, data=value)
        file.attrs.update(attributes)
    return path


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75, 1.0, 0.3])
def test_keras_weights_of_every_width(tmp_path: Path, width: float) -> None:
    model = tensorflow_born(width)
    assert_same(model, from_keras(write_hdf5(tmp_path / "w.h5", foreign.keras_tensors(model))))


@pytest.mark.parametrize("resolution", [128, 160, 192, 224])
def test_keras_file_names_tell_the_resolution(tmp_path: Path, resolution: int) -> None:
    model = tensorflow_born(resolution=resolution)
    path = write_hdf5(tmp_path / f"mobilenet_2_5_{resolution}_tf.h5", foreign.keras_tensors(model))
    assert_same(model, from_keras(path))


def test_keras_without_top_gives_features(tmp_path: Path) -> None:
    whole = tensorflow_born()
    tensors = {name: value for name, value in foreign.keras_tensors(whole).items() if "preds" not in name}
    model = from_keras(write_hdf5(tmp_path / "mobilenet_2_5_224_tf_no_top.h5", tensors))
    assert model.network.outputs == ("pool",)
    assert class_count(model.network) == 256
    pixels = random_pixels(np.random.default_rng(0), model.network, 1)
    np.testing.assert_array_equal(
        reference.run_reference(model, pixels)["pool"], reference.activations(whole, pixels)["pool"][:, :, 0, 0]
    )


def test_keras_transfer_model_with_a_head_of_its_own(tmp_path: Path) -> None:
    whole = tensorflow_born()
    tensors = {
        f"mobilenet_0.25_224/{name.partition('/')[2]}": value
        for name, value in foreign.keras_tensors(whole).items()
        if "preds" not in name
    }
    kernel, bias = np.ones((256, 3), np.float32), np.arange(3, dtype=np.float32)
    tensors |= {"things/sequential/things/kernel:0": kernel, "things/sequential/things/bias:0": bias}
    model = from_keras(write_hdf5(tmp_path / "transfer.h5", tensors))
    assert class_count(model.network) == 3
    np.testing.assert_array_equal(model.parameters["classifier.weight"], kernel.T)
    np.testing.assert_array_equal(model.parameters["classifier.bias"], bias)


def test_keras_3_names_in_the_old_format(tmp_path: Path) -> None:
    model = tensorflow_born()
    tensors = foreign.keras_tensors(model, suffix="", generation=3)
    assert_same(model, from_keras(write_hdf5(tmp_path / "w.h5", tensors)))


def test_keras_3_weights(tmp_path: Path) -> None:
    model = tensorflow_born()
    assert_same(model, from_keras(write_hdf5(tmp_path / "w.weights.h5", foreign.keras3_tensors(model))))


def test_hdf5_of_the_newest_library(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    model = tensorflow_born()
    tensors = {name.replace("/", "."): value for name, value in foreign.keras_tensors(model).items()}
    with h5py.File(tmp_path / "w.h5", "w", libver="latest") as file:
        for name, value in list(tensors.items())[:6]:
            file.create_dataset(name, data=value)
        file.attrs["model_config"] = "{}"
    found = read_hdf5((tmp_path / "w.h5").read_bytes())
    assert found.attributes == {"model_config": "{}"}
    for name, value in list(tensors.items())[:6]:
        np.testing.assert_array_equal(found.datasets[name], value)


@pytest.mark.parametrize("snappy", [False, True])
def test_tf_slim_prefers_moving_averages(tmp_path: Path, snappy: bool) -> None:
    model = tensorflow_born(resolution=128)
    tensors = foreign.slim_tensors(model)
    averages = {f"{name}/ExponentialMovingAverage": value for name, value in tensors.items()}
    raw = {name: value + 1 for name, value in tensors.items()}
    slots = {f"{name}/RMSProp": value for name, value in tensors.items()}
    step = {"global_step": np.array(7, np.int64)}
    foreign.write_tensor_bundle(tmp_path / "v1_0.25_128.ckpt", raw | averages | slots | step, snappy=snappy)
    for name in ("v1_0.25_128.ckpt", "v1_0.25_128.ckpt.index", "v1_0.25_128.ckpt.data-00000-of-00001", ""):
        assert_same(model, read := from_tf_slim(tmp_path / name))
        assert Provenance.of(read).imported == Imported("tf-slim", "v1_0.25_128.ckpt.index", moving_averages=True)


@pytest.mark.parametrize("width", [1.0, 1.25])
def test_timm_folder(tmp_path: Path, width: float) -> None:
    model = torch_born(Activation.RELU6, width)
    save_file(foreign.timm_tensors(model), tmp_path / "model.safetensors")
    config: dict[str, Any] = {
        "pretrained_cfg": {"interpolation": "bicubic", "crop_pct": 0.95, "mean": [0.5] * 3, "std": [0.5] * 3}
    }
    names = [f"n{index}" for index in range(7)]
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "mobilenetv1_100", "label_names": names, **config})
    )
    read = from_timm(tmp_path)
    assert_same(model, read)
    assert read.labels == tuple(names)
    assert read.preprocessing.crop_fraction == 0.95
    known = dict.fromkeys(PARTS, "config.json")
    expected = Imported("timm", "model.safetensors", architecture="mobilenetv1_100", known=known)
    assert Provenance.of(read).imported == expected


def test_timm_head(tmp_path: Path) -> None:
    whole = torch_born(Activation.RELU6, 1.0)
    tensors = foreign.timm_tensors(whole)
    rng = np.random.default_rng(0)
    tensors["conv_head.weight"] = rng.normal(size=(1024, 1024, 1, 1)).astype(np.float32)
    tensors |= {f"bn2.{name}": np.ones(1024, np.float32) for name in ("weight", "bias", "running_mean", "running_var")}
    save_file(tensors, tmp_path / "model.safetensors")
    model = from_timm(tmp_path / "model.safetensors")
    assert [layer.name for layer in model.network.layers[-4:]] == ["block13.pointwise", "head", "pool", "classifier"]
    np.testing.assert_array_equal(model.parameters["head.weight"], tensors["conv_head.weight"])


def torch_writer(zipped: bool) -> Callable[[dict[str, Any], Path], None]:
    torch = pytest.importorskip("torch")

    def write(tensors: dict[str, Any], path: Path) -> None:
        state = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
        state |= {"model.0.1.num_batches_tracked": torch.tensor(5)}
        torch.save({"state_dict": state, "epoch": 3}, path, _use_new_zipfile_serialization=zipped)

    return write


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_state_dict(tmp_path: Path, zipped: bool) -> None:
    model = torch_born(Activation.RELU)
    tensors = {f"module.{name}": value for name, value in foreign.sequential_tensors(model).items()}
    torch_writer(zipped)(tensors, tmp_path / "checkpoint.pth")
    assert_same(model, from_pytorch(tmp_path / "checkpoint.pth"))


def test_pytorch_half_precisions_and_strides(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch_born(Activation.RELU)
    rounded = {
        name: torch.from_numpy(value.copy()).bfloat16().float().numpy() for name, value in model.parameters.items()
    }
    exact = replace(model, parameters=rounded)
    state = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, value in foreign.sequential_tensors(exact).items()
        for tensor in [torch.from_numpy(value.copy()).bfloat16()]
    }
    torch.save(state, tmp_path / "half.pt")
    assert_same(exact, from_pytorch(tmp_path / "half.pt"))


def broken(tensors: dict[str, Any], change: str) -> dict[str, Any]:
    tensors = dict(tensors)
    name = "model.7.3.weight"
    if change == "missing":
        del tensors[name]
    elif change == "shape":
        tensors[name] = tensors[name][:, :-1].copy()
    elif change == "infinite":
        tensors[name] = np.full_like(tensors[name], np.inf)
    elif change == "unknown":
        tensors["model.7.9.weight"] = tensors[name]
    elif change == "integers":
        tensors[name] = np.zeros(tensors[name].shape, np.int64)
    elif change == "negative":
        tensors["model.7.4.running_var"] = -tensors["model.7.4.running_var"]
    elif change == "width":
        tensors[name] = np.zeros((100, 128, 1, 1), np.float32)
    return tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"block7\.pointwise\.weight is missing"),
        ("shape", r"model\.7\.3\.weight has shape \(128, 127, 1, 1\).*needs \(128, 128, 1, 1\)"),
        ("infinite", r"model\.7\.3\.weight holds a value that is not a finite number"),
        ("unknown", r"model\.7\.9\.weight belongs to no layer"),
        ("integers", r"model\.7\.3\.weight holds int64"),
        ("negative", r"model\.7\.4\.running_var holds a negative variance"),
        ("width", r"model\.7\.3\.weight has 100 output channels"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: str, message: str) -> None:
    tensors = foreign.sequential_tensors(torch_born(Activation.RELU))
    save_file(broken(tensors, change), tmp_path / "w.safetensors")
    with pytest.raises(FormatError, match=message):
        from_pytorch(tmp_path / "w.safetensors")
