"""Every file under deploy/ is checked by somebody, and the check passes."""

from __future__ import annotations

import inspect
import re
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests import deploy_checks as checks
from tests.deploy_checks import DEPLOY, ROOT

CHECKS: dict[str, tuple[tuple[str, ...], Callable[..., None]]] = {
    "shell scripts": (("*.sh",), checks.scripts),
    "secrets of compose": (("compose/prepare.sh",), checks.secrets_of_compose),
    "Python": (("*.py",), checks.python),
    "images": (("docker/Dockerfile", "docker/Dockerfile.cuda"), checks.images),
    "what images leave out": (("docker/*.dockerignore",), checks.ignored),
    "compose": (("compose.yaml",), checks.compose),
    "configurations": (
        ("node.example.toml", "compose/node.toml", "kubernetes/node.toml", "examples/*[!s].toml"),
        checks.settings,
    ),
    "routing rules": (("examples/*.rules.toml",), checks.rules),
    "Kubernetes": (("kubernetes/*.yaml",), checks.manifests),
    "systemd": (("systemd/*.service", "systemd/*.timer", "systemd/*.target"), checks.units),
    "user": (("systemd/crdl.sysusers",), checks.users),
    "Prometheus": (("prometheus/*.yaml",), checks.prometheus),
    "dashboards": (("grafana/*.json",), checks.boards),
    "Grafana": (("grafana/*.yaml",), checks.provisioning),
    "Orthanc": (("compose/orthanc/orthanc.json",), checks.archive),
    "OHIF": (("compose/ohif.js",), checks.viewer),
    "texts": (("*.md",), checks.texts),
    "pins": (("constraints.txt",), checks.pins),
    "Debian packages": (("debian-packages.txt",), checks.debian),
    "licences": (("licences.toml",), checks.licences),
    "hazards": (("HAZARDS.toml", "HAZARDS.md"), checks.hazard_list),
}
"""By name: which files, and what checks them."""


def files_of(patterns: tuple[str, ...]) -> list[Path]:
    """The files that are in the repository, or will be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "deploy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    there = [ROOT / name for name in listed if (ROOT / name).is_file()]
    return [
        path
        for path in there
        if any(fnmatch(str(path.relative_to(DEPLOY)), pattern) for pattern in patterns)
    ]


def test_every_file_is_checked() -> None:
    checked = {path for patterns, _ in CHECKS.values() for path in files_of(patterns)}
    unchecked = {str(path.relative_to(DEPLOY)) for path in set(files_of(("*",))) - checked}
    assert not unchecked, f"no check reads {sorted(unchecked)}"


@pytest.mark.peers
@pytest.mark.parametrize("kind", CHECKS)
def test_files_are_what_their_programs_expect(kind: str, tmp_path: Path) -> None:
    patterns, check = CHECKS[kind]
    found = files_of(patterns)
    assert found, f"there is no file of {patterns}"
    arguments: dict[str, Any] = {"folder": tmp_path}
    wanted = inspect.signature(check).parameters
    check(found, **{name: value for name, value in arguments.items() if name in wanted})


def test_the_runbook_tells_twelve_failures_with_symptom_command_and_cure() -> None:
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    told = re.split(r"^### \d+\. ", text, flags=re.MULTILINE)[1:]
    numbers = re.findall(r"^### (\d+)\. ", text, flags=re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 13)]
    for failure in told:
        positions = [failure.find(f"{part}: ") for part in ("Symptom", "Command", "Cure")]
        assert -1 not in positions, failure[:60]
        assert positions == sorted(positions), failure[:60]
