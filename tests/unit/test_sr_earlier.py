"""Our own report read back: it says what was reported, and nothing is read from any other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Literal

import pytest
from pydicom.dataset import Dataset

from node.config import ReportSettings
from node.report import ReportRequest, build_report
from node.report.companions.references import Reference
from node.report.companions.rejection_note import rejection_note
from node.report.request import Predecessor
from node.report.tree import walk
from sr_templates.earlier import (
    EarlierReport,
    EarlierReportError,
    decode,
    read_earlier,
    rejected_by,
)
from tests.report_fixtures import a_request, a_result, an_abstention, an_image


def the_report(request: ReportRequest) -> Dataset:
    return decode(build_report(request)[0].data)


def read_back(request: ReportRequest) -> EarlierReport:
    return read_earlier(the_report(request))


@pytest.fixture
def three_lesions() -> ReportRequest:
    """One assessed, one refused, one shifted to a prevalence, its name like a parameter line."""
    image = an_image()
    first, third = a_result(image, 1), a_result(image, 3)
    shifted = replace(
        third,
        case=replace(third.case, label="Lesion: model X: threshold 0.1"),
        finding=replace(third.finding, probability=0.3, semantic={}),
        evidence=replace(third.evidence, prior_shift=0.125),
    )
    return a_request(image, (first, a_result(image, 2, refused=True), shifted))


def test_a_report_says_what_it_said_when_it_is_read_back(three_lesions: ReportRequest) -> None:
    report = read_back(three_lesions)
    assert (report.bundle_name, report.bundle_version) == ("simulated", "1.0.0")
    assert (report.patient_id, report.issuer) == ("ST-0001", "")
    assert report.date == date(2025, 9, 10)
    first, third = report.lesions
    assert first.tracking_uid == "2.25.3001"
    assert first.probability == pytest.approx(0.8310429, abs=1e-12)
    assert (first.diameter_mm, first.prior_shift) == (32.04, None)
    assert third.tracking_uid == "2.25.3003"
    assert third.probability == pytest.approx(0.3)
    assert (third.diameter_mm, third.prior_shift) == (None, 0.125)


@pytest.mark.parametrize("language", ["de", "zh"])
def test_every_language_is_read_back(language: str) -> None:
    settings = ReportSettings(language=language, companions=())
    report = read_back(a_request(settings=settings))
    assert report.lesions == read_back(a_request()).lesions
    assert report.bundle_name == "simulated"


def test_both_document_classes_are_read_back() -> None:
    settings = ReportSettings(sop_class="comprehensive", title="imaging", companions=())
    assert read_back(a_request(settings=settings)).lesions == read_back(a_request()).lesions


def test_a_probability_without_a_class_is_read_back() -> None:
    image = an_image()
    (lesion,) = read_back(a_request(image, (an_abstention(image),))).lesions
    assert lesion.probability == pytest.approx(0.8310429)


def test_a_report_of_refusals_says_no_lesion() -> None:
    image = an_image()
    assert read_back(a_request(image, (a_result(image, refused=True),))).lesions == ()


def test_a_report_names_what_it_supersedes() -> None:
    before = Predecessor("1.2.840.10008.5.1.4.1.1.88.34", "2.25.5", "2.25.6", "2.25.1001")
    assert read_back(a_request(predecessor=before)).superseded == ("2.25.5",)


def test_the_day_of_the_report_stands_for_a_study_without_one() -> None:
    dataset = the_report(a_request())
    dataset.StudyDate, dataset.ContentDate = "", "20240229"
    assert read_earlier(dataset).date == date(2024, 2, 29)


def _foreign(dataset: Dataset) -> None:
    dataset.Manufacturer = "Somebody else"


def _impossible(dataset: Dataset) -> None:
    _number(dataset).FloatingPointValue = 250.0


def _not_a_number(dataset: Dataset) -> None:
    _number(dataset).FloatingPointValue = float("nan")


def _no_value(dataset: Dataset) -> None:
    _of_concept(dataset, "111047").MeasuredValueSequence = []


def _no_algorithm(dataset: Dataset) -> None:
    for item in dataset.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == "126010":
            item.ContentSequence = item.ContentSequence[-2:]


def _no_tree(dataset: Dataset) -> None:
    del dataset.ContentSequence


def _no_day(dataset: Dataset) -> None:
    dataset.StudyDate = "20251345"


def _number(dataset: Dataset) -> Dataset:
    measured: Dataset = _of_concept(dataset, "111047").MeasuredValueSequence[0]
    return measured


def _of_concept(dataset: Dataset, value: str) -> Dataset:
    return next(
        item
        for item in walk(dataset)
        if "ConceptNameCodeSequence" in item
        and item.ConceptNameCodeSequence[0].get("CodeValue") == value
    )


@pytest.mark.parametrize(
    "bend", [_foreign, _impossible, _not_a_number, _no_value, _no_algorithm, _no_tree, _no_day]
)
def test_what_is_not_ours_or_is_damaged_is_not_read(bend: Callable[[Dataset], None]) -> None:
    dataset = the_report(a_request())
    bend(dataset)
    with pytest.raises(EarlierReportError):
        read_earlier(dataset)


def test_bytes_that_are_no_file_are_not_read() -> None:
    with pytest.raises(EarlierReportError):
        decode(b"no DICOM")


@pytest.mark.parametrize("kind", ["superseded", "withdrawn"])
def test_a_rejection_note_names_what_it_rejects(kind: Literal["superseded", "withdrawn"]) -> None:
    request = a_request()
    named = [Reference("1.2.840.10008.5.1.4.1.1.88.34", "2.25.5", "2.25.6")]
    note = rejection_note(
        the_report(request),
        named,
        kind,
        "Wrong.",
        ("2.25.7", "2.25.8"),
        request.when,
    )
    assert rejected_by(decode(note)) == {"2.25.5"}


def test_a_key_object_selection_for_readers_rejects_nothing() -> None:
    request = a_request(settings=ReportSettings(companions=("ko",)))
    assert rejected_by(decode(build_report(request)[1].data)) == frozenset()
