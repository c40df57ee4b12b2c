"""The objects of a report: in the patient's study, in UTF-8, the same bytes every time."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from node.config import ReportSettings
from node.errors import ReportError
from node.report import ReportObject, ReportRequest, build_report
from sr_templates.equipment import is_ours
from tests.report_fixtures import a_request, a_result, an_image

PREDECESSOR = (Comprehensive3DSRStorage, "2.25.71", "2.25.72", "2.25.1001")


@pytest.fixture(scope="module")
def an_sr() -> Dataset:
    return opened(build_report(without_pictures(a_request()))[0])


def opened(written: ReportObject) -> Dataset:
    return dcmread(BytesIO(written.data))


def without_pictures(request: ReportRequest) -> ReportRequest:
    return replace(request, settings=ReportSettings(companions=()))


def sr_of(request: ReportRequest) -> Dataset:
    return opened(build_report(without_pictures(request))[0])


def reread(image: Dataset) -> Dataset:
    """Give the image as a receiver has it: text in the bytes of its own character set."""
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def test_one_sr_comes_first_and_one_picture_a_lesion_follows() -> None:
    image = an_image()
    results = tuple(a_result(image, number) for number in (1, 2, 3))
    report = build_report(a_request(image, results))
    assert [written.kind for written in report] == ["sr", "sc", "sc", "sc"]
    assert report[0].sop_class_uid == Comprehensive3DSRStorage
    assert {written.sop_class_uid for written in report[1:]} == {SecondaryCaptureImageStorage}
    assert len({written.series_instance_uid for written in report}) == 2
    assert len({written.sop_instance_uid for written in report}) == 4


def test_the_same_request_gives_the_same_bytes() -> None:
    assert build_report(a_request()) == build_report(a_request())


def test_the_report_stands_in_the_patients_own_study(an_sr: Dataset) -> None:
    image = an_image()
    same = (
        "StudyInstanceUID",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "StudyDescription",
    )
    assert {key: an_sr[key].value for key in same} == {key: image[key].value for key in same}
    assert an_sr.SeriesInstanceUID != image.SeriesInstanceUID


def test_the_report_is_preliminary_and_unverified(an_sr: Dataset) -> None:
    assert (an_sr.PreliminaryFlag, an_sr.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert an_sr.CompletionFlag == "COMPLETE"


def test_the_report_is_explicit_little_endian_and_dated_by_the_caller(an_sr: Dataset) -> None:
    assert an_sr.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (an_sr.ContentDate, an_sr.ContentTime) == ("20250910", "120000.000000")


def test_the_report_is_known_as_ours_when_it_comes_back() -> None:
    for written in build_report(a_request()):
        dataset = opened(written)
        assert is_ours(dataset.Manufacturer, dataset.ManufacturerModelName)
    assert not is_ours("Synthetic", "CRDL")


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東="),
        ("ISO_IR 144", "Иванов"),
    ],
)
def test_a_name_in_any_character_set_survives(charset: str | list[str], name: str) -> None:
    image = an_image()
    image.SpecificCharacterSet = charset
    image.PatientName = name
    image.StudyDescription = "US"
    received = reread(image)
    request = a_request(received)
    for written in build_report(request):
        dataset = opened(written)
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert str(dataset.PatientName).rstrip("=") == name.rstrip("=")


def test_sequences_of_the_patient_module_come_along_in_unicode() -> None:
    image = an_image()
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID, item.TypeOfPatientID = "X1", "Köln", "TEXT"
    image.OtherPatientIDsSequence = [item]
    (other,) = sr_of(a_request(reread(image))).OtherPatientIDsSequence
    assert (other.PatientID, other.IssuerOfPatientID) == ("X1", "Köln")


def test_missing_patient_values_are_written_empty() -> None:
    image = an_image()
    for keyword in ("AccessionNumber", "StudyID", "ReferringPhysicianName", "PatientBirthDate"):
        image[keyword].value = ""
    request = a_request(image)
    del image.AccessionNumber, image.StudyID
    assert sr_of(request).AccessionNumber == ""


def test_a_simulated_model_is_named_in_the_series_and_a_real_one_is_not() -> None:
    request = a_request()
    for written in build_report(request):
        description = opened(written).SeriesDescription
        assert description.startswith("SIMULATED MODEL - NOT FOR DIAGNOSIS")
    real = replace(request, bundle=replace(request.bundle, simulated=False))
    for written in build_report(real):
        assert opened(written).SeriesDescription.startswith("FOR RESEARCH USE ONLY")


def test_class_and_title_are_as_configured() -> None:
    settings = ReportSettings(sop_class="comprehensive", title="imaging", companions=())
    (written,) = build_report(replace(a_request(), settings=settings))
    dataset = opened(written)
    assert dataset.SOPClassUID == ComprehensiveSRStorage
    assert dataset.ConceptNameCodeSequence[0].CodeValue == "126000"


def test_the_default_title_is_what_ohif_shows_in_full(an_sr: Dataset) -> None:
    assert an_sr.ConceptNameCodeSequence[0].CodeValue == "126001"


def test_a_first_generation_has_no_predecessor(an_sr: Dataset) -> None:
    assert "PredecessorDocumentsSequence" not in an_sr


def test_a_later_generation_names_the_report_that_it_supersedes() -> None:
    later = sr_of(replace(a_request(), generation=2, predecessor=PREDECESSOR))
    (study,) = later.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "2.25.72"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.71"
    assert later.InstanceNumber == 2


def test_the_evidence_names_image_and_segmentation(an_sr: Dataset) -> None:
    named = {
        reference.ReferencedSOPInstanceUID
        for study in an_sr.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    assert named == {"2.25.2001", "2.25.2002"}


def test_an_image_of_another_study_is_other_evidence_and_lends_no_identity() -> None:
    image = an_image(study="2.25.9999")
    request = a_request(image, (a_result(image, refused=True),))
    request.seg.StudyInstanceUID = "2.25.1001"
    image.PatientID = request.seg.PatientID = "ST-0001"
    image.AccessionNumber = "A2"
    dataset = sr_of(request)
    assert dataset.StudyInstanceUID == "2.25.1001"
    assert dataset.AccessionNumber == "A1"
    assert dataset.PertinentOtherEvidenceSequence[0].StudyInstanceUID == "2.25.9999"


def test_a_segment_without_tracking_uid_gets_one_from_the_caller() -> None:
    result = a_result(an_image())
    bare = replace(result, case=replace(result.case, tracking_uid="", tracking_id=""))
    asked: list[str] = []

    def uids(kind: str) -> str:
        asked.append(kind)
        return f"2.25.{len(kind)}"

    build_report(without_pictures(replace(a_request(results=(bare,)), uids=uids)))
    assert "tracking-1" in asked


def test_the_anatomic_region_of_the_segment_is_the_finding_site() -> None:
    request = a_request()
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "68367000", "SCT", "Thigh"
    request.seg.SegmentSequence[0].AnatomicRegionSequence = [region]
    assert "Thigh" in str(sr_of(request))


def test_a_region_that_no_code_can_hold_gives_way_to_soft_tissue() -> None:
    request = a_request()
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "1", ""
    region.CodeMeaning = "Somewhere"
    request.seg.SegmentSequence[0].AnatomicRegionSequence = [region]
    assert "Soft tissue" in str(sr_of(request))


def test_a_finding_without_class_is_refused() -> None:
    result = a_result(an_image())
    broken = replace(result, finding=replace(result.finding, malignancy=None))
    with pytest.raises(ReportError, match="lacks class"):
        build_report(a_request(results=(broken,)))


def test_a_missing_image_header_is_named() -> None:
    with pytest.raises(ReportError, match=r"2\.25\.2001"):
        build_report(replace(a_request(), images={}))


def test_findings_of_another_seg_are_refused() -> None:
    result = a_result(an_image())
    stranger = replace(result, case=replace(result.case, seg_uid="2.25.5"))
    with pytest.raises(ReportError, match="another SEG"):
        a_request(results=(stranger,))


def test_a_report_without_findings_is_refused() -> None:
    with pytest.raises(ReportError, match="at least one"):
        replace(a_request(), findings=())


def test_an_outline_that_leaves_the_image_is_cut_at_its_border() -> None:
    result = a_result(an_image())
    shifted = replace(result.evidence, outline=result.evidence.outline - (150.0, 0.0))
    dataset = sr_of(a_request(results=(replace(result, evidence=shifted),)))
    drawn = [e.value for e in dataset.iterall() if e.keyword == "GraphicData"]
    data = max(drawn, key=len)  # the caliper has two points
    assert np.asarray(data).reshape(-1, 2)[:, 0].min() == 0
