"""The server beside other ways to serve the same network, and what it does under load.

    python benchmarks/serving.py throughput    requests a second at 16 clients, beside LitServe and FastAPI
    python benchmarks/serving.py half          latency at half of the greatest load
    python benchmarks/serving.py overload      four times the greatest load
    python benchmarks/serving.py start         from the start of the process to ready
    python benchmarks/serving.py reload        the model file replaced and deleted under load, 100 times

MobileNet V1 in int8 with random weights; no server's speed depends on them. A request is a JPEG of
../shared/data/imagenet-sample (or noise of 500×375), an answer its likeliest label. The peers run ONNX Runtime on a
model of its own quantizer, decode with Pillow at the fraction of the size that the network needs, and are served by one
process with threads and by one process for each core; the faster counts. Every server has all cores, which the clients
share. Beside requests a second stands the processor time of the server for each, which other work on the machine moves
less.
Peers need packages that this project does not (litserve, fastapi, uvicorn, onnxruntime, pillow, numpy):
``--peers PYTHON`` names the interpreter of an environment that has them. Rounds alternate between the contestants.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.http_load import Client, request_bytes
from benchmarks.inference import model_of

from mobilenets.base.processors import cores, processor_name
from mobilenets.benchmark.quantizers import onnxruntime_model
from mobilenets.engine.timing import random_pixels
from mobilenets.model.file import save

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"
CLIENTS = 16
OVERLOADING_CLIENTS = 500
REQUEST_SECONDS = 10
"""What a request may take in the test of overload."""

PEER = """
import io, sys
import numpy as np
import onnxruntime
from PIL import Image

SIDE, THREADS = int(sys.argv[2]), int(sys.argv[4])

def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

def label(session, body):
    image = Image.open(io.BytesIO(body))
    image.draft("RGB", (int(SIDE / 0.875), int(SIDE / 0.875)))
    image = image.convert("RGB")
    side = 0.875 * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image, np.float32) * np.float32(1 / 127.5) - np.float32(1)
    (logits,) = session.run(None, {"input": pixels.transpose(2, 0, 1)[None]})
    return int(logits[0].argmax())
"""
FASTAPI = (
    PEER
    + """
import fastapi, uvicorn
from starlette.concurrency import run_in_threadpool

app = fastapi.FastAPI()
model = session()

@app.post("/predict")
async def predict(request: fastapi.Request):
    return {"label": await run_in_threadpool(label, model, await request.body())}

if __name__ == "__main__":
    workers = int(sys.argv[5])
    uvicorn.run("peer:app" if workers > 1 else app, port=int(sys.argv[3]), workers=workers, log_level="error",
                access_log=False)
"""
)
LITSERVE = (
    PEER
    + """
from typing import Annotated
import fastapi, litserve

class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = session()

    def decode_request(self, request: Annotated[bytes, fastapi.Body()]):
        return request

    def predict(self, body):
        return label(self.model, body)

    def encode_response(self, found):
        return {"label": found}

if __name__ == "__main__":
    api = Api()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(sys.argv[5]), track_requests=False)
    server.run(port=int(sys.argv[3]), log_level="error", generate_client_file=False)
"""
)


class Contestant:
    """A server that can be started.

    Args:
        name: What tables call it.
        command: Starts it.
        port: Where it then listens.
        path: Where it takes images.
        folder: In which it runs.
    """

    def __init__(self, name: str, command: Sequence[str], port: int, path: str, folder: Path) -> None:
        self.name = name
        self.command = command
        self.port = port
        self.address = f"http://127.0.0.1:{port}{path}"
        self._folder = folder

    @contextmanager
    def running(self, body: bytes) -> Iterator[subprocess.Popen[bytes]]:
        """The process, once it answers."""
        log = (self._folder / "log").open("ab")
        environment = {**os.environ, "PYTHONPATH": str(self._folder), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            self.command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until_ready(self.port, process)
            for _ in range(20):
                Client(self.address).ask(request_bytes(self.address, body, "image/jpeg"))
            yield process
        finally:
            stop(process)
            log.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, one)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.5)


def wait_until_ready(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> float:
    """Seconds until something answers at a port."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if connection.recv(20).startswith(b"HTTP/1.1"):
                    return time.monotonic() - begin
        except OSError:
            time.sleep(0.005)
    raise SystemExit(f"{process.args!r} is not ready after {seconds} s")


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ours(folder: Path, size: str, *options: str) -> Contestant:
    """This package's server, of a Model file that is written."""
    save(model_of(size, "int8"), folder / "ours.safetensors")
    port = free_port()
    command = [sys.executable, "-m", "mobilenets", "serve", str(folder / "ours.safetensors"), "--port", str(port), "-q"]
    return Contestant("mobilenets", [*command, *options], port, "/v1/predict?top=1", folder)


