"""From a simulated cohort on disk to a bundle that scores as the served node would."""

import csv
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from models.backbone.architecture import SLIM
from models.backbone.resnet3d import ResNet18
from models.backbone.weights import save_weights, weights_of
from models.bundle import Bundle
from models.features.extract import FeatureSettings
from models.features.feature_set import FeatureSet
from models.features.semantic import SemanticThresholds
from models.fusion.calibration import sigmoid
from models.simulation import write_cohort
from models.study import ship
from models.study.agreement import agreement_by_family
from models.study.cohort import CohortError, read_cohort
from models.study.cohort_input import read_cohort_material
from models.study.evaluate import evaluate_cohort
from models.study.features import feature_table, measure_cohort
from models.study.stability import stability_table
from models.study.statistics.agreement import icc_a1
from models.study.train import train_bundle
from tests.fusion_fixtures import QUICK, make_table

CASES = 30
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(CASES, 42, folder, jobs=2)
    return folder


@pytest.fixture(scope="module")
def a_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = ResNet18(replace(SLIM, dimensions=2), 2)
    network.initialise(0)
    path = tmp_path_factory.mktemp("backbone") / "random.safetensors"
    save_weights(weights_of(network, {"source": "random"}), path)
    return path


@pytest.fixture(scope="module")
def a_trained_bundle(
    a_cohort: Path, a_backbone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    return train_bundle(
        a_cohort, out, name="tiny", backbone=a_backbone, fusion=QUICK, created=WHEN, jobs=2
    )


def read_rows(cohort: Path) -> list[dict[str, str]]:
    """The rows of a cohort's table, with paths that hold everywhere."""
    with (cohort / "clinical.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        for column in ("grey", "colour", "reader1_seg", "reader2_seg"):
            row[column] = row[column] and str(cohort / row[column])
    return rows


def write_rows(cohort: Path, rows: list[dict[str, str]]) -> None:
    """Write a cohort's table."""
    with (cohort / "clinical.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_bundle_is_trained_from_dicom(a_trained_bundle: Path) -> None:
    bundle = Bundle.load(a_trained_bundle)
    assert bundle.simulated
    assert {model.entry.name for model in bundle.models} >= {"CM", "Rad", "DL", "PreCRDL"}
    assert bundle.description.population["cases"] == 26
    assert bundle.description.population["external_cases"] == 4
    assert bundle.description.population["excluded"] == {}
    assert "not for clinical use" in bundle.card.lower()
    assert "ICC(A,1)" in bundle.card
    learned = SemanticThresholds.from_dict(bundle.description.settings["semantic"])
    assert learned != SemanticThresholds()


def test_training_and_serving_give_the_same_score(
    a_trained_bundle: Path, a_cohort: Path, a_backbone: Path
) -> None:
    bundle = Bundle.load(a_trained_bundle)
    settings = FeatureSettings.from_dict(bundle.description.settings)
    assert settings.sha256 == bundle.description.settings_sha256
    (measured,), excluded = measure_cohort(read_cohort(a_cohort)[2:3], settings, a_backbone)
    assert not excluded
    table = feature_table([measured], settings, settings.semantic)
    values = dict(zip(table.names, table.values[0].tolist(), strict=True))
    score = bundle.score(
        FeatureSet(
            radiomics={n: values[n] for n in table.names if not n.startswith(("dl_", "clin"))},
            deep=measured.deep,
            clinical={n: values[n] for n in table.names if n.startswith("clinical_")},
        )
    )
    best = bundle.models[0]
    vector = np.array([[values[name] for name in best.model.names]])
    assert score.model == best.entry.name
    assert score.probability == float(sigmoid(best.model.logit(vector))[0])


def test_a_second_run_resumes_from_the_cache_and_writes_the_same_bytes(
    a_trained_bundle: Path, a_cohort: Path, a_backbone: Path, tmp_path: Path
) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (a_cohort / ".features").iterdir()}
    again = train_bundle(
        a_cohort,
        tmp_path / "tiny",
        name="tiny",
        backbone=a_backbone,
        fusion=QUICK,
        created=WHEN,
        jobs=1,
    )
    assert kept == {p: p.stat().st_mtime_ns for p in (a_cohort / ".features").iterdir()}
    assert Bundle.load(again).sha256 == Bundle.load(a_trained_bundle).sha256


def test_a_bundle_names_what_it_was_trained_from(a_trained_bundle: Path, a_cohort: Path) -> None:
    description = Bundle.load(a_trained_bundle).description
    table = hashlib.sha256((a_cohort / "clinical.csv").read_bytes()).hexdigest()
    assert description.inputs["table"] == table
    assert description.inputs["feature_settings"] == description.settings_sha256
    cases = read_cohort(a_cohort)
    files = {path for case in cases for path in (case.grey, case.colour, case.seg, case.second_seg)}
    assert description.inputs["dicom_files"] == len(files - {None})
    for entry in description.models:
        low, high = entry.intervals["auc"]
        assert low <= entry.auc <= high
        assert entry.influence
        assert [share for _, share in entry.influence] == sorted(
            (share for _, share in entry.influence), reverse=True
        )


def test_a_bundle_recognises_the_images_it_was_trained_on(
    a_trained_bundle: Path, a_cohort: Path, tmp_path: Path
) -> None:
    kept = a_cohort / ".features"
    external = evaluate_cohort(a_trained_bundle, a_cohort, cache_folder=kept, jobs=1)
    assert len(external.cases) == 4
    assert external.overlap == ()
    assert not any("training-overlap" in warning for warning in external.warnings)

    rows = read_rows(a_cohort)
    for row in rows:
        row["cohort"] = "training"
    write_rows(tmp_path, rows)
    everybody = evaluate_cohort(a_trained_bundle, tmp_path, cache_folder=kept, jobs=1)
    assert len(everybody.cases) == CASES
    assert len(everybody.overlap) == 26
    assert everybody.warnings[0].startswith("training-overlap: ")
    assert {one.group for one in everybody.strata} >= {"as served", "vendor", "sex", "age", "size"}


def test_the_card_says_what_a_reader_must_know(a_trained_bundle: Path) -> None:
    card = Bundle.load(a_trained_bundle).card
    headings = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "Intended use",
        "Data",
        "Models",
        "Subgroups",
        "Abstention",
        "Out of distribution",
        "Influential features",
        "Method",
        "Agreement",
        "Limits",
        "Inputs",
        "Repeat",
    ]
    assert "without a guarantee" in card


def test_a_damaged_case_is_left_out_by_name(a_cohort: Path, tmp_path: Path) -> None:
    rows = read_rows(a_cohort)[:2]
    rows[1]["reader1_seg"] = rows[0]["reader1_seg"]
    write_rows(tmp_path, rows)
    measured, excluded = measure_cohort(read_cohort(tmp_path), FeatureSettings(), None)
    assert [row.case.id for row in measured] == [rows[0]["id"]]
    assert [row.id for row in excluded] == [rows[1]["id"]]
    assert "another image" in excluded[0].reason


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("id,label,grey\nA,1,a.dcm\n", "reader1_seg"),
        ("id,label,grey,reader1_seg\n", "no case"),
        ("id,label,grey,reader1_seg\nA,2,a.dcm,s.dcm\n", "not 0 or 1"),
        ("id,label,grey,reader1_seg\nA,1,,s.dcm\n", "no image"),
        ("id,label,grey,reader1_seg\nA,1,a.dcm,s.dcm\nA,0,b.dcm,t.dcm\n", "twice"),
        (
            "id,label,grey,reader1_seg,patient,cohort\nA,1,a,s,P,training\nB,0,b,t,P,external\n",
            "in the training and in the external",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, table: str, what: str) -> None:
    (tmp_path / "clinical.csv").write_text(table)
    with pytest.raises(CohortError, match=what):
        read_cohort(tmp_path)


@pytest.mark.parametrize(
    ("again", "what"),
    [
        ("id,seg\nB,t.dcm\n", "no case 'B'"),
        ("id,seg\nA,t.dcm\nA,u.dcm\n", "twice"),
        ("id\nA\n", "no column 'seg'"),
    ],
)
def test_a_table_of_second_outlines_that_cannot_be_used_is_refused(
    tmp_path: Path, again: str, what: str
) -> None:
    (tmp_path / "clinical.csv").write_text("id,label,grey,reader1_seg\nA,1,a.dcm,s.dcm\n")
    (tmp_path / "again.csv").write_text(again)
    with pytest.raises(CohortError, match=what):
        read_cohort(tmp_path)


def test_stability_is_told_between_readers_and_of_one_reader(
    a_cohort: Path, a_backbone: Path
) -> None:
    material = read_cohort_material(a_cohort, a_backbone, jobs=2)
    assert material.second is not None
    assert material.again is not None
    # A lesion whose other outline cannot be measured is left out of that look alone.
    for look in (material.second, material.again):
        assert set(look.ids) <= set(material.training.table.ids)
        assert len(look.ids) > 20
    assert set(material.inputs) >= {"again_table", "again_dicom"}
    looks = {
        "two readers": (material.training.table, material.second),
        "one reader, twice": (material.training.table, material.again),
    }
    table = stability_table(looks, material.reads)
    assert {row[1] for row in table.rows if row[0] == "Radiomics features"} == set(looks)


def test_a_cohort_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="cannot be read"):
        read_cohort(tmp_path)


