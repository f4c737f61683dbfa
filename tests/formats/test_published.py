"""Short names of published weights."""

from __future__ import annotations

import pytest

from mobilenets.architecture.catalog import Specification
from mobilenets.errors import FormatError
from mobilenets.formats.names import timm_names
from mobilenets.formats.published import KERAS, TIMM, TORCHVISION, TORCHVISION_CROPS, published_source


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("keras", "applications/mobilenet/mobilenet_1_0_224_tf.h5"),
        ("keras:0.5-160-notop", "applications/mobilenet/mobilenet_5_0_160_tf_no_top.h5"),
        ("keras:mobilenet_v2@0.35-96", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96.h5"),
        ("keras:mobilenet_v2@1-224", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
        ("keras:mobilenet_v2", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
        ("keras:mobilenet_v2@1.0-224", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
        ("keras:mobilenet_v3_small@0.75-224", "mobilenet_v3/weights_mobilenet_v3_small_224_0.75_float.h5"),
        (
            "keras:mobilenet_v3_large_minimalistic@1-224-notop",
            "weights_mobilenet_v3_large_minimalistic_224_1.0_float_no_top_v2.h5",
        ),
        ("timm:mobilenetv1_100h", "hub:timm/mobilenetv1_100h.ra4_e3600_r224_in1k"),
        ("timm:mobilenetv4_conv_small", "hub:timm/mobilenetv4_conv_small.e2400_r224_in1k"),
        ("timm:mobilenetv4_conv_small.e1200_r224_in1k", "hub:timm/mobilenetv4_conv_small.e1200_r224_in1k"),
        ("torchvision:mobilenet_v2", "/mobilenet_v2-7ebf99e0.pth"),
        ("torchvision:mobilenet_v2.v1", "/mobilenet_v2-b0353104.pth"),
        ("torchvision:mobilenet_v3_small", "/mobilenet_v3_small-047dcff4.pth"),
    ],
)
def test_a_short_name_stands_for_an_address(name: str, end: str) -> None:
    assert published_source(name).endswith(end)


@pytest.mark.parametrize(
    "source", ["weights.h5", "https://example.org/timm:x", "hub:timm/mobilenetv2_100.ra_in1k", "keras:a/b.h5"]
)
def test_anything_else_is_given_back(source: str) -> None:
    assert published_source(source) == source


@pytest.mark.parametrize(
    ("source", "near"),
    [
        ("timm:mobilenetv4_conv_smal", "timm:mobilenetv4_conv_small"),
        ("keras:mobilenet_v2@1-225", "keras:mobilenet_v2@1-224"),
        ("torchvision:mobilenet_v3_big", "torchvision:mobilenet_v3_large"),
    ],
)
def test_a_name_that_is_not_published_is_answered_with_the_nearest(source: str, near: str) -> None:
    with pytest.raises(FormatError) as caught:
        published_source(source)
    assert str(caught.value).startswith(f"{source!r} is not published; did you mean {near}? `mobilenets models` ")


def test_keras_names_are_those_of_networks_of_the_catalog() -> None:
    for name in KERAS:
        if "@" in name:
            assert Specification.parse(name.removesuffix("-notop")).network(classes=2).height in (
                96,
                128,
                160,
                192,
                224,
            )
    assert len(KERAS) == 2 * (16 + 22 + 6)


def test_every_network_that_timm_publishes_is_read() -> None:
    kinds = {"v1": "mobilenetv1", "v2": "mobilenetv2", "v3": "mobilenetv3", "v4": "mobilenetv4_conv"}
    read = {checkpoint.network.split("_")[1] for checkpoint in timm_names()}
    assert read == set(kinds)
    assert all(any(kind in name for kind in kinds.values()) for name in TIMM)
    assert "mobilenetv4_hybrid_medium" not in TIMM


def test_the_crop_of_every_torchvision_file_is_known() -> None:
    assert set(TORCHVISION.values()) == set(TORCHVISION_CROPS)
