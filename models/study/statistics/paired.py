"""Tests of counts: McNemar for paired calls, chi-square and Fisher for tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

FEWEST_EXPECTED = 5
"""Below this expected count Fisher's exact test takes the place of chi-square (Cochran 1954)."""
FISHER = "Fisher's exact"


@dataclass(frozen=True, slots=True)
class McNemarTest:
    """Whether two ways of calling the same cases differ (McNemar 1947).

    Attributes:
        first_only: Cases that only the first called right (b).
        second_only: Cases that only the second called right (c).
        chi2: Without correction.
        corrected: With Edwards' correction.
        p_chi2: Of `chi2`.
        p_corrected: Of `corrected`.
        p_exact: Two-sided binomial.
        p_mid: Mid-p (Fagerland, Lydersen & Laake 2013).
    """

    first_only: int
    second_only: int
    chi2: float
    corrected: float
    p_chi2: float
    p_corrected: float
    p_exact: float
    p_mid: float


def mcnemar_test(first_only: int, second_only: int) -> McNemarTest:
    """Test discordant pairs; without any, nothing differs and every p is 1."""
    discordant = first_only + second_only
    if discordant == 0:
        return McNemarTest(0, 0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
    table = [[0, first_only], [second_only, 0]]
    plain = mcnemar(table, exact=False, correction=False)
    corrected = mcnemar(table, exact=False, correction=True)
    exact = float(mcnemar(table, exact=True).pvalue)
    smaller = min(first_only, second_only)
    mid = exact - float(stats.binom.pmf(smaller, discordant, 0.5))
    if first_only == second_only:
        # Both tails meet in the middle: half of its probability is taken off once.
        mid = 1 - 0.5 * float(stats.binom.pmf(smaller, discordant, 0.5))
    return McNemarTest(
        first_only,
        second_only,
        float(plain.statistic),
        float(corrected.statistic),
        float(plain.pvalue),
        float(corrected.pvalue),
        exact,
        mid,
    )


@dataclass(frozen=True, slots=True)
class TableTest:
    """A test of independence: its name, statistic (NaN for Fisher's) and p."""

    name: str
    statistic: float
    p: float


def chi_square(counts: ArrayLike, *, yates: bool = False) -> TableTest:
    """Pearson's chi-square of a table of counts, with Yates' correction if asked."""
    found = stats.chi2_contingency(np.asarray(counts), correction=yates)
    name = "chi-square with Yates' correction" if yates else "chi-square"
    return TableTest(name, float(found.statistic), float(found.pvalue))


def fisher(counts: ArrayLike) -> TableTest:
    """Fisher's exact test of a 2 x 2 table."""
    return TableTest(FISHER, float("nan"), float(stats.fisher_exact(counts).pvalue))


def independence(counts: ArrayLike) -> TableTest:
    """Choose: Fisher's exact test for a 2 x 2 table with a small expected count, else chi-square.

    Empty rows and columns are left out; a table that then has one row or column gives p = 1.
    """
    table = np.asarray(counts)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return TableTest("none: one category only", float("nan"), 1.0)
    expected = stats.contingency.expected_freq(table)
    if table.shape == (2, 2) and expected.min() < FEWEST_EXPECTED:
        return fisher(table)
    return chi_square(table)
