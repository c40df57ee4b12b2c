from __future__ import annotations

import pytest
from pydicom import Dataset

from models.features.clinical import CLINICAL_NAMES, ClinicalInput, clinical_vector
from models.features.semantic.values import SemanticFeature


def an_age(patient_age: str = "", birth: str = "", study: str = "") -> float | None:
    return ClinicalInput.from_header(patient_age, birth, study).age_years


@pytest.mark.parametrize(
    ("text", "years"), [("045Y", 45.0), ("018M", 1.5), ("052W", 0.997), ("010D", 0.027)]
)
def test_an_age_string_is_read_in_its_unit(text: str, years: float) -> None:
    assert an_age(text) == pytest.approx(years, abs=2e-3)


def test_without_an_age_the_birth_date_and_the_study_date_give_it() -> None:
    assert an_age("", "19800615", "20260615") == pytest.approx(46.0, abs=0.01)
    assert an_age("", "1980.06.15", "20260615") == pytest.approx(46.0, abs=0.01)


def test_the_age_string_comes_before_the_birth_date() -> None:
    assert an_age("045Y", "19000101", "20260101") == 45.0


@pytest.mark.parametrize("age", ["45", "Y", "45Y", "-12Y", "999Y", "0x5Y", "045Y045Y", "unknown"])
def test_a_malformed_age_is_unknown(age: str) -> None:
    assert an_age(age) is None


@pytest.mark.parametrize("birth", ["00000000", "19801332", "garbage", "00010101", "20270101", ""])
def test_a_garbage_placeholder_or_future_birth_date_is_unknown(birth: str) -> None:
    assert an_age("", birth, "20260101") is None


def test_a_malformed_age_falls_back_to_the_dates() -> None:
    assert an_age("XXXY", "19800101", "20260101") == pytest.approx(46.0, abs=0.01)


@pytest.mark.parametrize(
    ("text", "sex"), [("M", "M"), (" f ", "F"), ("O", "unknown"), ("", "unknown")]
)
def test_sex_is_male_female_or_unknown(text: str, sex: str) -> None:
    assert ClinicalInput.from_header(patient_sex=text).sex == sex


def test_a_dataset_is_read_by_its_keywords() -> None:
    dataset = Dataset()
    dataset.PatientAge, dataset.PatientSex = "061Y", "M"
    assert ClinicalInput.from_dataset(dataset) == ClinicalInput(61.0, "M")
    assert ClinicalInput.from_dataset(Dataset()) == ClinicalInput(None, "unknown")


def test_an_impossible_age_cannot_be_constructed() -> None:
    with pytest.raises(ValueError, match="age"):
        ClinicalInput(130.0)


def test_the_vector_codes_what_speaks_for_malignancy_as_one() -> None:
    semantic = {
        feature.name: feature
        for feature in (
            SemanticFeature("maximum_diameter", 31.5, "mm", "measured", 1.0),
            SemanticFeature("flow_grade", "2-3", "", "read"),
            SemanticFeature("morphology", "irregular", "", "measured", 0.8),
            SemanticFeature("boundary", "clear", "", "measured", 0.7),
            SemanticFeature("internal_echo", "uneven", "", "measured", 0.9),
        )
    }
    vector = clinical_vector(ClinicalInput(61.0, "M"), semantic)
    assert tuple(vector) == CLINICAL_NAMES
    assert list(vector.values()) == [61.0, 1.0, 31.5, 1.0, 1.0, 0.0, 1.0]


def test_what_is_unknown_stays_unknown() -> None:
    semantic = {"flow_grade": SemanticFeature("flow_grade", None, "", "not assessed")}
    vector = clinical_vector(ClinicalInput(), semantic)
    assert set(vector.values()) == {None}
    assert clinical_vector(ClinicalInput(None, "F"), {})["clinical_sex_male"] == 0.0
