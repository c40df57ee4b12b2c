"""A whole study on a small table: both modes, the same bytes twice, nothing found in chance."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.fusion.conformal import ConformalReference
from models.fusion.table import FeatureTable
from models.study.cost import Cost
from models.study.harmonise import SiteHarmony
from models.study.manifest import manifest_json
from models.study.material import StudyInputError
from models.study.permuted import chance_table, permuted
from models.study.prepare import Prepare
from models.study.results import StudyResult
from models.study.run import StudyOptions, run_study
from models.study.table_input import read_tables
from models.study.tables_csv import csv_bytes
from tests.fusion_fixtures import QUICK
from tests.study_tables import write_table

FIGURES = {
    "auc", "auc_ci", "auc_ci_bootstrap", "accuracy", "sensitivity", "specificity", "ppv", "npv",
    "threshold", "brier",
}  # fmt: skip


def studied(folder: Path, *, jobs: int = 1, **options: object) -> StudyResult:
    table = write_table(folder / "table.csv", 45)
    external = write_table(folder / "external.csv", 24, prefix="X", seed=1)
    asked = StudyOptions(fusion=QUICK, jobs=jobs, **options)  # type: ignore[arg-type]
    return run_study(read_tables(table, external), asked)


@pytest.fixture(scope="module")
def a_result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return studied(tmp_path_factory.mktemp("study"))


def test_all_nine_models_have_every_figure_on_both_cohorts(a_result: StudyResult) -> None:
    models = json.loads(manifest_json(a_result.manifest))["models"]
    assert " ".join(models) == (
        "CM Rad DL PreClinicRad PreClinicDL PreCRDL PostClinicRad PostClinicDL PostCRDL"
    )
    for model in models.values():
        for part in ("cross_validated", "external"):
            assert set(model[part]) >= FIGURES
            low, high = model[part]["auc_ci"]
            assert 0 <= low <= model[part]["auc"] <= high <= 1


def test_the_clinical_model_takes_what_clinical_columns_there_are_and_says_so(
    a_result: StudyResult,
) -> None:
    model = a_result.manifest["models"]["CM"]
    assert "all clinical_* columns: clinical_age" in model["note"]


def test_the_external_cohort_is_judged_at_the_training_threshold(a_result: StudyResult) -> None:
    for model in a_result.models["strict"]:
        assert model.external is not None
        assert model.external.threshold == model.cross_validated.threshold


def test_the_gap_between_the_modes_is_a_table(a_result: StudyResult) -> None:
    gap = next(table for table in a_result.tables if table.name == "gap")
    assert len(gap.rows) == 18
    assert set(a_result.manifest["modes"]) == {"paper"}


def test_two_runs_with_one_seed_are_the_same_to_the_byte_on_any_number_of_processes(
    a_result: StudyResult, tmp_path: Path
) -> None:
    again = studied(tmp_path, jobs=2)
    assert manifest_json(again.manifest) == manifest_json(a_result.manifest)
    tables = [
        [csv_bytes(table) for table in found.tables if table.name != "cost"]
        for found in (a_result, again)
    ]
    assert tables[0] == tables[1]


def test_models_is_always_the_mode_asked_for(tmp_path: Path, a_result: StudyResult) -> None:
    table = write_table(tmp_path / "table.csv", 45)
    asked = StudyOptions(mode="paper", fusion=QUICK, jobs=1)
    found = run_study(read_tables(table), asked).manifest
    assert found["mode_of_models"] == "paper"
    inside = a_result.manifest["modes"]["paper"]["models"]["Rad"]["cross_validated"]
    assert found["models"]["Rad"]["cross_validated"] == inside
    assert found["models"]["Rad"]["external"] is None


def test_a_table_of_one_family_names_the_models_it_cannot_build(tmp_path: Path) -> None:
    without = ("clinical_age", "dl_000", "dl_001")
    table = write_table(tmp_path / "table.csv", 45, without=without)
    found = run_study(read_tables(table), StudyOptions(mode="paper", fusion=QUICK, jobs=1))
    assert list(found.manifest["models"]) == ["Rad"]
    assert len(found.manifest["absent"]) == 8
    assert "clinical" in found.manifest["absent"]["CM"]
    assert "needs CM" in found.manifest["absent"]["PostClinicRad"]


def test_fewer_patients_than_folds_is_an_error_that_counts_them(tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.csv", 20, {"label": dict.fromkeys(range(16), 0)})
    with pytest.raises(StudyInputError, match="has 2 malignant patients; 3 folds need"):
        run_study(read_tables(table), StudyOptions(fusion=QUICK))


def test_importance_is_highest_for_the_feature_that_carries_the_class(tmp_path: Path) -> None:
    labels = {row: row % 2 + 0.01 * row for row in range(45)}
    table = write_table(tmp_path / "table.csv", 45, {"glcm": labels}, effect=0.0)
    asked = StudyOptions(mode="paper", fusion=QUICK, jobs=1, importance=True)
    found = run_study(read_tables(table), asked)
    assert next(iter(found.importance)) == "glcm"


def test_selection_leaks_in_paper_mode_only() -> None:
    # 60 cases and 300 columns of chance: the standard error of the mean of four is 0.04.
    found = permuted(chance_table(60, 300), range(4), QUICK)
    assert 0.36 < np.mean(found.strict) < 0.62
    assert np.mean(found.paper) > 0.70
    assert found.margin > 0.10


def test_a_fold_drops_what_its_own_training_cases_show_to_be_unstable() -> None:
    rng = np.random.default_rng(0)
    ids = tuple(f"C{row}" for row in range(40))
    labels = np.arange(40) % 2
    names = ("steady", "shaky")
    values = rng.normal(size=(40, 2))
    again = values + rng.normal(size=(40, 2)) * [0.01, 3.0]
    first = FeatureTable(ids, ids, labels, names, values)
    second = FeatureTable(ids, ids, labels, names, again)
    prepare = Prepare(first, ("",) * 40, (first, second), harmonise=False)
    assert prepare(np.arange(30)).names == ("steady",)
    assert Prepare(first, ("",) * 40, (first,), harmonise=False)(np.arange(30)).names == names


def test_harmonisation_learns_from_the_training_rows_alone() -> None:
    pytest.importorskip("neuroHarmonize")
    rng = np.random.default_rng(0)
    sites = ["A", "B"] * 30
    values = rng.normal(size=(60, 20)) + np.array([[0.0], [2.0]] * 30)
    before = SiteHarmony.fit(values[:40], sites[:40]).apply(values, sites)
    values[40:] += 100
    after = SiteHarmony.fit(values[:40], sites[:40]).apply(values, sites)
    np.testing.assert_array_equal(before[:40], after[:40])
    means = [before[:40][np.array(sites[:40]) == site].mean() for site in "AB"]
    assert abs(means[0] - means[1]) < 0.3
    np.testing.assert_array_equal(
        SiteHarmony.fit(values[:40], sites[:40]).apply(values, ["C"] * 60), values
    )


def test_cost_is_counted_apart_from_what_must_be_the_same() -> None:
    cost = Cost()
    with cost.stage("one"):
        pass
    assert list(json.loads(cost.to_json())["seconds"]) == ["one"]
    assert [row[0] for row in cost.table().rows] == ["one", "total"]


def test_abstention_is_judged_on_the_external_cohort_of_the_nested_mode(
    a_result: StudyResult,
) -> None:
    (table,) = (table for table in a_result.tables if table.name == "conformal")
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    model = next(one for one in a_result.models["strict"] if one.name == "PreCRDL")
    assert model.external is not None
    reference = ConformalReference.of(model.cross_validated.scores, model.cross_validated.labels)
    malignant = model.external.scores[model.external.labels == 1].tolist()
    covered = ["malignant" in reference.classes(score, 0.2) for score in malignant]
    assert rows["PreCRDL", "20 %"][1] == f"{100 * sum(covered) / len(covered):.1f} %"
    assert {name for name, _ in rows} == {one.name for one in a_result.models["strict"]}