def test_the_intraclass_correlation_is_that_of_shrout_and_fleiss() -> None:
    # Shrout & Fleiss (1979), table 2: six targets, four judges; ICC(2,1) = 0.2898 (table 4: .29).
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    )
    assert icc_a1(ratings[:, :, None].astype(float))[0] == pytest.approx(0.2898, abs=5e-5)


def test_readers_who_agree_completely_have_a_correlation_of_one() -> None:
    table = make_table(20)
    found = agreement_by_family([table, table])
    assert found["deep"].median == pytest.approx(1.0)
    assert found["radiomics"].stable == 1.0


def test_the_pretraining_cohort_is_kept_and_its_card_names_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "PRETRAINING_CASES", 8)
    seen: list[tuple[int, int]] = []
    first = ship._samples(tmp_path, 1, lambda *step: seen.append(step))
    assert seen[-1] == (8, 8)
    assert first.crops.shape[0] == 8
    assert f"seed {ship.PRETRAINING_SEED}" in first.source
    again = ship._samples(tmp_path, 1, lambda *step: seen.append(step))
    assert len(seen) == 8
    assert again.source == first.source
    np.testing.assert_array_equal(again.crops, first.crops)
    assert {name: column.tolist() for name, column in again.targets.items()} == {
        name: column.tolist() for name, column in first.targets.items()
    }


def test_the_pretraining_cohort_is_not_the_study_cohort() -> None:
    assert ship.PRETRAINING_SEED != ship.STUDY_SEED


@pytest.mark.bench  # trains a bundle and runs a study: a minute on both cores
def test_the_shipped_bundle_and_its_study_are_made_by_one_command_on_any_number_of_cases(
    a_cohort: Path, a_backbone: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "cohort").symlink_to(a_cohort)  # simulated and measured before: both are skipped
    trial = ship.Trial(CASES, a_backbone, QUICK)
    stages: list[str] = []

    def report(stage: str) -> ship.Progress:
        stages.append(stage)
        return lambda done, of: None

    bundle = Bundle.load(ship.ship(tmp_path / "simulated", work, 1, report, trial))
    assert stages == ["measuring and training"]
    assert f"{CASES} simulated cases" in bundle.card
    folder = ship.ship_study(tmp_path / "study", work, bundle.folder, a_backbone, 1, report, trial)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "PreClinicRad" in manifest["models"]
    assert (folder / "report.html").stat().st_size < 1.5 * (1 << 20)
    assert list((folder / "tables").glob("*.csv"))
