"""Heads as PyTorch's users write them, in the files that torch exports: answers as ONNX Runtime gives them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model
from mobilenets.model.file import load, save

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FEATURES, SIDE = 8, 16
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def exported(path: Path, *head: Any, before: Any = None) -> Path:
    """A small network with a head, as torch's exporter writes it."""
    torch.manual_seed(0)
    nn = torch.nn
    begin = [] if before is None else [before]
    convolution, relu, pool = nn.Conv2d(3, FEATURES, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    network = nn.Sequential(*begin, convolution, relu, pool, nn.Flatten(), *head)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 2)
            layer.weight.data.uniform_(0.5, 2)
            layer.bias.data.normal_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.rand(1, 3, SIDE, SIDE),), str(path), dynamo=False)
    return path


def batch_norm(features: int = FEATURES) -> Any:
    return torch.nn.BatchNorm1d(features)


def linear(features: int, outputs: int, **options: Any) -> Any:
    return torch.nn.Linear(features, outputs, **options)


@pytest.mark.parametrize(
    "head",
    [
        lambda: (batch_norm(), linear(FEATURES, 3)),
        lambda: (batch_norm(), torch.nn.Dropout(), linear(FEATURES, 3, bias=False)),
        lambda: (linear(FEATURES, 6), batch_norm(6), torch.nn.ReLU(), linear(6, 3)),
        lambda: (batch_norm(), linear(FEATURES, 6), torch.nn.ReLU(), torch.nn.Dropout(), linear(6, 3)),
        lambda: (linear(FEATURES, 6), torch.nn.ReLU(), linear(6, 3)),
        lambda: (linear(FEATURES, 6), linear(6, 3)),
    ],
)
def test_heads_answer_as_onnx_runtime(head: Any, tmp_path: Path) -> None:
    path = exported(tmp_path / "model.onnx", *head())
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    session = onnxruntime.InferenceSession(path)
    images = ((pixels / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2)
    expected = np.concatenate([session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in images])
    answers = Session(import_model(path, input_scaling="imagenet")).run(pixels)
    np.testing.assert_allclose(answers, expected, atol=2e-5 * np.abs(expected).max())


def test_a_batch_norm_that_no_fully_connected_layer_takes_is_refused(tmp_path: Path) -> None:
    for head in ((batch_norm(),), (batch_norm(), torch.nn.ReLU(), linear(FEATURES, 3))):
        with pytest.raises(FormatError, match=r"batch norm of features"):
            import_model(exported(tmp_path / "model.onnx", *head))


class Reversed(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Reverses the channels of an image in one of the ways in which people do."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, image: Any) -> Any:
        match self.how:
            case "flip":
                return image.flip(1)
            case "index":
                return image[:, [2, 1, 0]]
            case "one by one":
                return torch.cat([image[:, 2:3], image[:, 1:2], image[:, 0:1]], 1)
            case "split":
                red, green, blue = image.split(1, 1)
                return torch.cat([blue, green, red], 1)
            case "means of caffe":
                return image.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
            case _:
                return image[:, :2].flip(1)


@pytest.mark.parametrize("how", ["flip", "index", "one by one", "split", "means of caffe"])
def test_a_network_for_bgr_reads_rgb(how: str, tmp_path: Path) -> None:
    path = exported(tmp_path / "model.onnx", linear(FEATURES, 3), before=Reversed(how))
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    session = onnxruntime.InferenceSession(path)
    images = (pixels / np.float32(255)).transpose(0, 3, 1, 2)
    expected = np.concatenate([session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in images])
    assert np.ptp(expected, axis=0).max() > 1e-3
    model = import_model(path, input_scaling=None if how == "means of caffe" else "0..1")
    np.testing.assert_allclose(Session(model).run(pixels), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_channels_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        torch.nn.Sequential(Reversed("two"), torch.nn.Conv2d(2, FEATURES, 3)),
        (torch.rand(1, 3, SIDE, SIDE),),
        str(path),
        dynamo=False,
    )
    with pytest.raises(FormatError, match=r"reads some channels of the image only"):
        import_model(path)


def test_names_of_nodes_may_be_of_any_length(tmp_path: Path) -> None:
    import onnx

    path = exported(tmp_path / "model.onnx", linear(FEATURES, 6), torch.nn.ReLU(), linear(6, 3))
    graph = onnx.load(path)
    for number, node in enumerate(graph.graph.node):
        node.name = f"{'model/functional_1/' * 20}{number}/{'MatMul;' * 40}"
    onnx.save(graph, path)
    model = import_model(path)
    save(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert [layer.name for layer in loaded.network.layers] == [layer.name for layer in model.network.layers]
    assert len({layer.name for layer in loaded.network.layers}) == len(loaded.network.layers)
