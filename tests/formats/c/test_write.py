"""C files compile without a warning and equal the reference, int8 bit for bit, here and on an emulated Cortex-M4."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.support.byte_pairs import CASES, every_pair, pair_models
from tests.support.random_models import (
    random_int8_model,
    random_model,
    random_network,
    random_pixels,
    without_batch_norm,
)

from mobilenets.architecture.layers import (
    Activation,
    Add,
    Concatenate,
    Layer,
    Linear,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import FormatError
from mobilenets.formats.c import run
from mobilenets.formats.c.text import sections
from mobilenets.formats.c.write import to_c
from mobilenets.formats.exporting import export
from mobilenets.model import reference
from mobilenets.model.folding import fold
from mobilenets.model.fused import multiply_add
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.logits import softmax
from mobilenets.tasks.multilabel import MultiLabel

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
CORTEX_M = Path(__file__).parent / "cortex_m"


def tool(name: str) -> str:
    """Path of a program; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def build(folder: Path, *options: str) -> Any:
    """The compiled file, loaded."""
    command = [tool("cc"), *WARNINGS, *options, "-shared", "-fPIC", "model.c", "-o", "model.so", "-lm"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    library = ctypes.CDLL(str(folder / "model.so"))
    library.model_input.restype = ctypes.c_void_p
    return library


def run_c(model: Model, pixels: Pixels, folder: Path, *options: str) -> dict[str, npt.NDArray[Any]]:
    """Outputs of the compiled file, by name, laid out as the reference's."""
    needed = to_c(model, folder / "model.c")
    library = build(folder, *options)
    arena = (ctypes.c_uint64 * (needed.ram_bytes // 8))()
    shapes = {name: model.network.shapes[name] for name in model.network.outputs}
    found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in shapes}
    for image in pixels:
        values = {
            name: np.zeros((shape.height, shape.width, shape.channels), np.float32) for name, shape in shapes.items()
        }
        ctypes.memmove(library.model_input(arena), image.tobytes(), image.nbytes)
        library.model_run(arena, *(value.ctypes.data_as(ctypes.c_void_p) for value in values.values()))
        for name, value in values.items():
            found[name].append(value[0, 0] if value.shape[:2] == (1, 1) else value.transpose(2, 0, 1))
    return {name: np.stack(outputs) for name, outputs in found.items()}


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("seed", range(7))
def test_int8_equals_the_reference_bit_for_bit(seed: int, asymmetric: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, random_network(rng), asymmetric_weights=asymmetric)
    pixels = random_pixels(rng, model.network, 3)
    found = run_c(model, pixels, tmp_path, "-O1", "-fsanitize=undefined", "-fno-sanitize-recover")
    for name, values in reference.run_reference(model, pixels).items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("seed", range(7))
def test_float32_agrees_to_1e_5(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, without_batch_norm(random_network(rng)))
    pixels = random_pixels(rng, model.network, 3)
    found = run_c(model, pixels, tmp_path, "-O1", "-fsanitize=undefined", "-fno-sanitize-recover")
    for name, values in reference.run_reference(model, pixels).items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * max(1, np.abs(values).max()))


@pytest.mark.parametrize("options", [["-O0"], ["-O3"], ["-O3", "-march=native", "-ffp-contract=fast"]])
def test_no_optimization_changes_a_bit(options: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    model = random_int8_model(rng, random_network(rng))
    pixels = random_pixels(rng, model.network, 3)
    found = run_c(model, pixels, tmp_path, *options)
    for name, values in reference.run_reference(model, pixels).items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(("kind", "activation"), CASES)
@pytest.mark.parametrize("options", [["-O2"], ["-O3", "-march=native", "-ffp-contract=fast"]], ids=["plain", "native"])
def test_every_pair_of_bytes_is_joined_as_the_reference_does(
    kind: str, activation: Activation, options: list[str], tmp_path: Path
) -> None:
    """Once with instructions for fused multiplication and addition, once without, on processors that have them."""
    for number, model in enumerate(list(pair_models(kind, activation))[::3]):
        (tmp_path / str(number)).mkdir()
        found = run_c(model, every_pair(), tmp_path / str(number), *options)
        for name, values in reference.run_reference(model, every_pair()).items():
            np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("options", [[], ["-march=native"]], ids=["plain", "native"])
def test_a_fused_sum_is_rounded_once(options: list[str], tmp_path: Path) -> None:
    kernels = files("mobilenets.formats").joinpath("c", "int8.c").read_text(encoding="utf-8")
    kernel = sections(kernels[kernels.index("//@") :], {"fused"}).replace("static", "")
    (tmp_path / "fused.c").write_text(f"#include <math.h>\n#include <stdint.h>\n{kernel}")
    subprocess.run(
        [tool("cc"), *WARNINGS, "-O2", *options, "-shared", "-fPIC", "fused.c", "-o", "fused.so", "-lm"],
        cwd=tmp_path,
        check=True,
    )
    fused = ctypes.CDLL(str(tmp_path / "fused.so")).fused
    fused.restype, fused.argtypes = ctypes.c_float, [ctypes.c_float] * 3
    rng = np.random.default_rng(0)
    count = 5000
    byte = rng.integers(0, 256, count).astype(np.float32)
    factor = (rng.normal(size=count) * 2.0 ** rng.integers(-40, 4, count)).astype(np.float32)
    constant = (rng.normal(size=count) * 255).astype(np.float32)
    # 65 · 16519105 = 2³⁰ + 1: half of the last bit of what it is added to, and less more than float64 can say.
    byte[::2], factor[::2] = 65, 16519105 * 2.0**-60
    constant[::2] = rng.integers(1 << 23, 1 << 24, count // 2) * 2.0**-29
    constant[::4] *= -1
    twice = (byte.astype(np.float64) * factor + constant).astype(np.float32)
    assert (twice != multiply_add(byte, factor, constant)).mean() > 0.1
    found = [fused(*values) for values in zip(byte.tolist(), factor.tolist(), constant.tolist(), strict=True)]
    assert found == multiply_add(byte, factor, constant).tolist()


def small_network() -> Network:
    """The network of a person detector on a microcontroller."""
    return mobilenet_v1(width_multiplier=0.25, resolution=96, classes=2)


def test_int8_of_a_quarter_width_at_96_pixels_fits_a_microcontroller(tmp_path: Path) -> None:
    needed = to_c(random_int8_model(np.random.default_rng(0), small_network()), tmp_path / "model.c")
    assert needed.flash_bytes < 260_000
    assert needed.ram_bytes <= 37 * 1024
    assert (needed.flash_bytes, needed.ram_bytes) == (230_068, 37_400)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("integer", [False, True])
def test_no_compiler_warns_however_hard_it_optimises(compiler: str, integer: bool, tmp_path: Path) -> None:
    # What a compiler inlines decides what it warns of: gcc's -O3 saw a null pointer where there was none.
    rng, network = np.random.default_rng(0), small_network()
    model = random_int8_model(rng, network) if integer else random_model(rng, without_batch_norm(network))
    to_c(model, tmp_path / "model.c")
    for level in ("-O0", "-Os", "-O2", "-O3"):
        subprocess.run([tool(compiler), *WARNINGS, level, "-c", "model.c"], cwd=tmp_path, check=True)


def test_nothing_is_allocated_and_only_rintf_is_called(tmp_path: Path) -> None:
    to_c(random_int8_model(np.random.default_rng(0), small_network()), tmp_path / "model.c")
    subprocess.run([tool("cc"), "-std=c99", "-O1", "-c", "model.c"], cwd=tmp_path, check=True)
    listed = subprocess.run([tool("nm"), "-u", "model.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    foreign = {line.split()[-1] for line in listed.stdout.splitlines()} - {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert foreign <= {"rintf"}


def classify(model: Model, folder: Path, image: Pixels) -> None:
    """Write the model, its example program and an image, ready to be compiled."""
    to_c(model, folder / "model.c", example=True)
    Image.fromarray(image).save(folder / "image.ppm")


def scores(text: str) -> dict[str, np.float32]:
    """Label → score, of what the example prints."""
    return {label: np.float32(score) for score, label in (line.split("\t") for line in text.splitlines()[1:])}


def test_the_example_classifies_a_image(tmp_path: Path) -> None:
    model = replace(
        random_int8_model(np.random.default_rng(0), small_network()), task=Classification(('no ??/ "one"', "Größe 1"))
    )
    pixels = random_pixels(np.random.default_rng(1), model.network, 1)
    classify(model, tmp_path, pixels[0])
    subprocess.run([tool("cc"), *WARNINGS, "-O1", "main.c", "model.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "main", "image.ppm"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("230068 bytes of flash for weights, 37400 bytes of RAM for activations\n")
    logits = reference.run_reference(model, pixels)["classifier"][0]
    assert scores(ran.stdout) == dict(zip(model.labels, logits, strict=True))


def test_the_example_shrinks_larger_images_and_refuses_others(tmp_path: Path) -> None:
    model = random_int8_model(np.random.default_rng(0), small_network())
    pixels = random_pixels(np.random.default_rng(1), model.network, 1)
    crop = np.repeat(np.repeat(pixels[0], 7, axis=0), 7, axis=1)  # 672: the centre of 768, of which 87.5 % are kept
    classify(model, tmp_path, np.pad(crop, ((48, 48), (48 + 20, 48 + 20), (0, 0))))
    subprocess.run([tool("cc"), *WARNINGS, "-O1", "main.c", "model.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    run = [str(tmp_path / "main"), "image.ppm"]
    ran = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert scores(ran.stdout)["0"] == reference.run_reference(model, pixels)["classifier"][0, 0]
    (tmp_path / "image.ppm").write_bytes(b"P6 700 700 255\nshort")
    assert subprocess.run(run, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    (tmp_path / "image.ppm").write_bytes(b"GIF89a")
    assert subprocess.run(run, cwd=tmp_path, capture_output=True, check=False).returncode == 2


def joined_network() -> Network:
    """Sums of two and of three maps, a product and a concatenation, on a processor without floating point."""
    shared: dict[str, Any] = {"bias": True, "out_channels": 6}
    layers: list[Layer] = [PointwiseConvolution(name, ("input",), **shared) for name in ("a", "b")]
    layers += [Add("two", ("a", "b")), Add("three", ("two", "a", "b"), activation=Activation.RELU)]
    layers += [Multiply("product", ("three", "b")), Concatenate("all", ("product", "two"))]
    layers += [Linear("classifier", ("all",), out_features=2, bias=True)]
    return Network("joined", 24, 32, tuple(layers), ("classifier",))


def test_batch_norms_are_folded(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    model = random_model(np.random.default_rng(0), network)
    to_c(model, tmp_path / "model.c")
    (tmp_path / "folded").mkdir()
    to_c(fold(model), tmp_path / "folded" / "model.c")
    assert (tmp_path / "model.c").read_bytes() == (tmp_path / "folded" / "model.c").read_bytes()


def test_what_c_cannot_take_is_refused_by_name(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    folded = random_model(np.random.default_rng(0), without_batch_norm(network))
    with pytest.raises(FormatError, match="name '9lives' must be a C identifier"):
        to_c(folded, tmp_path / "model.c", name="9lives")
    with pytest.raises(FormatError, match=r"the example is called main\.c"):
        to_c(folded, tmp_path / "main.c", example=True)
    with pytest.raises(FormatError, match="is longer than the 4095 bytes"):
        to_c(replace(folded, task=Classification(("x" * 4096, "y"))), tmp_path / "model.c")


def test_a_weight_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    network = without_batch_norm(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    model = random_model(np.random.default_rng(0), network)
    parameters = {**model.parameters, "classifier.bias": np.array([0, np.inf], np.float32)}
    with pytest.raises(FormatError, match="infinite or not a number"):
        to_c(model.with_parameters(parameters), tmp_path / "model.c")


@pytest.mark.parametrize("int8", [False, True])
def test_probabilities_are_those_that_predict_prints(int8: bool, tmp_path: Path) -> None:
    tool("cc")
    make = random_int8_model if int8 else random_model
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = make(np.random.default_rng(0), network if int8 else without_batch_norm(network))
    pixels = random_pixels(np.random.default_rng(1), model.network, 2)
    labels = ("cat", "dog", "bird")
    logits = Session(model).run(pixels)
    for task, expected in (
        (Classification(labels, temperature=0.7), softmax(logits / 0.7)),
        (MultiLabel(labels), 1 / (1 + np.exp(-logits))),
    ):
        model = replace(model, task=task)
        exported = export(model, tmp_path / "model.c", probabilities=True)
        assert exported.agreement is not None
        (found,) = run.run_c(model, tmp_path / "model.c", pixels).values()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert "Outputs are probabilities" in (tmp_path / "model.md").read_text(encoding="utf-8")
