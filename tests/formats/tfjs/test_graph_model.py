"""Graph models of TensorFlow.js answer as the Models that they were made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels
from tests.support.tfjs_graphs import Nodes, TfjsGraph, code

from mobilenets.architecture.catalog import CATALOG
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model
from mobilenets.formats.tfjs.read import from_tfjs
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.tasks.classification import Classification

FAMILIES = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small")
PIXELS = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)


def original(family: str = "mobilenet_v1", *, batch_norm: bool = True, classes: int = 5, side: int = 32) -> Model:
    options = {} if batch_norm else {"batch_norm": None}
    network = CATALOG[family](width_multiplier=0.25, resolution=side, classes=classes, **options)
    return replace(random_model(np.random.default_rng(0), network), preprocessing=PIXELS)


def assert_same_answers(found: Model, expected: Model, tolerance: float = 1e-5) -> None:
    pixels = random_pixels(np.random.default_rng(1), expected.network, 3)
    wanted = Session(expected).run(pixels)
    assert np.abs(Session(found).run(pixels) - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fused", [False, True])
def test_a_graph_of_each_family(family: str, fused: bool, tmp_path: Path) -> None:
    model = original(family, batch_norm=not fused)
    found = import_model(TfjsGraph(model, fused=fused).write(tmp_path / "web"))
    assert found.network.name == family
    assert [layer.name for layer in found.network.layers] == [layer.name for layer in model.network.layers]
    assert_same_answers(found, model)


@pytest.mark.parametrize(("stored", "tolerance"), [("float16", 0.02), ("uint16", 2e-3), ("uint8", 0.3)])
def test_weights_of_fewer_bits(stored: str, tolerance: float, tmp_path: Path) -> None:
    model = original(batch_norm=False)
    assert_same_answers(import_model(TfjsGraph(model, fused=True).write(tmp_path / "web", stored)), model, tolerance)


@pytest.mark.parametrize("scaling", [(2.0, -1.0), (1 / 127.5, -1.0)])
def test_the_graph_scales_its_image(scaling: tuple[float, float], tmp_path: Path) -> None:
    model = original()
    found = import_model(TfjsGraph(model, scaling=scaling).write(tmp_path / "web"))
    np.testing.assert_allclose(found.preprocessing.mean + found.preprocessing.std, (0.5,) * 6, atol=1e-6)
    imported = found.provenance["imported"]["preprocessing"]
    assert imported["input_scaling"] == {"value": "-1..1", "from": "the graph"}
    assert_same_answers(found, model)


def test_nodes_may_stand_in_any_order(tmp_path: Path) -> None:
    path = TfjsGraph(original("mobilenet_v2")).write(tmp_path / "web", change=lambda nodes: nodes.reverse())
    assert_same_answers(import_model(path), original("mobilenet_v2"))


def test_one_sigmoid_becomes_two_classes(tmp_path: Path) -> None:
    model = original(classes=1)
    found = import_model(TfjsGraph(model, ending="Sigmoid").write(tmp_path / "web"), labels=("cat", "dog"))
    assert isinstance(found.task, Classification)
    assert found.task.labels == ("cat", "dog")
    pixels = random_pixels(np.random.default_rng(1), model.network, 3)
    logits = Session(found).run(pixels)
    assert not logits[:, 0].any()
    np.testing.assert_allclose(logits[:, 1:], Session(model).run(pixels), rtol=1e-4, atol=1e-4)


def test_an_open_size_is_asked_for(tmp_path: Path) -> None:
    def opened(nodes: Nodes) -> None:
        for size in nodes[0]["attr"]["shape"]["shape"]["dim"][:3]:
            size["size"] = "-1"

    path = TfjsGraph(original()).write(tmp_path / "web", change=opened)
    with pytest.raises(FormatError, match=r"leaves the size of its input 'image' open; say it, as resolution=N"):
        import_model(path)
    assert import_model(path, resolution=(32, 64)).network.width == 64


def node(nodes: Nodes, name: str) -> dict[str, Any]:
    return next(one for one in nodes if one["name"] == name)


def attribute(name: str, key: str, value: Any) -> Callable[[Nodes], Any]:
    return lambda nodes: node(nodes, name)["attr"].update({key: value})


def fields(name: str, /, **changes: Any) -> Callable[[Nodes], Any]:
    return lambda nodes: node(nodes, name).update(changes)


REFUSALS: dict[str, tuple[Callable[[Nodes], Any], str]] = {
    "unknown operator": (fields("stem/Relu", op="Elu"), "stem/Relu is a Elu, which no layer of this package computes"),
    "second output": (fields("stem/Relu", input=["stem/norm:1"]), "reads 'stem/norm:1'; only first outputs"),
    "circle": (fields("stem", input=["stem/Relu", "stem/weight"]), "reads its own result"),
    "missing": (fields("stem", input=["nowhere", "stem/weight"]), "stem reads 'nowhere', which is no node"),
    "twice": (fields("stem/Relu", name="stem/norm"), "two nodes are called 'stem/norm'"),
    "no constant": (
        fields("stem", input=["stem/pad", "image"]),
        "stem (Conv2D) needs a constant where it reads 'image'",
    ),
    "no name": (lambda nodes: nodes.append({"op": "Relu"}), "has no name or no operator"),
    "inputs": (fields("stem", input="image"), "the inputs of 'stem' are 'image'"),
    "layout": (attribute("stem", "data_format", {"s": code("NCHW")}), "stem (Conv2D) reads NCHW; NHWC is read"),
    "text": (attribute("stem", "padding", {"s": "§"}), "stem (Conv2D) has padding '§'; no text"),
    "padding": (attribute("stem", "padding", {"s": code("TWICE")}), "pads by 'TWICE'"),
    "strides": (attribute("stem", "strides", {"list": {"i": ["1", "0", "1", "1"]}}), "as high as wide and plain"),
    "number": (attribute("stem", "strides", {"list": {"i": ["1", "x", "1", "1"]}}), "an integer was expected"),
    "dilation": (attribute("stem", "dilations", {"list": {"i": ["1", "2", "2", "1"]}}), "plain"),
    "training": (attribute("stem/norm", "is_training", {"b": True}), "convert the model for inference"),
    "softmax": (fields("stem/Relu", op="Softmax"), "is a softmax in the middle of the network"),
    "answers": (fields("probabilities", op="ArgMax"), "a Model needs the logits before it"),
    "image": (attribute("image", "shape", {"shape": {"unknownRank": True}}), "images are (1, height, width, channels)"),
    "nodes": (lambda nodes: nodes.clear(), "lists no nodes"),
}


@pytest.fixture(scope="module")
def graph() -> TfjsGraph:
    return TfjsGraph(original())


@pytest.mark.parametrize("what", REFUSALS)
def test_what_is_not_read_is_named(what: str, graph: TfjsGraph, tmp_path: Path) -> None:
    change, expected = REFUSALS[what]
    with pytest.raises(FormatError) as caught:
        import_model(graph.write(tmp_path / "web", change=change))
    assert expected in str(caught.value)


VALUES: tuple[Any, ...] = (None, 0, -1, "x", "", [], {}, [[]], True, 10**400, {"list": {"i": ["9" * 5000]}}, {"s": 5})


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of some JSON stands."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(*before, key) for key, _ in items] + [
        place for key, inner in items for place in places(inner, (*before, key))
    ]


def test_damaged_graphs_are_refused_and_nothing_else_happens(graph: TfjsGraph, tmp_path: Path) -> None:
    path = graph.write(tmp_path / "web")
    text, rng = path.read_text(), np.random.default_rng(0)
    everywhere = places(json.loads(text))
    for number in range(120):
        damaged = json.loads(text)
        *way, last = everywhere[rng.integers(len(everywhere))]
        part = damaged
        for key in way:
            part = part[key]
        part[last] = VALUES[number % len(VALUES)]
        path.write_text(json.dumps(damaged))
        try:
            from_tfjs(path)
        except FormatError:
            continue
    content = json.loads(text)
    values: tuple[Any, ...] = (None, 5, "x", [], {}, [5], [{}], {"node": 5})
    for value in values:
        for key in ("modelTopology", "weightsManifest"):
            path.write_text(json.dumps({**content, key: value}))
            with pytest.raises(FormatError):
                import_model(path)
