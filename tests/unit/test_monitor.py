"""Watching a bundle at work: what is known of it, and what is said where nothing is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import Engine, insert

from models.study.monitor import WINDOW, MonitoredCase, monitor
from models.study.monitor_figure import draw
from node.audit import schema
from node.audit.tables import FindingRow, Job
from node.audit.trail import Trail
from node.case import Case, FrameReference
from node.database import open_engine, utc_now
from node.jobs.monitoring import monitored_cases
from node.jobs.outcomes import OutcomeSaid, keep_outcomes

REFERENCE = {"clinical_size": (30.0, 10.0), "wavelet": (0.0, 2.0)}


def cases(count: int, *, separation: float = 1.5, shift: float = 0.0) -> list[MonitoredCase]:
    rng = np.random.default_rng(7)
    truth = rng.random(count) < 0.4
    log_odds = rng.normal(np.where(truth, separation, -separation), 1.5)
    probability = 1 / (1 + np.exp(-log_odds))
    return [
        MonitoredCase(
            case=f"c{i}",
            at=f"2026-{1 + i % 3:02d}-02T00:00:00+00:00",
            probability=float(probability[i]),
            called=bool(probability[i] >= 0.5),
            truth=bool(truth[i]),
            truth_kind="pathology",
            novel=False,
            inputs={
                "clinical_size": float(rng.normal(30 + 10 * shift, 10)),
                "wavelet": float(rng.normal(0, 2)),
            },
        )
        for i in range(count)
    ]


def test_performance_is_that_of_the_cases_with_an_outcome() -> None:
    known = cases(120)
    unknown = [MonitoredCase("u", "2026-04-01", 0.9, called=True), *known]
    refused = MonitoredCase("r", "2026-04-01", None, None)
    judged = monitor([*unknown, refused], REFERENCE)
    labels = [case.truth for case in known]
    scores = [case.probability for case in known]
    assert judged.auc is not None
    assert judged.auc.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert judged.sensitivity is not None
    hits = sum(bool(case.truth and case.called) for case in known)
    assert (judged.sensitivity.numerator, judged.sensitivity.denominator) == (hits, sum(labels))  # type: ignore[arg-type]
    assert (judged.with_outcome.numerator, judged.with_outcome.denominator) == (120, 121)
    assert (judged.refused.numerator, judged.refused.denominator) == (1, 122)
    assert judged.slope is not None
    assert judged.slope.interval is not None
    assert judged.slope.interval[0] < judged.slope.value < judged.slope.interval[1]


def test_windows_overlap_by_half_and_the_last_ends_with_the_last_outcome() -> None:
    judged = monitor(cases(WINDOW * 2 + 7), REFERENCE)
    assert [window.outcomes for window in judged.windows] == [WINDOW] * 4
    assert all(window.auc is not None for window in judged.windows)


def test_an_input_that_drifts_is_named_and_one_that_does_not_is_not() -> None:
    steady = monitor(cases(200), REFERENCE)
    assert not any(row.notable for row in steady.drift)
    given = cases(200, shift=0.6)
    moved = monitor(given, REFERENCE)
    assert [row.feature for row in moved.drift if row.notable] == ["clinical_size"]
    sizes = np.array([case.inputs["clinical_size"] for case in given])
    assert moved.drift[0].difference == pytest.approx((sizes.mean() - 30) / 10)
    assert moved.drift[0].spread == pytest.approx(sizes.std(ddof=1) / 10)


def test_a_few_cases_are_not_called_drift() -> None:
    assert not any(row.notable for row in monitor(cases(8, shift=0.6), REFERENCE).drift)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([], "no case"),
        ([MonitoredCase("a", "2026-01-01", 0.4, called=False)], "no outcome"),
        ([MonitoredCase("a", "2026-01-01", 0.4, called=False, truth=True)], "one class"),
    ],
    ids=["no case", "no outcome", "one class"],
)
def test_what_is_not_known_is_said(given: list[MonitoredCase], word: str, tmp_path: Path) -> None:
    judged = monitor(given, REFERENCE)
    assert judged.auc is None
    assert any(word in note for note in judged.notes)
    draw(judged, tmp_path / "m.png")
    assert (tmp_path / "m.png").stat().st_size > 1000


@pytest.fixture
def a_database(tmp_path: Path) -> Iterator[Engine]:
    database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(database)
    yield database
    database.dispose()


def a_finding(database: Engine, seg: str, tracking: str = "", **fields: Any) -> str:
    """One finished job with one case and its finding; the case's name."""
    values: dict[str, Any] = {"study": "1.2", "patient": "P", "probability": 0.8, "generation": 1}
    values |= fields
    case = Case(f"{seg}#1", seg, 1, "", tracking, "", (FrameReference("1.9"),))
    with database.begin() as connection:
        job = connection.execute(
            insert(Job)
            .values(
                seg_uid=seg,
                generation=values["generation"],
                state="done",
                reason="",
                study_instance_uid=values["study"],
                patient_id=values["patient"],
                cases={"cases": [json.loads(json.dumps(case.to_json()))]},
                run=0,
                created_at=utc_now(),
                updated_at=utc_now(),
            )
            .returning(Job.id)
        ).scalar_one()
        connection.execute(
            insert(FindingRow).values(
                job_id=job,
                case_name=case.name,
                status="assessed",
                probability=values["probability"],
                malignancy="malignant",
                bundle_sha256="b" * 64,
                finding={"model": "CM"},
                created_at=utc_now(),
            )
        )
    return case.name