def peers(folder: Path, size: str, python: str) -> list[Contestant]:
    """FastAPI and LitServe with ONNX Runtime, in threads and in processes; what is not installed is named."""
    model = model_of(size, "int8")
    (folder / "peer.onnx").write_bytes(onnxruntime_model(model, random_pixels(model.network, 32)))
    found = []
    for package, source in (("fastapi", FASTAPI), ("litserve", LITSERVE)):
        if subprocess.run(
            [python, "-c", f"import onnxruntime, {package}"], capture_output=True, check=False
        ).returncode:
            print(f"{package} or onnxruntime is not installed in {python}, and is left out")
            continue
        for workers in dict.fromkeys((1, cores())):
            own = folder / f"{package}-{workers}"
            own.mkdir()
            (own / "peer.py").write_text(source)
            port = free_port()
            arguments = [str(folder / "peer.onnx"), str(model.network.height), str(port)]
            threads = str(cores() if workers == 1 and package == "litserve" else 1)
            command = [python, "peer.py", *arguments, threads, str(workers)]
            found.append(Contestant(f"{package}, {workers} process(es)", command, port, "/predict", own))
    return found


def images(folder: Path) -> Path:
    """A folder of JPEGs."""
    target = folder / "images"
    target.mkdir()
    if SAMPLE.is_dir():
        for number, path in enumerate(sorted(SAMPLE.glob("*.JPEG"))):
            shutil.copyfile(path, target / f"{number:03}.jpg")
    else:
        print(f"{SAMPLE} is not here; the images are noise")
        rng = np.random.default_rng(0)
        for number in range(32):
            pixels = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(target / f"{number:03}.jpg")
    return target


