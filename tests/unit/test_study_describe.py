"""Table 1 and the logistic tables say what other programs say."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.testing import assert_allclose
from scipy import stats
from tableone import TableOne

from models.features.clinical import CLINICAL_NAMES
from models.features.semantic.values import CLASSES
from models.fusion.table import FeatureTable
from models.study.describe import describe, difference
from models.study.regression import odds_ratios, regression_table, separated_by
from models.study.results import CohortName, Table
from models.study.tables_words import feature_levels


def a_table(cases: int = 120, seed: int = 0, prefix: str = "T") -> FeatureTable:
    """Clinical features that differ a little between the classes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(cases) < 0.45).astype(np.int64)
    continuous = np.stack(
        [rng.normal(50 + 4 * labels, 12), rng.normal(25 + 6 * labels, 10)], axis=1
    )
    classes = (rng.random((cases, 5)) < (0.35 + 0.25 * labels)[:, None]).astype(np.float64)
    values = np.stack(
        [continuous[:, 0], classes[:, 0], continuous[:, 1], *classes[:, 1:].T], axis=1
    )
    ids = tuple(f"{prefix}{number}" for number in range(cases))
    return FeatureTable(ids, ids, labels, CLINICAL_NAMES, values)


def with_values(table: FeatureTable, name: str, values: np.ndarray) -> FeatureTable:
    changed = table.columns(table.names)
    changed[:, table.names.index(name)] = values
    return FeatureTable(table.ids, table.patients, table.labels, table.names, changed)


@pytest.fixture
def cohorts() -> dict[CohortName, FeatureTable]:
    return {"training": a_table(), "external": a_table(40, 1, "E")}


def row_of(table: Table, title: str, *, next_rows: int = 0) -> dict[str, str]:
    place = next(i for i, row in enumerate(table.rows) if row[0] == title) + next_rows
    return dict(zip(table.columns, table.rows[place], strict=True))


def test_table_1_names_every_clinical_feature_of_the_paper(
    cohorts: dict[CohortName, FeatureTable],
) -> None:
    found = describe(cohorts)
    titles = [row[0] for row in found.rows if row[0]]
    assert titles == [
        "Lesions",
        "Age, years",
        "Sex",
        "Maximum diameter, mm",
        "Blood flow",
        "Morphology",
        "Boundary",
        "Internal echo",
    ]
    assert len(set(found.columns)) == len(found.columns)
    assert all(len(row) == len(found.columns) for row in found.rows)


def test_the_words_of_classes_are_those_of_the_semantic_features() -> None:
    for name, semantic in (
        ("flow", "flow_grade"),
        ("morphology", "morphology"),
        ("boundary", "boundary"),
        ("echo", "internal_echo"),
    ):
        assert feature_levels(f"clinical_{name}") == CLASSES[semantic]


def test_table_1_equals_tableone(cohorts: dict[CohortName, FeatureTable]) -> None:
    training = cohorts["training"]
    frame = pd.DataFrame(training.values, columns=list(CLINICAL_NAMES))
    frame["label"] = training.labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = TableOne(
            frame,
            columns=["clinical_age", "clinical_flow"],
            categorical=["clinical_flow"],
            groupby="label",
            pval=True,
            decimals=1,
        )
    ours = describe(cohorts)
    age = row_of(ours, "Age, years")
    theirs_age = theirs.tableone.xs("clinical_age, mean (SD)", level=0).iloc[0]
    for column, label in (("Training, benign", "0"), ("Training, malignant", "1")):
        expected = theirs_age[("Grouped by label", label)].replace("(", "± ").replace(")", "")
        assert age[column] == expected
    flow = theirs.tableone.xs("clinical_flow, n (%)", level=0)
    mine = [row_of(ours, "Blood flow", next_rows=level) for level in (0, 1)]
    for level in (0, 1):
        cell = flow.iloc[level][("Grouped by label", "1")]
        assert mine[level]["Training, malignant"] == cell.replace(")", " %)")
    assert mine[0]["p training"] == flow.iloc[0][("Grouped by label", "P-Value")]


