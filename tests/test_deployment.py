"""The files of the deployment guide, each read by what will read it, as far as that is at hand without an engine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latticework.plugins.ab.routing import Router
from latticework.plugins.registry import registry
from latticework.plugins.settings import read_settings

yaml = pytest.importorskip("yaml")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

ROOT = Path(__file__).resolve().parents[1]
DEPLOYMENT = ROOT / "docs" / "deployment"
CONTAINERFILE = (DEPLOYMENT / "Containerfile").read_text()
SETTINGS = (DEPLOYMENT / "settings.toml").read_text()
MANIFESTS = sorted((DEPLOYMENT / "kubernetes").glob("*.yaml"))
OBJECTS: list[dict[str, Any]] = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]
#: Releases of Kubernetes that the guide is for.
VERSIONS = [one for one in kubernetes_validate.utils.all_versions() if tuple(map(int, one.split(".")[:2])) >= (1, 32)]
#: What the guide's commands make beside the manifests.
MADE_BY_HAND = {("secret", "latticework"), ("secret", "latticework-groups"), ("configMap", "latticework-nginx")}


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in OBJECTS if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in OBJECTS if one["kind"] in ("StatefulSet", "Deployment")]


# Settings


def blocks(page: str) -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)


PAGES = ("deployment.md", "threats.md", "experiments.md")
TEXTS = {
    "settings.toml": SETTINGS,
    "the ConfigMap": named("ConfigMap", "latticework-settings")["data"]["settings.toml"],
    **{
        f"{page} {n}": text
        for page in ("deployment.md", "threats.md", "experiments.md")
        for n, text in enumerate(blocks(page))
    },
}


@pytest.mark.parametrize("name", TEXTS)
def test_settings_are_read_by_the_real_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(TEXTS[name])
    monkeypatch.setenv("LATTICEWORK_CONFIG", str(path))
    monkeypatch.setenv("LATTICEWORK_AB__KEY", "from the environment")
    settings = read_settings()
    assert settings.ab.key == "from the environment"
    Router(settings, registry())
    assert tomllib.loads(TEXTS[name]).keys() <= settings.model_fields_set


def test_the_config_map_has_the_settings_of_the_file() -> None:
    assert tomllib.loads(TEXTS["the ConfigMap"]) == tomllib.loads(SETTINGS)


# Kubernetes


@pytest.mark.parametrize(
    "number", range(len(OBJECTS)), ids=[f"{one['kind']} {one['metadata']['name']}" for one in OBJECTS]
)
def test_manifests_are_valid_for_kubernetes(number: int) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(OBJECTS[number], version, strict=True)


def test_the_schema_refuses_what_is_wrong() -> None:
    assert len(VERSIONS) >= 3
    wrong = json.loads(json.dumps(named("StatefulSet", "engine")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def references(value: Any) -> Iterator[tuple[str, str]]:
    """The ConfigMaps and Secrets that a pod names."""
    match value:
        case dict():
            for key, inner in value.items():
                if key in ("configMap", "configMapKeyRef"):
                    yield "configMap", inner["name"]
                elif key in ("secret", "secretKeyRef"):
                    yield "secret", inner.get("name") or inner["secretName"]
                else:
                    yield from references(inner)
        case list():
            for inner in value:
                yield from references(inner)


def test_manifests_fit_each_other() -> None:
    there = {("configMap", one["metadata"]["name"]) for one in OBJECTS if one["kind"] == "ConfigMap"}
    assert {found for pod in pods() for found in references(pod)} <= there | MADE_BY_HAND
    for pod in pods():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            ports = {port["name"] for port in container["ports"]}
            probes = [value for key, value in container.items() if key.endswith("Probe")]
            assert probes
            assert all(probe["httpGet"] == {"path": "/health", "port": "http"} for probe in probes)
            assert ports == {"http"}
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in OBJECTS if "template" in one.get("spec", {})]
    for service in (one for one in OBJECTS if one["kind"] == "Service"):
        assert service["spec"]["selector"] in labels
    assert named("StatefulSet", "engine")["spec"]["serviceName"] == named("Service", "engine")["metadata"]["name"]


def test_the_settings_are_mounted_as_a_folder() -> None:
    """A file mounted by ``subPath`` is never updated: no kill switch would arrive."""
    (container,) = named("StatefulSet", "engine")["spec"]["template"]["spec"]["containers"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "settings"]
    assert "subPath" not in mount
    assert f"LATTICEWORK_CONFIG={mount['mountPath']}/settings.toml" in CONTAINERFILE


def test_the_guide_makes_what_the_manifests_miss() -> None:
    guide = (ROOT / "docs" / "deployment.md").read_text()
    for kind, name in MADE_BY_HAND:
        assert re.search(rf"kubectl create {kind.lower()} (generic )?{name} ", guide), name
    for path in [*MANIFESTS, DEPLOYMENT / "nginx.conf"]:
        assert f"docs/deployment/{path.relative_to(DEPLOYMENT)}" in guide or "-f docs/deployment/kubernetes/" in guide


def test_the_proxy_names_the_replicas() -> None:
    engine = named("StatefulSet", "engine")
    name, port = engine["metadata"]["name"], named("Service", "engine")["spec"]["ports"][0]["port"]
    expected = [f"{name}-{n}.{engine['spec']['serviceName']}:{port}" for n in range(engine["spec"]["replicas"])]
    configuration = (DEPLOYMENT / "nginx.conf").read_text()
    assert re.findall(r"^\s*server (\S+) ", configuration, re.MULTILINE) == expected
    (container,) = named("Deployment", "proxy")["spec"]["template"]["spec"]["containers"]
    assert f"listen {container['ports'][0]['containerPort']};" in configuration


# The container


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile with their arguments; a line that is none is an error."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    found = []
    for line in filter(str.strip, joined.splitlines()):
        match = re.fullmatch(r"(FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|ENTRYPOINT|CMD) +(.+)", line)
        assert match is not None, f"no instruction: {line!r}"
        found.append((match[1], match[2]))
    return found


def stages() -> dict[str, list[tuple[str, str]]]:
    made: dict[str, list[tuple[str, str]]] = {}
    for instruction, arguments in instructions(CONTAINERFILE):
        if instruction == "FROM":
            image, _, name = arguments.partition(" AS ")
            assert re.fullmatch(r"[a-z0-9./-]+:v?\d+(\.\d+)+(-slim)?", image), f"{image} is not pinned"
            made[name] = []
        made[name].append((instruction, arguments))
    return made


ENGINES = ("vllm", "sglang")


def test_the_container_file_copies_what_there_is() -> None:
    made = stages()
    assert set(made) == {"wheel", *ENGINES}
    for name, steps in made.items():
        for _, arguments in [step for step in steps if step[0] == "COPY"]:
            words = arguments.split()
            if words[0].startswith("--from="):
                assert words[0].removeprefix("--from=") in made
                continue
            *sources, target = words
            assert target.startswith(("/", "./"))
            for path in sources:
                assert (ROOT / path).exists(), f"{name} copies {path}, which there is not"


@pytest.mark.parametrize("engine", ENGINES)
def test_containers_run_as_nobody_special(engine: str) -> None:
    steps = stages()[engine]
    users = [arguments for instruction, arguments in steps if instruction == "USER"]
    assert users == ["10001"]
    after = [instruction for instruction, _ in steps[[step[0] for step in steps].index("USER") :]]
    assert set(after) == {"USER", "WORKDIR", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert [instruction for instruction, _ in steps].count("ENTRYPOINT") == 1
    for key in ("ENTRYPOINT", "CMD"):
        (form,) = [arguments for instruction, arguments in steps if instruction == key]
        assert all(isinstance(word, str) for word in json.loads(form)), (
            "the form without a shell, which passes signals on"
        )


def test_what_is_copied_is_enough_for_the_wheel(tmp_path: Path) -> None:
    for _, arguments in [step for step in stages()["wheel"] if step[0] == "COPY"]:
        *sources, target = arguments.split()
        for source in sources:
            place = tmp_path / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    build = "import setuptools.build_meta as b; b.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert len(list(tmp_path.glob("latticework-*.whl"))) == 1


def test_shell_commands_are_well_formed() -> None:
    for steps in stages().values():
        for _, command in [step for step in steps if step[0] == "RUN"]:
            subprocess.run(["sh", "-n", "-c", command], check=True)
            assert shlex.split(command)


def test_engines_are_those_that_latticework_supports() -> None:
    versions = {steps[0][1].split(":v")[1].split()[0] for name, steps in stages().items() if name in ENGINES}
    dependencies = (ROOT / "docs" / "dependencies.md").read_text()
    supported = re.search(r"hold both vLLM (\S+) and SGLang (\S+),", dependencies)
    assert supported is not None
    assert {version.removesuffix(".0") for version in versions} == set(supported.groups())


def test_kubernetes_starts_the_engine_as_the_container_does() -> None:
    (form,) = [arguments for instruction, arguments in stages()["vllm"] if instruction == "CMD"]
    words: list[str] = json.loads(form)
    pairs = [f"{flag}={value}" for flag, value in zip(words[1::2], words[2::2], strict=True)]
    (container,) = named("StatefulSet", "engine")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [words[0], *pairs]
