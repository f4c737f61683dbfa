"""The engine beside OpenVINO, LiteRT, ONNX Runtime and ncnn on MobileNets, each at its best, in turns.

    python benchmarks/inference.py                              six sizes, int8 and float32, 1 and 2 threads
    python benchmarks/inference.py --sizes all                  all sixteen of V1's published grid
    python benchmarks/inference.py --sizes families             V2, V3 and V4
    python benchmarks/inference.py --sizes mobilenet_v2@0.5-160
    python benchmarks/inference.py --sizes 1.0-224 --batch 32   images in one run
    MOBILENETS_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/inference.py --against openvino

Weights are random, of the sizes that trained ones have; no runtime's speed depends on them. In int8 every peer runs our
export, whose answers must be equal, and a model of its own quantizer, marked (own), whose answers must be as good; the
fastest of all counts. Prints the minimum and the median of each contestant in milliseconds, ours over the best peer's,
which one that is, and ours as a share of the measured peak.

An x86 processor without VNNI multiplies bytes with vpmaddubsw, which adds two products in 16 bits and saturates.
OpenVINO and ONNX Runtime use it, and answer wrongly where two weights of one sign are large; ours do not. So that
all do the same work, int8 weights keep within plus and minus 64 there, where nothing saturates; ours take as long with
any others, which --full-range runs, and which names the peers that answer differently instead of timing them.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.random_models import random_int8_model, random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import Activation
from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS, PUBLISHED_WIDTHS
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.processors import processor_name
from mobilenets.base.progress import Progress
from mobilenets.benchmark.benchmark import CALIBRATION_IMAGES, gather
from mobilenets.benchmark.race import Timing, race
from mobilenets.engine.output_ranges import with_output_ranges
from mobilenets.engine.session import chosen_instruction_set, measured_peak
from mobilenets.engine.timing import random_pixels
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.recalibration import recalibrated

TABLE = ("1.0-224", "1.0-128", "0.75-192", "0.5-160", "0.25-224", "0.25-128")
GRID = tuple(f"{width}-{resolution}" for width in PUBLISHED_WIDTHS for resolution in PUBLISHED_RESOLUTIONS)
FAMILIES = (
    "mobilenet_v2@1-224",
    "mobilenet_v3_small@1-224",
    "mobilenet_v3_large@1-224",
    "mobilenet_v4_conv_small@1-224",
    "mobilenet_v4_conv_medium@1-256",
)


RECALIBRATION_IMAGES = 4

SATURATING = ("avx2", "avx512")
"""Instruction sets of ours on whose processors peers add products of bytes in 16 bits."""
LARGEST_UNSATURATED = 64
"""255 · 64 · 2 is the largest such sum below 2^15."""


def model_of(size: str, precision: str, largest_weight: int = 127) -> Model:
    """A network with random weights, those of int8 Models within plus and minus ``largest_weight``.

    A size without a name is that of a MobileNet V1 with ReLU6, as in the released weights.
    """
    if size[0].isdigit():
        width, resolution = size.split("-")
        network = mobilenet_v1(width_multiplier=float(width), resolution=int(resolution), activation=Activation.RELU6)
    else:
        network = Specification.parse(size).network()
    rng = np.random.default_rng(0)
    if precision == "int8":
        model = random_int8_model(rng, network, largest_weight=largest_weight)
        assert model.quantization is not None
        unranged = replace(model, quantization=replace(model.quantization, outputs={}))
        return with_output_ranges(unranged, random_pixels(network, CALIBRATION_IMAGES))
    # Statistics as trained ones are: without them activations grow from layer to layer, and runtimes differ by more.
    return recalibrated(random_model(rng, network, Preprocessing()), random_pixels(network, RECALIBRATION_IMAGES))


class ToStderr(Progress):
    """Says what is left out."""

    def note(self, message: str) -> None:
        """Print a line to stderr."""
        print(message, file=sys.stderr)


def measure(model: Model, peers: list[str], threads: int, batch: int, seconds: float) -> list[Timing]:
    """Timings of ours and of every peer that takes the Model; of those that answer differently, without times."""
    images, integer = random_pixels(model.network, max(CALIBRATION_IMAGES, batch)), model.quantization is not None
    contestants = gather(model, peers, threads, images, ToStderr())
    return race(contestants, images[:batch], seconds=seconds * len(contestants), integer=integer, images=images)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(TABLE), help="such as 1.0-224,mobilenet_v2@1-224; all; families")
    parser.add_argument("--precisions", default="int8,float32")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--against", default="openvino,litert,onnxruntime,ncnn")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each contestant in each line")
    parser.add_argument("--full-range", action="store_true", help="int8 weights up to 127 on every processor")
    options = parser.parse_args()
    isa = chosen_instruction_set()
    largest_weight = LARGEST_UNSATURATED if isa in SATURATING and not options.full_range else 127
    print(f"{processor_name()}, {isa}; minimum/median in ms, batch {options.batch}, int8 weights to {largest_weight}")
    sizes = {"all": GRID, "families": FAMILIES}.get(options.sizes) or options.sizes.split(",")
    for size in sizes:
        for precision in options.precisions.split(","):
            model = model_of(size, precision, largest_weight)
            peak = measured_peak(isa, integer=precision == "int8")
            for threads in map(int, options.threads.split(",")):
                timings = measure(model, options.against.split(","), threads, options.batch, options.seconds)
                ours, *others = [timing for timing in timings if timing.timed]
                share = cost(model.network).macs * options.batch / ours.minimum / (peak * threads) if peak else 0.0
                best = min(others, key=lambda other: other.minimum, default=None)
                least = best.minimum if best else float("nan")
                median = min((other.median for other in others), default=float("nan"))
                figures = "  ".join(
                    f"{timing.label} {1e3 * timing.minimum:.3f}/{1e3 * timing.median:.3f}" for timing in (ours, *others)
                )
                figures += "".join(
                    f"  {timing.label} answers differently (by {timing.difference:.2g})"
                    for timing in timings
                    if not timing.timed
                )
                print(
                    f"{size:8} {precision:7} {threads} thread(s)  ratio {ours.minimum / least:.3f} "
                    f"(medians {ours.median / median:.3f}) of {best.label if best else 'nobody'}  "
                    f"share of peak {share:.2f}  {figures}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