def test_measured_features_are_tested_by_students_t_test() -> None:
    table = a_table()
    age = table.columns(("clinical_age",))[:, 0]
    benign, malignant = age[table.labels == 0], age[table.labels == 1]
    found = difference(benign, np.append(malignant, np.nan), classes=False)
    assert found.p == pytest.approx(stats.ttest_ind(benign, malignant).pvalue)
    assert found.test == "Student's t"


def test_rare_classes_are_tested_by_fisher_and_marked(
    cohorts: dict[CohortName, FeatureTable],
) -> None:
    table = cohorts["external"]
    rare = np.zeros(len(table.ids))
    rare[np.flatnonzero(table.labels == 1)[:3]] = 1
    changed = describe({**cohorts, "external": with_values(table, "clinical_echo", rare)})
    cell = row_of(changed, "Internal echo")["p external"]
    counts = [[int((rare[table.labels == y] == v).sum()) for v in (0, 1)] for y in (0, 1)]
    assert cell == f"{stats.fisher_exact(counts).pvalue:.3f} F"


def test_unknown_values_are_counted_and_take_no_part(
    cohorts: dict[CohortName, FeatureTable],
) -> None:
    training = cohorts["training"]
    gaps = training.columns(("clinical_flow",))[:, 0].copy()
    gaps[:7] = np.nan
    found = describe({**cohorts, "training": with_values(training, "clinical_flow", gaps)})
    assert row_of(found, "Blood flow", next_rows=2)["Training"] == "7"
    known = [row_of(found, "Blood flow", next_rows=level)["Training"] for level in (0, 1)]
    assert sum(int(cell.split()[0]) for cell in known) == len(training.ids) - 7


def test_intermediate_lesions_have_a_row_where_there_are_some(
    cohorts: dict[CohortName, FeatureTable],
) -> None:
    flags: dict[CohortName, np.ndarray] = {
        cohort: np.zeros(len(table.ids), dtype=bool) for cohort, table in cohorts.items()
    }
    title = "Intermediate, counted malignant"
    assert title not in [row[0] for row in describe(cohorts, flags).rows]
    flags["training"][np.flatnonzero(cohorts["training"].labels == 1)[:3]] = True
    row = row_of(describe(cohorts, flags), title)
    assert row["Training"] == "3 (2.5 %)"
    assert row["Training, benign"].startswith("0 ")
    assert row["p training"] == ""


def test_one_cohort_alone_can_be_described() -> None:
    found = describe({"training": a_table()})
    assert not any("External" in column for column in found.columns)
    assert all(len(row) == len(found.columns) for row in found.rows)


def test_odds_ratios_equal_a_regression_by_formula() -> None:
    table = a_table()
    frame = pd.DataFrame(table.values, columns=list(CLINICAL_NAMES)).assign(y=table.labels)
    theirs = smf.logit("y ~ " + " + ".join(CLINICAL_NAMES), frame).fit(disp=0)
    found = odds_ratios(table, CLINICAL_NAMES)
    for each in found:
        assert each.ratio is not None
        assert_allclose(each.ratio.value, np.exp(theirs.params[each.name]), rtol=1e-6)
        assert_allclose(each.ratio.interval, np.exp(theirs.conf_int().loc[each.name]), rtol=1e-6)
        assert_allclose(each.p, theirs.pvalues[each.name], atol=1e-7)


def test_the_odds_ratio_of_a_class_is_that_of_its_2_by_2_table() -> None:
    table = a_table()
    flow, y = table.columns(("clinical_flow",))[:, 0] == 1, table.labels == 1
    a, b, c, d = (flow & y).sum(), (flow & ~y).sum(), (~flow & y).sum(), (~flow & ~y).sum()
    (found,) = odds_ratios(table, ("clinical_flow",))
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(a * d / (b * c))


