"""Nobody else may own our top-level names, and what we need must travel with the package."""

from __future__ import annotations

import tomllib
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


def test_every_data_file_matches_a_package_data_pattern() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    globs = patterns["package-data"]["*"]
    for package in ("node", "models", "sr_templates"):
        for path in (ROOT / package).rglob("*"):
            ours = path.is_file() and path.suffix not in {".py", ".pyc", ".nbi", ".nbc"}
            if ours and "__pycache__" not in path.parts:
                assert any(path.match(f"*/{glob}") for glob in globs), path
