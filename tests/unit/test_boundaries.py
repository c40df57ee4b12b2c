"""Stage boundaries: each is somewhere in the code, and a process dies there only when asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from node.boundaries import DIARY, VARIABLE, boundaries

ROOT = Path(__file__).parents[2]
_CALL = re.compile(r'\bpassing\(\s*"([a-z-]+)"')


def test_every_boundary_is_passed_somewhere_and_no_other() -> None:
    calls = Counter(
        name
        for path in (ROOT / "node").rglob("*.py")
        if path.name != "boundaries.py"
        for name in _CALL.findall(path.read_text("utf-8"))
    )
    assert set(calls) == set(boundaries())


def _passes(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f"from node.boundaries import passing\npassing({name!r})\nprint('went on')"
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != VARIABLE} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_variable_a_process_goes_on(tmp_path: Path) -> None:
    (tmp_path / "committed").write_text("self")
    assert _passes("committed").stdout == "went on\n"
    assert (tmp_path / "committed").exists()


def test_the_next_process_at_an_armed_boundary_dies_and_the_one_after_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "committed").write_text("self")
    other = _passes("paired", **{VARIABLE: str(tmp_path)})
    first, second = (_passes("committed", **{VARIABLE: str(tmp_path)}) for _ in range(2))
    assert other.stdout == second.stdout == "went on\n"
    assert (first.returncode, first.stdout) == (-signal.SIGKILL, "")
    assert re.fullmatch(r"committed \d+\n", (tmp_path / DIARY).read_text())


def test_a_boundary_that_nobody_knows_is_an_error_in_a_test_run(tmp_path: Path) -> None:
    assert "boundaries.toml knows no" in _passes("lunch", **{VARIABLE: str(tmp_path)}).stderr


@pytest.mark.parametrize("name", sorted(boundaries()))
def test_a_boundary_says_in_words_what_has_happened(name: str) -> None:
    assert len(boundaries()[name]) > 10
