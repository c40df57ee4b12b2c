"""The clinical features of the paper: age and sex from the header, the semantic features coded.

Nothing is imputed here: what is not known is None, and a bundle answers such a case with a model
that does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydicom import Dataset

from models.features.semantic.values import (
    BOUNDARY,
    CLASSES,
    DIAMETER,
    ECHO,
    FLOW,
    MORPHOLOGY,
    SemanticFeature,
)

Sex = Literal["M", "F", "unknown"]

CLINICAL_NAMES = (
    "clinical_age",
    "clinical_sex_male",
    "clinical_size",
    "clinical_flow",
    "clinical_morphology",
    "clinical_boundary",
    "clinical_echo",
)
"""Every clinical feature, in the order of a feature table."""

_SEMANTIC_OF = {
    "clinical_flow": FLOW,
    "clinical_morphology": MORPHOLOGY,
    "clinical_boundary": BOUNDARY,
    "clinical_echo": ECHO,
}
# Age String (PS3.5 section 6.2): three digits and a unit.
_AGE_STRING = re.compile(r"(\d{3})([DWMY])")
_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_DAYS_PER_YEAR = 365.2425
_UNITS_PER_YEAR = {"D": _DAYS_PER_YEAR, "W": _DAYS_PER_YEAR / 7, "M": 12.0, "Y": 1.0}
# Older "ages" come from placeholder birth dates such as 19000101 or 00010101.
_OLDEST_YEARS = 120.0


@dataclass(frozen=True, slots=True)
class ClinicalInput:
    """What the header says about the patient.

    Attributes:
        age_years: Age at the time of the study, 0..120; None where unknown or implausible.
        sex: PS3.3 section C.7.1.1 Patient's Sex; other values and none are `unknown`.
    """

    age_years: float | None = None
    sex: Sex = "unknown"

    def __post_init__(self) -> None:
        if self.age_years is not None and not 0.0 <= self.age_years <= _OLDEST_YEARS:
            raise ValueError(f"an age lies in 0..120 years, got {self.age_years}")

    @classmethod
    def from_header(
        cls,
        patient_age: str = "",
        patient_birth_date: str = "",
        study_date: str = "",
        patient_sex: str = "",
    ) -> ClinicalInput:
        """Read the header's strings; what is malformed is unknown.

        Patient's Age comes first: it is the age at the study, and it often survives the
        de-identification that blanks or shifts a birth date.

        Args:
            patient_age: Patient's Age (0010,1010), such as "045Y".
            patient_birth_date: Patient's Birth Date (0010,0030).
            study_date: Study Date (0008,0020).
            patient_sex: Patient's Sex (0010,0040).
        """
        age = _age(patient_age)
        if age is None:
            age = _age_between(patient_birth_date, study_date)
        sex = patient_sex.strip().upper()
        return cls(age, "M" if sex == "M" else "F" if sex == "F" else "unknown")

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> ClinicalInput:
        """Read a DICOM header."""
        return cls.from_header(
            patient_age=_text(dataset, "PatientAge"),
            patient_birth_date=_text(dataset, "PatientBirthDate"),
            study_date=_text(dataset, "StudyDate"),
            patient_sex=_text(dataset, "PatientSex"),
        )


def clinical_vector(
    clinical: ClinicalInput, semantic: Mapping[str, SemanticFeature]
) -> dict[str, float | None]:
    """Code the clinical features as numbers.

    Args:
        clinical: From the header.
        semantic: Semantic features by name, measured or read; missing names are unknown.

    Returns:
        One entry for each of `CLINICAL_NAMES`, in that order: years, 1 for male and 0 for female,
        millimetres, and 1 for the class that speaks for malignancy; None where unknown.
    """
    vector: dict[str, float | None] = {
        "clinical_age": clinical.age_years,
        "clinical_sex_male": None if clinical.sex == "unknown" else float(clinical.sex == "M"),
        "clinical_size": _size(semantic.get(DIAMETER)),
    }
    for name, semantic_name in _SEMANTIC_OF.items():
        feature = semantic.get(semantic_name)
        known = feature is not None and feature.value is not None
        vector[name] = (
            float(feature.value == CLASSES[semantic_name][1]) if feature and known else None
        )
    return vector


def _size(feature: SemanticFeature | None) -> float | None:
    if feature is None or feature.value is None:
        return None
    return float(feature.value)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value)


def _age(text: str) -> float | None:
    match = _AGE_STRING.fullmatch(text.strip().upper())
    if match is None:
        return None
    return _plausible(int(match[1]) / _UNITS_PER_YEAR[match[2]])


def _age_between(birth: str, study: str) -> float | None:
    born, seen = _date(birth), _date(study)
    if born is None or seen is None:
        return None
    return _plausible((seen - born).days / _DAYS_PER_YEAR)


def _date(text: str) -> date | None:
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def _plausible(age: float) -> float | None:
    return age if 0.0 <= age <= _OLDEST_YEARS else None
