"""AlexNet, VGG16, GoogLeNet and SqueezeNet against what is known of them."""

from __future__ import annotations

import pytest

from mobilenets.architecture.catalog import Architecture
from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import BatchNorm, Convolution, Linear, MaxPool
from mobilenets.architecture.networks.baselines import alexnet, googlenet, squeezenet, vgg16
from mobilenets.errors import ArchitectureError
from mobilenets.tasks.classification import class_count


@pytest.mark.parametrize(
    ("architecture", "macs", "parameters"),
    [
        (alexnet, 724_406_816, 60_965_224),
        (vgg16, 15_470_264_320, 138_357_544),
        (googlenet, 1_582_671_872, 6_998_552),
        (squeezenet, 832_667_936, 1_248_424),
    ],
)
def test_exact_cost(architecture: Architecture, macs: int, parameters: int) -> None:
    total = cost(architecture())
    assert (total.macs, total.parameters) == (macs, parameters)


def test_vgg16_convolutions_alone_are_what_the_paper_counts() -> None:
    assert cost(vgg16()).by_kind()["convolution"].macs == 15_346_630_656


def test_alexnet_layer_by_layer() -> None:
    macs = {layer.name: layer.macs for layer in cost(alexnet()).layers if layer.macs}
    assert macs == {
        "convolution1": 105_415_200,
        "convolution2": 223_948_800,
        "convolution3": 149_520_384,
        "convolution4": 112_140_288,
        "convolution5": 74_760_192,
        "hidden1": 37_748_736,
        "hidden2": 16_777_216,
        "classifier": 4_096_000,
    }


def test_alexnet_convolves_in_two_groups_where_its_authors_had_two_cards() -> None:
    layers = [layer for layer in alexnet().layers if isinstance(layer, Convolution)]
    assert [layer.groups for layer in layers] == [1, 2, 1, 2, 2]


@pytest.mark.parametrize(
    ("architecture", "maps"),
    [
        (alexnet, {"pool1": "96×27×27", "pool2": "256×13×13", "pool5": "256×6×6"}),
        (vgg16, {"pool1": "64×112×112", "pool3": "256×28×28", "pool5": "512×7×7"}),
        (googlenet, {"pool1": "64×56×56", "pool2": "192×28×28", "pool3": "480×14×14", "pool4": "832×7×7"}),
        (squeezenet, {"pool1": "96×55×55", "pool4": "256×27×27", "pool8": "512×13×13"}),
    ],
)
def test_maps_are_those_of_the_authors(architecture: Architecture, maps: dict[str, str]) -> None:
    shapes = architecture().shapes
    assert {name: str(shapes[name]) for name in maps} == maps


def test_googlenet_joins_four_branches_nine_times() -> None:
    network = googlenet()
    channels = [network.shapes[name].channels for name in network.shapes if name.endswith(".join")]
    assert channels == [256, 480, 512, 512, 512, 528, 832, 832, 1024]


@pytest.mark.parametrize("size", range(32, 80))
def test_pools_of_squeezenet_round_the_size_up_as_caffe_does(size: int) -> None:
    network = squeezenet(resolution=size, width_multiplier=0.1)
    for layer in network.layers:
        if isinstance(layer, MaxPool):
            (shape,) = network.input_shapes(layer)
            assert network.shapes[layer.name].height == max(-((3 - shape.height) // 2), 0) + 1


@pytest.mark.parametrize("architecture", [alexnet, vgg16, googlenet, squeezenet])
@pytest.mark.parametrize("width_multiplier", [0.05, 0.37, 1.3])
@pytest.mark.parametrize("resolution", [67, 70, 96, (101, 130)])
def test_other_widths_and_resolutions_are_built(
    architecture: Architecture, width_multiplier: float, resolution: int | tuple[int, int]
) -> None:
    network = architecture(width_multiplier=width_multiplier, resolution=resolution, classes=5)
    assert class_count(network) == 5
    assert network.shapes[network.outputs[0]][1:] == (1, 1)


@pytest.mark.parametrize("architecture", [vgg16, googlenet, squeezenet])
def test_thirty_two_pixels_are_enough(architecture: Architecture) -> None:
    assert class_count(architecture(resolution=32, width_multiplier=0.1)) == 1000


@pytest.mark.parametrize(("architecture", "least"), [(alexnet, 67), (vgg16, 32), (googlenet, 32), (squeezenet, 32)])
def test_a_resolution_that_cannot_work_is_refused(architecture: Architecture, least: int) -> None:
    with pytest.raises(ArchitectureError, match=f"resolution must be at least {least} pixels, not {least - 1}"):
        architecture(resolution=least - 1)


@pytest.mark.parametrize("architecture", [alexnet, vgg16, googlenet, squeezenet])
def test_no_class_and_no_width_are_refused(architecture: Architecture) -> None:
    with pytest.raises(ArchitectureError, match=r"at least (1|one class), not 0"):
        architecture(classes=0)
    with pytest.raises(ArchitectureError, match="width multiplier must be a positive number, not 0"):
        architecture(width_multiplier=0)


def test_batch_norm_takes_the_place_of_biases_in_convolutions() -> None:
    for layer in vgg16(batch_norm=BatchNorm(1e-5)).layers:
        if isinstance(layer, Convolution):
            assert (layer.batch_norm, layer.bias) == (BatchNorm(1e-5), False)
        if isinstance(layer, Linear):
            assert layer.bias
