"""Table 1: the clinical features of the cohorts, and of benign and malignant lesions in each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.fusion.table import FeatureTable, family_of
from models.study.results import CohortName, Table
from models.study.statistics.paired import FISHER, independence
from models.study.tables_words import (
    NONE,
    feature_levels,
    feature_title,
    number,
    p_value,
    table,
    word,
)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Whether a feature differs between two groups: p (NaN where untestable) and the test."""

    p: float
    test: str


def is_class(*groups: Values) -> bool:
    """Whether a feature is a class: all its known values are 0 or 1."""
    known = np.concatenate(groups)
    return bool(np.isin(known[np.isfinite(known)], (0, 1)).all())


def difference(first: Values, second: Values, *, classes: bool) -> Difference:
    """Compare a feature between two groups (paper, section 2.9); unknown values take no part.

    Args:
        first: (cases,), NaN where unknown.
        second: Likewise.
        classes: Chi-square or Fisher's exact test of 0 and 1; otherwise Student's t-test.
    """
    one, other = first[np.isfinite(first)], second[np.isfinite(second)]
    if classes:
        if not (len(one) and len(other)):
            return Difference(float("nan"), "none")
        found = independence([[(own == value).sum() for value in (0, 1)] for own in (one, other)])
        return Difference(found.p, found.name)
    if min(len(one), len(other)) < 2 or np.ptp(np.concatenate([one, other])) == 0:
        return Difference(float("nan"), "none")
    return Difference(float(stats.ttest_ind(one, other).pvalue), "Student's t")


def describe(
    cohorts: Mapping[CohortName, FeatureTable],
    intermediate: Mapping[CohortName, NDArray[np.bool_]] | None = None,
) -> Table:
    """Return Table 1 of the clinical columns.

    Columns: each cohort and the difference between them (where both are there), then benign,
    malignant and their difference in each cohort.

    Args:
        cohorts: Training, and external if there is one.
        intermediate: (cases,) by cohort: which lesions are intermediate; None or all False leaves
            their row out.
    """
    names = tuple(
        dict.fromkeys(n for t in cohorts.values() for n in t.names if family_of(n) == "clinical")
    )
    everyone = {cohort: np.ones(len(own.ids)) for cohort, own in cohorts.items()}
    rows = [(word("cases"), "", *_line(_split(everyone, cohorts), _count, _untested, _untested))]
    if intermediate is not None and any(flags.any() for flags in intermediate.values()):
        flags = {cohort: own.astype(np.float64) for cohort, own in intermediate.items()}
        # Within a cohort they are malignant by definition: only the cohorts are compared.
        line = _line(_split(flags, cohorts), _share_of(1.0), _tested(classes=True), _untested)
        rows.append((word("intermediate"), "", *line))
    for name in names:
        rows += _feature(name, cohorts)
    columns = [word(cohort) for cohort in cohorts]
    if len(cohorts) > 1:
        columns.append(word("p"))
    for cohort in cohorts:
        title = word(cohort)
        columns += [f"{title}, {word('benign')}", f"{title}, {word('malignant')}"]
        columns.append(f"{word('p')} {title.lower()}")
    return table("table1", rows, tuple(columns))


def _feature(name: str, cohorts: Mapping[CohortName, FeatureTable]) -> list[tuple[str, ...]]:
    values = {
        cohort: own.columns((name,))[:, 0] if name in own.names else np.full(len(own.ids), np.nan)
        for cohort, own in cohorts.items()
    }
    groups, title = _split(values, cohorts), feature_title(name)
    if is_class(*values.values()):
        test = _tested(classes=True)
        low, high = feature_levels(name)
        rows = [
            (title, low, *_line(groups, _share_of(0.0), test, test)),
            ("", high, *_line(groups, _share_of(1.0), _untested, _untested)),
        ]
    else:
        test = _tested(classes=False)
        rows = [(title, "", *_line(groups, _mean, test, test))]
    if any(not np.isfinite(own).all() for own in values.values()):
        rows.append(("", word("unknown"), *_line(groups, _unknown, _untested, _untested)))
    return rows


def _split(
    values: Mapping[CohortName, Values], cohorts: Mapping[CohortName, FeatureTable]
) -> list[tuple[Values, Values, Values]]:
    """All, benign and malignant values of each cohort."""
    return [
        (own, own[cohorts[cohort].labels == 0], own[cohorts[cohort].labels == 1])
        for cohort, own in values.items()
    ]


def _line(
    groups: list[tuple[Values, Values, Values]],
    cell: Callable[[Values], str],
    between: Callable[[Values, Values], str],
    within: Callable[[Values, Values], str],
) -> tuple[str, ...]:
    cells = [cell(everyone) for everyone, _, _ in groups]
    if len(groups) > 1:
        cells.append(between(groups[0][0], groups[1][0]))
    for _, benign, malignant in groups:
        cells += [cell(benign), cell(malignant), within(benign, malignant)]
    return tuple(cells)


def _tested(*, classes: bool) -> Callable[[Values, Values], str]:
    def test(first: Values, second: Values) -> str:
        found = difference(first, second, classes=classes)
        mark = f" {word('fisher')}" if found.test == FISHER else ""
        return p_value(found.p) + mark

    return test


def _untested(_: Values, __: Values) -> str:
    return ""


def _count(values: Values) -> str:
    return str(len(values))


def _share_of(level: float) -> Callable[[Values], str]:
    def share(values: Values) -> str:
        known = values[np.isfinite(values)]
        count = int((known == level).sum())
        return f"{count} ({number(100 * count / len(known), 1)} %)" if len(known) else NONE

    return share


def _mean(values: Values) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return NONE
    spread = known.std(ddof=1) if len(known) > 1 else float("nan")
    # Two figures of the spread, whatever the scale, and one decimal at least.
    digits = 1 - math.floor(math.log10(spread)) if math.isfinite(spread) and spread > 0 else 1
    digits = min(max(digits, 1), 9)
    return f"{number(float(known.mean()), digits)} ± {number(float(spread), digits)}"


def _unknown(values: Values) -> str:
    return str(int((~np.isfinite(values)).sum()))
