"""The examples of deployment: each is well-formed, and starts a server that has the paths that it asks for."""

from __future__ import annotations

import configparser
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ROOT
from tests.support.server import ask, write_model

from mobilenets.cli.serve import command
from mobilenets.serving.refusals import Reason
from mobilenets.serving.server import serving

FOLDER = ROOT / "docs" / "deployment"
GRACE_SECONDS = 32
"""What the server needs at most to answer what it has accepted."""


def options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """What the command understands; it ends the test where it does not."""
    return dict(command.make_context("serve", list(arguments)).params)


def documents(name: str) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return [one for one in yaml.safe_load_all((FOLDER / name).read_text()) if one]


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for container in pod["containers"]:
        assert {"name", "image", "args", "ports", "resources"} <= set(container)
        yield container


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = write_model(tmp_path_factory.mktemp("deployed") / "pets" / "model.safetensors")
    with serving([model]) as address:
        yield address


def test_the_dockerfile() -> None:
    lines = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line and line[0] != "#"]
    assert {word for word, _ in steps} <= {
        "FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    last = max(place for place, (word, _) in enumerate(steps) if word == "FROM")
    said = dict(steps[last:])
    assert "slim" in said["FROM"]
    assert said["USER"] not in ("0", "root")
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert "/v2/health/live" in said["HEALTHCHECK"]
    assert json.loads(said["ENTRYPOINT"])[1:] == ["serve"]
    options = options_of(json.loads(said["CMD"]))
    assert (options["host"], str(options["port"])) == ("0.0.0.0", said["EXPOSE"])
    copied = [path for word, rest in steps if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]]
    assert all((ROOT / path).exists() for path in copied)


def test_the_systemd_unit() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(FOLDER / "mobilenets.service")
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    program, word, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert (Path(program).name, word) == ("mobilenets", "serve")
    assert options_of(arguments)["host"] == "127.0.0.1"
    assert int(unit["Service"]["TimeoutStopSec"]) > GRACE_SECONDS
    assert unit["Service"]["DynamicUser"] == unit["Service"]["NoNewPrivileges"] == "yes"


def test_the_kubernetes_manifest(pets: str) -> None:
    deployment, service = documents("kubernetes.yaml")
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    pod = template["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["terminationGracePeriodSeconds"] > GRACE_SECONDS
    (container,) = containers(pod)
    options = options_of(container["args"])
    (port,) = container["ports"]
    assert options["host"] == "0.0.0.0"
    annotations = template["metadata"]["annotations"]
    assert str(options["port"]) == str(port["containerPort"]) == annotations["prometheus.io/port"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    probes = [container[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")]
    assert all(probe["port"] == port["name"] for probe in probes)
    paths = [probe["path"] for probe in probes] + [annotations["prometheus.io/path"]]
    assert {ask(pets, "GET", path).status for path in paths} == {200}


def test_the_kserve_manifest(pets: str) -> None:
    (service,) = documents("kserve.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    (container,) = containers(service["spec"]["predictor"])
    assert container["name"] == "kserve-container"
    options = options_of(container["args"])
    assert options["models"] == (f"{service['metadata']['name']}=/mnt/models",)
    assert options["port"] == container["ports"][0]["containerPort"] == container["readinessProbe"]["httpGet"]["port"]
    assert {one["name"] for one in container["env"]} == {"PROTOCOL", "STORAGE_URI"}
    assert ask(pets, "GET", container["readinessProbe"]["httpGet"]["path"]).status == 200


def test_the_documentation_lists_every_error() -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    for reason in Reason:
        assert f"| `{reason.value}` | {reason.status} | {reason.meaning} |" in text
