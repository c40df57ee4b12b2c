"""Reading radiologists' reports back, as different systems write them."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.cohort import write_case
from sr_templates.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from sr_templates.reading_items import walk
from sr_templates.reading_words import canonical, vocabulary
from sr_templates.readings import ReadingError, ReportRead, read_report, understand

Written = tuple[SimulatedCase, Path]
CORNERSTONE = sr.CodedConcept("CORNERSTONEFREETEXT", "CORNERSTONEJS", "x")


@pytest.fixture(scope="module")
def a_case(tmp_path_factory: pytest.TempPathFactory) -> Written:
    case = simulate_case(1, 1)
    folder = tmp_path_factory.mktemp("case")
    write_case(case, folder, readings=True)
    return case, folder


def a_report(
    folder: Path,
    *groups: Dataset,
    person: str | None = "Doe^Jane",
    verified: bool = False,
    conclusion: sr.ContentItem | None = None,
) -> Dataset:
    """A Comprehensive 3D SR on the case's grey image, as a viewer with highdicom writes it."""
    grey = pydicom.dcmread(folder / "grey.dcm")
    seg = pydicom.dcmread(folder / "seg-reader1.dcm")
    if person is None:
        observer = sr.ObserverContext(
            codes.DCM.Device, sr.DeviceObserverIdentifyingAttributes(uid=hd.UID())
        )
        context = sr.ObservationContext(observer_device_context=observer)
    else:
        observer = sr.ObserverContext(
            codes.DCM.Person, sr.PersonObserverIdentifyingAttributes(name=person)
        )
        context = sr.ObservationContext(observer_person_context=observer)
    content = sr.MeasurementReport(context, codes.SCT.ImagingProcedure, list(groups))
    if conclusion is not None:
        content[0].ContentSequence.append(conclusion)
    return sr.Comprehensive3DSR(
        evidence=[grey, seg],
        content=content[0],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="A viewer",
        is_complete=True,
        is_verified=verified,
        verifying_observer_name="Roe^Richard" if verified else None,
        verifying_organization="A hospital" if verified else None,
    )


def a_line(folder: Path, code: sr.CodedConcept, value: float, unit: object) -> sr.Measurement:
    """A length measured along a line on the image, as OHIF writes it."""
    grey = pydicom.dcmread(folder / "grey.dcm", stop_before_pixels=True)
    return sr.Measurement(
        code,
        value,
        unit,
        referenced_coordinates=[
            sr.CoordinatesForMeasurement(
                "POLYLINE",
                np.array([[10.0, 10.0], [60.0, 10.0]]),
                source_image=sr.SourceImageForRegion(grey.SOPClassUID, grey.SOPInstanceUID),
            )
        ],
    )


def a_group(
    *measurements: sr.Measurement,
    evaluations: tuple[tuple[object, object], ...] = (),
    tracking: str | None = None,
) -> Dataset:
    group: Dataset = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(hd.UID(tracking) if tracking else hd.UID(), "1"),
        measurements=list(measurements),
        qualitative_evaluations=[sr.QualitativeEvaluation(k, v) for k, v in evaluations],
    )
    return group


def said(folder: Path, *groups: Dataset, **more: object) -> ReportRead:
    return understand(a_report(folder, *groups, **more))  # type: ignore[arg-type]


def test_a_simulated_reading_is_read_as_the_reader_read(a_case: Written) -> None:
    case, folder = a_case
    for reading in case.readings:
        report = read_report(folder / f"reading-reader{reading.reader}.dcm")
        seg = pydicom.dcmread(folder / f"seg-reader{reading.reader}.dcm", stop_before_pixels=True)
        read = reading.semantics
        assert report.reader == f"Simulated^Reader{reading.reader}"
        assert not report.verified
        assert not report.ignored
        (lesion,) = report.lesions
        assert lesion.seg_uid == seg.SOPInstanceUID
        assert lesion.tracking_uid == seg.SegmentSequence[0].TrackingUID
        assert lesion.features == {
            "maximum_diameter": read.diameter_mm,
            "flow_grade": "2-3" if read.adler >= 2 else "0-1",
            "morphology": "irregular" if read.irregular else "regular",
            "boundary": "unclear" if read.unclear else "clear",
            "internal_echo": "uneven" if read.uneven else "uniform",
        }


def test_a_bidirectional_line_gives_its_long_axis_under_the_old_codes_too(a_case: Written) -> None:
    _, folder = a_case
    long = sr.CodedConcept("G-A185", "SRT", "Long Axis")
    short = sr.CodedConcept("G-A186", "SRT", "Short Axis")
    report = said(
        folder,
        a_group(
            a_line(folder, long, 3.1, codes.UCUM.Centimeter),
            a_line(folder, short, 0.9, codes.UCUM.Centimeter),
        ),
    )
    (lesion,) = report.lesions
    assert lesion.features == {"maximum_diameter": pytest.approx(31.0)}
    grey = pydicom.dcmread(folder / "grey.dcm", stop_before_pixels=True)
    assert lesion.images == (grey.SOPInstanceUID,)
    assert any("Short Axis" in line for line in report.ignored)


def test_labels_that_a_person_typed_are_heard_where_they_name_feature_and_value(
    a_case: Written,
) -> None:
    _, folder = a_case
    label = sr.CodedConcept(
        "CORNERSTONEFREETEXT", "CORNERSTONEJS", "Border: Poorly defined; Shape: irregular"
    )
    vague = sr.CodedConcept("CORNERSTONEFREETEXT", "CORNERSTONEJS", "looks nasty")
    report = said(folder, a_group(evaluations=((codes.DCM.Finding, label),)))
    assert report.lesions[0].features == {"boundary": "unclear", "morphology": "irregular"}
    nothing = said(folder, a_group(evaluations=((sr.CodedConcept("1", "L", "Note"), vague),)))
    assert not nothing.lesions
    assert any("looks nasty" in line for line in nothing.ignored)


