"""The check reads the written bytes: a value that was changed on the way is caught."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.report import ReportCheckError, ReportObject, ReportRequest, build_report, check_report
from tests.report_fixtures import (
    a_finding,
    a_prior,
    a_read_result,
    a_request,
    a_result,
    an_abstention,
    an_image,
)


@pytest.fixture(scope="module")
def a_written_report() -> tuple[ReportRequest, tuple[ReportObject, ...]]:
    image = an_image(frames=4)
    read, refused = a_read_result(image, 1), a_result(image, 2, refused=True)
    read = replace(read, evidence=replace(read.evidence, prior_shift=0.05))
    results = (read, refused, an_abstention(image, 3))
    request = a_request(image, results, priors=(a_prior(prior_shift=0.05),))
    return request, build_report(request)


def items(dataset: Dataset, concept: str) -> list[Dataset]:
    found = []
    for child in dataset.get("ContentSequence", ()):
        if "ConceptNameCodeSequence" in child:
            name = child.ConceptNameCodeSequence[0]
            found += [child] if name.get("CodeValue") == concept else []
        found += items(child, concept)
    return found


def a_smaller_probability(dataset: Dataset) -> None:
    measured = items(dataset, "111047")[0].MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = "13.10", 13.1


def a_shown_number_that_differs(dataset: Dataset) -> None:
    items(dataset, "111047")[0].MeasuredValueSequence[0].NumericValue = "38.10"


def another_class(dataset: Dataset) -> None:
    items(dataset, "CLASS")[0].ConceptCodeSequence[0].CodeValue = "30807003"


def another_boundary(dataset: Dataset) -> None:
    items(dataset, "112007")[0].ConceptCodeSequence[0].CodeValue = "260409000"


def another_provenance(dataset: Dataset) -> None:
    boundary = items(dataset, "112007")[0]
    items(boundary, "PROVENANCE")[0].ConceptCodeSequence[0].CodeValue = "READ"


def a_diameter_in_centimetres(dataset: Dataset) -> None:
    measured = items(dataset, "81827009")[0].MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = "3.2", 3.204


def another_reason(dataset: Dataset) -> None:
    items(dataset, "REASON")[0].ConceptCodeSequence[0].CodeValue = "VIDEO"


def another_frame(dataset: Dataset) -> None:
    items(dataset, "121233")[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 1


def another_segment(dataset: Dataset) -> None:
    items(dataset, "121214")[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 2


def a_moved_outline(dataset: Dataset) -> None:
    item = items(dataset, "111030")[0]
    item.GraphicData = [value + 1 for value in item.GraphicData]


def a_moved_caliper(dataset: Dataset) -> None:
    item = items(dataset, "121055")[0]
    item.GraphicData = [value + 1 for value in item.GraphicData]


def a_lost_caliper(dataset: Dataset) -> None:
    diameter = items(dataset, "81827009")[0]
    del diameter.ContentSequence[-1]


def another_operating_point(dataset: Dataset) -> None:
    measured = items(dataset, "OPERATING-POINT")[0].MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = "50.00", 50.0


def another_sensitivity(dataset: Dataset) -> None:
    measured = items(dataset, "111088")[0].MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = "99.00", 99.0


def no_specificity(dataset: Dataset) -> None:
    del items(dataset, "CLASS")[0].ContentSequence[-1]


def a_class_for_an_abstention(dataset: Dataset) -> None:
    items(dataset, "CLASS")[2].ConceptCodeSequence[0].CodeValue = "21594007"


def no_reason_for_an_abstention(dataset: Dataset) -> None:
    for item in items(dataset, "121106"):
        item.TextValue = item.TextValue.replace("too close to call", "fine")


def another_reader(dataset: Dataset) -> None:
    items(dataset, "121008")[0].PersonName = "Somebody^Else"


def another_influence(dataset: Dataset) -> None:
    for item in items(dataset, "111002"):
        item.TextValue = item.TextValue.replace("influence clinical_size", "influence clinical_age")


def an_influence_turned_round(dataset: Dataset) -> None:
    for item in items(dataset, "121106"):
        item.TextValue = item.TextValue.replace("+0.41", "-0.41")


def another_prior_shift(dataset: Dataset) -> None:
    for item in items(dataset, "111002"):
        item.TextValue = item.TextValue.replace("prevalence 0.05", "prevalence 0.06")


def another_model(dataset: Dataset) -> None:
    for item in items(dataset, "121106"):
        item.TextValue = item.TextValue.replace("model CRDL", "model Clinic")


def another_earlier_probability(dataset: Dataset) -> None:
    for item in items(dataset, "121106"):
        item.TextValue = item.TextValue.replace("probability 34.0 %", "probability 43.0 %")


def another_population(dataset: Dataset) -> None:
    for item in items(dataset, "121106"):
        item.TextValue = item.TextValue.replace("516 simulated", "9516 real")


def another_language(dataset: Dataset) -> None:
    items(dataset, "121049")[0].ConceptCodeSequence[0].CodeValue = "de-DE"


def another_tracking_uid(dataset: Dataset) -> None:
    items(dataset, "112040")[0].UID = "2.25.1"


def another_patient(dataset: Dataset) -> None:
    dataset.PatientID = "SOMEBODY-ELSE"


def another_study(dataset: Dataset) -> None:
    dataset.StudyInstanceUID = "2.25.1"


def a_verified_flag(dataset: Dataset) -> None:
    dataset.VerificationFlag = "VERIFIED"


def no_simulated_warning(dataset: Dataset) -> None:
    first = items(dataset, "121106")[0]
    first.TextValue = first.TextValue.removeprefix("SIMULATED MODEL - NOT FOR DIAGNOSIS - ")


def no_bundle_hash(dataset: Dataset) -> None:
    for item in items(dataset, "111002"):
        item.TextValue = item.TextValue.replace("5e", "00")


def no_instruction(dataset: Dataset) -> None:
    for item in items(dataset, "121106"):
        item.TextValue = item.TextValue.replace("Draw the whole lesion", "")


def a_lost_group(dataset: Dataset) -> None:
    measurements = items(dataset, "126010")[0]
    del measurements.ContentSequence[-1]


@pytest.mark.parametrize(
    "tamper",
    [
        a_smaller_probability,
        a_shown_number_that_differs,
        another_class,
        another_boundary,
        another_provenance,
        a_diameter_in_centimetres,
        another_reason,
        another_frame,
        another_segment,
        a_moved_outline,
        a_moved_caliper,
        a_lost_caliper,
        another_operating_point,
        another_sensitivity,
        no_specificity,
        a_class_for_an_abstention,
        no_reason_for_an_abstention,
        another_reader,
        another_influence,
        an_influence_turned_round,
        another_prior_shift,
        another_model,
        another_earlier_probability,
        another_population,
        another_language,
        another_tracking_uid,
        another_patient,
        another_study,
        a_verified_flag,
        no_simulated_warning,
        no_bundle_hash,
        no_instruction,
        a_lost_group,
    ],
)
def test_a_tampered_value_is_caught(
    tamper: Callable[[Dataset], None],
    a_written_report: tuple[ReportRequest, tuple[ReportObject, ...]],
) -> None:
    request, (written, *_) = a_written_report
    dataset = dcmread(BytesIO(written.data))
    tamper(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(ReportCheckError):
        check_report((replace(written, data=buffer.getvalue()),), request)


def test_an_untouched_report_passes(
    a_written_report: tuple[ReportRequest, tuple[ReportObject, ...]],
) -> None:
    request, report = a_written_report
    check_report(report, request)


def test_a_report_of_other_findings_is_caught(
    a_written_report: tuple[ReportRequest, tuple[ReportObject, ...]],
) -> None:
    request, report = a_written_report
    first, *others = request.findings
    other = replace(first, finding=a_finding(first.case.name, probability=0.8310428))
    with pytest.raises(ReportCheckError, match="Probability"):
        check_report(report, replace(request, findings=(other, *others)))


def test_bytes_that_are_no_dicom_are_caught(
    a_written_report: tuple[ReportRequest, tuple[ReportObject, ...]],
) -> None:
    request, (written, *_) = a_written_report
    with pytest.raises(ReportCheckError, match="cannot be read again"):
        check_report((replace(written, data=b"no report"),), request)


def test_a_truncated_picture_is_caught(
    a_written_report: tuple[ReportRequest, tuple[ReportObject, ...]],
) -> None:
    request, (_, picture, *_) = a_written_report
    dataset = dcmread(BytesIO(picture.data))
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    buffer = BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(ReportCheckError, match="pixel data"):
        check_report((replace(picture, data=buffer.getvalue()),), request)
