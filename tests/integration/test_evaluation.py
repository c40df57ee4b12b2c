"""A bundle on a cohort that it has not seen, and on one that it has."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.fusion.threshold import area_under_curve, sensitivity_specificity
from models.study.cohort import CohortError
from models.study.evaluate import Evaluation, evaluate_table
from models.study.evaluation_output import as_json, as_rows, write_evaluation
from tests.fusion_fixtures import make_table, sixty_cases, write
from tests.node_process import crdl

TABLE, MODELS = sixty_cases()


@pytest.fixture(scope="module")
def a_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "small"
    write(folder, TABLE, MODELS)
    return folder


@pytest.fixture(scope="module")
def a_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fresh cases; every seventh has no flow, the first no number at all."""
    table = make_table(70, seed=5)
    path = tmp_path_factory.mktemp("table") / "features.csv"
    flow = table.names.index("clinical_flow")
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "label", "site", *table.names])
        for row, name in enumerate(table.ids):
            cells = [repr(value) for value in table.values[row].tolist()]
            if row % 7 == 0:
                cells[flow] = ""
            cells = [""] * len(cells) if row == 0 else cells
            writer.writerow([name, table.labels[row], "AB"[row % 2], *cells])
    return path


@pytest.fixture(scope="module")
def an_evaluation(a_bundle: Path, a_table: Path) -> Evaluation:
    return evaluate_table(a_bundle, a_table)


def test_each_case_is_scored_as_it_is_served(an_evaluation: Evaluation, a_bundle: Path) -> None:
    bundle = Bundle.load(a_bundle)
    best = bundle.models[0]
    scored = [case for case in an_evaluation.cases if case.score]
    assert len(scored) == 69
    assert sum(an_evaluation.answered_by.values()) == 69
    complete = [case for case in scored if case.score and case.score.model == best.entry.name]
    assert all(case.score and case.score.threshold == best.entry.threshold for case in complete)
    lacking = [case for case in scored if case.score and case.score.fallback_reason]
    assert ("flow" in best.entry.requires) == bool(lacking)
    assert an_evaluation.cases[0].score is None
    assert any(warning.startswith("not-scored: 1 ") for warning in an_evaluation.warnings)


def test_the_figures_as_served_are_those_of_the_scores(an_evaluation: Evaluation) -> None:
    scored = [case for case in an_evaluation.cases if case.score]
    scores = np.array([case.score.probability for case in scored if case.score])
    labels = np.array([case.label for case in scored])
    whole = an_evaluation.strata[0]
    assert whole.auc is not None
    assert whole.auc.value == pytest.approx(area_under_curve(scores, labels))
    calls = [case.score.malignancy == "malignant" for case in scored if case.score]
    assert whole.sensitivity is not None
    assert whole.sensitivity.numerator == int((np.array(calls) & (labels == 1)).sum())
    assert {one.value for one in an_evaluation.strata} == {"as served", "A", "B"}


def test_each_model_is_judged_at_its_training_threshold(
    an_evaluation: Evaluation, a_bundle: Path
) -> None:
    bundle = Bundle.load(a_bundle)
    table = make_table(70, seed=5)
    for model, judged in zip(bundle.models, an_evaluation.models, strict=True):
        values = table.columns(model.model.names)
        use = np.ones(70, dtype=bool)
        use[0] = False
        if "clinical_flow" in model.model.names:
            use[::7] = False
        scores = 1 / (1 + np.exp(-model.model.logit(values[use])))
        assert judged.cases == use.sum()
        assert judged.performance is not None
        assert judged.performance.auc.value == pytest.approx(
            area_under_curve(scores, table.labels[use])
        )
        expected = sensitivity_specificity(scores, table.labels[use], model.entry.threshold)
        found = judged.performance
        assert [
            found.shares[name].value for name in ("sensitivity", "specificity")
        ] == pytest.approx(expected)
        assert judged.novel is not None
        assert [row.error for row in judged.abstention] == [0.05, 0.1, 0.2]
        shares = [row.decided.value for row in judged.abstention]
        assert shares == sorted(shares)  # more tolerance, more decided


def test_two_runs_write_the_same_bytes(an_evaluation: Evaluation, tmp_path: Path) -> None:
    one, other = (write_evaluation(an_evaluation, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    rows = list(csv.DictReader(one[0].open(newline="", encoding="utf-8")))
    assert len(rows) == 70
    assert rows[0]["not_scored"]
    assert json.loads(one[1].read_text())["bundle"]["sha256"] == an_evaluation.sha256
    assert as_json(an_evaluation)["cases"] == 70
    assert as_rows(an_evaluation)[0]["model"] == "as served"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("label,x\n1,2\n", "no column 'id'"),
        ("id,x\nA,2\n", "no column 'label'"),
        ("id,label\n", "no case"),
        ("id,label,x\nA,1,2\n", "no column of the bundle"),
        ("id,label,clinical_age\nA,2,50\n", "not 0 or 1"),
        ("id,label,clinical_age\nA,1,old\n", "no number"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused(
    a_bundle: Path, tmp_path: Path, text: str, what: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(CohortError, match=what):
        evaluate_table(a_bundle, tmp_path / "t.csv")


def test_the_command_warns_prints_and_writes(a_bundle: Path, a_table: Path, tmp_path: Path) -> None:
    arguments = ["--table", str(a_table), "--out", str(tmp_path / "out"), "--json"]
    done = crdl("models", "evaluate", str(a_bundle), *arguments)
    printed = json.loads(done.stdout)
    assert set(printed["models"]["CM"]) >= {"auc", "auc_ci", "sensitivity", "novel", "abstention"}
    assert "warning: not-scored: 1 " in done.stderr
    assert (tmp_path / "out" / "scores.csv").is_file()
    both = crdl("models", "evaluate", str(a_bundle), "--out", str(tmp_path), check=False)
    assert both.returncode == 2
