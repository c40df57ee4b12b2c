"""The simulated readers' calls, from a cohort and a model's scores to the reader study."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from models.simulation.reader_calls import main, write_reader_calls
from models.simulation.reader_study import with_model
from models.simulation.settings import SimulationError
from models.study.readers import read_calls, reclassification_table


@pytest.fixture
def a_cohort(tmp_path: Path) -> Path:
    """A clinical table as `crdl simulate` writes it, with the columns that are read here."""
    folder = tmp_path / "cohort"
    folder.mkdir()
    with (folder / "clinical.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("id", "cohort", "label", "reader1_suspicion", "reader2_suspicion"))
        writer.writerow(("S1-1", "training", 1, 0.9, 0.9))
        for number in range(12):
            suspicion = 0.25 + 0.04 * number
            writer.writerow((f"S2-{number}", "external", number % 2, suspicion, 1 - suspicion))
    return folder


@pytest.fixture
def some_scores(tmp_path: Path) -> Path:
    """A model that is always right, at a threshold of 0.3, and could not score one case."""
    path = tmp_path / "scores.csv"
    lines = ["id,probability,threshold"]
    lines += [f"S2-{number},{0.85 if number % 2 else 0.1},0.3" for number in range(11)]
    path.write_text("\n".join([*lines, "S2-11,,"]) + "\n")
    return path


def test_the_calls_are_what_the_reader_study_reads(
    a_cohort: Path, some_scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "readers.csv"
    assert write_reader_calls(a_cohort, some_scores, out) == 11
    labels = {f"S2-{number}": number % 2 for number in range(12)}
    found = read_calls(out, labels)
    assert [(one.reader, len(one.ids)) for one in found] == [("reader 1", 11), ("reader 2", 11)]
    for one in found:
        assert (one.aided == (one.labels == 1)).sum() > (one.alone == (one.labels == 1)).sum()
    assert len(reclassification_table(found).rows) == 6
    again = tmp_path / "again.csv"
    write_reader_calls(a_cohort, some_scores, again)
    assert again.read_bytes() == out.read_bytes()


def test_a_model_at_its_threshold_moves_nobody_across() -> None:
    for threshold in (0.2, 0.5, 0.8):
        assert with_model(0.5, 1, threshold, threshold) == pytest.approx(0.5)
        assert with_model(0.6, 2, threshold, threshold) > 0.5
    assert with_model(0.45, 1, 0.4, threshold=0.2) > 0.5 > with_model(0.45, 1, 0.4)


def test_certain_readers_and_models_stay_within_reach() -> None:
    assert with_model(1.0, 2, 0.0) < 0.7
    assert 0 < with_model(0.0, 1, 1.0) < 1


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_is_within_zero_and_one(threshold: float) -> None:
    with pytest.raises(SimulationError, match="threshold"):
        with_model(0.5, 1, 0.5, threshold)


def test_what_cannot_be_used_is_said_in_one_line(
    a_cohort: Path, some_scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.csv")
    assert main([str(a_cohort), str(tmp_path / "none.csv"), "--out", out]) == 1
    assert "cannot be read" in capsys.readouterr().err
    some_scores.write_text("id,probability\nX,0.5\n")
    assert main([str(a_cohort), str(some_scores), "--out", out]) == 1
    assert capsys.readouterr().err == "the model scored none of these cases\n"
    some_scores.write_text("id,probability\nS2-0,high\n")
    assert main([str(a_cohort), str(some_scores), "--out", out]) == 1
    assert "case 'S2-0' has no number in 'probability'" in capsys.readouterr().err
