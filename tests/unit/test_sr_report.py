"""The content tree: what it says, in which order, and that highdicom's reader finds it again."""

from dataclasses import replace

import pytest
from highdicom.sr import ContentItem, MeasurementReport
from pydicom.sr.codedict import codes

from sr_templates.codes import Code
from sr_templates.errors import TemplateError
from sr_templates.report import measurement_report
from sr_templates.values import (
    AlgorithmValues,
    Assessment,
    ImageReference,
    LesionValues,
    NotAssessed,
    ReportValues,
    SemanticValue,
)
from sr_templates.wording import series_description

STILL = ImageReference("1.2.840.10008.5.1.4.1.1.6.1", "2.25.1")
CLIP = ImageReference("1.2.840.10008.5.1.4.1.1.3.1", "2.25.2", frame_number=7)
MASK = ImageReference("1.2.840.10008.5.1.4.1.1.66.4", "2.25.3", frame_number=1)
SQUARE = ((10.5, 10.5), (20.5, 10.5), (20.5, 20.5), (10.5, 20.5), (10.5, 10.5))


@pytest.fixture
def a_lesion() -> LesionValues:
    return LesionValues(
        name="Lesion 1",
        tracking_identifier="L1",
        tracking_uid="2.25.10",
        verdict=Assessment(0.831, "malignant", 0.42, "CRDL", 0.856, 0.812),
        semantic=(
            SemanticValue("maximum_diameter", 32.04, "mm", "measured", 1.0),
            SemanticValue("flow_grade", None, "", "not assessed"),
            SemanticValue("boundary", "unclear", "", "read"),
        ),
        source=STILL,
        segmentation=MASK,
        outline=SQUARE,
    )


@pytest.fixture
def a_report(a_lesion: LesionValues) -> ReportValues:
    return ReportValues(
        title="oncology",
        algorithm=AlgorithmValues(
            "CRDL", "1.0.0", "simulated", "5e" * 32, "e5" * 32, True, "516 simulated cases", 0.384
        ),
        lesions=(a_lesion,),
        images=(STILL,),
        device_uid="2.25.9",
    )


def with_verdict(report: ReportValues, verdict: Assessment | NotAssessed) -> ReportValues:
    return replace(report, lesions=(replace(report.lesions[0], verdict=verdict),))


def items(item: ContentItem) -> list[ContentItem]:
    children = list(item.get("ContentSequence", ()))
    return [item, *(deeper for child in children for deeper in items(child))]


def texts(report: ReportValues) -> list[str]:
    return [item.TextValue for item in items(measurement_report(report)) if "TextValue" in item]


def read(report: ReportValues) -> MeasurementReport:
    return MeasurementReport.from_sequence([measurement_report(report)])


def test_highdicom_finds_the_group_of_the_segment_again(a_report: ReportValues) -> None:
    (group,) = read(a_report).get_planar_roi_measurement_groups(
        tracking_uid="2.25.10", reference_type=codes.DCM.ReferencedSegmentationFrame
    )
    numbers = {item.name.meaning: item.value for item in group.get_measurements()}
    words = {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}
    assert numbers == {"Probability of cancer": 100 * 0.831, "Diameter": 32.04}
    assert words["Class at operating point"] == "Malignant"
    assert words["Border definition"] == "Poorly defined"
    assert words["Vascularity"] == "Vascularity not assessed"


def test_the_outline_stands_in_a_second_group_of_the_same_tracking_uid(
    a_report: ReportValues,
) -> None:
    groups = read(a_report).get_planar_roi_measurement_groups(tracking_uid="2.25.10")
    region = groups[1].roi
    assert len(groups) == 2
    assert region is not None
    assert tuple(map(tuple, region.value.tolist())) == SQUARE


def test_no_container_is_continuous(a_report: ReportValues) -> None:
    containers = [i for i in items(measurement_report(a_report)) if i.ValueType == "CONTAINER"]
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_a_viewer_prints_two_digits_and_a_reader_gets_them_all(a_report: ReportValues) -> None:
    exact = with_verdict(a_report, Assessment(0.83104291, "malignant", 0.42, "CRDL"))
    (number,) = [
        item.MeasuredValueSequence[0]
        for item in items(measurement_report(exact))
        if item.ValueType == "NUM" and item.name.value == "111047"
    ]
    assert str(number.NumericValue) == "83.10"
    assert number.FloatingPointValue == 100 * 0.83104291


