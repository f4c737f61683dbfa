"""From labeled images and a budget to the Model that meets it: the whole of ``mobilenets fit --max-latency 5ms``.

By default from published weights (:mod:`mobilenets.search.weights_search`); from scratch where there are none, or none
are wanted (:mod:`mobilenets.search.from_scratch`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.notebook import default_progress
from mobilenets.base.progress import Progress
from mobilenets.data.dataset import check_source
from mobilenets.data.description import described_dataset
from mobilenets.data.reading import Reading
from mobilenets.engine.session import MOST_THREADS
from mobilenets.errors import PlanningError, TrainingError
from mobilenets.formats.available import available_weights
from mobilenets.model.preprocessing import RGB_CHANNELS
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Device
from mobilenets.search.detectors import search_detector
from mobilenets.search.devices import check_budget, device_named
from mobilenets.search.ending import SearchRequest
from mobilenets.search.from_scratch import largest_architecture, search_from_scratch
from mobilenets.search.pretrained import AUTO
from mobilenets.search.profile import PRECISIONS, precisions_of
from mobilenets.search.result import SearchResult
from mobilenets.search.weights_search import family_of, search_from_weights
from mobilenets.training.distributed import joined_processes, launch
from mobilenets.training.leading import led
from mobilenets.training.run_folder import CHECKPOINT_FILE, claim
from mobilenets.training.settings import Settings, set_up, spelled_out
from mobilenets.training.workers import workers_of

ONE_TRAINING = (
    "a Ray cluster trains candidates beside each other, and of a supernet that is trained from scratch there is one: "
    "leave ray out"
)


@typed(PlanningError, but=("precisions",))
def search(
    source: str | Path,
    output: str | Path | None = None,
    budget: Budget = Budget(),
    settings: Settings = Settings(),
    *,
    reading: Reading = Reading(),
    precisions: str | Sequence[str] = PRECISIONS,
    threads: int = 1,
    device: Device | str | Path | None = None,
    resume: bool = False,
    replace_existing: bool = False,
    ray: bool | str = False,
    progress: Progress | None = None,
) -> SearchResult:
    """Find, train and test the network that a budget is best spent on.

    Args:
        source: As for :func:`~mobilenets.training.fit.fit`.
        output: Folder for what ``fit`` writes, and beside it ``device.json``, ``supernet.safetensors`` of a run from
            scratch and, where the Model is int8, ``model.float32.safetensors``; None to write nothing.
        budget: Limits, and the accuracy to reach; if empty, the knee of the frontier is chosen.
        settings: Its width and resolution are the largest that are considered, and its weights what is begun from.
            From scratch its epochs are those of an ordinary run, which those of the supernet and of fine-tuning are in
            proportion to.
        reading: What the source does not say itself.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image when the Model is used.
        device: What the Model is used on: the name of a microcontroller, such as ``cortex-m4``, or a profile of
            another machine, or its path; None to measure this machine, where latencies take part in the choice.
        resume: Go on from the checkpoints in the output folder, if there are any.
        replace_existing: Overwrite a Model or an unfinished run in the output folder.
        ray: Whether candidates that begin from published weights are judged and trained beside each other on a Ray
            cluster; or the cluster's address. The images must lie at the same paths on its nodes. Latencies are
            measured here.
        progress: Receives progress updates; by default they are shown in a notebook, and nowhere else.

    Returns:
        The Model, its metrics on the test images, every candidate and why one was chosen.

    Raises:
        PlanningError: If a precision is unknown, nothing meets the budget (both said before any training), or nothing
            reaches the accuracy.
        DataError: If the images cannot be used, or a class has too few to choose by from scratch.
        ArchitectureError: If the architecture is unknown, or the width or resolution is out of range.
        TrainingError: If the settings contradict each other, or the output cannot be written.
        EngineError: If the Ray cluster cannot be reached, or has no node with as many cores as a training has threads.
        MissingDependencyError: If Ray is asked for and is not installed.

    Sources: Yu and Huang 2019, arXiv:1903.05134 (the supernet); Cai et al. 2020, arXiv:1908.09791 (one supernet for
    many budgets).

    >>> import tempfile
    >>> from PIL import Image
    >>> def draw(folder):
    ...     for label, color in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
    ...         Path(folder, label).mkdir()
    ...         for number in range(30):
    ...             shade = tuple(value + number for value in color)
    ...             Image.new("RGB", (32, 32), shade).save(Path(folder, label, f"{number}.png"))
    >>> small, fast = Settings(width=0.25, resolution=32, epochs=1, weights=None), Budget(max_macs=2_000_000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(folder)
    ...     result = search(folder, None, fast, small, precisions="float32")
    >>> str(result.search.choice), result.search.choice.macs
    ('α 0.25 at 32 px, float32', 832640)
    """
    begun = time.monotonic()
    progress = progress or default_progress()
    settings = spelled_out(settings)
    wanted = precisions_of(precisions)
    check_integer("threads", threads, PlanningError, least=1, most=MOST_THREADS)
    if settings.channels not in (None, RGB_CHANNELS):
        raise TrainingError(
            f"a budget's networks are searched in color; with channels {settings.channels}, name a size in place of "
            "the budget, such as the architecture mobilenet_v1@0.25-96"
        )
    if from_scratch(settings):
        if ray is not False:
            raise PlanningError(ONE_TRAINING)
        largest_architecture(settings)  # what cannot be searched is said before anything is read
    profile = device_named(device, budget)
    wanted = check_budget(budget, profile, wanted, threads)
    check_source(source)
    _, trained_on, _ = set_up(settings)  # a recipe or device that does not exist is said, too
    ask = partial(_searched, source, output, budget, settings, reading, wanted, threads, profile, ray)
    with joined_processes(trained_on):
        return led(lambda: ask(resume, replace_existing, progress, begun))


def _searched(
    source: str | Path,
    output: str | Path | None,
    budget: Budget,
    settings: Settings,
    reading: Reading,
    precisions: tuple[str, ...],
    threads: int,
    profile: Device | None,
    ray: bool | str,
    resume: bool,
    replace_existing: bool,
    progress: Progress,
    begun: float,
) -> SearchResult:
    folder = None
    if output is not None:
        wanted = Path(output)
        # Processes that are started again go on, whatever was said when they were started first.
        resume = resume or (launch().restarts > 0 and any(wanted.glob(f"*{CHECKPOINT_FILE}")))
        folder = claim(wanted, resume=resume, replace_existing=replace_existing, progress=progress)
    dataset = described_dataset(source, settings.seed, reading, progress)
    if dataset.task == "detection" and ray is not False:
        raise PlanningError("detectors of a budget are trained here, one after the other: leave ray out")
    workers = workers_of(ray, settings.threads, settings.device, progress)
    request = SearchRequest(
        dataset, settings, budget, precisions, threads, profile, folder, resume, progress, begun, workers
    )
    if dataset.task == "detection":
        return search_detector(request)
    if dataset.task != "classification" and from_scratch(settings):
        raise PlanningError(
            f"from scratch a budget chooses among classifiers, and {source} is data of the task {dataset.task}: begin "
            "from published weights (weights='auto'), or name a size in place of the budget, such as the architecture "
            "mobilenet_v1@0.25-96"
        )
    if not from_scratch(settings):
        found = search_from_weights(request)
        if found is not None:
            return found
    return search_from_scratch(request)


def from_scratch(settings: Settings) -> bool:
    """Whether settings ask for no weights to begin from, or for an architecture that none are published of.

    Args:
        settings: They name the weights and the architecture.

    Raises:
        ArchitectureError: If the architecture is unknown.
        TrainingError: If it is not a name.

    >>> [from_scratch(Settings(weights=weights)) for weights in (None, "none", "auto")]
    [True, True, False]
    >>> from_scratch(Settings("squeezenet"))
    True
    """
    if settings.weights is None or settings.weights == "none":
        return True
    family = family_of(settings)
    return settings.weights == AUTO and family is not None and not available_weights(family=family)