@pytest.mark.parametrize("part", ["whole", "in part"])
def test_separation_is_named_and_does_not_crash(part: str) -> None:
    table = a_table()
    values = table.labels.astype(np.float64)
    if part == "in part":  # one empty cell: all benign cases have 0, some malignant ones too
        values[np.flatnonzero(table.labels == 1)[:10]] = 0
    separated = with_values(table, "clinical_echo", values)
    (alone,) = odds_ratios(separated, ("clinical_echo",))
    assert alone.ratio is None
    assert "separates the classes" in alone.note
    joint = {each.name: each for each in odds_ratios(separated, CLINICAL_NAMES)}
    assert "no finite odds ratio" in joint["clinical_echo"].note
    if part == "in part":
        assert joint["clinical_age"].note == "not estimated: Internal echo separates the classes"
    found = regression_table(separated)
    assert found is not None
    assert "separates" in row_of(found, "Internal echo")["Univariable odds ratio (95 % CI)"]


def test_overlapping_classes_are_not_called_separated() -> None:
    rng = np.random.default_rng(0)
    for cases in (40, 5000):
        labels = (rng.random(cases) < 0.5).astype(np.int64)
        design = np.column_stack([np.ones(cases), rng.normal(size=(cases, 3)) + labels[:, None]])
        assert not separated_by(design, labels).any()


def test_constant_and_dependent_features_are_named() -> None:
    table = a_table()
    constant = with_values(table, "clinical_echo", np.ones(len(table.ids)))
    found = regression_table(constant)
    assert found is not None
    row = row_of(found, "Internal echo")
    assert row["Univariable odds ratio (95 % CI)"] == "one value only"
    assert "(" in row_of(found, "Age, years")["Multivariable odds ratio (95 % CI)"]
    size = table.columns(("clinical_size",))[:, 0]
    dependent = with_values(table, "clinical_age", 3 * size + 1)
    assert {each.note for each in odds_ratios(dependent, CLINICAL_NAMES)} == {
        "depends on the others"
    }


def test_a_column_without_any_value_leaves_the_others_their_joint_model() -> None:
    table = a_table()
    empty = with_values(table, "clinical_flow", np.full(len(table.ids), np.nan))
    found = regression_table(empty)
    assert found is not None
    assert row_of(found, "Blood flow")["Univariable odds ratio (95 % CI)"] == "no value"
    assert "120 lesions" in found.note
    assert "(" in row_of(found, "Age, years")["Multivariable odds ratio (95 % CI)"]


def test_a_table_without_clinical_columns_has_no_regression() -> None:
    table = a_table()
    images = FeatureTable(
        table.ids, table.patients, table.labels, ("original_x",), table.columns(("clinical_age",))
    )
    assert regression_table(images) is None


def test_features_of_unknown_scales_are_told_per_standard_deviation() -> None:
    table = a_table()
    age = table.columns(("clinical_age",))[:, 0]
    cells = []
    for scale in (1e-7, 1.0, 1e7):
        foreign = FeatureTable(
            table.ids, table.patients, table.labels, ("clinical_marker",), scale * age[:, None]
        )
        found = regression_table(foreign)
        assert found is not None
        assert found.rows[0][:2] == ("marker", "per standard deviation")
        cells.append(found.rows[0][3])
    assert len(set(cells)) == 1
    (ratio,) = odds_ratios(table, ("clinical_age",))
    assert ratio.ratio is not None
    assert cells[0].startswith(f"{ratio.ratio.value ** age.std(ddof=1):.3f} (")


def test_a_mean_keeps_two_figures_of_its_spread() -> None:
    table = a_table()
    age = table.columns(("clinical_age",))
    small = FeatureTable(
        table.ids, table.patients, table.labels, ("clinical_marker",), age / 10_000
    )
    cell = row_of(describe({"training": small}), "marker")["Training"]
    assert cell == f"{age.mean() / 10_000:.4f} ± {age.std(ddof=1) / 10_000:.4f}"
