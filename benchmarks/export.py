"""How fast the exported int8 files run in the runtimes that they are meant for, beside models of their own quantizers.

    python benchmarks/export.py                        six sizes, 1 and 2 threads
    python benchmarks/export.py --sizes 0.25-224 --against litert

For ONNX Runtime, OpenVINO and LiteRT: the least time of our file over that of a model that the runtime's own quantizer
made of the same network, in turns. Weights are random; no runtime's speed depends on them. Exits with 1 where a file of
ours takes more than 1.05 of the other's time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.inference import TABLE, model_of

from mobilenets.base.processors import processor_name
from mobilenets.benchmark.benchmark import CALIBRATION_IMAGES
from mobilenets.benchmark.race import Timing, race
from mobilenets.benchmark.runtimes import CONTESTANTS, OURS, QUANTIZERS
from mobilenets.engine.timing import random_pixels
from mobilenets.model.model import Model

LARGEST_RATIO = 1.05


def measure(model: Model, peer: str, threads: int, seconds: float) -> tuple[Timing, Timing]:
    """Our file in a runtime, and a model of its own quantizer. The engine is there for the answers only."""
    images = random_pixels(model.network, CALIBRATION_IMAGES)
    contestants = [
        CONTESTANTS[OURS](model, threads),
        CONTESTANTS[peer](model, threads),
        QUANTIZERS[peer](model, threads, images),
    ]
    timings = race(contestants, images[:1], seconds=seconds * len(contestants), integer=True, images=images)
    return timings[1], timings[2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(TABLE), help="such as 1.0-224,0.5-160")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--against", default=",".join(QUANTIZERS))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each contestant in each line")
    options = parser.parse_args()
    print(f"{processor_name()}; int8, minimum in ms, difference from the engine's logits as a share of their spread")
    slower = False
    for size in options.sizes.split(","):
        model = model_of(size, "int8")
        for threads in map(int, options.threads.split(",")):
            for peer in options.against.split(","):
                ours, own = measure(model, peer, threads, options.seconds)
                if not (ours.timed and own.timed):
                    differences = f"{ours.difference:.2g} and {own.difference:.2g}"
                    print(f"{size:8} {threads} thread(s)  {peer:11}  answers differ by {differences}")
                    continue
                ratio = ours.minimum / own.minimum
                slower = slower or ratio > LARGEST_RATIO
                print(
                    f"{size:8} {threads} thread(s)  {peer:11}  ratio {ratio:.3f}  "
                    f"ours {1e3 * ours.minimum:.3f} (differs by {ours.difference:.2g})  "
                    f"its own {1e3 * own.minimum:.3f} (by {own.difference:.2g})",
                    flush=True,
                )
    sys.exit(int(slower))


if __name__ == "__main__":
    main()
