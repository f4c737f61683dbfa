"""The face detector of the npm package @vladmandic/face-api: boxes and scores as it gives them, and as we import it.

    NODE_PATH=FOLDER/node_modules python benchmarks/face_detector.py [IMAGE …]

FOLDER is where `npm install @vladmandic/face-api @tensorflow/tfjs @tensorflow/tfjs-backend-wasm` was run. Images are
by default those of the package's demonstration. Both read the same bytes: our letterboxed input of 512×512 pixels,
which face-api neither pads nor resizes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mobilenets import Session, import_model
from mobilenets.formats.tfjs.face_detector import MANIFEST
from mobilenets.tasks.task import Geometry

PACKAGE = "@vladmandic/face-api"
SCRIPT = Path(__file__).with_suffix(".js")
MOST_PIXELS, MOST_SCORE = 0.5, 1e-3
"""By how much boxes and scores may differ."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true", help="print what face-api finds")
    arguments = parser.parse_args()
    folders = [Path(folder) / PACKAGE for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
    package = next((folder for folder in folders if (folder / "model" / MANIFEST).is_file()), None)
    if package is None:
        print(f"skipped: NODE_PATH names no folder with {PACKAGE}", file=sys.stderr)
        return 0
    images = arguments.images or sorted((package / "demo").glob("sample*.jpg"))
    model = import_model(package / "model" / MANIFEST)
    side = model.network.height
    pixels = np.stack([model.preprocessing.apply(Image.open(image).convert("RGB"), side, side) for image in images])
    theirs = run_face_api(package / "model", pixels)
    if arguments.json:
        print(json.dumps(dict(zip([image.name for image in images], theirs, strict=True))))
        return 0
    found = Session(model).outputs(pixels).values()
    whole = [Geometry(image.name, (side, side), (0.0, 0.0, float(side), float(side))) for image in images]
    failed = False
    for prediction, expected in zip(model.task.decode(list(found), whole), theirs, strict=True):
        ours = np.array([[*box.box, box.score] for box in prediction.boxes]).reshape(-1, 5)
        peers = np.array(expected).reshape(-1, 5)
        if ours.shape != peers.shape:
            print(f"{prediction.name}: {len(peers)} faces in face-api, {len(ours)} in ours")
            failed = True
            continue
        apart = np.abs(ours - peers)
        largest = apart[:, :4].max(initial=0), apart[:, 4].max(initial=0)
        failed |= largest[0] > MOST_PIXELS or largest[1] > MOST_SCORE
        within = f"boxes within {largest[0]:.2g} pixels, scores within {largest[1]:.2g}"
        print(f"{prediction.name}: {len(peers)} faces, {within}")
    return int(failed)


def run_face_api(models: Path, pixels: np.ndarray) -> list[list[list[float]]]:
    """What face-api finds, image by image: left, top, right, bottom in pixels of the input, and the score."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.rgb" for number in range(len(pixels))]
        for file, image in zip(files, pixels, strict=True):
            file.write_bytes(image.tobytes())
        command = ["node", SCRIPT, models, str(pixels.shape[1]), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["found"]


if __name__ == "__main__":
    sys.exit(main())