def put_load(contestant: Contestant, folder: Path, **options: float) -> dict[str, Any]:
    """What a generator in a process of its own says."""
    command = [sys.executable, str(Path(__file__).with_name("http_load.py")), contestant.address, str(folder)]
    for name, value in options.items():
        command += [f"--{name}", f"{value:g}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def agreement(contestants: Sequence[Contestant], bodies: Sequence[bytes]) -> dict[str, float]:
    """Share of the images on which each says what ours says; random weights and other quantizers give other labels."""
    said: dict[str, list[int]] = {}
    for contestant in contestants:
        with contestant.running(bodies[0]):
            client = Client(contestant.address)
            answers = [
                json.loads(client.ask(request_bytes(contestant.address, body, "image/jpeg"))[1]) for body in bodies
            ]
            said[contestant.name] = [
                int(one["label"] if "label" in one else one["predictions"][0]["labels"][0]["label"]) for one in answers
            ]
    own = np.array(said["mobilenets"])
    return {name: float(np.mean(np.array(labels) == own)) for name, labels in said.items()}


def throughput(given: argparse.Namespace, folder: Path, size: str) -> None:
    """Requests a second at 16 clients, in rounds that alternate."""
    sample = images(folder)
    bodies = [path.read_bytes() for path in sorted(sample.iterdir())]
    contestants = [ours(folder, size), *peers(folder, size, given.peers)]
    for name, share in agreement(contestants, bodies).items():
        print(f"{size}: {name} says what ours says of {100 * share:.0f} % of the images")
    rates: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    costs: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for _ in range(given.rounds):
        for contestant in contestants:
            with contestant.running(bodies[0]) as process:
                before = processor_seconds(process.pid)
                found = put_load(contestant, sample, clients=CLIENTS, seconds=given.seconds)
                spent = processor_seconds(process.pid) - before
                costs[contestant.name].append(1e3 * spent / max(1, sum(found["statuses"].values())))
                rates[contestant.name].append(found["requests_per_second"])
                print(f"  {contestant.name}: {found}", flush=True)
    best = max((max(values) for name, values in rates.items() if name != "mobilenets"), default=float("nan"))
    print(f"\n{size}, {CLIENTS} clients, requests a second: best (all)")
    for name, values in rates.items():
        cost = f"{min(costs[name]):.2f} ms of processor time each"
        print(f"  {name:24} {max(values):8.1f}  ({', '.join(f'{value:.1f}' for value in values)}), {cost}")
    print(f"  ratio to the best peer   {max(rates['mobilenets']) / best:8.2f}")
    least = min((min(values) for name, values in costs.items() if name != "mobilenets"), default=float("nan"))
    print(f"  the same of processor time {least / min(costs['mobilenets']):6.2f}")


def half(given: argparse.Namespace, folder: Path, size: str) -> None:
    """Latency at half of the greatest load."""
    sample = images(folder)
    contestant = ours(folder, size)
    with contestant.running(next(sample.iterdir()).read_bytes()):
        greatest = put_load(contestant, sample, clients=CLIENTS, seconds=given.seconds)["requests_per_second"]
        found = put_load(contestant, sample, clients=64, seconds=given.seconds, rate=greatest / 2)
    print(f"{size}: {greatest:.0f} requests/s at most")
    print(f"  at half of it p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms")
    print(f"  p99 is {found['p99_ms'] / found['p50_ms']:.2f} times the median; {found['statuses']}")


def overload(given: argparse.Namespace, folder: Path, size: str) -> None:
    """Four times the greatest load."""
    sample = images(folder)
    contestant = ours(folder, size, "--timeout", str(REQUEST_SECONDS))
    with contestant.running(next(sample.iterdir()).read_bytes()) as process:
        greatest = put_load(contestant, sample, clients=CLIENTS, seconds=given.seconds)["requests_per_second"]
        print(f"{size}: {greatest:.0f} requests/s at most; at four times that, twice {given.seconds:g} s:")
        for _ in range(2):
            found = put_load(contestant, sample, clients=OVERLOADING_CLIENTS, seconds=given.seconds, rate=4 * greatest)
            p99, resident = found["p99_from_sending_ms"], resident_bytes(process.pid) / 1e6
            print(
                f"  {found['statuses']}; accepted: p99 {p99:.0f} ms of {REQUEST_SECONDS * 1000} ms; {resident:.1f} MB"
            )


def start(given: argparse.Namespace, folder: Path, size: str) -> None:
    """From the start of the process to ready."""
    contestant = ours(folder, size)
    times = []
    for _ in range(given.rounds * 3):
        process = subprocess.Popen(contestant.command, stdout=subprocess.DEVNULL, start_new_session=True)
        times.append(wait_until_ready(contestant.port, process))
        stop(process)
    times.sort()
    print(f"{size}: start to ready {times[0]:.3f} s at least, {times[len(times) // 2]:.3f} s median of {len(times)}")


def reload(given: argparse.Namespace, folder: Path, size: str) -> None:
    """The model file replaced, and now and then deleted, under load."""
    sample = images(folder)
    contestant = ours(folder, size)
    file, spare = folder / "ours.safetensors", folder / "spare"
    shutil.copyfile(file, spare)
    with contestant.running(next(sample.iterdir()).read_bytes()):
        seconds = given.reloads * 2.5
        command = [sys.executable, str(Path(__file__).with_name("http_load.py")), contestant.address, str(sample)]
        loading = subprocess.Popen(
            [*command, "--clients", "8", "--seconds", f"{seconds:g}"], stdout=subprocess.PIPE, text=True
        )
        for number in range(given.reloads):
            time.sleep(2.4)
            if number % 4 == 0:
                file.unlink()
                time.sleep(0.05)
            shutil.copyfile(spare, folder / "new")
            (folder / "new").rename(file)
        found = json.loads(loading.communicate()[0])
        client = Client(contestant.address)
        metrics = client.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")[1].decode()
    loads = [line for line in metrics.splitlines() if line.startswith("mobilenets_model_loads_total")]
    print(f"{size}: {found['statuses']} while the file was replaced {given.reloads} times; {'; '.join(loads)}")


def processor_seconds(group: int) -> float:
    """Processor time of all processes of a group so far."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


CLAIMS = {"throughput": throughput, "half": half, "overload": overload, "start": start, "reload": reload}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claim", choices=CLAIMS)
    parser.add_argument("--sizes", default="1.0-224,0.25-128")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    given = parser.parse_args()
    print(f"{processor_name()}, {cores()} cores")
    for size in given.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            CLAIMS[given.claim](given, Path(folder), size)


if __name__ == "__main__":
    main()
