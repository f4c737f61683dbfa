"""What is taken in the place of a Model: files, folders, and published weights by name, from a cache of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_model

import mobilenets
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError, ModelFileError
from mobilenets.formats.carried_weights import put_weights, weights_in
from mobilenets.formats.exporting import export
from mobilenets.formats.known_weights import known_weights
from mobilenets.formats.loading import file_for, load_model
from mobilenets.formats.published import published_source
from mobilenets.model.file import save
from mobilenets.model.model import Model

KERAS_V1 = Path(__file__).parents[3] / "shared" / "data" / "weights" / "mobilenet_v1_0.25_224.h5"
needs_weights = pytest.mark.skipif(not KERAS_V1.exists(), reason="the published weights are not here")


@pytest.fixture
def model() -> Model:
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def test_a_model_its_file_its_folder_and_a_foreign_file_are_all_taken(model: Model, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save(model, run / "model.safetensors")
    (foreign,) = export(model, tmp_path / "model.tflite", verify=False).paths
    assert load_model(model) is model
    for source in (run, str(run), run / "model.safetensors", foreign):
        found = mobilenets.load(source)
        assert (found.network.name, found.network.width_multiplier, len(found.labels)) == ("mobilenet_v1", 0.25, 3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nowhere.safetensors", "nowhere.safetensors does not exist$"),
        ("mobilenetv4_conv_smal", "did you mean timm:mobilenetv4_conv_small"),
        ("mobilenet_v3_small", "an architecture, which has no weights; published weights of it are keras:mobilenet_v3"),
        ("imagenet", r"imagenet is no name of weights\. .*such as keras:0\.25-224 .*fit chooses among them by itself"),
        ("scratch", "scratch is no Model; to train from scratch, say weights='none'$"),
        ("zzzz", "zzzz does not exist; a Model is a Model file, .* keras:0.25-224"),
    ],
)
def test_a_word_that_nothing_knows_is_answered_with_what_it_may_mean(word: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        load_model(word)


def test_what_cannot_be_fetched_is_said_in_one_line_with_the_way_out() -> None:
    with pytest.raises(FormatError) as caught:
        load_model("keras:0.25-224")
    assert str(caught.value).startswith("keras:0.25-224 is not in the cache, and https://")
    assert str(caught.value).endswith("From another machine: mobilenets models fetch keras:0.25-224 --from FILE")
    assert "\n" not in str(caught.value)


def test_the_beginning_of_a_tag_is_enough_where_it_is_of_one_only() -> None:
    full = published_source("timm:mobilenetv4_conv_small.e2400_r224_in1k")
    assert published_source("timm:mobilenetv4_conv_small.e2400_r224") == full
    assert published_source("timm:mobilenetv3_large_100.ra").endswith(".ra_in1k")
    with pytest.raises(FormatError, match="is not published"):
        published_source("timm:mobilenetv4_conv_small.e")
    for one in known_weights():
        assert published_source(one.short_name) == one.source == published_source(one.name)


@needs_weights
def test_weights_of_another_machine_are_put_into_the_cache_and_found_by_name(tmp_path: Path) -> None:
    (known,) = known_weights("keras:0.25-224")
    assert not known.cached
    put_weights("keras:0.25-224", KERAS_V1)
    assert known.cached
    model = load_model("keras:0.25-224")
    assert (model.network.name, model.network.width_multiplier, model.network.height) == ("mobilenet_v1", 0.25, 224)
    assert model.provenance["imported"]["source"] == known.source
    assert mobilenets.Session("keras:0.25-224").model.network == model.network
    assert mobilenets.Classifier("keras:0.25-224").model.labels == model.labels
    folder = tmp_path / "carried"
    folder.mkdir()
    (folder / "mobilenet_2_5_224_tf.h5").write_bytes(KERAS_V1.read_bytes())
    assert list(weights_in(folder)) == ["keras:0.25-224"]


@needs_weights
def test_weights_of_another_network_or_another_file_are_not_put_into_the_cache() -> None:
    with pytest.raises(FormatError, match=r"of width 0.25; keras:0.5-160 is a mobilenet_v1 of width 0.5"):
        put_weights("keras:0.5-160", KERAS_V1)
    other = KERAS_V1.with_name("mobilenet_v2_torchvision.pth")  # the first version of the weights
    with pytest.raises(FormatError, match=r"is torchvision:mobilenet_v2.v1, not torchvision:mobilenet_v2.v2: its SHA"):
        put_weights("torchvision:mobilenet_v2", other)
    put_weights("torchvision:mobilenet_v2.v1", other)
    assert [one.cached for one in known_weights("torchvision:mobilenet_v2", "torchvision:mobilenet_v2.v1")] == [
        False,
        True,
    ]


def test_every_entry_of_the_table_is_complete() -> None:
    listed = known_weights()
    assert len({one.name for one in listed}) >= 70
    for one in listed:
        assert one.specification.network().name == one.family
        assert one.bytes > 4 * one.parameters
        assert one.licence
        assert one.source.startswith(("https://", "hub:"))
        assert (one.sha256 is not None) == one.name.startswith("torchvision:")
    (small,) = (one for one in known_weights("timm:mobilenetv4_conv_small") if one.resolution == 224)
    assert (small.parameters, small.top1) == (3_774_024, 73.756)


def test_results_without_a_name_of_their_own_go_beside_the_model_or_here(tmp_path: Path) -> None:
    assert file_for("timm:mobilenetv4_conv_small.e2400_r224", ".onnx") == Path(
        "timm-mobilenetv4_conv_small.e2400_r224.onnx"
    )
    assert file_for(tmp_path, ".onnx") == tmp_path / "model.onnx"
