"""The intended-use gate: ultrasound of soft tissue, and segments that can be a mass."""

from __future__ import annotations

import pytest

from node.case import Code
from node.config import IntendedUseSettings, PairingSettings
from node.pair.completeness import decide
from node.pipeline.gate import Gate, is_ultrasound
from tests.factories import a_question, a_seg, a_segment, an_image

GATE = Gate.of(IntendedUseSettings())


@pytest.mark.parametrize("part", ["", "THIGH", "thigh", "SOFT TISSUE", "ABDOMINAL_WALL"])
def test_soft_tissue_is_inside_the_intended_use(part: str) -> None:
    assert GATE.reason_against(an_image(body_part_examined=part)) == ""


@pytest.mark.parametrize("part", ["LIVER", "HEART", "BREAST", "THYROID", "UTERUS"])
def test_organs_are_outside_the_intended_use(part: str) -> None:
    assert part in GATE.reason_against(an_image(body_part_examined=part))


def test_only_ultrasound_is_inside() -> None:
    photo = an_image(sop_class_uid="1.2.840.10008.5.1.4.1.1.7", modality="OT")
    assert "not-ultrasound" in GATE.reason_against(photo)
    assert is_ultrasound(an_image(modality=""))
    screenshot = an_image(sop_class_uid="1.2.840.10008.5.1.4.1.1.7", modality="US")
    assert GATE.reason_against(screenshot) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"category": Code("123037004", "SCT", "Anatomical Structure")},
        {"type": Code("59441001", "SCT", "Lymph node")},
        {"category": Code("A-00004", "SRT", "Physical object")},
    ],
)
def test_a_segment_that_cannot_be_a_mass_is_left_out(fields: dict[str, Code]) -> None:
    seg = a_seg(a_segment(1, "1.2.3.1"), a_segment(2, "1.2.3.1", **fields))
    assert [segment.number for segment in GATE.admit_segments(seg).segments] == [1]


def test_a_site_replaces_the_lists() -> None:
    gate = Gate.of(IntendedUseSettings(denied_segment_codes=(), body_parts=("LIVER",)))
    assert gate.reason_against(an_image(body_part_examined="LIVER")) == ""
    assert gate.reason_against(an_image(body_part_examined="THIGH")) != ""
    organ = a_segment(1, "1.2.3.1", category=Code("123037004", "SCT"))
    assert gate.admit_segments(a_seg(organ)).segments


@pytest.mark.parametrize(("age", "inside"), [("017Y", False), ("018Y", True), ("", True)])
def test_a_minimum_age_holds_for_known_ages(age: str, inside: bool) -> None:
    gate = Gate.of(IntendedUseSettings(minimum_age_years=18))
    assert (gate.reason_against(an_image(patient_age=age)) == "") == inside


def test_a_pairing_is_ineligible_only_if_no_case_is_inside() -> None:
    thigh, liver = an_image(), an_image("1.2.3.2", body_part_examined="LIVER")
    images = {image.sop_instance_uid: image for image in (thigh, liver)}
    seg = a_seg(a_segment(1, "1.2.3.1"), a_segment(2, "1.2.3.2"))
    pairing = decide(a_question(seg, thigh, liver), PairingSettings())
    judged = GATE.judge(pairing, images)
    assert [case.segment_number for case in judged.cases] == [1]
    only_liver = decide(a_question(a_seg(a_segment(2, "1.2.3.2")), liver), PairingSettings())
    assert GATE.judge(only_liver, images).state == "ineligible"
