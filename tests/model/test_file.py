"""The Model file: bit for bit there and back, and nothing hostile gets in."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hostile_json import HOSTILE, changed, places
from tests.support.random_models import random_int8_model, random_model, random_network
from tests.support.strategies import SEEDS, float_models, int8_models
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Convolution,
    GlobalAveragePool,
    Linear,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import ModelError, ModelFileError
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.packing import round_up_to_bfloat16
from mobilenets.model.preprocessing import Interpolation, Preprocessing, ResizeMode
from mobilenets.tasks.classification import Classification


def there_and_back(model: Model) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model.safetensors")
        return load(Path(folder) / "model.safetensors")


def assert_same(found: Model, expected: Model) -> None:
    """Equal in everything, tensors bit for bit."""
    assert found.network == expected.network
    assert found.task == expected.task
    assert found.preprocessing == expected.preprocessing
    assert found.quantization == expected.quantization
    assert found.provenance == expected.provenance
    assert set(found.parameters) == set(expected.parameters)
    for name, tensor in expected.parameters.items():
        assert found.parameters[name].dtype == tensor.dtype
        assert found.parameters[name].shape == tensor.shape
        assert found.parameters[name].tobytes() == tensor.tobytes()


@given(float_models() | int8_models())
def test_save_and_load_is_bit_identical(model: Model) -> None:
    loaded = there_and_back(model)
    assert_same(loaded, model)
    assert not any(tensor.flags.writeable for tensor in loaded.parameters.values())


def with_four_bits(seed: int, *, newer: bool = True) -> Model:
    """An int8 Model of which about half of the layers hold 4-bit weights."""
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, random_network(rng, newer=newer))
    assert model.quantization is not None
    parameters, bits = dict(model.parameters), {}
    for name, tensor in model.parameters.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and rng.random() < 0.5:
            parameters[name] = np.clip(tensor // 16, -7, 7).astype(np.int8)
            bits[layer] = 4
    return replace(model, parameters=parameters, quantization=replace(model.quantization, weight_bits=bits))


@given(SEEDS)
def test_four_bit_weights_survive_packing(seed: int) -> None:
    model = with_four_bits(seed)
    loaded = there_and_back(model)
    assert_same(loaded, model)
    assert not any(tensor.flags.writeable for tensor in loaded.parameters.values())


def four_bit_layer() -> tuple[Model, str]:
    """A Model, and the name of a layer in it that holds two 4-bit weights or more."""
    for seed in range(20):
        model = with_four_bits(seed)
        for layer in model.quantization.weight_bits if model.quantization else ():
            if model.parameters[f"{layer}.weight"].size >= 2:
                return model, layer
    raise AssertionError("none of twenty Models has a layer of 4-bit weights")


def test_four_bit_weights_go_two_to_a_byte_the_earlier_in_the_low_half(tmp_path: Path) -> None:
    model, layer = four_bit_layer()
    save(model, tmp_path / "model.safetensors")
    header, data = split(tmp_path / "model.safetensors")
    entry = header[f"{layer}.weight"]
    weights = model.parameters[f"{layer}.weight"].ravel()
    assert (entry["dtype"], entry["shape"]) == ("U8", [(weights.size + 1) // 2])
    packed = data[slice(*entry["data_offsets"])]
    assert packed[0] == (int(weights[0]) & 15) | (int(weights[1]) & 15) << 4


@pytest.mark.parametrize("value", [8, -8, -128, 127])
def test_a_weight_outside_four_bits_is_not_packed(value: int, tmp_path: Path) -> None:
    model, layer = four_bit_layer()
    layer = next(iter(model.quantization.weight_bits))  # type: ignore[union-attr]
    weight = model.parameters[f"{layer}.weight"].copy()
    weight.flat[0] = value
    with pytest.raises(ModelError, match="declared to use 4 bits but holds values outside −7 to 7"):
        save(model.with_parameters({**model.parameters, f"{layer}.weight": weight}), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def small_model(**changes: Any) -> Model:
    rng = np.random.default_rng(3)
    model = random_model(rng, mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    return replace(model, task=Classification(("cat", "dog", "zebra crossing 🦓")), **changes)


def test_everything_but_tensors_survives_too() -> None:
    preprocessing = Preprocessing((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), ResizeMode.SQUASH, 0.9, Interpolation.BICUBIC)
    provenance = {"recipe": "paper", "seed": 7, "metrics": {"top1": 98.5}, "versions": ["1", None, True]}
    model = small_model(preprocessing=preprocessing, provenance=provenance)
    assert_same(there_and_back(model), model)


def test_a_source_whose_name_is_not_unicode_survives() -> None:
    model = small_model(provenance={"data": {"source": "p\udcffctures"}})
    assert_same(there_and_back(model), model)


@pytest.mark.parametrize("provenance", [{"loss": float("nan")}, {"folder": Path("x")}, {"worst": float("inf")}])
def test_provenance_that_is_not_json_is_refused(provenance: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="metadata of a Model must be JSON values"):
        save(small_model(provenance=provenance), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_an_older_file_stays_whole_when_a_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save(small_model(), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(small_model(provenance={"seed": 8}), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_new_file_has_the_rights_that_files_usually_get(tmp_path: Path) -> None:
    save(small_model(), tmp_path / "model.safetensors")
    (tmp_path / "plain").touch()
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("model.safetensors", "plain")]
    assert rights[0] == rights[1]


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header: object, data: bytes, *, pad: int = 8) -> bytes:
    """A safetensors file of any header and data, however wrong."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small float32 Model file of version 1."""
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    rng = np.random.default_rng(5)
    save(random_model(rng, random_network(rng, newer=False)), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole_int8(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small int8 Model file with 4-bit weights, and scales and biases of either length."""
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    save(with_short_numbers(5), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole_version_3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small int8 Model file with products and tabled activations."""
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    save(squeezed_model(), path)
    return path.read_bytes()


def squeezed_model() -> Model:
    """An int8 Model whose channels are scaled by what a squeeze-and-excite branch makes of them."""
    network = Network(
        "squeezed",
        5,
        5,
        (
            Convolution("stem", (INPUT,), out_channels=4, activation=Activation.HARD_SWISH, bias=True),
            GlobalAveragePool("squeeze", ("stem",)),
            PointwiseConvolution("gate", ("squeeze",), out_channels=4, activation=Activation.HARD_SIGMOID, bias=True),
            Multiply("scaled", ("stem", "gate")),
            GlobalAveragePool("average_pool", ("scaled",)),
            Linear("classifier", ("average_pool",), out_features=3),
        ),
        ("classifier",),
    )
    return random_int8_model(np.random.default_rng(4), network)


def refused(content: bytes, message: str = ".") -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)


def loads_or_is_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        try:
            model = load(path)
        except ModelFileError:
            return
        assert_same(there_and_back(model), model)


@given(st.data())
def test_a_truncated_file_is_refused(whole: bytes, data: st.DataObject) -> None:
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))], "is not a readable safetensors file")


