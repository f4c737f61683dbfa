"""Checkpoints as training scripts save them: the weights are found among everything else, and nothing is run."""

from __future__ import annotations

import argparse
import datetime
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support import foreign

from mobilenets.architecture.layers import Activation, BatchNorm
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model
from mobilenets.model.model import Model, Tensor
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.classification import Classification

torch = pytest.importorskip("torch")


def small(activation: Activation, seed: int = 0) -> Model:
    network = mobilenet_v1(
        width_multiplier=0.25,
        classes=3,
        activation=activation,
        batch_norm=BatchNorm(1e-5),
        padding_policy=PaddingPolicy.SYMMETRIC,
    )
    rng = np.random.default_rng(seed)
    parameters = {
        name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in network.parameter_shapes().items()
    }
    return Model(network, parameters, Classification.numbered(network))


TIMM, PLAIN = small(Activation.RELU6), small(Activation.RELU)


def state(tensors: dict[str, Tensor], prefix: str = "") -> Any:
    return OrderedDict((prefix + name, torch.from_numpy(value.copy())) for name, value in tensors.items())


def assert_read(path: Path, expected: Model) -> Model:
    model = import_model(path)
    assert set(model.parameters) == set(expected.parameters)
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(model.parameters[name], value)
    return model


def everything() -> dict[Any, Any]:
    """What scripts keep beside the weights."""
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, data=Path("data"), when=datetime.datetime(2026, 1, 2)),
        "optimizer": optimizer.state_dict(),
        "best": np.float64(0.75),
        "counts": defaultdict(list, {"a": [1, 2]}),
        "history": [np.float32(1), {1, 2}, b"bytes", 1 + 2j, slice(1, 2)],
        "array": np.arange(3),
        "kind": torch.float32,
        "size": torch.Size([1, 2]),
        (1, 2): "a key of two numbers",
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_weights_are_found_among_everything_else(tmp_path: Path, zipped: bool, protocol: int) -> None:
    content = {**everything(), "arch": "mobilenetv1_100", "state_dict": state(foreign.timm_tensors(TIMM))}
    path = tmp_path / "last.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    assert Provenance.of(assert_read(path, TIMM)).imported.moving_averages is None  # type: ignore[union-attr]


def test_moving_averages_are_preferred(tmp_path: Path) -> None:
    raw, average = small(Activation.RELU6, 1), TIMM
    content = {
        **everything(),
        "state_dict": state(foreign.timm_tensors(raw)),
        "state_dict_ema": state(foreign.timm_tensors(average), "module."),
    }
    torch.save(content, tmp_path / "model_best.pth.tar")
    model = assert_read(tmp_path / "model_best.pth.tar", average)
    assert Provenance.of(model).imported.moving_averages is True  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "model._orig_mod.module.", "backbone.encoder."],
)
@pytest.mark.parametrize("born", ["timm", "plain"])
def test_what_wrappers_put_before_names_is_taken_off(tmp_path: Path, prefix: str, born: str) -> None:
    tensors = foreign.timm_tensors(TIMM) if born == "timm" else foreign.sequential_tensors(PLAIN)
    beside = {"criterion.pos_weight": torch.ones(3), "metric.total": torch.tensor(3)}
    content = {"state_dict": {**state(tensors, prefix), **beside}, "pytorch-lightning_version": "2.5.0"}
    torch.save(content, tmp_path / "last.ckpt")
    assert_read(tmp_path / "last.ckpt", TIMM if born == "timm" else PLAIN)


def test_prefixes_in_safetensors(tmp_path: Path) -> None:
    tensors = {f"_orig_mod.{name}": value for name, value in foreign.timm_tensors(TIMM).items()}
    save_file(tensors, tmp_path / "model.safetensors")
    assert_read(tmp_path / "model.safetensors", TIMM)


def test_two_networks_in_one_file_are_refused(tmp_path: Path) -> None:
    tensors = foreign.timm_tensors(TIMM)
    torch.save({**state(tensors, "student."), **state(tensors, "teacher.")}, tmp_path / "two.pth")
    with pytest.raises(FormatError, match=r"2 networks, under 'student\.', 'teacher\.'; save the state_dict of one"):
        import_model(tmp_path / "two.pth")


def test_a_layer_beside_the_network_is_not_dropped(tmp_path: Path) -> None:
    content = {**state(foreign.timm_tensors(TIMM), "backbone."), "head.weight": torch.ones(3, 256)}
    torch.save(content, tmp_path / "two.pth")
    with pytest.raises(FormatError, match=r"head\.weight belongs to a layer beside the network.*'backbone\.'"):
        import_model(tmp_path / "two.pth")