def said(**fields: Any) -> OutcomeSaid:
    values: dict[str, Any] = {"kind": "pathology", "source": "s", "malignant": True}
    return OutcomeSaid(**(values | fields))


def truths(database: Engine) -> list[tuple[float | None, bool | None, str]]:
    _, found = monitored_cases(database)
    return [(case.probability, case.truth, case.truth_kind) for case in found]


def test_a_lesion_counts_once_with_its_latest_finding(a_database: Engine) -> None:
    a_finding(a_database, "1.1", "9.9", probability=0.2)
    a_finding(a_database, "1.1", "9.9", probability=0.3, generation=2)
    a_finding(a_database, "1.3", "9.9", probability=0.4)
    a_finding(a_database, "1.4", "9.8", probability=0.5)
    assert [probability for probability, _, _ in truths(a_database)] == [0.4, 0.5]


def test_an_outcome_finds_the_only_lesion_of_its_patient_also_afterwards(
    a_database: Engine,
) -> None:
    (kept,) = keep_outcomes(a_database, Trail("t"), [said(patient_id="P")])
    assert kept.case_name == ""
    a_finding(a_database, "1.1")
    assert truths(a_database) == [(0.8, True, "pathology")]
    a_finding(a_database, "1.2", study="1.3")
    assert [truth for _, truth, _ in truths(a_database)] == [None, None]


@pytest.mark.parametrize("elsewhere", [{"accession_number": "A9"}, {"tracking_uid": "9.1"}])
def test_an_outcome_of_something_else_is_not_given_to_the_only_lesion(
    a_database: Engine, elsewhere: dict[str, str]
) -> None:
    a_finding(a_database, "1.1", "9.9")
    keep_outcomes(a_database, Trail("t"), [said(patient_id="P", **elsewhere)])
    assert truths(a_database) == [(0.8, None, "")]


def test_pathology_counts_before_a_verified_report(a_database: Engine) -> None:
    case = a_finding(a_database, "1.1")
    keep_outcomes(
        a_database,
        Trail("t"),
        [
            said(patient_id="P", malignant=False, case_name=case),
            said(kind="verified-sr", source="sr", patient_id="P", case_name=case),
        ],
    )
    assert truths(a_database) == [(0.8, False, "pathology")]


def test_an_unclear_result_is_no_truth(a_database: Engine) -> None:
    a_finding(a_database, "1.1")
    keep_outcomes(a_database, Trail("t"), [said(patient_id="P", malignant=None)])
    assert truths(a_database) == [(0.8, None, "")]
