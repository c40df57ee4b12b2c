"""Joining findings and outcomes for monitoring: one row a lesion, and what training looked like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.engine import Engine as Database

from models.study.monitor import MonitoredCase
from node.audit.tables import FindingRow, Job, LedgerFinding, Outcome
from node.database import read_only

Kinds = Sequence[str]


def monitored_cases(
    database: Database,
    since: datetime | None = None,
    bundle_sha256: str = "",
    kinds: Kinds = ("pathology", "verified-sr"),
    latest: int | None = None,
) -> tuple[str, tuple[MonitoredCase, ...]]:
    """Return a bundle's SHA-256 and its lesions, oldest first, each with its latest finding.

    Segments of one tracking UID in one patient are one lesion, whoever drew them. An outcome
    belongs to the lesion that it names, or to the only one of its study, or of its patient;
    pathology counts before a verified report, and the later before the earlier.

    Args:
        database: The node's.
        since: Findings from then on; None for all.
        bundle_sha256: Which bundle; "" takes that of the latest finding.
        kinds: Outcomes to use.
        latest: Look at so many findings, the newest; None looks at all.
    """
    with read_only(database) as connection:
        newest_first = connection.execute(
            select(FindingRow.__table__, Job.study_instance_uid, Job.patient_id, Job.cases)
            .join(Job, Job.id == FindingRow.job_id)
            .order_by(FindingRow.id.desc())
            .limit(latest)
        ).all()
        rows = newest_first[::-1]
        outcomes = connection.execute(
            select(Outcome.__table__)
            .where(Outcome.malignant.is_not(None), Outcome.kind.in_(kinds))
            .order_by(Outcome.id)
        ).all()
        kept = select(LedgerFinding.subject, LedgerFinding.detail).where(
            LedgerFinding.event == "inputs"
        )
        if latest is not None and rows:  # they were written together with the findings
            kept = kept.where(LedgerFinding.at >= rows[0].created_at - timedelta(minutes=1))
        seen = connection.execute(kept).all()
    bundle = bundle_sha256 or (rows[-1].bundle_sha256 if rows else "")
    lesions: dict[tuple[str, str], Row[Any]] = {}
    for row in rows:
        key = lesion_of(row)
        lesions.pop(key, None)  # the latest finding also has the latest place
        lesions[key] = row
    truths = truths_of(lesions, outcomes)
    inputs = {(row.detail["job"], row.subject): row.detail for row in seen}
    cases = tuple(
        _case(row, truths.get(key), inputs.get((row.job_id, row.case_name), {}))
        for key, row in lesions.items()
        if row.bundle_sha256 == bundle and (since is None or row.created_at >= since)
    )
    return bundle, cases


def lesion_of(row: Row[Any]) -> tuple[str, str]:
    """Return whose lesion a finding is about, and which: tracking UID, or case name."""
    tracking = next(
        (c["tracking_uid"] for c in row.cases["cases"] if c["name"] == row.case_name), ""
    )
    return row.patient_id, tracking or row.case_name


def truths_of(
    lesions: dict[tuple[str, str], Row[Any]], outcomes: Sequence[Row[Any]]
) -> dict[tuple[str, str], Row[Any]]:
    """Return the outcome of each lesion that has one; arguments as in `monitored_cases`."""
    by_case: dict[str, tuple[str, str]] = {}
    by_study: dict[str, set[tuple[str, str]]] = defaultdict(set)
    by_patient: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for key, row in lesions.items():
        for case in row.cases["cases"]:
            by_case.setdefault(case["name"], (row.patient_id, case["tracking_uid"] or case["name"]))
        by_study[row.study_instance_uid].add(key)
        by_patient[row.patient_id].add(key)
    found: dict[tuple[str, str], Row[Any]] = {}
    for outcome in outcomes:
        tracked = (outcome.patient_id, outcome.detail.get("tracking_uid", ""))
        if outcome.case_name:
            key = by_case.get(outcome.case_name, tracked)
        elif tracked[1]:
            key = tracked
        elif outcome.detail.get("accession_number") and not outcome.study_instance_uid:
            continue  # it names a study, and one that is not here
        else:
            about = by_study if outcome.study_instance_uid else by_patient
            named = outcome.study_instance_uid or outcome.patient_id
            key = next(iter(about[named])) if len(about[named]) == 1 else ("", "")
        known = found.get(key)
        if key in lesions and not (
            known is not None and known.kind == "pathology" and outcome.kind != "pathology"
        ):
            found[key] = outcome
    return found


def _case(row: Row[Any], truth: Row[Any] | None, seen: dict[str, Any]) -> MonitoredCase:
    return MonitoredCase(
        case=row.case_name,
        at=row.created_at.isoformat(timespec="seconds"),
        probability=row.probability,
        called=None if row.malignancy is None else row.malignancy == "malignant",
        truth=None if truth is None else truth.malignant,
        truth_kind="" if truth is None else truth.kind,
        model=row.finding["model"] or "",
        novel=seen.get("out_of_distribution"),
        inputs=seen.get("inputs", {}),
    )


def training_reference(
    sha256: str, candidates: Sequence[str]
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return the name and the training mean and scale of the bundle of that hash, if it is here."""
    from models.bundle import Bundle, shipped_bundles  # noqa: PLC0415
    from models.errors import ModelsError  # noqa: PLC0415

    for candidate in dict.fromkeys([*candidates, *shipped_bundles()]):
        try:
            loaded = Bundle.load(candidate)
        except ModelsError:
            continue
        if loaded.sha256 == sha256:
            found: dict[str, tuple[float, float]] = {}
            for model in reversed(loaded.models):  # the best model's numbers stand last
                cloud = model.novelty
                values = zip(cloud.mean, cloud.scale, strict=True)
                found |= {
                    n: (float(m), float(s)) for n, (m, s) in zip(cloud.names, values, strict=True)
                }
            return loaded.name, found
    return "", {}
