"""How each kind of file under deploy/ is checked; `tests/integration/test_deploy.py` runs them.

Every check takes the files of its kind and fails with what is wrong.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import typer.main
import yaml
from packaging.requirements import Requirement

from deploy.hazards import hazards, render
from deploy.licences import components
from node.blobs import BlobStore
from node.cli import app
from node.config import load_settings
from node.database import open_engine
from node.service.routing import rulebook
from tests.peers import require

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
Files = Sequence[Path]


def run(*command: object, cwd: Path = ROOT) -> str:
    """Run a checker; its complaint is the failure."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(words[:3])}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def scripts(files: Files) -> None:
    run(require("shellcheck"), *files)


def python(files: Files) -> None:
    """Types and style of deploy/ are checked by mypy and ruff; here, that they look at it."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert "deploy" in tools["mypy"]["files"]
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"))


def calls_crdl(words: Sequence[str]) -> None:
    """Parse a command line of `crdl`, without running it."""
    command = typer.main.get_command(app)
    context = command.make_context("crdl", list(words), resilient_parsing=True)
    found = command
    rest = list(words)
    while rest and hasattr(found, "get_command"):
        chosen = found.get_command(context, rest.pop(0))
        assert chosen is not None, f"crdl {' '.join(words)}: no such command"
        found = chosen
    known = set(chain.from_iterable(getattr(one, "opts", ()) for one in found.params))
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known | {"--help"}, f"crdl {' '.join(words)}: {word}"


def images(files: Files) -> None:
    run(require("hadolint"), "--failure-threshold", "info", *files)
    for path in files:
        lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
        assert all(re.search(r":\d+\.\d+\.\d+", base) for base in bases), bases
        last = lines[len(lines) - 1 - lines[::-1].index(f"FROM {bases[-1]}") :]
        assert any(line.startswith("USER 10001") for line in last), "runs as root"
        assert any(line.startswith("HEALTHCHECK") for line in last)
        for line in lines:
            if line.startswith("COPY ") and "--from" not in line:
                *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
                for source in sources:
                    assert (ROOT / source).exists(), source
            if line.startswith("CMD [") or line.strip().startswith("CMD ["):
                calls_crdl([word for word in json.loads(line.strip()[4:]) if word != "crdl"])
            if "HEALTHCHECK" in line:
                calls_crdl(json.loads(line[line.index("CMD ") + 4 :])[1:])


def ignored(files: Files) -> None:
    """What is left out of a build must not be what the build copies."""
    for path in files:
        image = path.with_name(path.name.removesuffix(".dockerignore"))
        kept = {line[1:] for line in path.read_text().splitlines() if line.startswith("!")}
        copied = re.findall(
            r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", image.read_text(), flags=re.MULTILINE
        )
        for source in chain.from_iterable(line.split() for line in copied):
            assert source in kept, f"{source} is copied and ignored"


def compose(files: Files) -> None:
    (path,) = files
    run(require("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)
    (whole,) = documents(path)
    for name, service in whole["services"].items():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["user"] == "10001:10001"
            calls_crdl(service["command"])
        else:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name} is not pinned"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            there = (DEPLOY / source).exists() if source[0] == "." else source in whole["volumes"]
            assert there, f"{name} mounts {source}, which is not there"
        assert set(service.get("networks", ())) <= set(whole["networks"])
        assert set(service.get("secrets", ())) <= set(whole["secrets"])
        assert set(service.get("depends_on", ())) <= set(whole["services"])


def secrets_of_compose(files: Files, folder: Path) -> None:
    """The script makes exactly the secrets that compose.yaml wants, and leaves those there are."""
    (path,) = files
    run("sh", path, folder / "secrets")
    made = {one.name: one.read_text() for one in (folder / "secrets").iterdir()}
    (whole,) = documents(DEPLOY / "compose.yaml")
    assert {f"./compose/secrets/{name}" for name in made} == {
        one["file"] for one in whole["secrets"].values()
    }
    assert made["database-password"] in made["database-url"]
    assert (folder / "secrets").stat().st_mode & 0o077 == 0
    run("sh", path, folder / "secrets")
    assert {one.name: one.read_text() for one in (folder / "secrets").iterdir()} == made


def settings(files: Files) -> None:
    """Each configuration is taken by the node's own settings."""
    for path in files:
        found = load_settings(path)
        assert found.destination, f"{path.name} sends its reports nowhere"


