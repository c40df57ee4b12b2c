"""The objects of a report: in the patient's study, in UTF-8, the same bytes every time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import MeasurementReport
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
from tests.report_fixtures import (
    ABSTAINED,
    a_prior,
    a_read_result,
    a_request,
    a_result,
    an_abstention,
    an_image,
)

PREDECESSOR = (Comprehensive3DSRStorage, "2.25.71", "2.25.72", "2.25.1001")


@pytest.fixture(scope="module")
def an_sr() -> Dataset:
    return opened(build_report(without_pictures(a_request()))[0])


def opened(written: ReportObject) -> Dataset:
    return dcmread(BytesIO(written.data))


def without_pictures(request: ReportRequest) -> ReportRequest:
    return replace(request, settings=ReportSettings(companions=()))


def items(dataset: Dataset) -> Iterator[Dataset]:
    for child in dataset.get("ContentSequence", ()):
        yield child
        yield from items(child)


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


def words(dataset: Dataset) -> list[str]:
    return [str(element.value) for element in dataset.iterall() if element.keyword == "TextValue"]


def test_three_lesions_have_their_own_groups_whatever_became_of_them() -> None:
    image = an_image(frames=4)
    results = (a_result(image, 1), a_result(image, 2, refused=True), an_abstention(image, 3))
    content = MeasurementReport.from_sequence([sr_of(a_request(image, results))], is_root=True)
    said = {}
    for number in (1, 2, 3):
        groups = content.get_planar_roi_measurement_groups(tracking_uid=f"2.25.300{number}")
        classes = {e.name.value: e.value.meaning for e in groups[0].get_qualitative_evaluations()}
        values = [item.name.meaning for item in groups[0].get_measurements()]
        said[classes["CLASS"]] = (len(groups), values)
    assert said == {
        "Malignant": (2, ["Probability of cancer", "Diameter"]),
        "Not assessed": (1, []),
        "Indeterminate": (2, ["Probability of cancer", "Diameter"]),
    }


def test_an_abstention_says_that_there_is_no_class_and_why() -> None:
    said = words(sr_of(a_request(results=(an_abstention(an_image()),))))
    assert f"No class: {ABSTAINED}" in said
    assert not any("class malignant" in line for line in said)


def test_a_class_without_reason_to_abstain_is_refused() -> None:
    result = an_abstention(an_image())
    broken = replace(result, finding=replace(result.finding, malignancy="benign"))
    with pytest.raises(ReportError, match="lacks class"):
        build_report(a_request(results=(broken,)))


def test_the_diameter_is_inferred_from_its_two_end_points_on_the_image(an_sr: Dataset) -> None:
    (path,) = [
        item
        for item in items(an_sr)
        if "GraphicType" in item and item.ConceptNameCodeSequence[0].CodeValue == "121055"
    ]
    ends = a_result(an_image()).evidence.diameter
    assert ends is not None
    assert path.RelationshipType == "INFERRED FROM"
    assert np.allclose(np.reshape(path.GraphicData, (2, 2)), ends + 0.5, atol=1e-4)
    (image,) = path.ContentSequence
    assert image.RelationshipType == "SELECTED FROM"
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.2001"


def test_a_diameter_that_was_read_has_no_end_points_of_ours() -> None:
    result = a_result(an_image())
    read = replace(result.finding.semantic["maximum_diameter"], provenance="read", confidence=None)
    semantic = {**result.finding.semantic, "maximum_diameter": read}
    result = replace(result, finding=replace(result.finding, semantic=semantic))
    graphics = [
        item for item in items(sr_of(a_request(results=(result,)))) if "GraphicType" in item
    ]
    assert len(graphics) == 1  # the outline


def test_what_a_person_read_names_the_person() -> None:
    dataset = sr_of(a_request(results=(a_read_result(an_image()),)))
    observers = [item for item in items(dataset) if "PersonName" in item]
    assert [str(item.PersonName) for item in observers] == ["Leserin^Anna"]
    assert "Morphology: Irregular (read by Leserin^Anna)" in words(dataset)


def test_the_class_carries_the_operating_point_and_its_accuracy(an_sr: Dataset) -> None:
    (verdict,) = [
        item
        for item in items(an_sr)
        if item.get("ValueType") == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "CLASS"
    ]
    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.MeasuredValueSequence[
            0
        ].FloatingPointValue
        for item in verdict.ContentSequence
    }
    assert numbers == {
        "Operating point (probability)": 42.0,
        "Case Sensitivity": 85.6,
        "Case Specificity": 81.2,
    }


def test_an_earlier_assessment_of_the_lesion_is_compared() -> None:
    said = words(sr_of(a_request(priors=(a_prior(),))))
    assert (
        "Earlier: 2025-01-02 probability 34.0 %, 21.0 mm; change +49.1 percentage points, +11.0 mm."
    ) in said


@pytest.mark.parametrize("other", [{"bundle_version": "0.9.0"}, {"prior_shift": 0.05}])
def test_another_model_or_prevalence_is_not_compared(other: dict[str, object]) -> None:
    (said,) = [w for w in words(sr_of(a_request(priors=(a_prior(**other),)))) if "Earlier" in w]
    assert "not compared" in said
    assert "change" not in said


def test_an_earlier_report_of_another_lesion_is_the_patients() -> None:
    said = words(sr_of(a_request(priors=(a_prior(tracking_uid=""),))))
    (line,) = [line for line in said if "2025-01-02" in line]
    assert line.startswith("Earlier report of this patient, not matched to a lesion here")


def test_earlier_assessments_stand_latest_first_whatever_their_order() -> None:
    priors = (a_prior(), a_prior(date=date(2025, 6, 1), diameter_mm=None))
    said = [line for line in words(sr_of(a_request(priors=priors))) if "Earlier" in line]
    assert [line.split()[1] for line in said] == ["2025-06-01", "2025-01-02"]
    assert said[0].endswith("percentage points.")


def test_influences_are_said_in_words_with_their_direction(an_sr: Dataset) -> None:
    (line,) = [line for line in words(an_sr) if line.startswith("Most influential")]
    assert "size (raises the score, +0.41)" in line
    assert "texture: normalised inverse difference (GLCM)" in line
    assert "(lowers the score, -0.27)" in line


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
