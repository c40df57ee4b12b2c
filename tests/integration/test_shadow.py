"""A shadow bundle scores what the serving one has measured, and its failure is its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa as oracle_kappa

from node.case import Case, Reading
from node.config import ModelSettings, Settings
from node.jobs.stages import StoredInstance
from node.pipeline.assess import Measured, Pipeline
from node.pipeline.shadow import alike, heard
from node.service.comparison import PairOfAnswers, agreement, cohens_kappa
from node.service.offline import pair_files, read_instances
from tests.acceptance.studies import a_study
from tests.bundle_variants import that_calls_everything_malignant, variant

Files = dict[str, StoredInstance]


@pytest.fixture(scope="module")
def a_pipeline() -> Pipeline:
    return Pipeline.load(ModelSettings(device="cpu"))


@pytest.fixture(scope="module")
def another_pipeline(a_pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    eager = variant(tmp_path_factory.mktemp("bundles") / "eager", that_calls_everything_malignant)
    return replace(a_pipeline, bundle=eager)


@pytest.fixture(scope="module")
def a_case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Files]:
    instances = read_instances(a_study(tmp_path_factory.mktemp("study"), 1).files)
    return pair_files(instances, Settings())[0], instances


def measured_by(pipeline: Pipeline, case: tuple[Case, Files]) -> Sequence[Measured]:
    return pipeline.assess_measured([case[0]], case[1])


def test_equal_settings_share_the_features_and_score_as_if_measured_anew(
    a_pipeline: Pipeline, another_pipeline: Pipeline, a_case: tuple[Case, Files]
) -> None:
    measured = measured_by(a_pipeline, a_case)
    (said,) = heard(lambda: another_pipeline, measured, a_pipeline.settings, {}).findings  # no file
    (alone,) = another_pipeline.assess([a_case[0]], a_case[1])
    assert said.probability == alone.finding.probability
    assert said.features_sha256 == alone.finding.features_sha256
    assert (said.malignancy, said.bundle) == ("malignant", alone.finding.bundle)
    assert said.bundle != measured[0].result.finding.bundle


def test_other_thresholds_of_classes_are_applied_to_the_same_measurements(
    a_pipeline: Pipeline, another_pipeline: Pipeline, a_case: tuple[Case, Files]
) -> None:
    measured = measured_by(a_pipeline, a_case)
    irregular = measured[0].result.finding.semantic["morphology"].value == "irregular"
    cut = replace(a_pipeline.settings.semantic.morphology, cutoff=1e9 if irregular else -1e9)
    semantic = replace(a_pipeline.settings.semantic, morphology=cut)
    otherwise = replace(another_pipeline, settings=replace(a_pipeline.settings, semantic=semantic))
    assert alike(otherwise.settings, a_pipeline.settings)
    (said,) = heard(lambda: otherwise, measured, a_pipeline.settings, {}).findings
    (alone,) = otherwise.assess([a_case[0]], a_case[1])
    assert said.features_sha256 == alone.finding.features_sha256
    assert said.features_sha256 != measured[0].result.finding.features_sha256


def test_other_settings_are_measured_again(
    a_pipeline: Pipeline, another_pipeline: Pipeline, a_case: tuple[Case, Files]
) -> None:
    imaging = replace(a_pipeline.settings.imaging, standardisation="region_zscore")
    otherwise = replace(another_pipeline, settings=replace(a_pipeline.settings, imaging=imaging))
    assert not alike(otherwise.settings, a_pipeline.settings)
    measured = measured_by(a_pipeline, a_case)
    (said,) = heard(lambda: otherwise, measured, a_pipeline.settings, a_case[1]).findings
    (alone,) = otherwise.assess([a_case[0]], a_case[1])
    assert said.features_sha256 == alone.finding.features_sha256
    assert said.features_sha256 != measured[0].result.finding.features_sha256


def test_a_reading_counts_for_the_shadow_too(
    a_pipeline: Pipeline, another_pipeline: Pipeline, a_case: tuple[Case, Files]
) -> None:
    reading = Reading("1.2.3", "Reader", "", {"maximum_diameter": 99.0})
    read = replace(a_case[0], reading=reading)
    (plain,) = heard(
        lambda: another_pipeline, measured_by(a_pipeline, a_case), a_pipeline.settings, {}
    ).findings
    measured = measured_by(a_pipeline, (read, a_case[1]))
    (said,) = heard(lambda: another_pipeline, measured, a_pipeline.settings, {}).findings
    assert said.features_sha256 != plain.features_sha256


def test_a_shadow_that_fails_says_why_and_harms_nobody(
    a_pipeline: Pipeline, a_case: tuple[Case, Files]
) -> None:
    def broken() -> Pipeline:
        raise RuntimeError("the shadow lost its mind")

    said = heard(broken, measured_by(a_pipeline, a_case), a_pipeline.settings, {})
    assert said.findings == ()
    assert said.failure == "RuntimeError: the shadow lost its mind"


def test_without_a_shadow_nothing_is_said(a_pipeline: Pipeline) -> None:
    said = heard(lambda: None, (), a_pipeline.settings, {})
    assert (said.findings, said.failure) == ((), "")


def test_a_case_without_an_image_is_refused_by_both(
    a_pipeline: Pipeline, another_pipeline: Pipeline, tmp_path: Path
) -> None:
    study = a_study(tmp_path, 3, colour=False, PatientID="A")
    instances = read_instances(study.files)
    case = pair_files(instances, Settings())[0]
    seg = instances[case.seg_uid]
    instances[case.seg_uid] = replace(seg, header=replace(seg.header, patient_id="B"))
    measured = a_pipeline.assess_measured([case], instances)
    (said,) = heard(lambda: another_pipeline, measured, a_pipeline.settings, instances).findings
    assert said.status == "refused"
    assert said.refusal == measured[0].result.finding.refusal
    assert said.bundle.name == "eager"


def answers(count: int, seed: int) -> list[PairOfAnswers]:
    """Two bundles that agree more often than not."""
    rng = np.random.default_rng(seed)
    one = rng.random(count)
    other = np.clip(one + rng.normal(0.05, 0.2, count), 0, 1)
    classes = ("benign", "malignant")
    return [
        PairOfAnswers(f"C{i}", i, float(p), float(q), classes[int(p > 0.5)], classes[int(q > 0.5)])
        for i, (p, q) in enumerate(zip(one, other, strict=True))
    ]


def test_kappa_and_the_limits_of_agreement_are_the_published_ones() -> None:
    pairs = answers(200, 1)
    found = agreement("a", "b", pairs)
    names = ("benign", "malignant")
    table = [
        [sum((p.serving_class, p.shadow_class) == (a, b) for p in pairs) for b in names]
        for a in names
    ]
    kappa: Any = oracle_kappa(table)
    assert found.kappa == pytest.approx(kappa.kappa, abs=1e-12)
    difference = np.array([p.shadow_probability - p.serving_probability for p in pairs])
    assert found.limits == pytest.approx(
        (
            difference.mean() - 1.96 * difference.std(ddof=1),
            difference.mean() + 1.96 * difference.std(ddof=1),
        )
    )
    assert {p.case for p in found.disagreeing} == {
        p.case for p in pairs if p.serving_class != p.shadow_class
    }


def test_an_answer_and_none_disagree_but_have_no_kappa() -> None:
    pair = PairOfAnswers("C", 1, 0.5, None, "malignant", None)
    found = agreement("a", "b", [pair])
    assert found.disagreeing == (pair,)
    assert (found.scored, found.classed, found.kappa, found.limits) == (0, 0, None, None)


def test_kappa_of_the_method_is_two_fifths() -> None:
    # METHOD: [[20, 5], [10, 15]] gives 0.4.
    counts = {("a", "a"): 20, ("a", "b"): 5, ("b", "a"): 10, ("b", "b"): 15}
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([("a", "a")]) is None
