"""What a page and a module are made of, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.layers import PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import FormatError
from mobilenets.formats.exporting import export
from mobilenets.formats.web.engine import FOLDER, web_engine
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification

needs_engine = pytest.mark.skipif(not FOLDER.is_dir(), reason="the package was built without the engine for pages")
LABELS = ("</script><b>cat</b>", "Großer Sennenhund", "@model@ & \u2028")


@pytest.fixture(scope="module")
def model() -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    return random_int8_model(np.random.default_rng(0), network, task=Classification(LABELS))


@needs_engine
def test_a_page_is_one_file_without_addresses(model: Model, tmp_path: Path) -> None:
    exported = export(model, tmp_path / "page.html", verify=False, title="<Cats> & dogs")
    assert [path.name for path in exported.paths] == ["page.html"]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>&lt;Cats&gt; &amp; dogs</h1>" in text
    assert re.search(r"@\w+@", re.sub(r'text/plain" class="[^"]+">[^<]+<', "", text)) is None
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", text)
    assert text.count("<script") == text.count("</script") > 4


@needs_engine
def test_engine_and_page_are_small(tmp_path: Path) -> None:
    engine = web_engine()
    assert max(len(engine.relaxed), len(engine.simd)) <= 150_000
    network = mobilenet_v1(width_multiplier=0.25, resolution=128)
    labels = tuple(f"label number {number} of many" for number in range(1000))
    large = random_int8_model(np.random.default_rng(0), network, task=Classification(labels))
    assert export(large, tmp_path / "page.html", verify=False).bytes <= 800_000


@needs_engine
def test_a_module_is_a_package_with_types(model: Model, tmp_path: Path) -> None:
    exported = export(model, tmp_path / "cats-and-dogs", "web", module=True, verify=False)
    assert exported.paths == (tmp_path / "cats-and-dogs",)
    folder = exported.paths[0]
    package = json.loads((folder / "package.json").read_text())
    assert (package["name"], package["type"]) == ("cats-and-dogs", "module")
    assert all((folder / name).is_file() for name in (*package["files"], package["main"], package["types"]))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*package["files"], "README.md", "package.json"])


@needs_engine
def test_a_module_predicts_in_node(model: Model, tmp_path: Path) -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("there is no Node.js here")
    export(model, tmp_path / "pets", "web", module=True, verify=False)
    (tmp_path / "use.mjs").write_text(
        """
        import { load } from "./pets/index.js";
        const model = await load();
        const image = { data: new Uint8Array(4 * 50 * 40).fill(99), width: 50, height: 40 };
        const found = await model.predict(image, { top: 2 });
        const outputs = Object.entries(await model.outputs(image)).map(([name, values]) => [name, values.length]);
        const refused = await Promise.resolve().then(() => model.outputsOf(new Uint8Array(5))).catch((e) => e.message);
        console.log(JSON.stringify({ found, outputs, refused, labels: model.labels, size: model.inputSize }));
        """
    )
    ran = subprocess.run([node, str(tmp_path / "use.mjs")], capture_output=True, text=True, check=True)
    said = json.loads(ran.stdout)
    assert said["labels"] == list(LABELS)
    assert said["size"] == {"height": 32, "width": 32, "channels": 3}
    assert said["outputs"] == [["classifier", 3]]
    assert len(said["found"]["labels"]) == 2
    assert said["found"]["labels"][0]["probability"] >= said["found"]["labels"][1]["probability"]
    assert "5 bytes" in said["refused"]
    assert "3072" in said["refused"]


def test_what_cannot_be_shown_is_refused(model: Model, tmp_path: Path) -> None:
    network = Network("map", 8, 8, (PointwiseConvolution("map", ("input",), out_channels=2, bias=True),), ("map",))
    other = random_int8_model(np.random.default_rng(0), network, task=StrongestChannel())
    with pytest.raises(FormatError, match=r"a page shows.*detection.*strongest-channel.*export --to web --module"):
        export(other, tmp_path / "page.html", verify=False)
    with pytest.raises(FormatError, match="named like a file"):
        export(model, tmp_path / "page.html", module=True, verify=False)
    with pytest.raises(FormatError, match="npm takes no package of the name 'Cats and Dogs'"):
        export(model, tmp_path / "Cats and Dogs", "web", module=True, verify=False)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_engine_names_the_way_to_it(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="pip install ziglang"):
        web_engine(tmp_path)
