"""From a file to a label, as a user of each runtime would write it: equal weights, pixels and labels, in turns.

    python benchmarks/end_to_end.py start     process start to the label of one JPEG, and the peak memory of the process
    python benchmarks/end_to_end.py folder    300 JPEGs of about 500×375, images per second on all cores
    python benchmarks/end_to_end.py load      reading a Model file, and making it ready to run

MobileNet V1 1.0-224 in int8 (PyTorch: float32) with random weights; no runtime's speed depends on them. Everybody
decodes and scales with Pillow to the same pixels. A contestant whose labels differ is reported and not timed. The
images are those of ../shared/data/imagenet-sample, or noise of their size where it is not there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.inference import model_of

from mobilenets.base.processors import cores, processor_name
from mobilenets.engine.session import Session
from mobilenets.formats.litert.write import to_litert
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model.file import load, save

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"
SIZE = "1.0-224"
EQUAL_LABELS = 0.98
"""Share of images on which runtimes must agree: each rounds in its own way, and random weights give near ties."""

PIXELS = """
def pixels_of(path):
    image = Image.open(path).convert("RGB")
    side = 0.875 * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR, box=box))
"""

LITERT = (
    """
import sys
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
"""
    + PIXELS
)
LITERT_ONE = (
    LITERT
    + """
interpreter = Interpreter(model_path=sys.argv[1], num_threads=int(sys.argv[3]))
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels_of(sys.argv[2])[None])
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].argmax())
"""
)

ONNX_RUNTIME = (
    """
import sys
import numpy as np
import onnxruntime
from PIL import Image
"""
    + PIXELS
    + """
