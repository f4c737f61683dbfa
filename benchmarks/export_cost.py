"""How long it takes to export the largest published network, and how much memory, verification included.

    python benchmarks/export_cost.py [--network mobilenet_v1@1.0-224] [--only c]

Every format and precision is one ``mobilenets export`` in a process of its own, as a person would run it: from the
start of Python to the last line, with the compiler or runtime that checks the file. Memory is the largest of any
process in it; the time of the processors tells how much of the seconds is other work on the machine. Exits with 1
where 5 s or 400 MB are exceeded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

SECONDS, MEGABYTES = 5.0, 400
PRECISIONS = ("float32", "int8")
FORMATS = ("onnx", "litert", "c", "openvino", "coreml")
EXPORT = [sys.executable, "-c", "from mobilenets.cli.main import main; main()", "export"]


def make(network_name: str, folder: Path) -> None:
    """Write a float32 and an int8 Model with random parameters."""
    import numpy as np
    from tests.support.random_models import random_int8_model, random_model

    from mobilenets.architecture.catalog import Specification
    from mobilenets.model.file import save
    from mobilenets.model.folding import fold

    rng = np.random.default_rng(0)
    model = random_model(rng, Specification.parse(network_name).network(classes=1000))
    save(model, folder / "float32.safetensors")
    save(random_int8_model(rng, fold(model).network), folder / "int8.safetensors")


def run(command: list[str]) -> tuple[float, float, float, str]:
    """Seconds, those of all processors, megabytes at the peak, and the last line that was printed."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.strip().splitlines()[-1]


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(description="Time and memory of exports.")
    parser.add_argument("--network", default="mobilenet_v1@1.0-224")
    parser.add_argument("--only", default="", help="One format.")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.network, arguments.make)
        return
    exceeded = False
    print(f"{arguments.network}, {os.cpu_count()} cores, at most {SECONDS:g} s and {MEGABYTES} MB")
    with tempfile.TemporaryDirectory() as folder:
        # By a process of its own: the memory of a new process counts from what its parent had at its largest.
        subprocess.run([sys.executable, __file__, "--network", arguments.network, "--make", folder], check=True)
        for name in FORMATS if not arguments.only else (arguments.only,):
            for precision in PRECISIONS:
                seconds, worked, megabytes, said = run([*EXPORT, f"{folder}/{precision}.safetensors", "--to", name])
                print(
                    f"{name:10} {precision:8} {seconds:6.2f} s ({worked:.2f} of processors) {megabytes:6.0f} MB   "
                    f"{said[:100]}",
                    flush=True,
                )
                exceeded = exceeded or seconds > SECONDS or megabytes > MEGABYTES
    sys.exit(int(exceeded))


if __name__ == "__main__":
    main()
