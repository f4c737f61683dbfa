"""What is written is run before it takes its place, and what answers otherwise never does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.support.random_models import random_int8_model, random_model, random_pixels, without_batch_norm

from mobilenets.architecture.layers import GlobalAveragePool, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress
from mobilenets.base.suffixes import EXPORTED, SUFFIXES
from mobilenets.engine.session import Session
from mobilenets.errors import DataError, FormatError, MissingDependencyError, ModelError
from mobilenets.formats.exporting import export
from mobilenets.formats.format import Format, Options, Outputs
from mobilenets.formats.onnx.run import run_onnx
from mobilenets.formats.onnx.write import to_onnx
from mobilenets.formats.registry import FORMATS, format_of, writable
from mobilenets.formats.verification import compare_outputs
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.logits import softmax


def with_writer(name: str, **changes: Any) -> Format:
    """A format whose writer differs from the real one."""
    row = FORMATS[name]
    assert row.writer is not None
    return replace(row, writer=replace(row.writer, **changes))


class Listener(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


RUNTIMES = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino"}


def small_model(*, int8: bool = False) -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    rng = np.random.default_rng(0)
    return random_int8_model(rng, network) if int8 else random_model(rng, without_batch_norm(network))


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", ["onnx", "litert", "c", "openvino"])
def test_every_format_answers_as_the_model_does(name: str, int8: bool, tmp_path: Path) -> None:
    if name in RUNTIMES:
        pytest.importorskip(RUNTIMES[name])
    model = small_model(int8=int8)
    images = random_pixels(np.random.default_rng(1), model.network, 2)
    path = tmp_path / f"model{FORMATS[name].suffixes[0]}"
    exported = export(model, path, images=images)
    assert path in exported.paths
    assert exported.bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert exported.agreement is not None, exported.not_run
    assert exported.agreement.same.total == 6
    assert exported.agreement.same.value == 1
    assert exported.agreement.relative_difference < (0.02 if int8 else 1e-5)
    if name == "c":
        assert exported.footprint is not None
        assert not int8 or exported.agreement.largest_difference == 0


def test_a_file_that_answers_otherwise_never_takes_its_place(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, path = small_model(), tmp_path / "model.onnx"
    path.write_text("the file of yesterday")
    biased = {**model.parameters, "classifier.bias": model.parameters["classifier.bias"] + 1}

    def write(model: Model, path: Path, options: Options) -> None:
        to_onnx(model.with_parameters(biased), path)

    with pytest.raises(FormatError, match="outputs are not the Model's"):
        export(model, path, with_writer("onnx", write=write))
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the file of yesterday"]


@pytest.mark.parametrize("shift", [0, 1])
def test_other_answers_at_a_runtimes_default_settings_are_told_beside_the_exact_ones(
    shift: float, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")

    def at_defaults(model: Model, path: Path, pixels: Pixels) -> dict[str, npt.NDArray[np.float32]]:
        return {name: values + np.float32(shift) for name, values in run_onnx(model, path, pixels).items()}

    changed = with_writer("onnx", run_at_defaults=at_defaults)
    exported = export(small_model(int8=True), tmp_path / "model.onnx", changed)
    assert exported.agreement is not None
    assert exported.agreement.relative_difference < 1e-5
    if not shift:
        assert (exported.at_defaults, exported.advice) == (None, "")
        return
    assert exported.at_defaults is not None
    assert exported.at_defaults.largest_difference == pytest.approx(1)
    assert exported.advice == "ONNX Runtime with session.x64quantprecision=1"


def test_without_a_runtime_the_file_is_written_and_the_reason_said(tmp_path: Path) -> None:
    def missing(*_: object) -> None:
        raise MissingDependencyError("onnxruntime", "benchmark")

    exported = export(small_model(), tmp_path / "model.onnx", with_writer("onnx", run=missing))
    assert exported.agreement is None
    assert exported.not_run.startswith("onnxruntime is not installed")
    assert (tmp_path / "model.onnx").exists()


def test_without_a_compiler_the_c_file_is_written_and_the_reason_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    exported = export(small_model(), tmp_path / "model.c")
    assert exported.not_run == "there is no C compiler here (cc, gcc or clang)"


def test_the_ending_says_the_format() -> None:
    assert format_of(Path("a/model.tflite")) == "litert"
    assert format_of(Path("a/model.v2"), "onnx") == "onnx"
    assert format_of(Path("a/MODEL.TFLITE")) == "litert"
    assert [format_of(Path("model"), name) for name in ("tflite", "TFLite", "xml", "mlpackage")] == [
        "litert",
        "litert",
        "openvino",
        "coreml",
    ]
    with pytest.raises(FormatError, match=r"end it in \.tflite \(litert\), \.onnx"):
        format_of(Path("model.bin"))
    with pytest.raises(FormatError, match="no format is called 'keras'"):  # which is only read
        format_of(Path("model.h5"), "keras")


@pytest.mark.parametrize(
    ("name", "asked", "way_out"),
    [
        ("a.tflite", "onnx", r"a LiteRT file.*end it in \.onnx, or for a LiteRT file say to='litert'"),
        ("a.ONNX", "c", r"an ONNX file.*to='onnx'"),
        ("a.safetensors", "litert", r"a Model file.*end it in \.tflite$"),
        ("a.h5", "openvino", r"a Keras file.*end it in \.xml$"),
    ],
)
def test_nothing_is_exported_under_the_name_of_another_format(
    name: str, asked: str, way_out: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=way_out):
        export(small_model(), tmp_path / name, asked)
    assert not list(tmp_path.iterdir())


def test_every_suffix_of_a_format_says_what_it_is() -> None:
    assert {Path(suffix).suffix or suffix for row in FORMATS.values() for suffix in row.suffixes} <= set(SUFFIXES)
    assert {row.suffixes[0] for row, _ in writable().values()} == set(EXPORTED)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", [str, Path])
def test_images_are_one_source_or_several(kind: type[str] | type[Path], several: bool, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "images"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (40, 30), (number, 90, 200)).save(folder / f"{number}.png")
    images = [kind(folder), kind(folder / "0.png")] if several else kind(folder)
    exported = export(small_model(), tmp_path / "model.c", images=images)
    assert exported.real_images == (0 if exported.agreement is None else 4 if several else 3)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 16, 16, 3), np.uint8), r"pixels are uint8 \(2, 16, 16, 3\); .* needs uint8 \(N, 32, 32, 3\)"),
        (np.zeros((2, 32, 32, 3), np.float32), "pixels are float32"),
        (np.zeros((32, 32, 3), np.uint8), r"pixels are uint8 \(32, 32, 3\)"),
    ],
)
def test_pixels_of_another_shape_or_type_are_refused(pixels: npt.NDArray[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        export(small_model(), tmp_path / "model.c", images=pixels)
    assert not list(tmp_path.iterdir())


def test_a_network_of_one_channel_is_run_on_synthetic_images_only(tmp_path: Path) -> None:
    layers = (
        PointwiseConvolution(name="head", inputs=("input",), out_channels=2),
        GlobalAveragePool(name="pool", inputs=("head",)),
    )
    network = Network("gray", 8, 8, layers, ("pool",), channels=1)
    model = random_model(np.random.default_rng(0), network)
    listener, photograph = Listener(), tmp_path / "photo.png"
    exported = export(model, tmp_path / "model.c", progress=listener)
    assert exported.real_images == 0
    assert listener.notes == ["the sample photographs are RGB and gray reads 1 channel; synthetic images only"]
    Image.new("RGB", (8, 8)).save(photograph)
    with pytest.raises(DataError, match="image files are read as RGB and gray reads 1 channel; pass uint8 pixels"):
        export(model, tmp_path / "other.c", images=photograph)
    assert export(model, tmp_path / "other.c", images=np.zeros((1, 8, 8, 1), np.uint8)).format.title == "C99"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"y\.onnx cannot be written: there is no folder: '.*nowhere'$"):
        export(small_model(), tmp_path / "nowhere" / "y.onnx")


@pytest.mark.parametrize(("name", "suffix"), [("c", ".c"), ("openvino", ".xml"), ("coreml", ".mlpackage")])
def test_a_file_that_programs_tell_by_its_suffix_must_have_it(name: str, suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=rf"end in \{suffix}, not '.out': model.out$"):
        export(small_model(), tmp_path / "model.out", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "options", "message"),
    [
        (".onnx", {"half": True}, "ONNX has no option half; it has normalized_input"),
        (".tflite", {"example": True}, "LiteRT has no option example"),
        (".c", {"normalized_input": True}, "C99 has no option normalized_input"),
    ],
)
def test_an_option_that_a_format_does_not_know_is_refused(
    suffix: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=message):
        export(small_model(), tmp_path / f"model{suffix}", **options)
    assert not list(tmp_path.iterdir())


def test_half_is_for_float_models(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="half is for float32 Models"):
        export(small_model(int8=True), tmp_path / "model.tflite", half=True)


def test_agreement_by_hand() -> None:
    task, expected = Classification(("cat", "dog")), {"a": np.array([[1.0, 2.0], [4.0, 3.0]])}
    agreement = compare_outputs(task, expected, {"a": np.array([[1.0, 2.5], [3.0, 3.5]])})
    assert agreement.largest_difference == 1
    assert agreement.relative_difference == 0.25
    assert agreement.same.value == 0.5
    with pytest.raises(FormatError, match="gives a the shape None"):
        compare_outputs(task, expected, {})


def test_a_value_that_is_not_a_number_is_no_agreement(tmp_path: Path) -> None:
    def not_a_number(model: Model, path: Path, pixels: Pixels) -> Outputs:
        return {"classifier": np.full((len(pixels), 3), np.nan)}

    with pytest.raises(FormatError, match="values differ by up to nan"):
        export(small_model(), tmp_path / "model.onnx", with_writer("onnx", run=not_a_number))


def test_core_ml_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="knows no int8 activations"):
        export(small_model(int8=True), tmp_path / "model.mlpackage")
    with pytest.raises(FormatError, match=r"packages end in \.mlpackage"):
        export(small_model(), tmp_path / "model.coreml", "coreml")
    try:
        import coremltools  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r"pip install 'mobilenets\[coreml\]'"):
            export(small_model(), tmp_path / "model.mlpackage")


def test_openvino_files_end_in_xml(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"OpenVINO files end in \.xml"):
        export(small_model(), tmp_path / "model.ov", "openvino")


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", RUNTIMES)
def test_probabilities_are_those_that_predict_prints(name: str, int8: bool, tmp_path: Path) -> None:
    pytest.importorskip(RUNTIMES[name])
    model = small_model(int8=int8)
    model = replace(model, task=Classification(("cat", "dog", "bird"), temperature=0.7))
    images = random_pixels(np.random.default_rng(1), model.network, 3)
    row = writable()[name]
    options: dict[str, Any] = {"float_output": True} if int8 and name == "litert" else {}
    path = tmp_path / f"model{row[0].suffixes[0]}"
    exported = export(model, path, name, images=images, probabilities=True, **options)
    assert exported.agreement is not None
    assert exported.agreement.largest_value <= 1
    run = row[1].run
    assert run is not None
    (found,) = run(model, path, images).values()
    expected = softmax(Session(model).run(images) / 0.7)
    assert np.abs(found - expected).max() <= (0.02 if int8 else 1e-5)


def test_probabilities_in_a_file_of_integers_are_refused_with_the_way_out(tmp_path: Path) -> None:
    pytest.importorskip("tflite")
    with pytest.raises(FormatError, match="ask for float_output too"):
        export(small_model(int8=True), tmp_path / "model.tflite", probabilities=True)