def session_of(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.x64quantprecision", EXACT)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
"""
)
ONNX_RUNTIME_ONE = (
    ONNX_RUNTIME
    + """
session = session_of(sys.argv[1], int(sys.argv[3]))
print(session.run(None, {session.get_inputs()[0].name: pixels_of(sys.argv[2])[None]})[0].argmax())
"""
)

OURS_ONE = """
import sys
from mobilenets import Classifier
print(Classifier(sys.argv[1], threads=int(sys.argv[3])).predict(sys.argv[2]).label)
"""

# Each of the following answers every line of standard input with the seconds that all images took, and their labels.
LOOP = """
import os, time
paths = sorted(os.path.join(sys.argv[2], name) for name in os.listdir(sys.argv[2]))
for line in sys.stdin:
    begin = time.perf_counter()
    labels = labels_of(paths)
    print(time.perf_counter() - begin, *labels, flush=True)
"""
OURS_MANY = (
    """
import sys
from mobilenets import Classifier
from mobilenets.data.sources import images_of
classifier = Classifier(sys.argv[1], threads=int(sys.argv[3]))
def labels_of(paths):
    return [prediction.label for prediction in classifier.predict_many(images_of(paths), top=1)]
"""
    + LOOP
)
WORKERS = """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(int(sys.argv[3]))
def labels_of(paths):
    return list(pool.map(label_of, paths))
"""
ONNX_RUNTIME_MANY = (
    ONNX_RUNTIME
    + """
session = session_of(sys.argv[1], 1)
def label_of(path):
    return session.run(None, {session.get_inputs()[0].name: pixels_of(path)[None]})[0].argmax()
"""
    + WORKERS
    + LOOP
)
TORCH_MANY = (
    """
import sys
import numpy as np
import torch
from PIL import Image
from mobilenets.model.file import load
from mobilenets.training.network import module_of
"""
    + PIXELS
    + """
torch.set_num_threads(1)
model = load(sys.argv[1])
module = module_of(model).eval().to(memory_format=torch.channels_last)
mean, std = torch.tensor(model.preprocessing.mean), torch.tensor(model.preprocessing.std)
def label_of(path):
    with torch.inference_mode():
        values = (torch.from_numpy(pixels_of(path).copy()) / 255 - mean) / std
        return module(values.permute(2, 0, 1)[None]).flatten(1).argmax().item()
"""
    + WORKERS
    + LOOP
)


@dataclass(frozen=True)
class Program:
    """A contestant: a program for Python, and the file that it reads."""

    name: str
    text: str
    model: Path

    def command(self, image: Path, threads: int) -> list[str]:
        """The command that labels an image, or a folder of them."""
        return [sys.executable, "-c", self.text, str(self.model), str(image), str(threads)]


def write_models(folder: Path) -> dict[str, Path]:
    """The same int8 network for every runtime, and a float32 one."""
    paths = {name: folder / f"{name}.safetensors" for name in ("int8", "float32")}
    for name, path in paths.items():
        save(model_of(SIZE, name), path)
    model = load(paths["int8"])
    paths |= {"litert": folder / "int8.tflite", "onnx": folder / "int8.onnx"}
    to_litert(model, paths["litert"], uint8_input=True, float_output=True)
    paths["onnx"].write_bytes(onnx_graph(model, pixel_input=True).SerializeToString())
    return paths


def write_images(folder: Path, count: int) -> None:
    """JPEGs of about 500×375."""
    folder.mkdir()
    found = []
    for path in sorted(SAMPLE.glob("*.JPEG")):
        with Image.open(path) as image:
            if max(image.size) == 500 and 325 <= min(image.size) <= 400:
                found.append(path)
    rng = np.random.default_rng(0)
    for number in range(count):
        target = folder / f"{number:04}.jpeg"
        if found:
            shutil.copy(found[number % len(found)], target)
        else:
            coarse = rng.integers(0, 256, (38, 50, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(target, quality=90)


def environment(folder: Path) -> dict[str, str]:
    """Compiled modules are kept, as those of an installed package are, whatever the shell says."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def peak_megabytes(program: Program, image: Path, threads: int, variables: dict[str, str]) -> float:
    """Peak resident memory of the process. What a parent sees may be its own, so the process says it itself."""
    text = program.text + "\nprint([line for line in open('/proc/self/status') if 'VmHWM' in line][0].split()[1])"
    command = Program(program.name, text, program.model).command(image, threads)
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1e3


def describe(name: str, values: list[float], unit: str, scale: float) -> str:
    """Minimum, median and p90 of some times."""
    minimum, median, p90 = (scale * value for value in (min(values), *np.quantile(values, [0.5, 0.9])))
    return f"{name:22} {minimum:7.1f} {median:7.1f} {p90:7.1f} {unit}"


def start(folder: Path, repeats: int, threads: int) -> None:
    """Process start to the label of one JPEG, and peak memory."""
    models, variables = write_models(folder), environment(folder)
    write_images(folder / "images", 1)
    image = folder / "images" / "0000.jpeg"
    programs = [
        Program("mobilenets", OURS_ONE, models["int8"]),
        Program("litert", LITERT_ONE, models["litert"]),
        Program("onnxruntime", ONNX_RUNTIME_ONE.replace("EXACT", '"0"'), models["onnx"]),
        Program("onnxruntime, exact", ONNX_RUNTIME_ONE.replace("EXACT", '"1"'), models["onnx"]),
    ]
    labels = {}
    for program in programs:  # which also fills the caches of files and of compiled modules
        done = subprocess.run(
            program.command(image, threads), env=variables, capture_output=True, text=True, check=True
        )
        labels[program.name] = done.stdout.split()[-1]
    agreeing = [program for program in programs if labels[program.name] == labels["mobilenets"]]
    for program in programs:
        if program not in agreeing:
            print(f"{program.name} says {labels[program.name]}, not {labels['mobilenets']}, and is not timed")
    times: dict[str, list[float]] = {program.name: [] for program in agreeing}
    for _ in range(repeats):
        for program in agreeing:
            begin = time.perf_counter()
            subprocess.run(program.command(image, threads), env=variables, capture_output=True, check=True)
            times[program.name].append(time.perf_counter() - begin)
    print("process start to label      minimum, median, p90; peak memory")
    memory = {program.name: peak_megabytes(program, image, threads, variables) for program in agreeing}
    for name, values in times.items():
        print(f"{describe(name, values, 'ms', 1e3)}  {memory[name]:6.1f} MB")
    for name in [name for name in times if name != "mobilenets"]:
        ratio, median = (pick(times["mobilenets"]) / pick(times[name]) for pick in (min, np.median))
        share = memory["mobilenets"] / memory[name]
        print(f"against {name}: time {ratio:.2f} (medians {median:.2f}), memory {share:.2f}")


def folder_of_images(folder: Path, repeats: int, threads: int, count: int = 300) -> None:
    """Images per second, from files to labels."""
    models, variables = write_models(folder), environment(folder)
    images = folder / "images"
    write_images(images, count)
    programs = [
        Program("mobilenets", OURS_MANY, models["int8"]),
        Program("onnxruntime", ONNX_RUNTIME_MANY.replace("EXACT", '"0"'), models["onnx"]),
        Program("onnxruntime, exact", ONNX_RUNTIME_MANY.replace("EXACT", '"1"'), models["onnx"]),
        Program("torch, float32", TORCH_MANY, models["float32"]),
    ]
    running = {
        program.name: subprocess.Popen(
            program.command(images, threads), env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for program in programs
    }
    labels = {}
    for program in list(programs):  # the first round warms up and is compared
        _, labels[program.name] = turn(running[program.name])
        expected = (
            float_labels(models["float32"], images) if program.model == models["float32"] else labels["mobilenets"]
        )
        equal = float(np.mean([mine == other for mine, other in zip(labels[program.name], expected, strict=True)]))
        if equal < EQUAL_LABELS:
            print(f"{program.name} agrees on {equal:.0%} of the labels only, and is not timed")
            programs.remove(program)
    times: dict[str, list[float]] = {program.name: [] for program in programs}
    for _ in range(repeats):
        for program in programs:
            times[program.name].append(turn(running[program.name])[0])
    for process in running.values():
        process.communicate()
    print(f"{count} JPEGs to labels      minimum, median, p90")
    for name, values in times.items():
        print(f"{describe(name, values, 's', 1)}  {count / min(values):6.1f} images/s")
    for name in [name for name in times if name != "mobilenets"]:
        ratio, median = (pick(times[name]) / pick(times["mobilenets"]) for pick in (min, np.median))
        print(f"against {name}: {ratio:.2f} times the images per second (medians {median:.2f})")


def turn(process: subprocess.Popen[str]) -> tuple[float, list[str]]:
    """All images once: seconds and labels."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    seconds, *labels = process.stdout.readline().split()
    return float(seconds), labels


def float_labels(model: Path, images: Path) -> list[str]:
    """What the float32 network should say, by our engine."""
    from mobilenets.data.sources import images_of
    from mobilenets.engine.predictor import Classifier

    return [answer.label for answer in Classifier(model).predict_many(images_of([images]), top=1)]


def loading(folder: Path, repeats: int, threads: int) -> None:
    """Reading and checking a Model file, and planning and packing it."""
    models = write_models(folder)
    print("reading, then a Session     minimum, median, p90")
    for name in ("int8", "float32"):
        read, made = [], []
        for _ in range(repeats):
            begin = time.perf_counter()
            model = load(models[name])
            between = time.perf_counter()
            Session(model, threads)
            read.append(between - begin)
            made.append(time.perf_counter() - between)
        print(describe(f"{name}, load", read, "ms", 1e3))
        print(describe(f"{name}, Session", made, "ms", 1e3))
        print(describe(f"{name}, together", [a + b for a, b in zip(read, made, strict=True)], "ms", 1e3))


PARTS: dict[str, tuple[Callable[[Path, int, int], None], int]] = {
    "start": (start, 20),
    "folder": (folder_of_images, 5),
    "load": (loading, 20),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--repeats", type=int, help="turns of every contestant")
    options = parser.parse_args()
    measure, repeats = PARTS[options.part]
    print(f"{processor_name()}, {options.threads} threads, {SIZE}, batch 1")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.repeats or repeats, options.threads)


if __name__ == "__main__":
    main()
