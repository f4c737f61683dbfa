"""What a C export is used in: programs in C and C++, several models at once, and the projects of build systems."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.c.write import PROJECTS, COptions, to_c, write_c
from mobilenets.formats.exporting import export
from mobilenets.model import reference
from mobilenets.model.folding import fold
from mobilenets.model.model import Model

STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "first.h"
#include "second.h"

static first_arena one, other;
static second_arena third;

int main()
{
    float scores[3][2];
    memset(first_input(&one), 10, FIRST_HEIGHT * FIRST_WIDTH * FIRST_CHANNELS);
    memset(first_input(&other), 200, FIRST_HEIGHT * FIRST_WIDTH * FIRST_CHANNELS);
    memset(second_input(&third), 10, SECOND_HEIGHT * SECOND_WIDTH * SECOND_CHANNELS);
    first_run(&one, scores[0]);
    second_run(&third, scores[1]);
    first_run(&other, scores[2]);
    for (int i = 0; i < 3; i++) {
        printf("%.9g %.9g\\n", (double)scores[i][0], (double)scores[i][1]);
    }
    return strcmp(first_labels[1], second_labels[1]);
}
"""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def classifier(seed: int = 0) -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    return random_int8_model(np.random.default_rng(seed), network)


@pytest.mark.parametrize(("language", "suffix"), [("cc", "c"), ("c++", "cpp")])
def test_several_models_and_arenas_are_one_program_in_c_and_in_c_plus_plus(
    language: str, suffix: str, tmp_path: Path
) -> None:
    models = [classifier(0), classifier(1)]
    for model, name in zip(models, ("first", "second"), strict=True):
        to_c(model, tmp_path / f"{name}.c", name=name)
        subprocess.run([tool("cc"), "-std=c99", *STRICT, "-c", f"{name}.c"], cwd=tmp_path, check=True)
    (tmp_path / f"main.{suffix}").write_text(PROGRAM)
    objects = [f"main.{suffix}", "first.o", "second.o", "-lm", "-o", "main"]
    subprocess.run([tool(language), *STRICT, *objects], cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    found = np.array([line.split() for line in ran.stdout.splitlines()], np.float32)
    for row, (model, grey) in enumerate([(models[0], 10), (models[1], 10), (models[0], 200)]):
        pixels = np.full((1, 32, 32, 3), grey, np.uint8)
        np.testing.assert_array_equal(found[row], reference.run_reference(model, pixels)["classifier"][0])


def test_float32_files_work_in_the_callers_arena_too(tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    model = fold(random_model(np.random.default_rng(0), network))
    exported = export(model, tmp_path / "model.c")
    assert [path.name for path in exported.paths] == ["model.c", "model.h", "model.md"]
    assert exported.agreement is not None
    assert exported.agreement.same.value == 1


@pytest.mark.parametrize("kind", PROJECTS)
def test_the_sources_of_every_project_build_for_its_processors(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "detector"
    exported = export(classifier(), folder, "c", project=kind)
    assert exported.agreement is not None
    assert exported.agreement.largest_difference == 0
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# mobilenet_v1")
    sources = sorted(path for path in folder.rglob("*") if path.suffix == ".c")
    for compiler, target in [
        ("arm-none-eabi-gcc", ["-mcpu=cortex-m4", "-mthumb"]),
        ("riscv64-linux-gnu-gcc", []),
    ]:
        if shutil.which(compiler) is None:
            continue
        for source in sources:
            command = [compiler, "-std=c99", "-O2", *STRICT, *target, "-c", str(source), "-o", "/dev/null"]
            subprocess.run(command, check=True)


def test_a_cmake_project_configures_builds_and_runs(tmp_path: Path) -> None:
    write_c(classifier(), tmp_path / "detector", COptions(project="cmake"))
    for command in (
        [tool("cmake"), "-S", "detector", "-B", "build", f"-DCMAKE_C_COMPILER={tool('cc')}"],
        [tool("cmake"), "--build", "build"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    ran = subprocess.run([tmp_path / "build" / "detector"], capture_output=True, text=True, check=True)
    logits = reference.run_reference(classifier(), np.full((1, 32, 32, 3), 128, np.uint8))["classifier"][0]
    assert ran.stdout == f"{logits.argmax()} (score {int(1000 * logits.max())} / 1000)\n"


def test_a_sketch_for_arduino_is_c_plus_plus(tmp_path: Path) -> None:
    write_c(classifier(), tmp_path / "detector", COptions(project="arduino"))
    arduino = """
    #include <stdint.h>
    struct Port { void begin(long) {} template <class T> void print(T) {} template <class T> void println(T) {} };
    static Port Serial;
    static unsigned long micros() { return 0; }
    static void delay(int) {}
    """
    (tmp_path / "Arduino.h").write_text(arduino)
    compiler = tool("arm-none-eabi-g++")
    sketch = tmp_path / "detector" / "detector.ino"  # the builder includes Arduino.h, and compiles it as C++
    command = [compiler, "-x", "c++", "-include", "Arduino.h", *STRICT, "-mcpu=cortex-m4", "-mthumb", "-c", str(sketch)]
    subprocess.run([*command, "-o", "sketch.o"], cwd=tmp_path, check=True)


def test_projects_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="project 'make' must be one of cmake, arduino, zephyr, esp-idf"):
        export(classifier(), tmp_path / "detector", "c", project="make")
    with pytest.raises(FormatError, match=r"a project is a folder, and model\.c is named like a file"):
        export(classifier(), tmp_path / "model.c", project="cmake")
    with pytest.raises(FormatError, match="build systems take no project of the name 'my project'"):
        export(classifier(), tmp_path / "my project", "c", project="cmake")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "main.c").write_text("precious")
    with pytest.raises(FormatError, match="is there already"):
        export(classifier(), tmp_path / "mine", "c", project="cmake")
    assert (tmp_path / "mine" / "main.c").read_text() == "precious"


def test_risc_v_gives_the_bits_of_the_reference(tmp_path: Path) -> None:
    compiler, emulator = tool("riscv64-linux-gnu-gcc"), tool("qemu-riscv64")
    model = classifier()
    to_c(model, tmp_path / "model.c", example=True)
    pixels = random_pixels(np.random.default_rng(1), model.network, 1)
    (tmp_path / "image.ppm").write_bytes(b"P6 32 32 255\n" + pixels[0].tobytes())
    command = [compiler, "-std=c99", *STRICT, "-O2", "-static", "main.c", "model.c", "-lm", "-o", "main"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "-lm" in built.stderr or "stdio.h" in built.stderr:
        pytest.skip("the C library for riscv64 is not installed")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([emulator, "main", "image.ppm"], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = {line.split("\t")[1]: np.float32(line.split("\t")[0]) for line in ran.stdout.splitlines()[1:]}
    expected = reference.run_reference(model, pixels)["classifier"][0]
    assert found == {"0": expected[0], "1": expected[1]}
