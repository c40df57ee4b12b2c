"""Nobody else may own our top-level names, and what we need must travel with the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIXED = {"node", "models", "sr_templates", "tests", "deploy"}


@pytest.mark.parametrize("name", ["node", "models", "sr_templates"])
def test_no_other_distribution_owns_our_packages(name: str) -> None:
    assert set(packages_distributions().get(name, ["crdl-node"])) == {"crdl-node"}


def test_the_package_is_never_uploaded_by_accident() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]
    assert project["name"] == "crdl-node"
    assert version("crdl-node") == project["version"]


def test_top_level_names_are_the_agreed_ones() -> None:
    tracked = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
    unknown = tracked - FIXED - {"data", "demo", "build", "dist", "crdl_node.egg-info"}
    assert unknown == set()


def test_a_wheel_holds_every_file_of_our_packages(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "node", "models", "sr_templates"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(listed) > 100
    for name in [*listed, "pyproject.toml", "README.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    build = "import setuptools.build_meta as b; print(b.build_wheel('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert set(listed) <= set(archive.namelist()), set(listed) - set(archive.namelist())