@pytest.mark.parametrize(
    ("unit", "derivation", "value"),
    [
        (codes.UCUM.NoUnits, None, 20.0),
        (codes.UCUM.Millimeter, codes.SCT.Mean, 20.0),
        (codes.UCUM.Millimeter, None, 4000.0),
    ],
    ids=["no unit", "a mean", "four metres"],
)
def test_a_length_that_is_none_is_ignored_by_name(
    a_case: Written, unit: object, derivation: object, value: float
) -> None:
    _, folder = a_case
    length = sr.Measurement(codes.SCT.Diameter, value, unit, derivation=derivation)
    report = said(folder, a_group(length))
    assert not report.lesions
    assert any("Diameter" in line for line in report.ignored)


def test_two_answers_to_one_question_are_no_answer(a_case: Written) -> None:
    _, folder = a_case
    first = a_line(folder, codes.SCT.Length, 10.0, codes.UCUM.Millimeter)
    second = a_line(folder, codes.SCT.Length, 12.0, codes.UCUM.Millimeter)
    report = said(folder, a_group(first, second))
    assert not report.lesions
    assert any("more than once" in line for line in report.ignored)


def test_a_diameter_outranks_a_length(a_case: Written) -> None:
    _, folder = a_case
    length = a_line(folder, codes.SCT.Length, 10.0, codes.UCUM.Millimeter)
    diameter = a_line(folder, codes.SCT.Diameter, 12.0, codes.UCUM.Millimeter)
    (lesion,) = said(folder, a_group(length, diameter)).lesions
    assert lesion.features == {"maximum_diameter": 12.0}


def test_a_verified_diagnosis_is_a_statement_and_our_class_is_not(a_case: Written) -> None:
    _, folder = a_case
    malignant = sr.CodedConcept("86049000", "SCT", "Malignant neoplasm")
    diagnosis = sr.CodedConcept("439401001", "SCT", "Diagnosis")
    ours = sr.CodedConcept("CLASS", "99CRDL", "Class at operating point")
    benign = sr.CodedConcept("30807003", "SCT", "Benign")
    report = said(
        folder, a_group(evaluations=((diagnosis, malignant), (ours, benign))), verified=True
    )
    (lesion,) = report.lesions
    assert report.verified
    assert (lesion.statement, lesion.our_class) == ("malignant", "benign")


def test_agreement_outside_of_any_lesion_is_heard(a_case: Written) -> None:
    _, folder = a_case
    agrees = sr.CodedConcept("122775", "DCM", "Agreement with prior findings")
    item = sr.CodeContentItem(codes.DCM.Conclusion, agrees, sr.RelationshipTypeValues.CONTAINS)
    (lesion,) = said(folder, a_group(), verified=True, conclusion=item).lesions
    assert lesion.agrees is True
    assert (lesion.tracking_uid, lesion.seg_uid, lesion.images) == ("", "", ())


def test_an_algorithm_reads_nothing(a_case: Written) -> None:
    _, folder = a_case
    diameter = sr.Measurement(codes.SCT.Diameter, 20.0, codes.UCUM.Millimeter)
    with pytest.raises(ReadingError, match="no person"):
        said(folder, a_group(diameter), person=None)


def test_our_own_report_is_no_reading(a_case: Written) -> None:
    _, folder = a_case
    report = pydicom.dcmread(folder / "reading-reader1.dcm")
    report.Manufacturer, report.ManufacturerModelName = MANUFACTURER, MANUFACTURER_MODEL_NAME
    with pytest.raises(ReadingError, match="this node"):
        understand(report)


def test_a_damaged_report_has_a_named_error(a_case: Written, tmp_path: Path) -> None:
    _, folder = a_case
    unmeasured = pydicom.dcmread(folder / "reading-reader1.dcm")
    for item in walk(unmeasured):
        for measured in item.get("MeasuredValueSequence", ()):
            del measured.NumericValue
    unmeasured.save_as(tmp_path / "unmeasured.dcm")
    for name, content in {
        "no.dcm": b"nothing",
        "image.dcm": (folder / "grey.dcm").read_bytes(),
        "unmeasured.dcm": (tmp_path / "unmeasured.dcm").read_bytes(),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadingError) as caught:
            read_report(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_tree_without_end_is_refused(a_case: Written) -> None:
    _, folder = a_case
    report = pydicom.dcmread(folder / "reading-reader1.dcm")
    item = report
    for _ in range(100):
        child = Dataset()
        child.ValueType = "CONTAINER"
        item.ContentSequence = [*item.get("ContentSequence", ()), child]
        item = child
    path = folder / "deep.dcm"
    report.save_as(path)
    with pytest.raises(ReadingError, match="deep"):
        read_report(path)


def test_every_word_and_code_of_the_table_belongs_to_the_models_features() -> None:
    from models.features.semantic.values import CLASSES, SEMANTIC_NAMES  # noqa: PLC0415

    words = vocabulary()
    assert {row.name for row in (*words.lengths, *words.classes)} == set(SEMANTIC_NAMES)
    for row in words.classes:
        assert {*row.values.values(), *row.texts.values()} == set(CLASSES[row.name])
    # An SRT code that has a successor would never be found under its old name.
    for row in (*words.lengths, *words.classes):
        for code in row.concepts:
            assert canonical(*code.split(":")) == code
