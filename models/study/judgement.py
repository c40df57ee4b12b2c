"""How fixed models do on a cohort that they were not fitted on: performance, abstention, novelty.

Used alike for the external cohort of a training and for `crdl models evaluate`: every threshold,
conformal reference and cloud comes from the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import BundledModel
from models.bundles.attribution import attribute
from models.bundles.errors import AttributionError
from models.fusion.calibration import sigmoid
from models.fusion.conformal import ConformalReference
from models.fusion.frozen import FrozenModel
from models.fusion.table import FeatureTable
from models.study.results import Estimate, Share
from models.study.statistics.delong import auc_with_interval
from models.study.statistics.operating import SHARES, shares_at, wilson

Vector = NDArray[np.float64]
Labels = NDArray[np.int64]

TOLERATED_ERRORS = (0.05, 0.10, 0.20)
FEWEST_CASES = 10
_FEWEST_OF_A_CLASS = 2
_INFLUENTIAL = 10


@dataclass(frozen=True, slots=True)
class AbstentionRow:
    """What abstaining at one tolerated error did on a cohort.

    Attributes:
        error: Tolerated share of missed classes.
        covered_benign: Benign cases whose set holds `benign`.
        covered_malignant: Malignant cases whose set holds `malignant`.
        decided: Cases that got a class.
        correct: Of the decided cases; None where none was decided.
    """

    error: float
    covered_benign: Share
    covered_malignant: Share
    decided: Share
    correct: Share | None

    def to_json(self) -> dict[str, Any]:
        """Return the shares as plain numbers."""
        return {
            "error": self.error,
            "covered_benign": self.covered_benign.value,
            "covered_malignant": self.covered_malignant.value,
            "decided": self.decided.value,
            "correct": None if self.correct is None else self.correct.value,
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """How probabilities and a fixed threshold did on a cohort.

    Attributes:
        malignant: Cases.
        threshold: A case at it is called malignant.
        auc: With DeLong's interval.
        shares: `accuracy`, `sensitivity`, `specificity`, `ppv` and `npv` with Wilson's intervals;
            NaN where there is no case.
        brier: Mean squared difference of probability and outcome.
    """

    malignant: int
    threshold: float
    auc: Estimate
    shares: Mapping[str, Share]
    brier: float

    @classmethod
    def of(cls, scores: Vector, labels: Labels, threshold: float) -> Figures:
        """Judge probabilities (cases,) of cases of both classes."""
        return cls(
            malignant=int(labels.sum()),
            threshold=threshold,
            auc=auc_with_interval(scores, labels),
            shares=shares_at(scores, labels, threshold),
            brier=float(np.square(scores - labels).mean()),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, each estimate with its 95 % interval under `<name>_ci`."""
        data: dict[str, Any] = {
            "malignant": self.malignant,
            "threshold": self.threshold,
            "auc": self.auc.value,
            "auc_ci": _pair(self.auc.interval),
            "brier": self.brier,
        }
        for name in SHARES:
            share = self.shares[name]
            data[name] = share.value if share.denominator else None
            data[f"{name}_ci"] = _pair(share.interval) if share.denominator else None
        return data


@dataclass(frozen=True, slots=True)
class ModelJudgement:
    """One model on a cohort.

    Attributes:
        name: Of the model.
        cases: That had all its inputs.
        performance: At the training threshold; None where `note` says why not.
        novel: Cases flagged as out of distribution; None without cases.
        abstention: A row a tolerated error; empty where the model cannot abstain.
        note: "" where the performance is there.
    """

    name: str
    cases: int
    performance: Figures | None
    novel: Share | None
    abstention: tuple[AbstentionRow, ...]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values for bundle.json and evaluation.json."""
        data: dict[str, Any] = {"cases": self.cases, "note": self.note}
        if self.novel is not None:
            data["novel"] = self.novel.value
        data["abstention"] = [row.to_json() for row in self.abstention]
        if self.performance is not None:
            data |= self.performance.to_json()
        return data


def judge(model: BundledModel, table: FeatureTable) -> ModelJudgement:
    """Judge one model on the cases of a table that have all its inputs.

    Args:
        model: With its threshold, cloud and conformal reference.
        table: The cohort; it has every column that the model needs.
    """
    values = table.columns(model.model.names)
    there = np.isfinite(values).all(axis=1)
    labels = table.labels[there]
    novel = None
    if there.any():
        far = model.novelty.distance(values[there]) > model.novelty.cutoff
        novel = wilson(int(far.sum()), len(far))
    note = _too_few(labels)
    if note:
        return ModelJudgement(model.entry.name, len(labels), None, novel, (), note)
    scores = np.asarray(sigmoid(model.model.logit(values[there])))
    threshold = model.entry.threshold
    rows = abstention(model.conformal, scores, labels, threshold)
    found = Figures.of(scores, labels, threshold)
    return ModelJudgement(model.entry.name, len(labels), found, novel, rows)


def abstention(
    reference: ConformalReference, scores: Vector, labels: Labels, threshold: float
) -> tuple[AbstentionRow, ...]:
    """Measure coverage and decided share at each tolerated error the reference can keep to.

    Args:
        reference: Of the training.
        scores: (cases,) probabilities at the training prevalence.
        labels: (cases,) both classes are there.
        threshold: Of the training: a case is decided where the one class left is its class.
    """
    rows = []
    for error in TOLERATED_ERRORS:
        if error < reference.lowest_error():
            continue
        sets = [reference.classes(score, error) for score in scores.tolist()]
        decided = np.array(
            [
                found == (("malignant" if score >= threshold else "benign"),)
                for found, score in zip(sets, scores.tolist(), strict=True)
            ]
        )
        right = (scores >= threshold) == (labels == 1)
        covered = {
            label: [name in found for found, is_ in zip(sets, labels, strict=True) if is_ == label]
            for label, name in ((0, "benign"), (1, "malignant"))
        }
        rows.append(
            AbstentionRow(
                error,
                wilson(sum(covered[0]), len(covered[0])),
                wilson(sum(covered[1]), len(covered[1])),
                wilson(int(decided.sum()), len(decided)),
                wilson(int((right & decided).sum()), int(decided.sum())) if decided.any() else None,
            )
        )
    return tuple(rows)


def mean_influence(
    model: FrozenModel, values: Vector, count: int = _INFLUENTIAL
) -> tuple[tuple[str, float], ...]:
    """Return the features with the largest mean magnitude of their share of the log-odds.

    Args:
        model: The fitted model.
        values: (cases, features) of the training cases, in the order of the model's names.
        count: How many to return, largest first; ties by name.
    """
    shares = [share for row in values if (share := _shares(model, row)) is not None]
    if not shares:
        return ()
    means = np.abs(np.stack(shares)).mean(axis=0).tolist()
    ranked = sorted(zip(model.names, means, strict=True), key=lambda item: (-item[1], item[0]))
    return tuple(ranked[:count])


def _shares(model: FrozenModel, row: Vector) -> Vector | None:
    try:
        return attribute(model, row)
    except AttributionError:
        return None


def _too_few(labels: Labels) -> str:
    if len(labels) < FEWEST_CASES:
        return f"{len(labels)} cases have all inputs; {FEWEST_CASES} are needed"
    smallest = int(min((labels == 1).sum(), (labels == 0).sum()))
    if smallest < _FEWEST_OF_A_CLASS:
        return f"a class has {smallest} cases; {_FEWEST_OF_A_CLASS} are needed"
    return ""


def _pair(interval: Sequence[float] | None) -> list[float] | None:
    return None if interval is None else [float(interval[0]), float(interval[1])]
