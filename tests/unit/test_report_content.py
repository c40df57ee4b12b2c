"""What the SR of a report says about its lesions: values, coordinates, readers and the past."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import MeasurementReport
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.config import ReportSettings
from node.errors import ReportError
from node.report import ReportObject, ReportRequest, build_report
from tests.report_fixtures import (
    ABSTAINED,
    a_prior,
    a_read_result,
    a_request,
    a_result,
    an_abstention,
    an_image,
)


@pytest.fixture(scope="module")
def an_sr() -> Dataset:
    return opened(build_report(without_pictures(a_request()))[0])


def opened(written: ReportObject) -> Dataset:
    return dcmread(BytesIO(written.data))


def without_pictures(request: ReportRequest) -> ReportRequest:
    return replace(request, settings=ReportSettings(companions=()))


def sr_of(request: ReportRequest) -> Dataset:
    return opened(build_report(without_pictures(request))[0])


def items(dataset: Dataset) -> Iterator[Dataset]:
    for child in dataset.get("ContentSequence", ()):
        yield child
        yield from items(child)


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


@pytest.mark.parametrize(
    ("reader", "said"),
    [("山田^太郎", ["山田^太郎"]), ("A\\B=C", ["A B C"]), (" ", []), ("x" * 80, ["x" * 64])],
)
def test_a_readers_name_is_one_value_whatever_stands_in_it(reader: str, said: list[str]) -> None:
    result = a_read_result(an_image())
    reading = result.case.reading
    assert reading is not None
    named = replace(result, case=replace(result.case, reading=replace(reading, reader=reader)))
    dataset = sr_of(a_request(results=(named,)))
    assert [str(item.PersonName) for item in items(dataset) if "PersonName" in item] == said


def test_a_value_in_another_unit_is_refused() -> None:
    result = a_result(an_image())
    length = replace(result.finding.semantic["maximum_diameter"], value=3.2, unit="cm")
    semantic = {**result.finding.semantic, "maximum_diameter": length}
    with pytest.raises(ReportError, match="maximum_diameter is in mm, got cm"):
        sr_of(
            a_request(
                results=(replace(result, finding=replace(result.finding, semantic=semantic)),)
            )
        )


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
