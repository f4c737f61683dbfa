"""Peak memory of a process that loads a Model into one runtime and runs it once.

Each runtime gets a fresh process, for a process never gives its peak back.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECONDS_ALLOWED = 120

_PROGRAM = """
import sys
from mobilenets.model.file import load
from mobilenets.benchmark.runtimes import CONTESTANTS
from mobilenets.engine.timing import random_pixels
model = load(sys.argv[1])
contestant = CONTESTANTS[sys.argv[2]](model, int(sys.argv[3]))
contestant.run(contestant.prepare(random_pixels(model.network)))
if sys.platform == "linux":
    # What getrusage says includes the process that started this one.
    print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3)
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
"""


def peak_megabytes(path: Path, contestant: str, threads: int) -> float | None:
    """Peak resident memory in megabytes, Python and the export of the Model included.

    Args:
        path: A Model file.
        contestant: A name of :data:`mobilenets.benchmark.runtimes.CONTESTANTS`.
        threads: Threads to run with.

    Returns:
        None where it cannot be measured, as on Windows.
    """
    command = [sys.executable, "-c", _PROGRAM, str(path), contestant, str(threads)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS_ALLOWED)
        return float(result.stdout.split()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None
