from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.features.semantic import (
    CLASSES,
    SEMANTIC_NAMES,
    Cut,
    SemanticFeature,
    SemanticMeasurements,
    SemanticThresholds,
    SemanticValueError,
    adler_grade,
    classify,
    learn_thresholds,
    merge_reading,
)

THRESHOLDS = SemanticThresholds(
    morphology=Cut(0.1, 50.0),
    boundary=Cut(2.0, -3.0),
    internal_echo=Cut(12.0, 0.5),
    flow_grade=Cut(2.5, 1.5),
)
CALM = SemanticMeasurements(
    maximum_diameter=23.5,
    diameter_ends=((1.0, 2.0), (3.0, 4.0)),
    truncated=False,
    irregularity=0.03,
    margin_sharpness=3.0,
    heterogeneity=5.0,
    flow_fraction=0.01,
    vessel_count=1,
)


def values(features: dict[str, SemanticFeature]) -> list[float | str | None]:
    return [feature.value for feature in features.values()]


def test_a_calm_lesion_is_regular_clear_uniform_and_poorly_perfused() -> None:
    features = classify(CALM, THRESHOLDS)
    assert tuple(features) == SEMANTIC_NAMES
    assert values(features) == [23.5, "0-1", "regular", "clear", "uniform"]
    assert {feature.provenance for feature in features.values()} == {"measured"}
    assert all(0.5 <= (feature.confidence or 0) <= 1 for feature in features.values())


def test_a_wild_lesion_is_the_opposite() -> None:
    wild = dataclasses.replace(
        CALM,
        irregularity=0.3,
        margin_sharpness=0.8,
        heterogeneity=30.0,
        flow_fraction=0.2,
        vessel_count=6,
    )
    assert values(classify(wild, THRESHOLDS))[1:] == ["2-3", "irregular", "unclear", "uneven"]


def test_confidence_is_a_half_at_the_cut_and_grows_away_from_it() -> None:
    confidences = [
        classify(dataclasses.replace(CALM, irregularity=x), THRESHOLDS)["morphology"].confidence
        for x in (0.1, 0.12, 0.2)
    ]
    assert confidences[0] == pytest.approx(0.5)
    assert confidences == sorted(confidences)


def test_what_could_not_be_measured_is_not_assessed() -> None:
    blind = dataclasses.replace(
        CALM, margin_sharpness=None, heterogeneity=None, flow_fraction=None, vessel_count=None
    )
    features = classify(blind, THRESHOLDS)
    for name in ("flow_grade", "boundary", "internal_echo"):
        assert features[name].value is None
        assert features[name].provenance == "not assessed"
        assert features[name].confidence is None
    assert adler_grade(blind, THRESHOLDS) is None


def test_a_truncated_diameter_is_less_certain() -> None:
    cut_off = dataclasses.replace(CALM, truncated=True)
    assert classify(cut_off, THRESHOLDS)["maximum_diameter"].confidence == 0.5
    assert classify(CALM, THRESHOLDS)["maximum_diameter"].confidence == 1.0


@pytest.mark.parametrize(
    ("fraction", "vessels", "grade"), [(0.0, 0, 0), (0.01, 2, 1), (0.1, 3, 2), (0.1, 4, 3)]
)
def test_adlers_grade_agrees_with_the_class(fraction: float, vessels: int, grade: int) -> None:
    measurements = dataclasses.replace(CALM, flow_fraction=fraction, vessel_count=vessels)
    assert adler_grade(measurements, THRESHOLDS) == grade
    expected = "2-3" if grade >= 2 else "0-1"
    assert classify(measurements, THRESHOLDS)["flow_grade"].value == expected


def test_a_reading_overrides_only_what_it_says() -> None:
    reading = {"morphology": "irregular", "maximum_diameter": 31.0, "boundary": None}
    merged = merge_reading(classify(CALM, THRESHOLDS), reading)
    assert values(merged) == [31.0, "0-1", "irregular", "clear", "uniform"]
    assert merged["morphology"].provenance == "read"
    assert merged["morphology"].confidence is None
    assert merged["boundary"].provenance == "measured"
    assert tuple(merged) == SEMANTIC_NAMES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("morphology", "lobulated"),
        ("maximum_diameter", -3.0),
        ("maximum_diameter", float("nan")),
        ("maximum_diameter", "31 mm"),
        ("elasticity", "hard"),
    ],
)
def test_a_reading_outside_the_set_is_refused(name: str, value: float | str) -> None:
    with pytest.raises(SemanticValueError):
        merge_reading(classify(CALM, THRESHOLDS), {name: value})


