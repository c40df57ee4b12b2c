"""Reading our own Structured Report back: what it said about each lesion.

It is read by codes, as the shipped tables name them, and by the parameter sentences, which are
the same in every language. A report that does not hold what ours hold is not read at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from sr_templates.codes import code
from sr_templates.equipment import is_ours
from sr_templates.errors import TemplateError
from sr_templates.features import features
from sr_templates.reading_items import children, code_in, concept_of, named, text_of, walk
from sr_templates.templates import load_templates, using
from sr_templates.words import say

SOP_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage (PS3.4 section B.5)
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR Storage
)
KEY_OBJECTS: Final = "1.2.840.10008.5.1.4.1.1.88.59"  # Key Object Selection Document Storage
# PS3.16 CID 7011: rejected for quality, for patient safety, incorrect worklist entry, retention
# expired. Whoever wrote such a note and why, what it names is not to be used.
_REJECTIONS: Final = frozenset(f"DCM:{value}" for value in (113001, 113037, 113038, 113039))
_NAME_LENGTH: Final = 64


class EarlierReportError(TemplateError):
    """A document is not a report of ours, or does not hold what our reports hold."""


@dataclass(frozen=True, slots=True)
class EarlierLesion:
    """What an earlier report said about one assessed lesion.

    Attributes:
        probability: Of malignancy, 0..1.
        diameter_mm: The maximum diameter, None where it was not said.
        prior_shift: The prevalence that the probability was shifted to, None for the training's.

    Raises:
        EarlierReportError: If a number is none that a report of ours says.
    """

    tracking_uid: str
    probability: float
    diameter_mm: float | None
    prior_shift: float | None

    def __post_init__(self) -> None:
        for share in (self.probability, self.prior_shift):
            if share is not None and not 0 <= share <= 1:
                raise EarlierReportError(f"a probability must lie in 0..1, got {share}")
        length = self.diameter_mm
        if length is not None and not (length > 0 and math.isfinite(length)):
            raise EarlierReportError(f"a diameter must be above 0 mm, got {length}")


@dataclass(frozen=True, slots=True)
class EarlierReport:
    """A report of ours as it came back.

    Attributes:
        issuer: Issuer of Patient ID (0010,0021), "" for none.
        date: Of its study; of the report where the study has none.
        lesions: Those that were assessed, in the order of the report.
        superseded: SOP Instance UIDs of the reports that it supersedes.
    """

    sop_instance_uid: str
    study_instance_uid: str
    patient_id: str
    issuer: str
    date: date
    bundle_name: str
    bundle_version: str
    lesions: tuple[EarlierLesion, ...]
    superseded: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in (self.bundle_name, self.bundle_version):
            if not 1 <= len(name) <= _NAME_LENGTH or not name.isprintable():
                raise EarlierReportError(f"{name[:_NAME_LENGTH]!r} names no bundle")


def decode(data: bytes) -> Dataset:
    """Decode a Part 10 file that came from somewhere else.

    Raises:
        EarlierReportError: If it is none.
    """
    try:
        return dcmread(BytesIO(data))
    except (InvalidDicomError, EOFError, RecursionError, OSError, ValueError) as error:
        raise EarlierReportError(f"it cannot be read ({type(error).__name__})") from error


def read_earlier(dataset: Dataset) -> EarlierReport:
    """Read a report of ours.

    Raises:
        EarlierReportError: If it is not ours, or does not hold what our reports hold.
    """
    try:
        with using(load_templates()):
            return _report(dataset)
    except EarlierReportError:
        raise
    except (
        *(ValueError, TypeError, AttributeError, LookupError),
        *(NotImplementedError, RecursionError, TemplateError),
    ) as error:
        raise EarlierReportError(f"it is damaged ({type(error).__name__}: {error})") from error


def rejected_by(dataset: Dataset) -> frozenset[str]:
    """Return the instances that a Key Object Selection rejects; none if it is no rejection note.

    Raises:
        EarlierReportError: If it is damaged.
    """
    try:
        if str(dataset.get("SOPClassUID", "")) != KEY_OBJECTS:
            return frozenset()
        if concept_of(dataset) not in _REJECTIONS:
            return frozenset()
        return frozenset(
            str(reference.ReferencedSOPInstanceUID)
            for item in walk(dataset)
            for reference in item.get("ReferencedSOPSequence") or ()
        )
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise EarlierReportError(f"a rejection note is damaged ({error})") from error


def _report(dataset: Dataset) -> EarlierReport:
    if str(dataset.get("SOPClassUID", "")) not in SOP_CLASSES:
        raise EarlierReportError("it is no report of ours: another SOP class")
    if not is_ours(
        str(dataset.get("Manufacturer", "")), str(dataset.get("ManufacturerModelName", ""))
    ):
        raise EarlierReportError("it is no report of ours: another equipment")
    measurements = list(named(dataset, _concept("imaging_measurements")))
    if len(measurements) != 1:
        raise EarlierReportError("it holds no imaging measurements")
    (version,) = _texts(measurements[0], "algorithm_version")
    parameters = _texts(measurements[0], "algorithm_parameters")
    return EarlierReport(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        patient_id=str(dataset.get("PatientID") or "").strip(),
        issuer=str(dataset.get("IssuerOfPatientID") or "").strip(),
        date=_day(str(dataset.get("StudyDate") or dataset.get("ContentDate") or "")),
        bundle_name=_bundle_name(parameters, version),
        bundle_version=version,
        lesions=tuple(_lesions(measurements[0], parameters)),
        superseded=tuple(_predecessors(dataset)),
    )


def _lesions(measurements: Dataset, parameters: list[str]) -> Iterator[EarlierLesion]:
    """Yield a lesion for each group with a probability; the second group of one has none."""
    groups = [
        (group, found)
        for group in named(measurements, _concept("measurement_group"))
        if (found := list(named(group, _concept("probability_of_cancer"))))
    ]
    for (group, found), shift in zip(groups, _prior_shifts(parameters), strict=True):
        (tracking_uid,) = _texts(group, "tracking_unique_identifier")
        (probability,) = found
        yield EarlierLesion(
            tracking_uid, _number(probability, "percent") / 100, _diameter(group), shift
        )


def _diameter(group: Dataset) -> float | None:
    """Return the length whose end points are drawn on the image, in mm."""
    row = next(row for row in features() if row.caliper)
    for item in named(group, _concept(row.concept)):
        derivations = named(item, _concept("derivation"))
        if _concept(row.derivation) in {code_in(d, "ConceptCodeSequence") for d in derivations}:
            return _number(item, row.unit)
    return None


def _number(item: Dataset, unit: str) -> float:
    """Return the value of a NUM to its last digit (PS3.3 section C.18.1)."""
    (measured,) = item.MeasuredValueSequence
    found = code_in(measured, "MeasurementUnitsCodeSequence")
    if found != _concept(unit):
        raise EarlierReportError(f"a measurement is in {found}, not in {_concept(unit)}")
    exact = measured.get("FloatingPointValue")
    return float(measured.NumericValue if exact is None else exact)


def _bundle_name(parameters: list[str], version: str) -> str:
    before, after = say("parameters", "bundle", bundle="\n", version=version).split("\n")
    for line in parameters:
        if line.startswith(before) and line.endswith(after):
            return line.removeprefix(before).removesuffix(after)
    raise EarlierReportError("it does not name its bundle")


def _prior_shifts(parameters: list[str]) -> list[float | None]:
    """Return the prior shift of each assessed lesion, in the order of the report.

    The parameters of a lesion begin with its model and its threshold. A lesion is called what a
    person typed, so only both lines together tell where one begins.
    """
    shifts: list[float | None] = []
    name = ""
    for line, following in zip(parameters, [*parameters[1:], ""], strict=True):
        begun = _between(line, "model", "model")
        if begun and _between(following, "threshold", "threshold", begun[0]):
            name = begun[0]
            shifts.append(None)
        elif shifts and (said := _between(line, "prior_shift", "prevalence", name)):
            shifts[-1] = float(said[1])
    return shifts


def _between(
    line: str, sentence: str, blank: str, lesion: str | None = None
) -> tuple[str, str] | None:
    """Return lesion and value of a parameter line; None where it is another sentence."""
    pattern = re.escape(say("parameters", sentence, **{"lesion": "\0", blank: "\1"}))
    named_so = "(.+)" if lesion is None else f"({re.escape(lesion)})"
    found = re.fullmatch(pattern.replace("\0", named_so).replace("\1", "(.+)"), line, re.DOTALL)
    return None if found is None else (found[1], found[2])


def _predecessors(dataset: Dataset) -> Iterator[str]:
    for study in dataset.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for reference in series.get("ReferencedSOPSequence") or ():
                yield str(reference.ReferencedSOPInstanceUID)


def _day(value: str) -> date:
    if len(value) != 8 or not value.isdigit():  # DA (PS3.5 section 6.2)
        raise EarlierReportError(f"{value!r} is no date")
    return date(int(value[:4]), int(value[4:6]), int(value[6:]))


def _texts(item: Dataset, name: str) -> list[str]:
    return [text_of(child) for child in _of(children(item), _concept(name))]


def _of(items: Iterable[Dataset], concept: str) -> Iterator[Dataset]:
    return (item for item in items if concept_of(item) == concept)


def _concept(name: str) -> str:
    named_code = code(name)
    return f"{named_code.scheme}:{named_code.value}"