@settings(max_examples=400)
@given(st.data())
def test_changed_bytes_give_an_error_or_a_sound_model(
    whole: bytes, whole_int8: bytes, whole_version_3: bytes, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from([whole, whole_int8, whole_version_3])))
    (header,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        # Four in five changes hit the header, where they can do harm.
        last = len(content) - 1 if data.draw(st.integers(0, 4)) == 0 else header + 7
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    loads_or_is_refused(bytes(content))


@settings(max_examples=400)
@given(st.data())
def test_changed_metadata_gives_an_error_or_a_sound_model(
    whole: bytes, whole_int8: bytes, whole_version_3: bytes, data: st.DataObject
) -> None:
    content = data.draw(st.sampled_from([whole, whole_int8, whole_version_3]))
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    field = data.draw(st.sampled_from(sorted(header["__metadata__"])))
    try:
        value = json.loads(header["__metadata__"][field])
    except ValueError:
        value = header["__metadata__"][field]
    path = data.draw(st.sampled_from(places(value)))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    hostile = changed(value, path, change, data.draw(st.sampled_from(HOSTILE)))
    header["__metadata__"][field] = json.dumps(hostile)
    loads_or_is_refused(join(header, content[8 + length :]))


def edited(whole: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with its header changed in place by a function."""
    (length,) = struct.unpack("<Q", whole[:8])
    header = copy.deepcopy(json.loads(whole[8 : 8 + length]))
    edit(header)
    return join(header, whole[8 + length :])


def some_tensor(header: dict[str, Any]) -> dict[str, Any]:
    name = next(name for name in sorted(header) if name.endswith(".weight"))
    entry: dict[str, Any] = header[name]
    return entry


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda header: header.pop("__metadata__"), "not a Model of this package"),
        (lambda header: header["__metadata__"].update(format="other"), "not a Model of this package"),
        (lambda header: header["__metadata__"].update(format_version="4"), "'4'; this package reads versions 1, 2, 3"),
        (lambda header: header["__metadata__"].pop("network"), "the metadata lacks 'network'"),
        (lambda header: header["__metadata__"].update(network="{"), "the metadata field 'network' is not JSON"),
        (lambda header: header["__metadata__"].update(network="[" * 100_000), "'network' is not JSON"),
        (lambda header: header["__metadata__"].update(network="{}"), "network"),
        (lambda header: header["__metadata__"].update(labels='"cat"'), "labels must be a list of strings"),
        (lambda header: header["__metadata__"].update(labels='["cat", 1]'), "labels must be a list of strings"),
        (lambda header: header["__metadata__"].update(labels="[]"), "0 labels for a network of"),
        (lambda header: header["__metadata__"].update(format_version="3"), "the metadata lacks 'task'"),
        (lambda header: header["__metadata__"].update(provenance="[]"), "provenance must be an object"),
        (lambda header: header["__metadata__"].update(provenance='{"a": NaN}'), "NaN is not a number"),
        (lambda header: header["__metadata__"].update(preprocessing="{}"), "preprocessing must hold exactly"),
        (lambda header: some_tensor(header).update(dtype="F64"), "."),
        (lambda header: some_tensor(header).update(dtype="I32"), "holds int32; the model needs float32"),
        (lambda header: some_tensor(header)["shape"].append(1), "the network needs"),
        (lambda header: some_tensor(header).update(shape=[-1]), "."),
        (lambda header: some_tensor(header).update(shape=[1 << 62, 1 << 62]), "."),
        (lambda header: some_tensor(header).update(data_offsets=[0, 1 << 60]), "."),
        (lambda header: some_tensor(header).update(data_offsets=[8, 4]), "."),
        (lambda header: some_tensor(header).pop("dtype"), "."),
        (lambda header: header.update(stranger=header.pop(sorted(header)[1])), "is missing; the network needs"),
    ],
)  # fmt: skip
def test_a_mismatched_file_is_refused(edit: Callable[[dict[str, Any]], object], message: str, whole: bytes) -> None:
    refused(edited(whole, edit), message)


@pytest.mark.parametrize("label", ["\\u0000", "\\u001b[2J", "\\ud800", "\\n"])
def test_labels_that_cannot_be_printed_are_refused(label: str, tmp_path: Path) -> None:
    save(small_model(), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    labels = f'["cat", "dog", "{label}"]'
    refused(edited(content, lambda header: header["__metadata__"].update(labels=labels)), "control character")


def test_a_tensor_of_no_layer_is_refused(whole: bytes) -> None:
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    header["stranger.weight"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
    refused(join(header, data + b"\0" * 4), "stranger.weight belongs to no layer")


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1.0, 1e30])
def test_scales_that_are_no_scales_are_refused(scale: float, whole_int8: bytes) -> None:
    (length,) = struct.unpack("<Q", whole_int8[:8])
    header, data = json.loads(whole_int8[8 : 8 + length]), bytearray(whole_int8[8 + length :])
    name = next(name for name in sorted(header) if name.endswith(".weight_scale"))
    begin = header[name]["data_offsets"][0]
    data[begin : begin + 4] = struct.pack("<f", scale)
    refused(join(header, bytes(data)), "holds scales that are not in 0 to")


def test_four_bit_weights_of_the_wrong_length_are_refused(whole_int8: bytes) -> None:
    def edit(header: dict[str, Any]) -> None:
        name = next(name for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "U8")
        header[name]["shape"] = [1, *header[name]["shape"]]

    refused(edited(whole_int8, edit), "4-bit weights need")


def test_a_packed_weight_of_minus_eight_is_refused(whole_int8: bytes) -> None:
    (length,) = struct.unpack("<Q", whole_int8[:8])
    header, data = json.loads(whole_int8[8 : 8 + length]), bytearray(whole_int8[8 + length :])
    entry = next(entry for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "U8")
    data[entry["data_offsets"][0]] = 0x08
    refused(join(header, bytes(data)), "holds values outside −7 to 7")


def test_unaligned_tensors_are_read_and_stay_read_only(whole: bytes, tmp_path: Path) -> None:
    (length,) = struct.unpack("<Q", whole[:8])
    text = whole[8 : 8 + length].rstrip()
    text += b" " * ((1 - len(text)) % 4)  # the data now begins one byte past a multiple of four
    (tmp_path / "aligned.safetensors").write_bytes(whole)
    (tmp_path / "odd.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    odd = load(tmp_path / "odd.safetensors")
    assert_same(odd, load(tmp_path / "aligned.safetensors"))
    assert not any(tensor.flags.writeable for tensor in odd.parameters.values())
    assert all(tensor.flags.aligned for tensor in odd.parameters.values())


@pytest.mark.parametrize("length", [0, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_that_lies_about_its_length_is_refused(length: int, whole: bytes) -> None:
    refused(struct.pack("<Q", length) + whole[8:], "is not a readable safetensors file")


def test_other_files_are_refused(tmp_path: Path) -> None:
    refused(b"")
    refused(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    refused(pickle.dumps({"weight": [1.0]}))
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", "x")
    refused(archive.read_bytes())


def test_no_file_and_a_folder_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        load(tmp_path / "nowhere.safetensors")
    with pytest.raises(ModelFileError, match=r"is a folder, not a Model file$"):
        load(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelFileError, match=r"is a folder, not a Model file; it holds .*model.safetensors"):
        load(tmp_path)


def version_of(model: Model, path: Path) -> str:
    save(model, path)
    version: str = split(path)[0]["__metadata__"]["format_version"]
    return version


def with_short_numbers(seed: int = 3, *, newer: bool = True) -> Model:
    """An int8 Model of which some scales are bfloat16 and some biases fit 16 bits."""
    model = with_four_bits(seed, newer=newer)
    parameters = dict(model.parameters)
    for number, (name, tensor) in enumerate(model.parameters.items()):
        if name.endswith(".weight_scale") and number % 2:
            parameters[name] = round_up_to_bfloat16(tensor.astype(np.float64)).astype(np.float32)
        if name.endswith(".bias"):
            parameters[name] = np.clip(tensor, -(2**15), 2**15 - 1 + number % 2).astype(np.int32)
    return model.with_parameters(parameters)


def test_a_file_has_the_lowest_version_that_describes_it(tmp_path: Path) -> None:
    assert version_of(small_model(), tmp_path / "model.safetensors") == "1"
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    assert version_of(random_int8_model(np.random.default_rng(0), network), tmp_path / "model.safetensors") == "3"


def test_an_int8_file_states_its_arithmetic(whole_int8: bytes) -> None:
    def state(arithmetic: object, version: str = "3") -> bytes:
        def edit(header: dict[str, Any]) -> None:
            quantization = json.loads(header["__metadata__"]["quantization"])
            assert quantization.pop("arithmetic") == "float32"
            if arithmetic is not None:
                quantization["arithmetic"] = arithmetic
            header["__metadata__"] |= {"quantization": json.dumps(quantization), "format_version": version}

        return edited(whole_int8, edit)

    refused(state("float64"), "the arithmetic is 'float64'; known is 'float32'")
    refused(state([]), "the arithmetic is \\[\\]; known is 'float32'")
    refused(state(None), "of format version 3 states its arithmetic; it holds activations, weight_bits")
    refused(state("float32", version="2"), "of format version 2 states no arithmetic; it holds activations")


def test_what_older_readers_do_not_know_needs_version_3(tmp_path: Path) -> None:
    model = squeezed_model()
    assert version_of(model, tmp_path / "model.safetensors") == "3"
    metadata = split(tmp_path / "model.safetensors")[0]["__metadata__"]
    assert json.loads(metadata["task"]) == {"kind": "classification", "labels": ["0", "1", "2"]}
    assert "labels" not in metadata
    assert_same(load(tmp_path / "model.safetensors"), model)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("null", "a task must be an object with its kind"),
        ('["classification"]', "a task must be an object with its kind"),
        ('{"labels": []}', "a task must be an object with its kind"),
        ('{"kind": ["classification"]}', "a task must be an object with its kind"),
        ('{"kind": "astrology"}', "the task is 'astrology'; known are classification"),
        ('{"kind": "classification"}', "must hold kind and labels"),
        ('{"kind": "classification", "labels": {"0": "a"}}', "labels must be a list of strings"),
        ('{"kind": "classification", "labels": ["a"]}', "1 labels for a network of 3 classes"),
        ('{"kind": "classification", "labels": ["a", "b", "\\u001b"]}', "control character"),
        ("{", "the metadata field 'task' is not JSON"),
    ],
)
def test_a_task_that_is_none_is_refused(task: str, message: str, whole_version_3: bytes) -> None:
    refused(edited(whole_version_3, lambda header: header["__metadata__"].update(task=task)), message)


@given(SEEDS)
def test_short_numbers_are_held_in_two_bytes_and_come_back_as_they_were(seed: int) -> None:
    model = with_short_numbers(seed)
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model.safetensors")
        header, data = split(Path(folder) / "model.safetensors")
        loaded = load(Path(folder) / "model.safetensors")
    assert_same(loaded, model)
    assert not any(tensor.flags.writeable for tensor in loaded.parameters.values())
    for name, tensor in model.parameters.items():
        if name.endswith(".bias"):
            assert header[name]["dtype"] == ("I16" if np.abs(tensor + 0.5).max() < 2**15 else "I32")
        if name.endswith(".weight_scale") and header[name]["dtype"] == "BF16":
            held = data[slice(*header[name]["data_offsets"])]
            assert held == tensor.view(np.uint16)[1::2].tobytes()  # the upper halves of little-endian float32


@given(st.floats(1e-12, 1e12))
def test_rounding_up_to_bfloat16_gives_the_next_one(value: float) -> None:
    up = float(round_up_to_bfloat16(np.array([value]))[0])
    single = float(np.float32(value))
    assert np.array([up], np.float32).view(np.uint16)[0] == 0  # the lower half
    assert single <= up <= single * (1 + 2**-7)


def as_version(version: str, header: dict[str, Any]) -> None:
    """Make the header of an int8 classifier's file that of an older version."""
    metadata = header["__metadata__"]
    quantization = json.loads(metadata["quantization"])
    del quantization["arithmetic"]
    metadata |= {"format_version": version, "quantization": json.dumps(quantization)}
    metadata["labels"] = json.dumps(json.loads(metadata.pop("task"))["labels"])


def test_a_version_1_file_holds_no_types_of_version_2(tmp_path: Path) -> None:
    save(with_short_numbers(newer=False), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    older = edited(content, lambda header: as_version("1", header))
    refused(older, r"holds u?int16; the model needs (float32|int32)")


def test_a_file_of_version_1_as_it_was_written_before_version_2_still_loads(tmp_path: Path) -> None:
    """Every number in its long form, as version 1 had it."""
    model = with_short_numbers(newer=False)
    save(model, tmp_path / "new.safetensors")
    header, data = split(tmp_path / "new.safetensors")
    as_version("1", header)
    older, written = {"__metadata__": header["__metadata__"]}, b""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        content, dtype = data[slice(*entry["data_offsets"])], entry["dtype"]
        if dtype in ("BF16", "I16"):
            content, dtype = model.parameters[name].tobytes(), "F32" if dtype == "BF16" else "I32"
        extent = [len(written), len(written) + len(content)]
        older[name] = {"dtype": dtype, "shape": entry["shape"], "data_offsets": extent}
        written += content
    (tmp_path / "old.safetensors").write_bytes(join(older, written))
    assert_same(load(tmp_path / "old.safetensors"), model)


def test_an_int8_file_of_version_2_still_loads_and_is_written_as_version_3(tmp_path: Path) -> None:
    model = with_short_numbers(newer=False)
    path = tmp_path / "model.safetensors"
    save(model, path)
    path.write_bytes(edited(path.read_bytes(), lambda header: as_version("2", header)))
    loaded = load(path)
    assert_same(loaded, model)
    assert version_of(loaded, path) == "3"


def test_another_kind_of_tensor_is_not_held_in_two_bytes(tmp_path: Path) -> None:
    save(with_short_numbers(), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()

    def swap(header: dict[str, Any]) -> None:
        name = next(name for name, entry in header.items() if entry.get("dtype") == "I16")
        header[name]["dtype"] = "BF16"

    refused(edited(content, swap), "holds uint16; the model needs int32")


def test_a_task_that_load_would_refuse_is_refused_by_save(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = replace(random_model(np.random.default_rng(0), network), task=StrongestChannel())
    with pytest.raises(ModelError, match="the task is 'strongest-channel'; known are classification"):
        save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
