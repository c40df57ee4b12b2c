"""The frozen values of a study: what its computations hand to its report.

`models.study.run` makes a `StudyResult`; `models.study.report` shows it; neither imports the
other. Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["strict", "paper"]
CohortName = Literal["training", "external"]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % confidence interval; `method` names how that was found."""

    value: float
    interval: Interval | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion with its Wilson interval, and the counts it comes from."""

    value: float
    interval: Interval
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How probabilities agree with outcomes (slope, intercept, integrated calibration index).

    Attributes:
        curve: Smoothed (predicted, observed) points, (points, 2).
        groups: Mean prediction, observed share and count of each tenth, (groups, 3).
    """

    slope: Estimate
    intercept: Estimate
    ici: float
    brier: float
    curve: NDArray[np.float64]
    groups: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Performance:
    """How one model did on one cohort, at its fixed threshold.

    Attributes:
        ids: Cases judged, in the order of `scores` and `labels`.
        auc: With DeLong's interval.
        auc_bootstrap: The same area with the patient-level bootstrap's interval.
        roc: (points, 2) of false and true positive rate.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    threshold: float
    auc: Estimate
    auc_bootstrap: Estimate
    accuracy: Share
    sensitivity: Share
    specificity: Share
    ppv: Share
    npv: Share
    calibration: Calibration
    roc: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One of the nine models in one mode.

    Attributes:
        selected: How often each feature was chosen over the outer folds, by name; empty for
            models without a selection.
        note: Why an external performance is absent, or what a reader must know.
    """

    name: str
    title: str
    mode: Mode
    cross_validated: Performance
    external: Performance | None
    selected: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """DeLong's test of two models on the cases that both scored (paired)."""

    first: str
    second: str
    cohort: CohortName
    difference: float
    z: float
    p: float
    cases: int


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit over threshold probabilities (Vickers & Elkin 2006).

    `benefit` maps a model's name, "all" and "none" to (thresholds,).
    """

    cohort: CohortName
    mode: Mode
    thresholds: NDArray[np.float64]
    benefit: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table for a person: CSV and report show the same rows.

    Attributes:
        name: File name without `.csv`, such as `table1`.
        title: Above the table.
        columns: Headings.
        rows: Cells as printed.
        note: Below the table: the tests used, abbreviations.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One box of the cohort flowchart: what was left out, why, and who remained.

    `excluded` maps a reason to the ids it removed; `remaining` counts by site.
    """

    title: str
    remaining: Mapping[str, int]
    excluded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReaderPoint:
    """A reader's sensitivity and specificity, unaided or aided, on the external cohort."""

    reader: str
    aided: bool
    sensitivity: Share
    specificity: Share


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Everything that a study found.

    Attributes:
        title: Of the report.
        simulated: The patients were simulated; every page says so.
        flow: The flowchart, first box first.
        models: By mode, then by the paper's order. Modes that were not asked for are absent.
        comparisons: All pairs, both cohorts, strict mode unless only paper mode was run.
        curves: Decision curves.
        tables: Table 1 and all others, in the order of the report. Names that the report places:
            table1, regression, stability, performance, delong, readers, reclassification,
            subgroups, gap, selected, importance, learning, conformal, harmonisation,
            intermediates, cost, exclusions.
        readers: Points for the ROC figure; empty without a reader study.
        learning: (sizes, 3): training cases, mean AUC, standard deviation; empty if not asked.
        importance: Permutation importance: feature -> mean fall of the AUC.
        manifest: What was run on what: seeds, versions, hashes, settings. Plain JSON values.
    """

    title: str
    simulated: bool
    flow: tuple[FlowStep, ...]
    models: Mapping[Mode, tuple[ModelResult, ...]]
    comparisons: tuple[Comparison, ...]
    curves: tuple[DecisionCurve, ...]
    tables: tuple[Table, ...]
    readers: tuple[ReaderPoint, ...] = ()
    learning: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    importance: Mapping[str, float] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
