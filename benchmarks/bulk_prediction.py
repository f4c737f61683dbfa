"""Images a second of bulk prediction, with Ray and without, beside Ray Data's image reader and ONNX Runtime.

Usage: python -m benchmarks.bulk_prediction MODEL FOLDER [--rounds 3]

MODEL is an int8 Model. The contestants label the same files on the same cores, in turns; the first round, in which
processes start and models are loaded, is not counted. The peer reads with ``ray.data.read_images`` and runs our ONNX
export of the same numbers in actors, one for each core. Its labels must be ours but for images that are decoded at
reduced size, of which the share that differs is printed.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mobilenets
from mobilenets.base.processors import cores, processor_name


def peer(onnx: str, folder: str, height: int, width: int, labels: tuple[str, ...]) -> dict[str, str]:
    """Labels by Ray Data and ONNX Runtime, by the image's path."""
    import ray.data

    class Runner:
        def __init__(self) -> None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
            self.input = self.session.get_inputs()[0].name

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            images = np.stack(list(batch["image"]))
            logits = np.concatenate([self.session.run(None, {self.input: one[None]})[0] for one in images])
            return {"path": batch["path"], "class": logits.argmax(1)}

    dataset = ray.data.read_images(folder, size=(height, width), mode="RGB", include_paths=True)
    # Half a core each, or actors that wait for images would leave no core to the tasks that read them.
    ran = dataset.map_batches(Runner, concurrency=cores(), batch_size=64, num_cpus=0.5)
    return {str(row["path"]): labels[int(row["class"])] for row in ran.iter_rows()}


def ours(model: mobilenets.Model, folder: str, *, ray: bool) -> dict[str, str]:
    """Labels by this package, by the image's path."""
    with tempfile.TemporaryDirectory() as output:
        done = mobilenets.predict_to_file(model, folder, Path(output) / "labels.csv", top=1, ray=ray)
        with Path(done.file).open(newline="", encoding="utf-8") as file:
            return {row["image"]: row["label"] for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = mobilenets.load(given.model)
    with tempfile.TemporaryDirectory() as work:
        onnx = str(Path(work) / "model.onnx")
        mobilenets.export(model, onnx)
        network, labels = model.network, model.labels
        contestants: dict[str, Callable[[], dict[str, str]]] = {
            "mobilenets": lambda: ours(model, given.folder, ray=False),
            "mobilenets --ray": lambda: ours(model, given.folder, ray=True),
            "Ray Data, ONNX Runtime": lambda: peer(onnx, given.folder, network.height, network.width, labels),
        }
        found = {name: run() for name, run in contestants.items()}
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(given.rounds):
            for name, run in contestants.items():
                begun = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begun)
    expected = list(found["mobilenets"].values())
    print(f"{processor_name()}, {cores()} cores, {len(expected)} images, {given.rounds} rounds")
    for name, times in seconds.items():
        rates = sorted(len(expected) / one for one in times)
        answers = [label for _, label in sorted(found[name].items())]
        differs = np.mean([one != other for one, other in zip(answers, expected, strict=True)])
        print(f"{name:24} {rates[-1]:8.0f} images/s at best, median {np.median(rates):8.0f}; differs {differs:.1%}")


if __name__ == "__main__":
    main()