def test_the_warning_is_the_first_thing_that_the_report_contains(a_report: ReportValues) -> None:
    root = measurement_report(a_report)
    contained = [item for item in root.ContentSequence if item.RelationshipType == "CONTAINS"]
    first = contained[0].ContentSequence[0].TextValue
    assert first.startswith("SIMULATED MODEL - NOT FOR DIAGNOSIS - FOR RESEARCH USE ONLY")


def test_a_model_of_real_data_is_still_for_research_only(a_report: ReportValues) -> None:
    real = replace(a_report, algorithm=replace(a_report.algorithm, simulated=False))
    assert not any("SIMULATED" in line for line in texts(real))
    assert any(line.startswith("FOR RESEARCH USE ONLY") for line in texts(real))


def test_the_verdict_names_operating_point_accuracy_and_prevalence(a_report: ReportValues) -> None:
    said = texts(a_report)
    assert (
        "Lesion 1: probability of malignancy 83.1 %; class malignant at the operating point of "
        "42.0 % (cross-validated sensitivity 85.6 %, specificity 81.2 %)."
    ) in said
    assert (
        "Training prevalence of malignancy: 38.4 %. Training population: 516 simulated cases."
    ) in said


def test_a_prior_shift_is_named(a_report: ReportValues) -> None:
    shifted = Assessment(0.3, "benign", 0.42, "CRDL", prior_shift=0.05)
    assert any(
        "configured prevalence of 5.0 %" in line for line in texts(with_verdict(a_report, shifted))
    )


def test_a_fallback_says_which_model_and_why(a_report: ReportValues) -> None:
    fallback = Assessment(0.3, "benign", 0.42, "Clinic+DL", fallback_reason="no Doppler image")
    assert "Answered by model Clinic+DL as a fallback: no Doppler image." in texts(
        with_verdict(a_report, fallback)
    )


def test_a_strange_lesion_is_said_to_be_strange(a_report: ReportValues) -> None:
    strange = Assessment(0.3, "benign", 0.42, "CRDL", out_of_distribution=True)
    assert any(
        "Outside the training data" in line for line in texts(with_verdict(a_report, strange))
    )
    assert not any("Outside the training data" in line for line in texts(a_report))


def test_influences_are_named_with_their_sign(a_report: ReportValues) -> None:
    explained = Assessment(0.3, "benign", 0.42, "CRDL", influences=(("clinical_size", -0.414),))
    assert any("clinical_size -0.41" in line for line in texts(with_verdict(a_report, explained)))


def test_an_inferred_image_is_said_to_be_inferred(
    a_report: ReportValues, a_lesion: LesionValues
) -> None:
    inferred = replace(a_report, lesions=(replace(a_lesion, image_inferred=True),))
    assert any(line.startswith("Image inferred") for line in texts(inferred))
    assert not any(line.startswith("Image inferred") for line in texts(a_report))


def test_every_feature_is_said_with_its_provenance(a_report: ReportValues) -> None:
    said = texts(a_report)
    assert "Max. diameter: 32.0 mm (measured from the image, confidence 100 %)" in said
    assert "Blood flow: not assessed" in said
    assert "Boundary: Poorly defined (read by a person)" in said


def test_a_feature_without_a_row_is_still_said_in_words(
    a_report: ReportValues, a_lesion: LesionValues
) -> None:
    more = (*a_lesion.semantic, SemanticValue("skin_distance", 4.25, "mm", "measured"))
    report = replace(a_report, lesions=(replace(a_lesion, semantic=more),))
    assert "Skin distance: 4.2 mm (measured from the image)" in texts(report)


def test_provenance_hangs_below_each_feature_as_a_code(a_report: ReportValues) -> None:
    said = {
        item.name.meaning: child.ConceptCodeSequence[0].CodeValue
        for item in items(measurement_report(a_report))
        for child in item.get("ContentSequence", ())
        if child.get("ValueType") == "CODE" and child.name.value == "PROVENANCE"
    }
    assert said == {"Diameter": "MEASURED", "Border definition": "READ"}