def rules(files: Files) -> None:
    for path in files:
        stem = path.name.removesuffix(".rules.toml")
        site = load_settings(path.with_name(f"{stem}.toml"))
        book = rulebook(
            site.model_copy(update={"rules": site.rules.model_copy(update={"file": path})})
        )
        assert len(book.rules) == len(site.destination)


def manifests(files: Files) -> None:
    """The cluster's own schema, and that the parts name each other."""
    kustomization = DEPLOY / "kubernetes" / "kustomization.yaml"
    files = [path for path in files if path != kustomization]
    objects = [one for path in files for one in documents(path)]
    run(require("kubernetes-validate"), "--strict", "--quiet", *files)
    (listed,) = documents(kustomization)
    there = {path.name for path in files if ".example." not in path.name}
    assert set(listed["resources"]) == there
    for generated in listed["configMapGenerator"]:
        assert all((DEPLOY / "kubernetes" / name).is_file() for name in generated["files"])
    pods = dict(_pods(objects))
    labels = [pod["metadata"]["labels"] for pod in pods.values()]
    (secret,) = [one for one in objects if one["kind"] == "Secret"]
    claims = {one["metadata"]["name"] for one in objects if one["kind"] == "PersistentVolumeClaim"}
    for name, pod in pods.items():
        _is_confined(name, pod["spec"])
        for volume in pod["spec"]["volumes"]:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or claim in claims, claim
            assert volume.get("secret", {}).get("secretName", "crdl-secrets") == "crdl-secrets"
        for container in pod["spec"]["containers"]:
            if container["image"].startswith("crdl-node"):
                calls_crdl(container["args"])
    for one in objects:
        wanted = (
            one["spec"].get("selector")
            if one["kind"] in {"Service", "PodDisruptionBudget"}
            else None
        )
        if wanted:
            wanted = wanted.get("matchLabels", wanted)
            assert any(wanted.items() <= have.items() for have in labels), one["metadata"]["name"]
    named = load_settings(DEPLOY / "kubernetes" / "node.toml")
    mounted = (named.database.url_file, named.audit.key, named.backup.passphrase_file)
    assert {path.name for path in mounted if path} <= set(secret["stringData"])
    gpu = pods["crdl-work-gpu"]["spec"]["containers"][0]["resources"]["limits"]
    assert gpu["nvidia.com/gpu"] == "1"


def _pods(objects: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in objects:
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield one["metadata"]["name"], template


def _is_confined(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"], name
    assert pod["automountServiceAccountToken"] is False, name
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"], name
        assert own["capabilities"]["drop"] == ["ALL"], name
        assert own["allowPrivilegeEscalation"] is False, name
        assert container["resources"]["requests"], name
        assert container["resources"]["limits"]["memory"], name
        if name != "crdl-backup":
            assert {"startupProbe", "livenessProbe"} <= container.keys(), name


def units(files: Files, folder: Path) -> None:
    """systemd reads every unit without a word, and rates its sandbox."""
    analyze = require("systemd-analyze")
    copies = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"^ExecStart=/opt/crdl/bin/crdl (.+)$", text, flags=re.MULTILINE):
            calls_crdl(command.split())
        # The program is not installed on this machine, and neither is its page.
        text = text.replace("/opt/crdl/bin/crdl", "/bin/true")
        text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)
        copy = folder / path.name.replace("@.", "@1.")
        copy.write_text(text)
        (folder / path.name).write_text(text)
        copies.append(copy)
    said = run(analyze, "verify", "--man=no", *copies, cwd=folder)
    assert not [line for line in said.splitlines() if str(folder) in line], said
    for copy in copies:
        if copy.suffix == ".service":
            rated = run(analyze, "security", "--offline=true", "--no-pager", copy, cwd=folder)
            (level,) = re.findall(r"exposure level for \S+: ([\d.]+)", rated)
            assert float(level) < 2.0, f"{copy.name}: {level}"


def users(files: Files) -> None:
    (path,) = files
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    assert lines == ['u crdl - "CRDL node" /var/lib/crdl']  # sysusers.d(5): type, name, id, ...


