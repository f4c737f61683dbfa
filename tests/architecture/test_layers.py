"""Layers and networks: shapes worked out by hand, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.support.strategies import networks

from mobilenets.architecture.layers import (
    INPUT,
    LAYER_TYPES,
    Activation,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Padding,
    PointwiseConvolution,
    Shape,
)
from mobilenets.architecture.network import Network
from mobilenets.errors import ArchitectureError


@pytest.mark.parametrize(
    ("layer", "inputs", "output", "weight", "macs"),
    [
        (
            Convolution("c", (INPUT,), kernel=3, stride=2, padding=Padding(0, 1, 0, 1), out_channels=32),
            [Shape(3, 224, 224)],
            Shape(32, 112, 112),
            (32, 3, 3, 3),
            10_838_016,
        ),
        (
            Convolution("c", (INPUT,), kernel=5, padding=Padding(2, 2, 2, 2), out_channels=256, groups=2),
            [Shape(96, 27, 27)],
            Shape(256, 27, 27),
            (256, 48, 5, 5),
            223_948_800,
        ),
        (
            # Top 2, bottom 0, left 0, right 1: 7 + 2 = 9 rows give 4 places, 5 + 1 = 6 columns give 2.
            DepthwiseConvolution("d", (INPUT,), kernel=3, stride=2, padding=Padding(2, 0, 0, 1)),
            [Shape(6, 7, 5)],
            Shape(6, 4, 2),
            (6, 1, 3, 3),
            6 * 4 * 2 * 9,
        ),
        (
            PointwiseConvolution("p", (INPUT,), out_channels=4),
            [Shape(3, 5, 7)],
            Shape(4, 5, 7),
            (4, 3, 1, 1),
            3 * 4 * 35,
        ),
        (MaxPool("m", (INPUT,), kernel=3, stride=2), [Shape(3, 7, 8)], Shape(3, 3, 3), (), 0),
        (GlobalAveragePool("g", (INPUT,)), [Shape(9, 5, 4)], Shape(9, 1, 1), (), 0),
        (Linear("l", (INPUT,), out_features=10), [Shape(2, 3, 4)], Shape(10, 1, 1), (10, 24), 240),
        (Add("a", (INPUT, "b")), [Shape(2, 3, 4)] * 2, Shape(2, 3, 4), (), 0),
        (Concatenate("j", (INPUT, "b")), [Shape(2, 3, 4), Shape(5, 3, 4)], Shape(7, 3, 4), (), 0),
    ],
    ids=lambda value: value.kind if isinstance(value, Layer) else "",
)
def test_shapes_and_macs(layer: Layer, inputs: list[Shape], output: Shape, weight: tuple[int, ...], macs: int) -> None:
    shapes = tuple(inputs)
    assert (layer.output_shape(shapes), layer.weight_shape(shapes), layer.macs(shapes)) == (output, weight, macs)


def test_every_layer_type_is_listed_with_its_own_kind() -> None:
    kinds = [layer_type.kind for layer_type in LAYER_TYPES.values()]
    assert len(set(kinds)) == len(kinds) == 9


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda: Convolution("c", (INPUT,), kernel=0), "c: kernel must be at least 1, not 0"),
        (lambda: Convolution("c", (INPUT,), stride=0), "c: stride must be at least 1, not 0"),
        (lambda: Convolution("c", (INPUT,), out_channels=0), "c: out_channels must be at least 1, not 0"),
        (lambda: Convolution("c", (INPUT,), out_channels=4, groups=3), r"groups \(3\) must divide out_channels \(4\)"),
        (lambda: Convolution("c", (INPUT,), groups=0), "groups"),
        (lambda: MaxPool("m", (INPUT,), padding=Padding(-1, 0, 0, 0)), "padding must not be negative"),
        (lambda: MaxPool("m", (INPUT,), kernel=3, padding=Padding(3, 0, 0, 0)), "not smaller than the kernel"),
        (lambda: PointwiseConvolution("p", (INPUT,), out_channels=0), "p: out_channels must be at least 1, not 0"),
        (lambda: Linear("l", (INPUT,), out_features=-1), "l: out_features must be at least 1, not -1"),
        (lambda: Linear("l", (INPUT,), out_features=2.5), "l: out_features must be an integer, not 2.5"),  # type: ignore[arg-type]
        (lambda: Convolution("c", (INPUT,), kernel="3"), "c: kernel must be an integer, not '3'"),  # type: ignore[arg-type]
        (lambda: BatchNorm(0.0), "epsilon must be a positive number, not 0.0"),
        (lambda: BatchNorm(float("nan")), "epsilon must be a positive number, not nan"),
    ],
)
def test_a_layer_that_cannot_exist_is_refused(write: object, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        write()  # type: ignore[operator]


def network(*layers: Layer, outputs: tuple[str, ...] | None = None, size: int = 8) -> Network:
    return Network("test", size, size, layers, outputs if outputs is not None else (layers[-1].name,))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda: network(GlobalAveragePool("a", (INPUT,)), GlobalAveragePool("a", (INPUT,))),
            "test: two layers are named 'a'",
        ),
        (lambda: network(GlobalAveragePool("input", (INPUT,))), "test: two layers are named 'input'"),
        (lambda: network(GlobalAveragePool("a", ("b",))), "a reads 'b', which no earlier layer makes"),
        (lambda: network(GlobalAveragePool("a", ("a",))), "a reads 'a', which no earlier layer makes"),
        (lambda: network(GlobalAveragePool("a", ())), r"a \(average pool\) reads one input; it names 0"),
        (lambda: network(GlobalAveragePool("a", (INPUT, INPUT))), r"a \(average pool\) reads one input; it names 2"),
        (lambda: network(Add("a", (INPUT,))), r"a \(add\) needs two inputs or more; it names 1"),
        (lambda: network(Concatenate("a", (INPUT,))), r"a \(concatenate\) needs two inputs or more; it names 1"),
        (
            lambda: network(PointwiseConvolution("p", (INPUT,), out_channels=4), Add("a", (INPUT, "p"))),
            "a adds activations of different shapes: 3×8×8, 4×8×8",
        ),
        (
            lambda: network(MaxPool("m", (INPUT,), kernel=2, stride=2), Concatenate("a", (INPUT, "m"))),
            "a joins maps of different sizes: 3×8×8, 3×4×4",
        ),
        (lambda: network(Convolution("c", (INPUT,), kernel=9)), "c: a 9×9 window does not fit on a map of 8×8"),
        (lambda: network(Convolution("c", (INPUT,), groups=2, out_channels=2)), "must divide the input's 3 channels"),
        (lambda: network(GlobalAveragePool("a", (INPUT,)), outputs=()), "test: a network needs an output"),
        (lambda: network(GlobalAveragePool("a", (INPUT,)), outputs=("a", "a")), "an output is named twice"),
        (lambda: network(GlobalAveragePool("a", (INPUT,)), outputs=("b",)), "output 'b' is not a layer"),
        (lambda: network(GlobalAveragePool("a", (INPUT,)), outputs=(INPUT,)), "output 'input' is not a layer"),
        (lambda: network(GlobalAveragePool("a", (INPUT,)), size=0), "test: height must be at least 1, not 0"),
        (lambda: network(GlobalAveragePool("a", (INPUT,)))["b"], "test has no layer 'b'"),
    ],
)
def test_a_network_that_cannot_exist_is_refused(write: object, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        write()  # type: ignore[operator]


@given(networks())
def test_consumers_are_the_inputs_read_backwards(drawn: Network) -> None:
    pairs = [(source, layer.name) for layer in drawn.layers for source in layer.inputs]
    assert sorted(pairs) == sorted(
        (source, reader) for source, readers in drawn.consumers.items() for reader in readers
    )


def test_parameter_shapes_name_every_tensor_in_order() -> None:
    layers = (
        Convolution("stem", (INPUT,), out_channels=4, batch_norm=BatchNorm(), activation=Activation.RELU6),
        Linear("head", ("stem",), out_features=2),
    )
    assert network(*layers, size=4).parameter_shapes() == {
        "stem.weight": (4, 3, 3, 3),
        "stem.batch_norm.weight": (4,),
        "stem.batch_norm.bias": (4,),
        "stem.batch_norm.running_mean": (4,),
        "stem.batch_norm.running_var": (4,),
        "head.weight": (2, 16),
        "head.bias": (2,),
    }
