"""The study's statistics equal published values and other people's programs."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
from dcurves import dca
from MLstatkit import Delong_test
from numpy.testing import assert_allclose
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from models.fusion.errors import FusionError
from models.fusion.threshold import area_under_curve, weighted_youden
from models.study.results import ModelResult
from models.study.statistics.agreement import cross_table, icc_a1, kappa
from models.study.statistics.calibration import calibration
from models.study.statistics.decision import THRESHOLDS, decision_curve, net_benefit
from models.study.statistics.delong import (
    areas,
    auc_with_interval,
    paired_test,
    roc_points,
    unpaired_test,
)
from models.study.statistics.operating import (
    bootstrap_auc_interval,
    bootstrap_interval,
    shares_at,
    wilson,
)
from models.study.statistics.paired import chi_square, fisher, independence, mcnemar_test
from models.study.statistics.performance import compare_all, performance

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def a_cohort(
    seed: int, cases: int = 120, *, ties: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two correlated scores; with ties on a grid of tenths."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(cases) < 0.4).astype(np.int64)
    common = labels + rng.normal(0, 1.2, cases)
    scores = np.stack([common + rng.normal(0, spread, cases) for spread in (0.5, 1.0)])
    scores = 1 / (1 + np.exp(-scores))
    return labels, *(np.round(scores, 1) if ties else scores)


@pytest.mark.parametrize("seed", range(8))
def test_delong_equals_mlstatkit_with_ties(seed: int) -> None:
    labels, first, second = a_cohort(seed)
    z, p, ci_first, ci_second, auc_first, auc_second, *_ = Delong_test(
        labels, first, second, return_ci=True, return_auc=True, verbose=0
    )
    ours = paired_test(first, second, labels)
    # theirs is the second less the first
    assert_allclose((ours.statistic, ours.p), (-z, p), rtol=0, atol=1e-9)
    for scores, auc, interval in (
        (first, auc_first, ci_first),
        (second, auc_second, ci_second),
    ):
        found = auc_with_interval(scores, labels)
        assert_allclose(found.value, auc, atol=1e-9)
        assert found.interval is not None
        assert_allclose(found.interval, interval, atol=1e-9)


def test_identical_curves_do_not_differ() -> None:
    labels, first, _ = a_cohort(1)
    same = paired_test(first, first, labels)
    assert (same.difference, same.statistic, same.p) == (0, 0, 1)
    stretched = paired_test(first, first**3, labels)  # the same order, so the same curve
    assert (stretched.statistic, stretched.p) == (0, 1)


def test_the_area_is_scikit_learns() -> None:
    labels, first, second = a_cohort(2)
    expected = [roc_auc_score(labels, scores) for scores in (first, second)]
    assert_allclose(areas(np.stack([first, second]), labels).auc, expected, rtol=1e-12)


def test_the_variance_of_delong_is_that_of_repeated_cohorts() -> None:
    found = [a_cohort(seed, 80, ties=False) for seed in range(400)]
    seen = np.var([area_under_curve(first, labels) for labels, first, _ in found])
    said = np.mean([areas(first[None], labels).covariance[0, 0] for labels, first, _ in found])
    assert said / seen == pytest.approx(1, abs=0.25)


def test_models_on_different_cases_are_compared_without_pairing() -> None:
    labels, first, _ = a_cohort(3)
    others, _, second = a_cohort(4)
    found = unpaired_test(first, labels, second, others)
    apart = (found.difference / found.statistic) ** 2
    assert_allclose(
        apart,
        areas(first[None], labels).covariance[0, 0] + areas(second[None], others).covariance[0, 0],
    )
    assert unpaired_test(first, labels, first, labels).p == 1


def test_the_roc_curve_is_scikit_learns() -> None:
    labels, first, _ = a_cohort(5)
    false, true, _ = roc_curve(labels, first, drop_intermediate=False)
    assert_allclose(roc_points(first, labels), np.stack([false, true], axis=1))


@pytest.mark.parametrize("seed", range(4))
def test_decision_curves_equal_dcurves(seed: int) -> None:
    labels, first, _ = a_cohort(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = dca(
            data=pd.DataFrame({"outcome": labels, "model": first}),
            outcome="outcome",
            modelnames=["model"],
            thresholds=THRESHOLDS,
        )
    ours = decision_curve({"model": (first, labels)}, "training", "strict").benefit
    for name in ("model", "all", "none"):
        expected = theirs[theirs.model == name].sort_values("threshold").net_benefit.to_numpy()
        # dcurves acts above a threshold where this acts at it too: only thresholds apart from
        # every score can be compared
        apart = ~np.isin(THRESHOLDS, np.round(first, 2)) | (name != "model")
        assert_allclose(ours[name][apart], expected[apart], atol=1e-9)


def test_net_benefit_at_one_threshold_is_counted_by_hand() -> None:
    scores, labels = np.array([0.9, 0.6, 0.4, 0.1]), np.array([1, 0, 1, 0])
    assert net_benefit(scores, labels, 0.5) == 1 / 4 - 1 / 4


def test_icc_gives_shrout_and_fleiss_values() -> None:
    long = pd.DataFrame(
        [(case, rater, value) for case, row in enumerate(SHROUT_FLEISS) for rater, value in
         enumerate(row)],
        columns=["case", "rater", "value"],
    )  # fmt: skip
    table = pingouin.intraclass_corr(long, "case", "rater", "value")
    assert_allclose(table.ICC, [0.1657, 0.2898, 0.7148, 0.4428, 0.6201, 0.9093], atol=5e-5)
    assert_allclose(icc_a1(SHROUT_FLEISS[:, :, None]), table.ICC.iloc[1], atol=1e-9)


def test_icc_of_many_features_equals_pingouins_one_by_one() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(20, 1, 5)) + rng.normal(0, 0.5, (20, 2, 5)) + [[[0]], [[0.3]]][1]
    for feature in range(5):
        long = pd.DataFrame(
            [(c, r, ratings[c, r, feature]) for c in range(20) for r in range(2)],
            columns=["case", "rater", "value"],
        )
        theirs = pingouin.intraclass_corr(long, "case", "rater", "value").ICC.iloc[1]
        assert_allclose(icc_a1(ratings)[feature], theirs, atol=1e-9)


def test_kappa_gives_the_published_value() -> None:
    found = kappa([[20, 5], [10, 15]])
    assert found.value == pytest.approx(0.4)
    assert found.standard_error == pytest.approx(0.12700, abs=5e-6)


def test_kappa_of_readers_who_use_one_class_is_not_defined() -> None:
    assert np.isnan(kappa([[10, 0], [0, 0]]).value)


def test_a_cross_table_counts_pairs_of_classes() -> None:
    assert cross_table(["a", "b", "b"], ["a", "a", "b"]).tolist() == [[1, 0], [1, 1]]


def test_mcnemar_gives_the_published_values() -> None:
    large, small = mcnemar_test(86, 150), mcnemar_test(2, 9)
    assert large.chi2 == pytest.approx(17.3559, abs=5e-5)
    assert large.corrected == pytest.approx(16.8178, abs=5e-5)
    assert large.p_exact == pytest.approx(3.7159e-5, abs=5e-10)
    assert small.p_exact == pytest.approx(0.065430, abs=5e-7)
    assert small.p_mid == pytest.approx(0.038574, abs=5e-7)


def test_mcnemar_of_readers_who_never_disagree_finds_nothing() -> None:
    assert mcnemar_test(0, 0).p_exact == 1
    assert mcnemar_test(3, 3).p_exact == 1
    assert mcnemar_test(3, 3).p_mid < 1


def test_tables_of_counts_give_the_published_values() -> None:
    counts = [[30, 20], [15, 35]]
    plain, yates = chi_square(counts), chi_square(counts, yates=True)
    assert (plain.statistic, plain.p) == (
        pytest.approx(9.0909, abs=5e-5),
        pytest.approx(0.002569, abs=5e-7),
    )
    assert yates.p == pytest.approx(0.004891, abs=5e-7)
    assert fisher(counts).p == pytest.approx(0.004635, abs=5e-7)


def test_a_small_table_is_tested_exactly_and_a_degenerate_one_not_at_all() -> None:
    assert independence([[3, 0], [1, 4]]).name == "Fisher's exact"
    assert independence([[30, 20], [15, 35]]).name == "chi-square"
    assert independence([[5, 7], [0, 0]]).p == 1


def test_wilson_holds_where_the_plain_interval_leaves_zero_to_one() -> None:
    assert wilson(0, 20).interval == pytest.approx((0, 0.16113), abs=1e-5)
    assert wilson(10, 20).interval == pytest.approx((0.299298, 0.700702), abs=1e-6)
    nothing = wilson(0, 0)
    assert np.isnan(nothing.value)
    assert nothing.interval == (0, 1)


def test_shares_are_counted_at_and_above_the_threshold() -> None:
    scores, labels = np.array([0.2, 0.5, 0.5, 0.9]), np.array([0, 0, 1, 1])
    found = shares_at(scores, labels, 0.5)
    counts = {name: (share.numerator, share.denominator) for name, share in found.items()}
    assert counts == {
        "accuracy": (3, 4),
        "sensitivity": (2, 2),
        "specificity": (1, 2),
        "ppv": (2, 3),
        "npv": (1, 1),
    }


def test_the_threshold_maximises_sensitivity_and_weighted_specificity() -> None:
    labels, first, _ = a_cohort(6)
    for weight in (0.5, 1.0, 2.0):
        best = weighted_youden(first, labels, weight)
        values = np.unique(first)
        gains = []
        for threshold in (values[:-1] + values[1:]) / 2:
            at = shares_at(first, labels, threshold)
            gains.append(at["sensitivity"].value + weight * at["specificity"].value)
        at = shares_at(first, labels, best)
        assert at["sensitivity"].value + weight * at["specificity"].value == pytest.approx(
            max(gains)
        )


def test_the_bootstrap_draws_patients_and_not_lesions() -> None:
    labels, first, _ = a_cohort(7, 60, ties=False)
    alone = [str(number) for number in range(60)]
    thrice = np.repeat(np.arange(60), 3)
    by_patient = bootstrap_auc_interval(
        first[thrice], labels[thrice], [alone[i] for i in thrice], 1
    )
    by_lesion = bootstrap_auc_interval(
        first[thrice], labels[thrice], [str(i) for i in range(180)], 1
    )
    single = bootstrap_auc_interval(first, labels, alone, 1)
    assert by_patient == pytest.approx(single, abs=0.02)
    assert by_lesion[1] - by_lesion[0] < 0.8 * (by_patient[1] - by_patient[0])


def test_the_bootstrap_agrees_with_delong_and_repeats() -> None:
    labels, first, _ = a_cohort(8, 300, ties=False)
    alone = [str(number) for number in range(300)]
    delong = auc_with_interval(first, labels).interval
    found = bootstrap_auc_interval(first, labels, alone, 5)
    assert found == pytest.approx(delong, abs=0.015)
    assert found == bootstrap_auc_interval(first, labels, alone, 5)


@pytest.mark.parametrize("ties", [True, False])
def test_areas_of_many_replicates_at_once_are_those_of_one_after_the_other(ties: bool) -> None:
    labels, first, _ = a_cohort(10, 90, ties=ties)
    patients = [str(number // 2) for number in range(90)]  # two lesions a patient
    slow = bootstrap_interval(area_under_curve, first, labels, patients, 3, replicates=150)
    fast = bootstrap_auc_interval(first, labels, patients, 3, replicates=150)
    assert_allclose(fast, slow, atol=1e-12)


def test_a_bootstrap_where_every_patient_has_a_malignant_lesion_has_an_interval() -> None:
    labels, scores = np.array([1, 0] * 3), np.array([0.9, 0.2, 0.4, 0.5, 0.8, 0.1])
    low, high = bootstrap_auc_interval(scores, labels, list("aabbcc"), 1)
    assert 0 <= low < high <= 1


def test_one_class_cannot_be_judged() -> None:
    ones, scores = np.ones(5, dtype=np.int64), np.linspace(0, 1, 5)
    with pytest.raises(FusionError, match="malignant and benign"):
        bootstrap_interval(area_under_curve, scores, ones, list("abcde"), 1)
    with pytest.raises(FusionError, match="two malignant and two benign"):
        auc_with_interval(scores, ones)


def test_calibrated_probabilities_have_slope_one_and_intercept_zero() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.05, 0.95, 8_000)
    labels = (rng.random(8_000) < scores).astype(np.int64)
    found = calibration(scores, labels)
    assert found.slope.value == pytest.approx(1, abs=0.08)
    assert found.intercept.value == pytest.approx(0, abs=0.08)
    assert found.ici < 0.02
    assert found.brier == pytest.approx(brier_score_loss(labels, scores))
    overconfident = calibration(1 / (1 + np.exp(-2 * np.log(scores / (1 - scores)))), labels)
    assert overconfident.slope.value == pytest.approx(0.5, abs=0.05)
    assert overconfident.ici > found.ici


def test_calibration_equals_a_logistic_model_of_statsmodels() -> None:
    labels, scores, _ = a_cohort(12, 200, ties=False)
    log_odds, family = np.log(scores / (1 - scores)), sm.families.Binomial()
    slope = sm.GLM(labels, sm.add_constant(log_odds), family=family).fit()
    large = sm.GLM(labels, np.ones((200, 1)), family=family, offset=log_odds).fit()
    found = calibration(scores, labels)
    assert found.slope.interval is not None
    assert found.intercept.interval is not None
    assert_allclose(found.slope.value, slope.params[1], rtol=1e-9)
    assert_allclose(found.slope.interval, slope.conf_int()[1], rtol=1e-9)
    assert_allclose(found.intercept.value, large.params[0], rtol=1e-7)
    assert_allclose(found.intercept.interval, large.conf_int()[0], rtol=1e-6)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])
@pytest.mark.filterwarnings("error")
def test_probabilities_of_zero_and_one_are_judged(labels: list[int]) -> None:
    found = calibration(np.array([0.0, 0, 1, 1]), np.array(labels))
    assert np.isfinite(found.intercept.value)
    assert found.brier == np.mean(np.array([0, 0, 1, 1]) != labels)
    assert 0 <= found.ici <= 1


def test_perfect_separation_is_said_and_not_fitted() -> None:
    found = calibration(np.array([0.0, 0.2, 0.8, 1.0]), np.array([0, 0, 1, 1]))
    assert found.slope.value == np.inf
    assert "separated" in found.slope.method


def test_classes_that_meet_in_one_probability_have_no_finite_slope() -> None:
    found = calibration(np.array([0.1, 0.5, 0.5, 0.9]), np.array([0, 0, 1, 1]))
    assert found.slope.value == np.inf


def test_equal_probabilities_can_be_judged() -> None:
    found = calibration(np.full(10, 0.3), np.array([1] * 3 + [0] * 7))
    assert np.isnan(found.slope.value)
    assert found.intercept.value == pytest.approx(0, abs=1e-9)
    assert found.ici == pytest.approx(0, abs=1e-12)


def test_cases_that_a_model_could_not_score_are_left_out_of_its_performance() -> None:
    labels, first, second = a_cohort(9)
    first = first.copy()
    first[:5] = np.nan
    ids = tuple(f"c{number}" for number in range(len(labels)))
    models = [
        ModelResult(name, name, "strict", performance(ids, scores, labels, 0.5, ids, 1), None)
        for name, scores in (("A", first), ("B", second))
    ]
    assert models[0].cross_validated.ids == ids[5:]
    (found,) = compare_all(models, "training")
    assert found.cases == len(labels) - 5
    expected = paired_test(first[5:], second[5:], labels[5:])
    assert (found.z, found.p) == (expected.statistic, expected.p)
    assert compare_all(models, "external") == ()


def test_models_without_enough_common_cases_are_not_compared() -> None:
    labels, first, second = a_cohort(11)
    half = np.arange(len(labels)) < 60
    ids = tuple(f"c{number}" for number in range(len(labels)))
    models = [
        ModelResult(name, name, "strict", performance(ids, scores, labels, 0.5, ids, 1), None)
        for name, scores in (
            ("A", np.where(half, first, np.nan)),
            ("B", np.where(half, np.nan, second)),
        )
    ]
    assert compare_all(models, "training") == ()