def test_a_feature_cannot_be_both_valued_and_not_assessed() -> None:
    with pytest.raises(SemanticValueError):
        SemanticFeature("morphology", "regular", "", "not assessed")
    with pytest.raises(SemanticValueError):
        SemanticFeature("morphology", None, "", "measured")


def a_cohort(count: int, seed: int = 0) -> tuple[list[SemanticMeasurements], list[dict[str, str]]]:
    """Lesions whose readings follow the thresholds above, with a reader's noise."""
    rng = np.random.default_rng(seed)
    measurements, reads = [], []
    for _ in range(count):
        one = dataclasses.replace(
            CALM,
            irregularity=rng.uniform(0.0, 0.2),
            margin_sharpness=rng.uniform(0.5, 3.5),
            heterogeneity=rng.uniform(2.0, 22.0),
            vessel_count=int(rng.integers(0, 7)),
        )
        read = {}
        for name, (first, second) in CLASSES.items():
            cut = getattr(THRESHOLDS, name)
            value = {
                "morphology": one.irregularity,
                "boundary": one.margin_sharpness,
                "internal_echo": one.heterogeneity,
                "flow_grade": float(one.vessel_count or 0),
            }[name]
            read[name] = second if rng.random() < cut.probability(value) else first
        measurements.append(one)
        reads.append(read)
    return measurements, reads


def test_thresholds_are_learned_back_from_readings() -> None:
    learned = learn_thresholds(*a_cohort(1500))
    for name in CLASSES:
        found, true = getattr(learned, name), getattr(THRESHOLDS, name)
        assert found.cutoff == pytest.approx(true.cutoff, rel=0.1)
        assert found.slope == pytest.approx(true.slope, rel=0.25)


def test_readings_that_do_not_overlap_still_give_a_finite_cut() -> None:
    measurements, _ = a_cohort(60)
    reads = [
        {"morphology": "irregular" if m.irregularity > 0.1 else "regular"} for m in measurements
    ]
    cut = learn_thresholds(measurements, reads).morphology
    assert cut.cutoff == pytest.approx(0.1, abs=0.01)
    assert 0 < cut.slope < 1e4


def test_too_few_one_sided_or_contrary_readings_keep_the_given_cut() -> None:
    measurements, reads = a_cohort(40)
    assert learn_thresholds(measurements[:6], reads[:6], THRESHOLDS) == THRESHOLDS
    one_sided = [{"morphology": "regular"} for _ in measurements]
    assert learn_thresholds(measurements, one_sided, THRESHOLDS) == THRESHOLDS
    contrary = [
        {"morphology": "regular" if m.irregularity > 0.1 else "irregular"} for m in measurements
    ]
    assert learn_thresholds(measurements, contrary, THRESHOLDS) == THRESHOLDS


def test_lesions_and_readings_must_be_as_many() -> None:
    measurements, reads = a_cohort(12)
    with pytest.raises(ValueError, match="shorter"):
        learn_thresholds(measurements, reads[:-1])


def test_thresholds_survive_a_round_trip() -> None:
    assert SemanticThresholds.from_dict(THRESHOLDS.to_dict()) == THRESHOLDS
    with pytest.raises(ValueError, match="thresholds name"):
        SemanticThresholds.from_dict({"morphology": {"cutoff": 1.0, "slope": 1.0}})


@pytest.mark.parametrize(("cutoff", "slope"), [(float("nan"), 1.0), (1.0, 0.0)])
def test_a_cut_without_direction_is_refused(cutoff: float, slope: float) -> None:
    with pytest.raises(ValueError, match="cut"):
        Cut(cutoff, slope)


def test_a_probability_far_from_the_cut_does_not_overflow() -> None:
    assert Cut(0.0, 1e6).probability(1e6) == 1.0
    assert Cut(0.0, 1e6).probability(-1e6) == 0.0
