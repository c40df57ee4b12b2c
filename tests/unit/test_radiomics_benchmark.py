"""The benchmark says who dropped out, and why."""

import json
import sys
from pathlib import Path

import pytest

from models.features.radiomics import benchmark, rival

A_RIVAL = """
import json, sys
print("@ready", flush=True)
for round, _ in enumerate(sys.stdin):
    if round == 1 and sys.argv[1] == "nyxus":
        raise ArithmeticError("too tired")
    print("chatter")
    print("@" + json.dumps({"seconds": 1.5, "cpu_seconds": 2.5, "features": {}}), flush=True)
"""


@pytest.fixture
def a_rival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that gives up in its second round as nyxus and runs on under other names."""
    script = tmp_path / "rival.py"
    script.write_text(A_RIVAL, encoding="utf-8")
    monkeypatch.setattr(rival, "__file__", str(script))
    return script


def test_a_rival_that_fails_is_named_with_its_last_word_and_the_others_run_on(
    a_rival: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert a_rival.is_file()
    rows = {row.contender: row for row in benchmark.bench_one(60, 2, [sys.executable])}
    assert capsys.readouterr().err == "nyxus dropped out: ArithmeticError: too tired\n"
    assert set(rows) == {
        "ours, 1 thread",
        "ours, 2 threads",
        "pyradiomics",
        "pyradiomics, diameter patched",
        "fastrad",
        "pictologics",
    }
    assert (rows["fastrad"].seconds, rows["fastrad"].cpu_seconds) == (1.5, 2.5)
    assert rows["ours, 1 thread"].equal == rows["ours, 1 thread"].features == 851


def test_a_rival_that_is_not_installed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--pixels", "60", "--rounds", "1", "--json", "--rivals", sys.executable])
    told = capsys.readouterr()
    assert {row["contender"] for row in json.loads(told.out)}.isdisjoint(rival.RIVALS)
    for name in rival.RIVALS:
        assert f"{name} dropped out: ModuleNotFoundError: No module named '{name}'" in told.err
