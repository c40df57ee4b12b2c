"""Serving and shadow bundle on the same cases: how far they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from node.audit.tables import FindingRow, ShadowFinding
from node.database import read_only
from node.errors import CrdlError

_FOR_LIMITS = 2  # a standard deviation needs two


class ComparisonError(CrdlError):
    """There is nothing to compare: no shadow bundle has scored a case yet."""


@dataclass(frozen=True, slots=True)
class PairOfAnswers:
    """One case as both bundles answered it; None where one refused or gave no class."""

    case: str
    job: int
    serving_probability: float | None
    shadow_probability: float | None
    serving_class: str | None
    shadow_class: str | None

    @property
    def disagree(self) -> bool:
        """Whether the two gave different answers: another class, or one of them none."""
        return self.serving_class != self.shadow_class


@dataclass(frozen=True, slots=True)
class Comparison:
    """The agreement of two bundles.

    Attributes:
        serving: SHA-256 of the bundle that answered.
        shadow: Of the one that shadowed.
        cases: That both were asked about.
        scored: Cases with a probability from both.
        classed: Cases with a class from both.
        same_class: Of these.
        kappa: Cohen's (1960), of these; None where both always said the same one class.
        mean_difference: Of the probabilities, shadow less serving; None without scored cases.
        limits: 95 % limits of agreement of that difference (Bland & Altman 1986).
        disagreeing: The cases with different answers.
    """

    serving: str
    shadow: str
    cases: int
    scored: int
    classed: int
    same_class: int
    kappa: float | None
    mean_difference: float | None
    limits: tuple[float, float] | None
    disagreeing: tuple[PairOfAnswers, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare(database: Engine) -> Comparison:
    """Compare the latest shadow bundle with the bundle that served beside it last.

    Raises:
        ComparisonError: No shadow finding is there.
    """
    with read_only(database) as connection:
        joined = select(
            ShadowFinding.bundle_sha256.label("shadow"), FindingRow.bundle_sha256.label("serving")
        ).join(
            FindingRow,
            (FindingRow.job_id == ShadowFinding.job_id)
            & (FindingRow.case_name == ShadowFinding.case_name),
        )
        latest = connection.execute(joined.order_by(ShadowFinding.id.desc()).limit(1)).first()
        if latest is None:
            raise ComparisonError(
                "no case was scored by a shadow bundle yet: set [model] shadow, or "
                "crdl models activate BUNDLE --shadow"
            )
        rows = connection.execute(
            select(
                FindingRow.case_name,
                FindingRow.job_id,
                FindingRow.probability,
                ShadowFinding.probability.label("shadow_probability"),
                FindingRow.malignancy,
                ShadowFinding.malignancy.label("shadow_malignancy"),
            )
            .join(
                ShadowFinding,
                (FindingRow.job_id == ShadowFinding.job_id)
                & (FindingRow.case_name == ShadowFinding.case_name),
            )
            .where(
                ShadowFinding.bundle_sha256 == latest.shadow,
                FindingRow.bundle_sha256 == latest.serving,
            )
            .order_by(FindingRow.id)
        ).all()
    pairs = [PairOfAnswers(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]
    return agreement(latest.serving, latest.shadow, pairs)


def agreement(serving: str, shadow: str, pairs: Sequence[PairOfAnswers]) -> Comparison:
    """Compute the agreement of two bundles over the same cases."""
    differences = np.array(
        [
            pair.shadow_probability - pair.serving_probability
            for pair in pairs
            if pair.serving_probability is not None and pair.shadow_probability is not None
        ]
    )
    classes = [
        (pair.serving_class, pair.shadow_class)
        for pair in pairs
        if pair.serving_class and pair.shadow_class
    ]
    mean = float(differences.mean()) if len(differences) else None
    limits = None
    if mean is not None and len(differences) >= _FOR_LIMITS:
        spread = 1.96 * float(differences.std(ddof=1))
        limits = (mean - spread, mean + spread)
    return Comparison(
        serving=serving,
        shadow=shadow,
        cases=len(pairs),
        scored=len(differences),
        classed=len(classes),
        same_class=sum(one == other for one, other in classes),
        kappa=cohens_kappa(classes),
        mean_difference=mean,
        limits=limits,
        disagreeing=tuple(pair for pair in pairs if pair.disagree),
    )


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa; None where there is no pair, or both always say the same class."""
    from models.study.statistics.agreement import cross_table, kappa  # noqa: PLC0415 - on demand

    if not pairs:
        return None
    first, second = zip(*pairs, strict=True)
    found = kappa(cross_table(first, second)).value
    return None if math.isnan(found) else found
