"""``mobilenets compare``: networks of several kinds on the same images, kept, gone on with, printed and drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunCommand
from tests.support.random_models import random_model

from mobilenets.architecture.cost import cost
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress
from mobilenets.errors import FormatError
from mobilenets.model.file import load, save

MODELS = "mobilenet_v1@0.25,squeezenet@0.25-40"
SMALL = ("--epochs", "1", "--resolution", "33", "--training-threads", "1", "-q")


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label, colour in {"blue": (40, 60, 200), "red": (220, 40, 50)}.items():
        (folder / label).mkdir()
        for number in range(20):
            pixels = np.clip(rng.normal(colour, 40, (36, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def compared(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one comparison."""
    from mobilenets.benchmark.comparison import compare
    from mobilenets.training.settings import Settings

    output = tmp_path_factory.mktemp("compared")
    notes = Notes()
    compare(photos, MODELS.split(","), output, Settings(epochs=1, resolution=33, threads=1), progress=notes)
    assert not [one for one in notes.notes if "resume" in one], "nobody asked to go on with anything"
    return output


def test_what_it_prints_is_what_the_models_are(
    photos: Path, compared: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    output = tmp_path / "out"
    shutil.copytree(compared, output)
    arguments = ("compare", photos, "--models", MODELS, "-o", output, "--resume", *SMALL)
    rows = mobilenets(*arguments, "--json").json["networks"]
    assert [(row["name"], row["resolution"], row["epochs"]) for row in rows] == [
        ("mobilenet_v1@0.25", 33, 1),
        ("squeezenet@0.25-40", 33, 1),
    ]
    for row in rows:
        model = load(output / row["name"] / "model.safetensors")
        total = cost(model.network)
        assert (row["macs"], row["parameters"]) == (total.macs, total.parameters)
        assert row["file_bytes"] == (output / row["name"] / "model.safetensors").stat().st_size
        assert row["top1"] == json.loads((output / row["name"] / "metrics.json").read_text())["test"]["top1"]
        assert 0 < row["minimum_ms"] <= row["latency_ms"]
        assert row["top1_interval"][0] <= row["top1"] <= row["top1_interval"][1]
    printed = mobilenets(*arguments, "--plot", tmp_path / "plots", "--published").out
    assert "v1@0.25-33" in printed
    assert "squeezenet@0.25-33" in printed
    assert "4 test images; float32, one image on one thread of" in printed
    assert max(map(len, printed.splitlines()[:4])) <= 80
    for name in ("accuracy-macs.svg", "accuracy-parameters.svg"):
        drawn = ElementTree.parse(tmp_path / "plots" / name).getroot()
        assert float(drawn.attrib["width"]) > 1000
        said = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert {"v1@0.25-33".replace("v1", "mobilenet_v1"), "squeezenet@0.25-33", "GoogLeNet"} <= set(said)


def test_a_page_tells_what_the_table_does(photos: Path, compared: Path, tmp_path: Path, mobilenets: RunCommand) -> None:
    output = tmp_path / "out"
    shutil.copytree(compared, output)
    outcome = mobilenets("compare", photos, "--models", MODELS, "-o", output, "--resume", *SMALL)
    assert outcome.code == 0, outcome.err
    page = (output / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg") >= 2
    assert "test top-1" in page
    assert all(name in page for name in ("mobilenet_v1@0.25-33", "squeezenet@0.25-33"))


def test_every_network_has_batch_norm_and_the_same_recipe(compared: Path) -> None:
    models = [load(path) for path in sorted(compared.glob("*/model.safetensors"))]
    assert len({json.dumps(model.provenance["recipe"]) for model in models}) == 1
    assert len({model.provenance["data"]["fingerprint"] for model in models}) == 1
    for model in models:
        assert any(name.endswith("batch_norm.weight") for name in model.parameters)


def test_it_goes_on_with_what_is_missing_and_keeps_what_is_there(
    photos: Path, compared: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    output = tmp_path / "out"
    shutil.copytree(compared, output)
    kept = output / "mobilenet_v1@0.25" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    again = output / "squeezenet@0.25-40" / "model.safetensors"
    content = again.read_bytes()
    shutil.rmtree(again.parent)
    command = ("compare", photos, "--models", MODELS, "-o", output, *SMALL)
    assert "holds a comparison: go on with --resume, or start anew with --force" in mobilenets(*command).err
    assert mobilenets(*command, "--resume").code == 0
    assert kept.stat().st_mtime_ns == before
    assert again.read_bytes() == content
    other = mobilenets(*command, "--resume", "--seed", "1")
    assert other.code == 1
    assert "was begun with" in other.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "alexnet", "--resolution", "64"), "alexnet: resolution must be at least 67 pixels, not 64"),
        (("--models", "alexnet@1-66"), "alexnet@1-66: resolution must be at least 67 pixels, not 66; say another with"),
        (("--models", "resnet"), "no architecture is called 'resnet'"),
        (("--models", "squeezenet,squeezenet"), "name every network once"),
        (("--epochs", "1", "--minutes-each", "1"), "give either minutes or epochs"),
        (("--minutes-each", "0"), "0.0 is not in the range x>0"),
        (("--minutes-each", "1e-6", "--training-threads", "1"), "one epoch of mobilenet_v1 at 32 pixels takes about"),
        (("--models", ","), "expected names such as"),
    ],
)
def test_what_cannot_be_compared_is_said_before_any_training(
    arguments: tuple[str, ...], message: str, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("compare", photos, "-o", tmp_path / "out", *arguments, "-q")
    assert outcome.code != 0
    assert message in outcome.err
    assert not list(tmp_path.glob("out/*/*"))


def test_minutes_become_epochs_in_proportion(photos: Path) -> None:
    """A clock that knows only steps: each takes 0.1 s at 64 pixels and 0.2 s at 128."""
    import torch

    from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    from mobilenets.data.dataset import load_dataset
    from mobilenets.training import step_timing
    from mobilenets.training.recipe import DEFAULT

    seen: list[int] = []

    def seconds(network: object, batches: object, recipe: object, size: tuple[int, int], device: object) -> float:
        seen.append(size[0])
        return 0.1 * size[0] / 64

    train = load_dataset(photos).train  # 32 images: one step in an epoch
    network = mobilenet_v1(width_multiplier=0.25, resolution=128, classes=2)
    cpu = torch.device("cpu")
    per_epoch = step_timing.OVERHEAD * (0.5 * 0.15 + 0.5 * 0.2)
    assert step_timing.epochs_within(0.1, network, train, DEFAULT, device=cpu, step_seconds=seconds) == int(
        6 / per_epoch
    )
    assert seen == [96, 128]
    assert step_timing.epochs_within(1e6, network, train, DEFAULT, device=cpu, step_seconds=seconds) == 250


def test_weights_are_compared_with_networks_from_scratch(photos: Path, tmp_path: Path) -> None:
    from mobilenets.benchmark.comparison import compare
    from mobilenets.training.settings import Settings

    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=7)
    save(random_model(np.random.default_rng(0), network), tmp_path / "start.safetensors")
    names = ["mobilenet_v1@0.25", str(tmp_path / "start.safetensors")]
    found = compare(photos, names, tmp_path / "out", Settings(epochs=2, resolution=32, threads=1))
    assert [one.name for one in found] == names
    assert [one.size for one in found] == ["mobilenet_v1@0.25-32", "start.safetensors at 32"]
    with pytest.raises(FormatError, match=r"did you mean keras:0\.25-224"):
        compare(photos, ["keras:0.25-225"], tmp_path / "other", Settings(epochs=1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weights", "keras:0.25-224"), "Did you mean --models? (it takes names of architectures, published weights"),
        (("--models", "kears:0.25-224"), "kears:0.25-224 does not exist; did you mean keras:0.25-224"),
        (("--models", "mobilenet_v1,none.h5"), "none.h5 does not exist"),
        (("--models", "mobilenet_v1@5"), "width must be from 0.01 to 2, not 5"),
        (("--recipe", "papre"), "no recipe is called 'papre'"),
        (("--published",), "--published is drawn into the figures of --plot FOLDER"),
        (("--resume", "--force"), "give one"),
    ],
)
def test_what_cannot_be_compared_is_said_in_words(
    words: tuple[str, ...], message: str, photos: Path, tmp_path: Path, mobilenets: RunCommand
) -> None:
    outcome = mobilenets("compare", photos, "-o", tmp_path / "out", *words)
    assert outcome.code in (1, 2)
    assert message in " ".join(outcome.err.split())
    assert not (tmp_path / "out").exists()
