"""The commands as a person calls them: help, exit status and one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.node_process import crdl

COMMANDS = (
    "serve",
    "assess",
    "features",
    "send",
    "doctor",
    "backup",
    "restore",
    "simulate",
    "jobs list",
    "jobs show",
    "jobs retry",
    "jobs cancel",
    "cases list",
    "cases assign",
    "audit query",
    "models list",
    "models show",
    "models train",
    "bench radiomics",
)


@pytest.fixture
def a_config(tmp_path: Path) -> str:
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\ndata_dir = "{tmp_path / "data"}"\n')
    return str(config)


def test_every_command_is_listed() -> None:
    said = crdl("--help").stdout
    for name in {command.split()[0] for command in COMMANDS}:
        assert name in said


@pytest.mark.parametrize("command", ["serve", "features", "jobs list", "audit query"])
def test_a_command_has_help(command: str) -> None:
    assert "Usage" in crdl(*command.split(), "--help").stdout


def test_a_wrong_call_exits_with_two() -> None:
    assert crdl("assess", check=False).returncode == 2
    assert crdl("no-such-command", check=False).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("send", "absent.dcm", "--to", "A@127.0.0.1:104"), "no file absent.dcm"),
        (("send", ".", "--to", "nowhere"), "AE@HOST:PORT"),
        (("assess", "absent.dcm", "--out", "x"), "no file absent.dcm"),
        (("jobs", "list", "--config", "absent.toml"), "no configuration file"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    done = crdl(*arguments, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("crdl: ")]
    assert said in line
    assert "Traceback" not in done.stderr


def test_an_empty_node_has_no_jobs_and_an_audit(a_config: str) -> None:
    assert json.loads(crdl("jobs", "list", "--json", "--config", a_config).stdout) == []
    assert json.loads(crdl("audit", "query", "--json", "--config", a_config).stdout) == []
    missing = crdl("jobs", "show", "1", "--config", a_config, check=False)
    assert (missing.returncode, "no job 1" in missing.stderr) == (1, True)


def test_features_of_bare_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:60, :80]
    mask = ((rows - 30) / 15) ** 2 + ((columns - 40) / 20) ** 2 < 1
    path = tmp_path / "case.npz"
    np.savez(path, image=rng.integers(0, 255, (60, 80)), mask=mask, spacing=[0.2, 0.2])
    both = {}
    for engine in ("fused", "pyradiomics"):
        said = crdl("features", str(path), "--set", "full851", "--engine", engine, "--json").stdout
        both[engine] = json.loads(said)["radiomics"]
    assert len(both["fused"]) == 851
    assert set(both["fused"]) == set(both["pyradiomics"])
    assert both["fused"]["original_shape_VoxelVolume"] == pytest.approx(mask.sum() * 0.04)
    for name, value in both["pyradiomics"].items():
        assert both["fused"][name] == pytest.approx(value, rel=1e-6, abs=1e-7), name
