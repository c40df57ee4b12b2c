"""Logistic regression of malignancy on the clinical features: one by one, and jointly."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import linprog
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from models.fusion.table import FeatureTable, family_of
from models.study.describe import is_class
from models.study.results import Estimate, Table
from models.study.tables_words import (
    NONE,
    estimate,
    feature_levels,
    feature_title,
    feature_unit,
    p_value,
    table,
    word,
)

_SEPARATING = 1e-3  # of a direction within -1..1; a solver's rounding is below 1e-6


@dataclass(frozen=True, slots=True)
class OddsRatio:
    """The odds ratio of one feature in one model.

    Attributes:
        name: Of the feature.
        cases: With all features of the model known.
        ratio: Per step, with Wald's interval; None where it cannot be estimated: `note` says why.
        p: Wald's; NaN without a ratio.
        note: "" with a ratio.
    """

    name: str
    cases: int
    ratio: Estimate | None
    p: float
    note: str = ""


def odds_ratios(
    features: FeatureTable, names: tuple[str, ...], steps: Mapping[str, float] | None = None
) -> tuple[OddsRatio, ...]:
    """Fit one logistic model of the label on features, over the cases that have them all.

    Args:
        features: Of one cohort.
        names: Of the model's features; one name makes it univariable.
        steps: The difference that a feature's ratio is told for; 1 where it is not there.

    Returns:
        One a name. Constant features take no part; features that depend linearly on others, and
        classes that are separated, leave the ratios without an estimate and with a note.
    """
    values = features.columns(names)
    known = np.isfinite(values).all(axis=1)
    values, labels = values[known], features.labels[known]
    cases = len(labels)
    if cases == 0 or labels.min() == labels.max():
        note = word("no_value") if cases == 0 else word("one_class")
        return tuple(_without(name, cases, note) for name in names)
    varies = np.ptp(values, axis=0) > 0
    found = {n: _without(n, cases, word("constant")) for n in np.array(names)[~varies].tolist()}
    own = tuple(np.array(names)[varies].tolist())
    if own:
        found |= {each.name: each for each in _fit(values[:, varies], labels, own, steps or {})}
    return tuple(found[name] for name in names)


def _fit(
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    steps: Mapping[str, float],
) -> tuple[OddsRatio, ...]:
    cases = len(labels)
    spread = values.std(axis=0)
    design = sm.add_constant((values - values.mean(axis=0)) / spread, has_constant="add")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return tuple(_without(name, cases, word("collinear")) for name in names)
    separating = separated_by(design, labels)[1:]
    if separating.any():
        culprits = ", ".join(feature_title(n) for n, s in zip(names, separating, strict=True) if s)
        elsewhere = word("separation_elsewhere").format(names=culprits)
        return tuple(
            _without(name, cases, word("separated") if own else elsewhere)
            for name, own in zip(names, separating, strict=True)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = sm.Logit(labels, design).fit(disp=0, maxiter=200)
    if not fitted.mle_retvals["converged"]:
        return tuple(_without(name, cases, word("no_convergence")) for name in names)
    # Fitted per standard deviation, told per step.
    told = np.array([steps.get(name, 1.0) for name in names]) / spread
    log_ratio = fitted.params[1:] * told
    bounds = fitted.conf_int()[1:] * told[:, None]
    with np.errstate(over="ignore"):
        ratios, intervals = np.exp(log_ratio), np.exp(bounds)
    return tuple(
        OddsRatio(name, cases, Estimate(float(ratio), (float(low), float(high)), "Wald"), float(p))
        for name, ratio, (low, high), p in zip(
            names, ratios, intervals, fitted.pvalues[1:], strict=True
        )
    )


def separated_by(design: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which columns take part in separating the classes, wholly or in part.

    There is a finite maximum likelihood if and only if no direction b has signed rows s_i x_i b
    >= 0 with one of them positive (Albert & Anderson 1984); a linear programme finds one (Konis
    2007).

    Args:
        design: (cases, columns), with the constant.
        labels: (cases,) 0 or 1.
    """
    signed = np.where(labels == 1, 1.0, -1.0)[:, None] * design
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1))
    return np.asarray(np.abs(found.x) > _SEPARATING, dtype=np.bool_)


def _without(name: str, cases: int, note: str) -> OddsRatio:
    return OddsRatio(name, cases, None, float("nan"), note)


def regression_table(features: FeatureTable) -> Table | None:
    """Return the univariable and multivariable odds ratios of the clinical columns.

    Args:
        features: Of the training cohort.

    Returns:
        The table; None without a clinical column.
    """
    names = tuple(name for name in features.names if family_of(name) == "clinical")
    if not names:
        return None
    steps = {name: _step(name, features.columns((name,))[:, 0]) for name in names}
    alone = [odds_ratios(features, (name,), steps)[0] for name in names]
    # Constant and empty columns take no part in the joint model.
    useful = tuple(each.name for each in alone if each.cases and each.note != word("constant"))
    joint = {each.name: each for each in odds_ratios(features, useful, steps)} if useful else {}
    complete = np.isfinite(features.columns(useful)).all(axis=1)
    rows = []
    for single in alone:
        multiple = joint.get(single.name, single)
        values = features.columns((single.name,))[:, 0]
        rows.append(
            (
                feature_title(single.name),
                _unit(single.name, values),
                str(single.cases),
                _ratio(single),
                p_value(single.p),
                _ratio(multiple),
                p_value(multiple.p),
            )
        )
    cases, malignant = int(complete.sum()), int(features.labels[complete].sum())
    return table("regression", rows, cases=cases, malignant=malignant)


def _unit(name: str, values: NDArray[np.float64]) -> str:
    if is_class(values):
        low, high = feature_levels(name)
        return word("against").format(first=low, second=high)
    unit = feature_unit(name)
    return word("per").format(unit=unit) if unit else word("per_spread")


def _step(name: str, values: NDArray[np.float64]) -> float:
    """What a ratio is told for: one unit, or a standard deviation where the unit is not known."""
    known = values[np.isfinite(values)]
    if is_class(known) or feature_unit(name) or len(known) < 2:
        return 1.0
    return float(known.std(ddof=1))


def _ratio(found: OddsRatio) -> str:
    if found.ratio is None:
        return found.note or NONE
    # The interval of a ratio per millimetre needs the third decimal, one between classes does not.
    return estimate(found.ratio, 3 if found.ratio.value < 2 else 2)