def prometheus(files: Files) -> None:
    promtool = require("promtool")
    for path in files:
        if path.name == "prometheus.yaml":
            run(promtool, "check", "config", "--syntax-only", path)
            (job,) = documents(path)[0]["scrape_configs"]
            assert job["static_configs"][0]["targets"] == ["web:8042"]
        elif path.name == "alerts.test.yaml":
            run(promtool, "test", "rules", path.name, cwd=path.parent)
        else:
            run(promtool, "check", "rules", path)


def boards(files: Files, folder: Path) -> None:
    """Every metric that a panel asks for is one that the node exports."""
    exported = exported_metrics(folder)
    for path in files:
        board = json.loads(path.read_text(encoding="utf-8"))
        asked = " ".join(t["expr"] for p in board["panels"] for t in p.get("targets", ()))
        names = set(re.findall(r"\bcrdl_\w+", asked))
        assert names
        assert names <= exported, names - exported
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def exported_metrics(folder: Path) -> set[str]:
    """The names of a scrape of an empty node; a family is named even without a sample."""
    from node.audit import schema  # noqa: PLC0415
    from node.web.metrics import exposition  # noqa: PLC0415

    database = open_engine(f"sqlite:///{folder / 'metrics.db'}")
    schema.upgrade(database)
    said = exposition(database, BlobStore(folder / "blobs")).decode()
    database.dispose()
    return set(re.findall(r"^# TYPE (\w+)", said, flags=re.MULTILINE))


def provisioning(files: Files) -> None:
    """What Grafana reads lies where compose.yaml puts it."""
    (whole,) = documents(DEPLOY / "compose.yaml")
    mounted = {
        one.split(":")[0]: one.split(":")[1] for one in whole["services"]["grafana"]["volumes"]
    }
    for path in files:
        (one,) = documents(path)
        assert one["apiVersion"] == 1
        assert f"./grafana/{path.name}" in mounted
        for provider in one.get("providers", ()):
            assert mounted["./grafana/crdl-node.json"].startswith(provider["options"]["path"])
        for source in one.get("datasources", ()):
            assert source["url"] == "http://prometheus:9090"


def archive(files: Files) -> None:
    """Orthanc's configuration fits the node's in compose.yaml."""
    (path,) = files
    found = json.loads(path.read_text(encoding="utf-8"))
    node = load_settings(DEPLOY / "compose" / "node.toml")
    (destination,) = node.destination
    assert (found["DicomAet"], found["DicomPort"]) == (destination.ae_title, destination.port)
    assert found["DicomModalities"]["crdl"] == [node.node.ae_title, "receive", node.node.port]


def viewer(files: Files) -> None:
    """OHIF's configuration is JavaScript, and asks Orthanc at the port that compose.yaml opens."""
    (path,) = files
    run(require("node"), "--check", path)
    (whole,) = documents(DEPLOY / "compose.yaml")
    ports = {one.split(":")[-2] for one in whole["services"]["orthanc"]["ports"]}
    asked = set(re.findall(r"http://127\.0\.0\.1:(\d+)", path.read_text()))
    assert asked <= ports


def texts(files: Files) -> None:
    """Links lead somewhere, and every `crdl` command that is told exists."""
    for path in files:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
        for command in re.findall(r"`crdl ([a-z][^`]*)`", text):
            calls_crdl(re.sub(r"\s+", " ", command).split())


def pins(files: Files) -> None:
    """Everything that pyproject.toml asks for is pinned, once."""
    (path,) = files
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    pinned = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines]
    assert all("==" in line for line in lines)
    assert len(set(pinned)) == len(pinned)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.sub(r"[-_.]+", "-", Requirement(one).name).lower() for one in asked}
    assert names - set(pinned) <= {"torch", "setuptools"}  # setup.sh and the venv bring these


def debian(files: Files) -> None:
    (path,) = files
    names = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)
    assert len(set(names)) == len(names)


def licences(files: Files) -> None:
    del files
    wrong = [one for one in components() if one.verdict == "not allowed"]
    assert not wrong, wrong


def hazard_list(files: Files) -> None:
    """Every named test exists, no risk is too high, and what people read is what is listed."""
    del files
    for one in hazards():
        assert one.verdict != "not accepted", one.id
        for name in one.tests:
            path, _, test = name.partition("::")
            assert (ROOT / path).is_file(), name
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), name
    assert len({one.id for one in hazards()}) == len(hazards())
    assert (DEPLOY / "HAZARDS.md").read_text(encoding="utf-8") == render()