def test_a_number_that_was_not_assessed_is_not_said(
    a_report: ReportValues, a_lesion: LesionValues
) -> None:
    silent = (SemanticValue("maximum_diameter", None, "mm", "not assessed"),)
    report = replace(a_report, lesions=(replace(a_lesion, semantic=silent),))
    assert "Max. diameter: not assessed" in texts(report)
    assert all(item.name.meaning != "Diameter" for item in items(measurement_report(report)))


def test_a_refusal_has_no_probability_and_a_coded_reason(a_report: ReportValues) -> None:
    report = with_verdict(a_report, NotAssessed("no-calibration", "Export the image again."))
    (group, _) = read(report).get_planar_roi_measurement_groups(tracking_uid="2.25.10")
    words = {item.name.value: item.value.value for item in group.get_qualitative_evaluations()}
    assert "Probability of cancer" not in [item.name.meaning for item in group.get_measurements()]
    assert words["CLASS"] == "NOT-ASSESSED"
    assert words["REASON"] == "NO-CALIBRATION"
    advice = "Export the image with its ultrasound region calibration."
    what = f"Not assessed: No spatial calibration of the image. {advice}"
    assert f"Lesion 1: {what}" in texts(report)
    assert what in texts(report)
    assert "Details: Export the image again." in texts(report)


def test_a_lesion_without_a_region_goes_into_a_group_without_one(
    a_report: ReportValues, a_lesion: LesionValues
) -> None:
    bare = replace(
        a_lesion,
        verdict=NotAssessed("empty-mask", "Outline the lesion."),
        segmentation=None,
        outline=(),
    )
    report = replace(a_report, lesions=(bare,))
    assert len(read(report).get_image_measurement_groups(tracking_uid="2.25.10")) == 1
    assert read(report).get_planar_roi_measurement_groups() == []


def test_a_frame_of_a_clip_is_named(a_report: ReportValues, a_lesion: LesionValues) -> None:
    report = replace(a_report, lesions=(replace(a_lesion, source=CLIP),))
    numbers = [
        item.ReferencedSOPSequence[0].get("ReferencedFrameNumber")
        for item in items(measurement_report(report))
        if "ReferencedSOPSequence" in item
        and item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.2"
    ]
    assert numbers == [7, 7]
    assert "Assessed frame: 7." in texts(report)


def test_a_site_of_the_segment_wins_over_soft_tissue(
    a_report: ReportValues, a_lesion: LesionValues
) -> None:
    thigh = replace(a_lesion, finding_site=Code("SCT", "68367000", "Thigh"))
    sites = [
        item.ConceptCodeSequence[0].CodeMeaning
        for item in items(measurement_report(replace(a_report, lesions=(thigh,))))
        if item.ValueType == "CODE" and item.name.value == "363698007"
    ]
    assert sites == ["Thigh", "Thigh"]


@pytest.mark.parametrize("kind", ["report", "summary"])
@pytest.mark.parametrize("simulated", [True, False])
def test_a_series_description_fits_a_long_string(kind: str, *, simulated: bool) -> None:
    assert len(series_description(kind, simulated=simulated)) <= 64


def test_a_probability_in_percent_is_refused() -> None:
    with pytest.raises(TemplateError, match="probability"):
        Assessment(83.1, "malignant", 0.42, "CRDL")


def test_an_open_outline_is_refused(a_lesion: LesionValues) -> None:
    with pytest.raises(TemplateError, match="closed polygon"):
        replace(a_lesion, outline=SQUARE[:-1])


def test_a_lesion_without_tracking_uid_is_refused(a_lesion: LesionValues) -> None:
    with pytest.raises(TemplateError, match="tracking"):
        replace(a_lesion, tracking_uid="")


def test_an_unknown_class_of_a_feature_is_refused(
    a_report: ReportValues, a_lesion: LesionValues
) -> None:
    odd = (SemanticValue("boundary", "blurred", "", "measured"),)
    with pytest.raises(TemplateError, match="blurred"):
        measurement_report(replace(a_report, lesions=(replace(a_lesion, semantic=odd),)))
