"""Subnets of a wide Model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from tests.support.random_models import random_int8_model, random_model, random_pixels, without_batch_norm

from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.errors import ArchitectureError, ModelError, ModelFileError
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.recalibration import recalibrated
from mobilenets.model.subnet import cut_subnet, extract_subnet, statistics_of


def wide() -> Network:
    return mobilenet_v1(resolution=64, classes=5)


def test_a_subnet_says_what_the_wide_network_says_with_its_other_channels_off() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, wide())
    narrow = cut_subnet(model, width_multiplier=0.3)
    assert narrow.network == mobilenet_v1(width_multiplier=0.3, resolution=64, classes=5)
    switched_off = {name: np.array(tensor) for name, tensor in model.parameters.items()}
    for name, tensor in switched_off.items():
        kept = narrow.parameters[name].shape[0]
        if name.endswith(("batch_norm.weight", "batch_norm.bias")):
            tensor[kept:] = 0  # γ = β = 0 makes a channel 0, whatever it was
    pixels = random_pixels(rng, model.network)
    expected = reference.run_reference(model.with_parameters(switched_off), pixels)["classifier"]
    np.testing.assert_allclose(reference.run_reference(narrow, pixels)["classifier"], expected, rtol=1e-9, atol=1e-12)


def test_resolution_changes_maps_and_no_weight() -> None:
    model = random_model(np.random.default_rng(0), wide())
    larger = cut_subnet(model, resolution=97)
    assert larger.network == mobilenet_v1(resolution=97, classes=5)
    assert all(np.array_equal(larger.parameters[name], tensor) for name, tensor in model.parameters.items())


def test_a_network_without_a_classifier_has_subnets_whose_features_are_as_many() -> None:
    network = wide()
    features = replace(network, layers=network.layers[:-1], outputs=(network.layers[-2].name,))
    rng = np.random.default_rng(0)
    model = random_model(rng, features)
    pixels = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    subnet = extract_subnet(model, 0.5, 32, pixels=pixels)
    (output,) = reference.run_reference(subnet, pixels).values()
    assert output.shape == (4, 1024)


def test_an_int8_model_has_no_subnets() -> None:
    model = random_int8_model(np.random.default_rng(0), without_batch_norm(wide()))
    with pytest.raises(ModelError, match="use the float32 one"):
        cut_subnet(model, width_multiplier=0.5)


# Supernets -----------------------------------------------------------------------------------------------------------


def shared(rng: np.random.Generator, *points: tuple[float, int]) -> Model:
    """A wide Model that knows the statistics of some of its subnets."""
    model = random_model(rng, wide())
    narrow = {point: cut_subnet(model, width_multiplier=point[0], resolution=point[1]) for point in points}
    subnets = {
        point: statistics_of(recalibrated(one, random_pixels(rng, one.network, 6))) for point, one in narrow.items()
    }
    return replace(model, subnets=subnets)


def test_statistics_go_into_a_model_as_they_came_out() -> None:
    rng = np.random.default_rng(1)
    model = shared(rng, (0.5, 48))
    narrow = extract_subnet(model, 0.5, 48)
    assert narrow.network == mobilenet_v1(width_multiplier=0.5, resolution=48, classes=5)
    np.testing.assert_array_equal(statistics_of(narrow), model.subnets[0.5, 48])
    assert not narrow.subnets
    assert narrow.provenance["sliced_from"] == "1-64"
    np.testing.assert_array_equal(narrow.parameters["stem.weight"], model.parameters["stem.weight"][:16])


def test_a_subnet_without_statistics_takes_images() -> None:
    rng = np.random.default_rng(2)
    model = shared(rng, (0.25, 32), (0.5, 64))
    with pytest.raises(
        ModelError, match=r"no batch-norm statistics for width 0\.4 at 40 pixels; .*\(0\.25-32, 0\.5-64"
    ):
        extract_subnet(model, 0.4, 40)
    pixels = random_pixels(rng, mobilenet_v1(resolution=40), 5)
    narrow = extract_subnet(model, 0.4, 40, pixels=pixels)
    expected = recalibrated(cut_subnet(model, width_multiplier=0.4, resolution=40), pixels)
    assert all(np.array_equal(narrow.parameters[name], values) for name, values in expected.parameters.items())


def test_a_width_below_the_smallest_trained_is_refused_even_with_images() -> None:
    rng = np.random.default_rng(3)
    model = shared(rng, (0.25, 32))
    pixels = random_pixels(rng, mobilenet_v1(resolution=32), 4)
    with pytest.raises(ModelError, match=r"smallest width that this Model was trained for is 0\.25; 0\.2 is below it"):
        extract_subnet(model, 0.2, 32, pixels=pixels)
    with pytest.raises(ModelError, match="for none: it was not trained as a supernet"):
        extract_subnet(random_model(rng, wide()), 0.5, 64)


def test_a_shared_model_is_one_file_of_version_2(tmp_path: Path) -> None:
    model = shared(np.random.default_rng(4), (0.25, 32), (1.0, 64), (0.35, 48))
    save(model, tmp_path / "shared.safetensors")
    save(model.with_parameters(model.parameters), tmp_path / "plain.safetensors")
    versions = {}
    for name in ("shared", "plain"):
        with safe_open(tmp_path / f"{name}.safetensors", framework="numpy") as file:
            versions[name] = file.metadata()["format_version"]
    assert versions == {"shared": "2", "plain": "1"}
    again = load(tmp_path / "shared.safetensors")
    assert set(again.subnets) == set(model.subnets)
    for point, values in model.subnets.items():
        np.testing.assert_array_equal(again.subnets[point], values)
    narrow = extract_subnet(again, 0.35, 48)
    assert narrow.parameters["block1.pointwise.weight"].shape == (22, 11, 1, 1)


@pytest.mark.parametrize(
    ("subnets", "error", "message"),
    [
        ({(0.25, 32): np.zeros((2, 7), np.float32)}, ModelError, "the network needs float32"),
        ({(0.25, 32): -1}, ModelError, "have a negative variance"),
        ({(0.25, 32): np.nan}, ModelError, "have a negative variance, NaN or infinity"),
        ({(0.25, 31): 1}, ArchitectureError, "at least 32 pixels"),
        ({(1.5, 32): 1}, ArchitectureError, "cannot be thinned to 1.5"),
        ({(0.5, 32 + number): 1 for number in range(4097)}, ModelError, "at most 4096 are read"),
    ],
)
def test_statistics_that_fit_no_subnet_are_refused(
    subnets: dict[tuple[float, int], object], error: type[Exception], message: str
) -> None:
    rng = np.random.default_rng(5)
    model = random_model(rng, wide())
    filled = {}
    for (width, side), value in subnets.items():
        channels = (
            statistics_of(cut_subnet(model, width_multiplier=min(width, 1.0))).shape[1] if len(subnets) == 1 else 1
        )
        filled[width, side] = value if isinstance(value, np.ndarray) else np.full((2, channels), value, np.float32)
    with pytest.raises(error, match=message):
        replace(model, subnets=filled)


def test_a_file_that_misnames_a_subnet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    save(shared(np.random.default_rng(7), (0.5, 48)), path)
    content = path.read_bytes()
    for name in (b"slices.0.5-1e", b"slices.nan-48", b"slices.2.5-48", b"slices.0.0-48"):
        path.write_bytes(content.replace(b"slices.0.5-48", name))
        with pytest.raises(ModelFileError, match=r"not named by a width|cannot be thinned"):
            load(path)
    path.write_bytes(content.replace(b'"format_version":"2"', b'"format_version":"1"'))
    with pytest.raises(ModelFileError, match=r"slices\.0\.5-48 belongs to no layer"):
        load(path)


def test_an_int8_model_has_no_statistics_of_subnets() -> None:
    model = random_int8_model(np.random.default_rng(0), without_batch_norm(wide()))
    with pytest.raises(ModelError, match="int8 Model has no subnets"):
        replace(model, subnets={(0.5, 32): np.zeros((2, 5), np.float32)})
    with pytest.raises(ModelError, match="no batch norm to measure"):
        recalibrated(model, random_pixels(np.random.default_rng(0), model.network, 2))


def test_folding_and_quantizing_leave_subnets_behind() -> None:
    rng = np.random.default_rng(6)
    model = shared(rng, (0.25, 32))
    assert not fold(model).subnets
    assert not quantize_with_images(model, random_pixels(rng, model.network, 4)).model.subnets
