"""Strict training: honest scores, patients kept together, models frozen without loss."""

from dataclasses import replace

import numpy as np
import pytest

from models.fusion.calibration import sigmoid
from models.fusion.classifiers import fit_calibrated, fit_novelty
from models.fusion.errors import FusionError
from models.fusion.folds import patient_numbers
from models.fusion.frozen import FrozenFusion, FrozenSvm
from models.fusion.late_fusion import fit_late_fusion
from models.fusion.strict import TrainedModel, train_strict
from models.fusion.table import FeatureTable
from models.fusion.threshold import area_under_curve
from tests.fusion_fixtures import DEEP, QUICK, RADIOMICS, sixty_cases

TABLE, MODELS = sixty_cases()


@pytest.fixture(scope="module")
def the_models() -> dict[str, TrainedModel]:
    return {model.specification.name: model for model in MODELS}


def columns_only(table: FeatureTable, *prefixes: str) -> FeatureTable:
    keep = [index for index, name in enumerate(table.names) if name.startswith(prefixes)]
    names = tuple(table.names[index] for index in keep)
    return FeatureTable(table.ids, table.patients, table.labels, names, table.values[:, keep])


def test_all_nine_models_are_trained_in_the_papers_order(
    the_models: dict[str, TrainedModel],
) -> None:
    assert " ".join(the_models) == (
        "CM Rad DL PreClinicRad PreClinicDL PreCRDL PostClinicRad PostClinicDL PostCRDL"
    )


def test_every_case_has_one_out_of_fold_probability(the_models: dict[str, TrainedModel]) -> None:
    for model in the_models.values():
        assert model.out_of_fold.shape == (60,)
        assert ((model.out_of_fold > 0) & (model.out_of_fold < 1)).all()
        assert model.auc == area_under_curve(model.out_of_fold, TABLE.labels)


def test_signal_is_found(the_models: dict[str, TrainedModel]) -> None:
    # Ten features a standard deviation or so apart: far above chance at any split.
    assert the_models["PreCRDL"].auc > 0.75


def test_out_of_fold_scores_are_not_those_of_the_final_model(
    the_models: dict[str, TrainedModel],
) -> None:
    model = the_models["PreCRDL"]
    resubstituted = sigmoid(model.frozen.logit(TABLE.columns(model.frozen.names)))
    assert not np.isclose(resubstituted, model.out_of_fold).any()


def test_a_case_without_doppler_is_left_out_of_the_models_that_need_it() -> None:
    values = TABLE.values.copy()
    values[7, TABLE.names.index("clinical_flow")] = np.nan
    holed = FeatureTable(TABLE.ids, TABLE.patients, TABLE.labels, TABLE.names, values)
    models = {
        model.specification.name: model
        for model in train_strict(columns_only(holed, "clinical_", "dl_"), QUICK)
    }
    assert set(models) == {"CM", "DL", "PreClinicDL", "PostClinicDL"}
    missing = {name for name, model in models.items() if np.isnan(model.out_of_fold[7])}
    assert missing == {"CM", "PreClinicDL", "PostClinicDL"}
    assert all(np.isfinite(np.delete(model.out_of_fold, 7)).all() for model in models.values())


def test_a_table_of_one_family_trains_the_models_it_can() -> None:
    models = train_strict(columns_only(TABLE, "original_"), QUICK)
    assert [model.specification.name for model in models] == ["Rad"]


def test_a_table_without_a_whole_family_is_refused() -> None:
    with pytest.raises(FusionError, match="none of the nine"):
        train_strict(columns_only(TABLE, "clinical_age"), QUICK)


def test_the_number_of_processes_does_not_change_a_bit() -> None:
    table = columns_only(TABLE, "dl_")
    (one,), (two,) = train_strict(table, QUICK, jobs=1), train_strict(table, QUICK, jobs=2)
    np.testing.assert_array_equal(one.out_of_fold, two.out_of_fold)
    assert one.threshold == two.threshold


def test_progress_counts_every_fit() -> None:
    seen: list[tuple[int, int]] = []
    train_strict(columns_only(TABLE, "dl_"), QUICK, progress=lambda *step: seen.append(step))
    assert seen == [(done, 4) for done in range(1, 5)]


def test_labels_drawn_by_lot_are_not_predicted() -> None:
    # Selection before cross-validation would find "signal" here: 300 columns, 60 cases.
    rng = np.random.default_rng(5)
    areas = []
    for _ in range(4):
        labels = rng.permutation(np.array([0, 1] * 30))
        names = tuple(f"original_{index}" for index in range(300))
        ids = tuple(map(str, range(60)))
        table = FeatureTable(ids, ids, labels, names, rng.normal(size=(60, 300)))
        (model,) = train_strict(table, QUICK)
        areas.append(model.auc)
    # The standard error of one area is 0.075, of the mean of four 0.04.
    assert 0.35 < np.mean(areas) < 0.62


def test_a_late_fusion_learns_from_held_out_probabilities_only() -> None:
    patients = patient_numbers(TABLE.patients)
    members = []
    for names in (RADIOMICS, DEEP):
        values = TABLE.columns(names)
        members.append(fit_calibrated(names, values, TABLE.labels, patients, QUICK, select=True))
    fusion = fit_late_fusion(("Rad", "DL"), members, TABLE.labels, patients, QUICK)
    expected = np.stack([sigmoid(member.held_out) for member in members], axis=1)
    np.testing.assert_allclose(fusion.head.mean, expected.mean(axis=0), rtol=1e-12)
    assert set(fusion.names) <= {*RADIOMICS, *DEEP}


def test_the_novelty_cutoff_holds_almost_all_training_cases_and_no_stranger(
    the_models: dict[str, TrainedModel],
) -> None:
    model = the_models["PreCRDL"]
    values = TABLE.columns(model.frozen.names)
    inside = np.mean([model.novelty.score(case) <= 1 for case in values])
    assert inside > 0.95
    assert model.novelty.score(values[0] + 10 * values.std(axis=0)) > 1


def test_a_novelty_reference_is_the_mahalanobis_distance(
    the_models: dict[str, TrainedModel],
) -> None:
    novelty = the_models["DL"].novelty
    values = TABLE.columns(novelty.names)
    deviation = (values - novelty.mean) / novelty.scale
    precision = novelty.whitening @ novelty.whitening.T
    squares = np.einsum("ij,jk,ik->i", deviation, precision, deviation)
    np.testing.assert_allclose(novelty.distance(values), np.sqrt(squares / len(novelty.names)))


def test_a_feature_constant_in_a_fold_does_not_break_the_novelty(
    the_models: dict[str, TrainedModel],
) -> None:
    model = the_models["DL"].frozen
    values = TABLE.columns(model.names).copy()
    values[:, 0] = 0
    values[0, 0] = 1
    patients = patient_numbers(TABLE.patients)
    assert fit_novelty(model, values, TABLE.labels, patients, QUICK).cutoff > 0


def test_a_frozen_model_with_a_hole_is_refused(the_models: dict[str, TrainedModel]) -> None:
    model = the_models["DL"].frozen
    assert isinstance(model, FrozenSvm)
    with pytest.raises(FusionError, match="finite"):
        replace(model, dual=np.full_like(model.dual, np.nan))
    with pytest.raises(FusionError, match="support vector"):
        replace(model, support=model.support[:-1])
    with pytest.raises(FusionError, match="late fusion"):
        FrozenFusion((model,), model)