class Whole(torch.nn.Module):  # type: ignore[name-defined,misc]
    """A module of somebody's own."""


@pytest.mark.parametrize("wrap", [lambda module: module, lambda module: {"epoch": 1, "model": module}])
def test_a_whole_module_is_refused_with_the_way_out(tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(Whole()), tmp_path / "module.pt")
    with pytest.raises(FormatError, match=r"Whole.*no code of a file is run here.*torch.save\(model.state_dict\(\)"):
        import_model(tmp_path / "module.pt")


def test_a_checkpoint_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "args": argparse.Namespace()}, tmp_path / "none.pt")
    with pytest.raises(FormatError, match=r"no weights; it holds epoch \(int\), args \(argparse.Namespace\)"):
        import_model(tmp_path / "none.pt")


class Harm:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["beside", "among"])
@pytest.mark.parametrize("zipped", [True, False])
def test_foreign_objects_are_never_run(tmp_path: Path, place: str, zipped: bool) -> None:
    weights = state(foreign.timm_tensors(TIMM))
    harm = Harm(tmp_path / "harm")
    content = {"state_dict": weights, "harm": harm} if place == "beside" else {**weights, "harm": harm}
    torch.save(content, tmp_path / "hostile.pth", _use_new_zipfile_serialization=zipped)
    assert_read(tmp_path / "hostile.pth", TIMM)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("key", ["model_state", "best_weights", "generator"])
def test_the_one_dictionary_of_weights_is_taken_whatever_its_name(key: str, tmp_path: Path) -> None:
    torch.save({**everything(), key: state(foreign.sequential_tensors(PLAIN))}, tmp_path / "a.pth")
    assert_read(tmp_path / "a.pth", PLAIN)


@pytest.mark.parametrize("kind", ["timm", "plain"])
def test_networks_of_grey_images_are_read(kind: str, tmp_path: Path) -> None:
    tensors = foreign.timm_tensors(TIMM) if kind == "timm" else foreign.sequential_tensors(PLAIN)
    first = next(name for name, value in tensors.items() if value.ndim == 4)
    torch.save(state({**tensors, first: tensors[first][:, :1]}), tmp_path / "a.pth")
    model = import_model(tmp_path / "a.pth")
    assert model.network.channels == model.preprocessing.channels == 1
    np.testing.assert_array_equal(model.parameters["stem.weight"], tensors[first][:, :1])


def test_one_output_is_two_classes_where_they_are_named(tmp_path: Path) -> None:
    tensors = foreign.sequential_tensors(PLAIN)
    one = {name: value[:1] if value.shape[:1] == (3,) else value for name, value in tensors.items()}
    torch.save(state(one), tmp_path / "a.pth")
    with pytest.raises(FormatError, match=r"classifier gives one number.*name the two classes"):
        import_model(tmp_path / "a.pth")
    model = import_model(tmp_path / "a.pth", labels=("no", "yes"))
    assert model.labels == ("no", "yes")
    for kind in ("weight", "bias"):
        low, high = model.parameters[f"classifier.{kind}"]
        np.testing.assert_array_equal(high - low, PLAIN.parameters[f"classifier.{kind}"][0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", ["trace", "script"])
def test_a_program_of_torchscript_is_named_with_the_way_out(make: str, tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2))
    program = torch.jit.trace(module, torch.ones(1, 3)) if make == "trace" else torch.jit.script(module)
    program.save(tmp_path / "model.pt")
    with pytest.raises(FormatError, match=r"(TorchScript|pickled object).*torch.save\(model.state_dict\(\)"):
        import_model(tmp_path / "model.pt")


def test_a_head_of_several_layers_is_refused_with_the_way_out(tmp_path: Path) -> None:
    tensors = foreign.timm_tensors(TIMM)
    torch.save(state({**tensors, "classifier.4.weight": np.ones((3, 3), np.float32)}), tmp_path / "a.pth")
    with pytest.raises(FormatError, match=r"classifier.4.weight belongs to no layer .*export the network to ONNX"):
        import_model(tmp_path / "a.pth")


def test_weights_of_another_kind_of_network_are_called_so(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.Linear(2, 2)).state_dict(), tmp_path / "a.pth")
    with pytest.raises(FormatError, match=r"0.weight, ...\) are of no MobileNet whose names are known.*ONNX"):
        import_model(tmp_path / "a.pth")


def test_a_file_that_is_cut_short_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a.weight": torch.ones(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(
        FormatError, match=r"is cut short after 20,000 bytes: it begins as a ZIP archive and has no end"
    ):
        import_model(path)
