"""Folds, selection, calibration and the operating point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from models.fusion.calibration import Sigmoid, fit_sigmoid, logit, prior_shift, sigmoid
from models.fusion.classifiers import build_pipeline, freeze
from models.fusion.errors import FusionError, TableError, TooFewCasesError
from models.fusion.folds import grouped_folds, patient_numbers, repeated_folds
from models.fusion.search import SearchedSvm
from models.fusion.selection import LassoSelector, StudentFilter
from models.fusion.specification import ModelSpecification, nine_models
from models.fusion.table import FeatureTable, family_of, input_of
from models.fusion.threshold import (
    area_under_curve,
    sensitivity_specificity,
    weighted_youden,
)
from tests.fusion_fixtures import QUICK, make_table


def some_scores(cases: int = 80, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(cases) < 0.4).astype(np.int64)
    # One decimal makes ties.
    return np.round(rng.normal(size=cases) + labels, 1), labels


def test_the_nine_models_are_those_of_the_paper() -> None:
    names = " ".join(model.name for model in nine_models())
    assert names == (
        "CM Rad DL PreClinicRad PreClinicDL PreCRDL PostClinicRad PostClinicDL PostCRDL"
    )


def test_a_model_is_either_features_or_families_or_members() -> None:
    with pytest.raises(FusionError, match="one of them"):
        ModelSpecification("odd", "Odd", features=("clinical_age",), members=("CM", "DL"))


def test_columns_fall_into_families_and_inputs_by_name() -> None:
    assert [family_of(n) for n in ("clinical_age", "dl_007", "original_glcm_Id")] == [
        "clinical",
        "deep",
        "radiomics",
    ]
    assert input_of("clinical_sex_male") == "sex"
    assert input_of("clinical_flow") == "flow"
    assert input_of("dl_007") == "deep"


def test_a_table_with_a_case_twice_is_refused() -> None:
    table = make_table()
    with pytest.raises(TableError, match="unique"):
        FeatureTable(
            ("C",) * len(table.ids), table.patients, table.labels, table.names, table.values
        )


def test_undefined_and_constant_image_features_are_dropped_but_missing_clinical_stay() -> None:
    table = make_table()
    values = table.values.copy()
    values[3, table.names.index("clinical_flow")] = np.nan
    values[3, table.names.index("dl_002")] = np.nan
    values[:, table.names.index("dl_003")] = 1.0
    smaller, dropped = FeatureTable(
        table.ids, table.patients, table.labels, table.names, values
    ).without_unusable_columns()
    assert dropped == ("dl_002", "dl_003")
    assert "clinical_flow" in smaller.names
    assert smaller.values.shape == (60, len(table.names) - 2)


def test_folds_never_share_a_patient_and_cover_every_case_once() -> None:
    table = make_table()
    patients = patient_numbers(table.patients)
    folds = grouped_folds(table.labels, patients, 5, seed=1)
    held = np.concatenate([hold for _, hold in folds])
    assert sorted(held.tolist()) == list(range(60))
    assert all(not set(patients[fit]) & set(patients[hold]) for fit, hold in folds)


def test_repeated_folds_differ_between_repeats() -> None:
    table = make_table()
    folds = repeated_folds(table.labels, patient_numbers(table.patients), 2, 2, seed=1)
    assert len(folds) == 4
    assert not np.array_equal(folds[0][1], folds[2][1])


def test_more_folds_than_patients_of_a_class_are_refused() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0])
    with pytest.raises(TooFewCasesError, match="3 folds need 3 patients"):
        grouped_folds(labels, np.arange(6), 3, seed=0)


def test_the_filter_keeps_what_student_finds_different() -> None:
    table = make_table()
    chosen = StudentFilter(0.05).fit(table.values, table.labels)
    malignant, benign = table.values[table.labels == 1], table.values[table.labels == 0]
    pairs = zip(malignant.T, benign.T, strict=True)
    expected = [stats.ttest_ind(a, b).pvalue < 0.05 for a, b in pairs]
    assert chosen.get_support().tolist() == expected


def test_the_filter_keeps_one_feature_where_none_differs() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 20)
    values = np.column_stack([np.ones(40), rng.normal(size=40)])
    assert StudentFilter(1e-9).fit(values, labels).get_support().tolist() == [False, True]


def test_lasso_finds_the_informative_features_among_noise() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 60)
    values = rng.normal(size=(120, 30))
    values[:, 4] += 2 * labels
    folds = grouped_folds(labels, np.arange(120), 5, seed=0)
    support = LassoSelector(folds).fit(values, labels).get_support()
    assert support[4]
    assert support.sum() < 20


def test_lasso_keeps_one_feature_where_the_labels_are_noise() -> None:
    labels = np.array([0, 1] * 30)
    values = np.column_stack([labels % 1, np.tile([1.0, 1, -1, -1], 15)]).astype(float)
    folds = grouped_folds(labels, np.arange(60), 3, seed=0)
    assert LassoSelector(folds).fit(values, labels).get_support().sum() == 1


def test_the_search_chooses_what_a_grid_search_chooses() -> None:
    table = make_table()
    folds = repeated_folds(table.labels, patient_numbers(table.patients), 3, 2, seed=0)
    costs = (0.1, 1.0, 10.0)
    ours = SearchedSvm(costs, folds).fit(table.values, table.labels)
    theirs = GridSearchCV(SVC(gamma="auto"), {"C": list(costs)}, scoring="roc_auc", cv=folds)
    theirs.fit(table.values, table.labels)
    assert theirs.best_params_["C"] == ours.C_
    np.testing.assert_allclose(ours.mean_scores_, theirs.cv_results_["mean_test_score"])


def test_the_sigmoid_is_that_of_scikit_learn() -> None:
    table = make_table(120)
    folds = grouped_folds(table.labels, patient_numbers(table.patients), 5, seed=0)
    reference = CalibratedClassifierCV(SVC(gamma="auto"), cv=folds, ensemble=False)
    reference.fit(table.values, table.labels)
    decisions = np.empty(120)
    for fit, hold in folds:
        svm = SVC(gamma="auto").fit(table.values[fit], table.labels[fit])
        decisions[hold] = svm.decision_function(table.values[hold])
    ours = fit_sigmoid(decisions, table.labels)
    theirs = reference.calibrated_classifiers_[0].calibrators[0]
    assert ours.slope == pytest.approx(-theirs.a_, rel=1e-3)
    assert ours.offset == pytest.approx(-theirs.b_, rel=1e-3, abs=1e-3)


def test_separable_decisions_still_calibrate_to_probabilities_inside_0_and_1() -> None:
    labels = np.array([0] * 20 + [1] * 10)
    probabilities = sigmoid(fit_sigmoid(labels * 2.0 - 1, labels).logit(labels * 2.0 - 1))
    assert 0 < probabilities.min() < probabilities.max() < 1


def test_calibration_without_both_classes_is_refused() -> None:
    with pytest.raises(FusionError, match="both classes"):
        fit_sigmoid(np.zeros(4), np.ones(4, dtype=np.int64))


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.floats(0.01, 0.99))
def test_a_prior_shift_keeps_the_likelihood_ratio(p: float, trained: float, applied: float) -> None:
    shifted = float(sigmoid(np.array(logit(p) + prior_shift(trained, applied))))
    before = p / (1 - p) * (1 - trained) / trained
    after = shifted / (1 - shifted) * (1 - applied) / applied
    assert after == pytest.approx(before, rel=1e-9)


def test_the_area_under_the_curve_counts_ties_half() -> None:
    scores, labels = some_scores()
    assert area_under_curve(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_the_youden_threshold_is_a_midpoint_that_none_beats(weight: float) -> None:
    scores, labels = some_scores()
    threshold = weighted_youden(scores, labels, weight)
    distinct = np.unique(scores)
    midpoints = (distinct[1:] + distinct[:-1]) / 2
    assert np.isclose(midpoints, threshold).any()

    def index(cut: float) -> float:
        sensitivity, specificity = sensitivity_specificity(scores, labels, cut)
        return sensitivity + weight * specificity

    assert index(threshold) == pytest.approx(max(index(cut) for cut in midpoints))
    # Of equally good thresholds the most sensitive one.
    equals = [cut for cut in midpoints if np.isclose(index(cut), index(threshold))]
    assert threshold == pytest.approx(min(equals))


def test_equal_scores_have_no_threshold() -> None:
    with pytest.raises(FusionError, match="no threshold"):
        weighted_youden(np.full(4, 0.5), np.array([0, 1, 0, 1]))


def test_freezing_names_the_features_that_survived_selection() -> None:
    table = make_table()
    patients = patient_numbers(table.patients)
    pipeline = build_pipeline(table.labels, patients, QUICK, select=True)
    pipeline.fit(table.values, table.labels)
    frozen = freeze(pipeline, table.names, Sigmoid(1.0, 0.0))
    assert 0 < len(frozen.names) < len(table.names)
    decisions = pipeline.decision_function(table.values)
    np.testing.assert_allclose(
        frozen.decision(table.columns(frozen.names)), decisions, rtol=0, atol=1e-12
    )
