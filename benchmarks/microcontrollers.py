"""Instructions that the C export of MLPerf Tiny's person detector takes on microcontrollers, counted in an emulator.

V1 0.25-96 with two classes, int8, random weights. The outputs are held against the reference before a count is printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.random_models import random_int8_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.microcontroller.count import PROCESSORS, count_instructions
from mobilenets.engine.timing import random_pixels
from mobilenets.model import reference


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processors", default=",".join(PROCESSORS), help="separated by commas")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--optimize", default="-O2", help="flag of the compiler")
    chosen = parser.parse_args()
    network = mobilenet_v1(width_multiplier=chosen.width, resolution=chosen.resolution, classes=chosen.classes)
    model = random_int8_model(np.random.default_rng(0), network)
    image = random_pixels(model.network)[0]
    (expected,) = reference.run_reference(model, image[None]).values()
    print("| processor | million instructions | flash, with code | RAM |\n|---|---|---|---|")
    for processor in chosen.processors.split(","):
        count = count_instructions(model, image, processor, optimize=chosen.optimize)
        (found,) = count.outputs.values()
        if not np.array_equal(found.ravel(), expected.ravel()):
            raise SystemExit(f"{processor}: the outputs are not the reference's")
        flash, ram = count.flash_bytes / 1024, count.ram_bytes / 1024
        print(f"| {PROCESSORS[processor].title} | {count.instructions / 1e6:.2f} | {flash:.1f} KiB | {ram:.1f} KiB |")


if __name__ == "__main__":
    main()
