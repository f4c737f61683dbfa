"""Networks as JSON and back; whatever a hostile file says, there is an error or a sound network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hostile_json import HOSTILE, changed, places
from tests.support.strategies import networks

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.encoding import LARGEST_INTEGER, MOST_LAYERS, MOST_VALUES, decode_network, encode_network
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import ArchitectureError


def through_json(network: Network) -> Any:
    return json.loads(json.dumps(encode_network(network), allow_nan=False))


@given(networks())
def test_decoding_undoes_encoding(network: Network) -> None:
    assert decode_network(through_json(network)) == network


@pytest.mark.parametrize("name", CATALOG)
def test_the_whole_catalogue_survives_json(name: str) -> None:
    network = CATALOG[name](width_multiplier=0.3, resolution=97, classes=7)
    assert decode_network(through_json(network)) == network


@settings(max_examples=500)
@given(networks(), st.data())
def test_a_changed_encoding_gives_an_error_or_a_sound_network(network: Network, data: st.DataObject) -> None:
    encoded = through_json(network)
    path = data.draw(st.sampled_from(places(encoded)))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    hostile = changed(encoded, path, change, data.draw(st.sampled_from(HOSTILE)))
    try:
        decoded = decode_network(hostile)
    except ArchitectureError as error:
        message = str(error)
    else:
        message = ""
        assert decode_network(through_json(decoded)) == decoded
        assert all(shape.size >= 1 for shape in decoded.shapes.values())
    assert len(message) < 600


@pytest.mark.parametrize("value", HOSTILE)
def test_no_other_value_is_a_network(value: Any) -> None:
    with pytest.raises(ArchitectureError):
        decode_network(value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("layers", 0, "type"), "Softmax", "layer 0 has type 'Softmax'; known are Convolution, "),
        (("layers", 0, "dilation"), 2, r"layer 0 \(Convolution\) has the unknown field 'dilation'"),
        (("layers", 0, "kernel"), 3.0, "kernel must be an integer from 0 to 16777216, not 3.0"),
        (("layers", 0, "bias"), 1, "bias must be true or false, not 1"),
        (("layers", 0, "activation"), "swish", "activation is 'swish'; known are none, relu, relu6"),
        (("layers", 0, "padding"), [1, 1], "padding must be four numbers"),
        (("layers", 0, "batch_norm"), {"epsilon": 0}, "epsilon must be above 0"),
        (("layers", 0, "name"), "a\nb", "must be a name of 1 to 200 characters"),
        (("outputs",), ["nowhere"], "output 'nowhere' is not a layer"),
        (("width_multiplier",), -1, "width_multiplier must be above 0"),
        (("padding_policy",), "valid", "padding_policy is 'valid'; known are same, symmetric"),
        (("height",), -5, "network height must be an integer"),
        (("stranger",), 1, "network has the unknown field 'stranger'"),
    ],
)
def test_an_error_names_the_field(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        decode_network(changed(through_json(mobilenet_v1(resolution=32)), path, "replace", value))


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ArchitectureError, match=r"layer 0 \(Convolution\) lacks stride"):
        decode_network(changed(through_json(mobilenet_v1(resolution=32)), ("layers", 0, "stride"), "remove", None))


def test_more_layers_than_any_network_has_are_refused() -> None:
    encoded = through_json(mobilenet_v1(resolution=32))
    encoded["layers"] = encoded["layers"][:1] * (MOST_LAYERS + 1)
    with pytest.raises(ArchitectureError, match="network lists 10001 layers; at most 10000 are allowed"):
        decode_network(encoded)


def test_a_map_that_fits_in_no_memory_is_refused() -> None:
    encoded = through_json(mobilenet_v1(resolution=32))
    encoded["height"] = encoded["width"] = LARGEST_INTEGER
    with pytest.raises(ArchitectureError, match=f"more than the {MOST_VALUES} that are allowed"):
        decode_network(encoded)


def test_a_small_file_cannot_ask_for_a_large_memory() -> None:
    encoded = through_json(mobilenet_v1(resolution=32))
    encoded["layers"] = [
        {"type": "Concatenate", "name": f"double{number}", "inputs": [source, source]}
        for number in range(60)
        for source in [f"double{number - 1}" if number else "input"]
    ]
    encoded["outputs"] = ["double59"]
    with pytest.raises(ArchitectureError, match=f"more than the {MOST_VALUES} that are allowed"):
        decode_network(encoded)
