"""Pairing fires on facts: references, tracking UIDs, or a person's word."""

from __future__ import annotations

import pytest

from node.case import FrameReference
from node.config import PairingSettings
from node.jobs.lesions import supersedes
from node.pair.completeness import decide
from node.pair.matching import lesions
from tests.factories import a_question, a_seg, a_segment, an_image

SETTINGS = PairingSettings(grace_s=3, unreferenced_quiet_s=20)
GREY, COLOUR, CLIP = "1.2.3.1", "1.2.3.2", "1.2.3.3"


def test_a_seg_is_ready_when_its_image_is_here() -> None:
    pairing = decide(a_question(a_seg(a_segment(1, GREY)), an_image(GREY)), SETTINGS)
    assert pairing.state == "ready"
    assert pairing.cases[0].name == "1.2.3.9#1"
    assert pairing.cases[0].sources == (FrameReference(GREY),)
    assert not pairing.cases[0].inferred


def test_a_seg_waits_for_every_image_it_was_drawn_on() -> None:
    seg = a_seg(a_segment(1, GREY), a_segment(2, CLIP))
    pairing = decide(a_question(seg, an_image(GREY)), SETTINGS)
    assert (pairing.state, pairing.missing) == ("waiting", (CLIP,))


def test_several_segments_are_several_cases_of_one_report() -> None:
    seg = a_seg(a_segment(1, GREY), a_segment(2, GREY))
    pairing = decide(a_question(seg, an_image(GREY)), SETTINGS)
    assert [case.segment_number for case in pairing.cases] == [1, 2]


def test_frames_of_a_clip_stay_candidates_for_the_largest_area() -> None:
    frames = (FrameReference(CLIP, 3), FrameReference(CLIP, 7))
    clip = an_image(CLIP, number_of_frames=12)
    pairing = decide(a_question(a_seg(a_segment(1, *frames)), clip), SETTINGS)
    assert pairing.cases[0].sources == frames


def test_one_tracking_uid_on_grey_and_colour_is_one_case_with_doppler() -> None:
    seg = a_seg(
        a_segment(1, COLOUR, tracking_uid="1.9"),
        a_segment(2, GREY, tracking_uid="1.9"),
    )
    pairing = decide(a_question(seg, an_image(GREY), an_image(COLOUR, colour_flow=True)), SETTINGS)
    (case,) = pairing.cases
    assert case.segment_number == 2
    assert case.doppler == ((seg.sop_instance_uid, 1, FrameReference(COLOUR)),)


def test_one_segment_on_both_images_is_read_on_the_grey_one() -> None:
    seg = a_seg(a_segment(1, COLOUR, GREY))
    pairing = decide(a_question(seg, an_image(GREY), an_image(COLOUR, colour_flow=True)), SETTINGS)
    (case,) = pairing.cases
    assert case.sources == (FrameReference(GREY),)
    assert case.doppler == ((seg.sop_instance_uid, 1, FrameReference(COLOUR)),)


def test_a_mask_is_never_copied_to_a_colour_image_it_was_not_drawn_on() -> None:
    seg = a_seg(a_segment(1, GREY))
    pairing = decide(a_question(seg, an_image(GREY), an_image(COLOUR, colour_flow=True)), SETTINGS)
    assert pairing.cases[0].doppler == ()


def test_a_doppler_image_is_awaited_while_the_study_arrives() -> None:
    seg = a_seg(a_segment(1, GREY, tracking_uid="1.9"))
    pairing = decide(a_question(seg, an_image(GREY), arriving=True, waited_s=1), SETTINGS)
    assert pairing.state == "pending"
    assert 0 < pairing.wait_s <= 2


@pytest.mark.parametrize(
    ("arriving", "waited_s"),
    [pytest.param(False, 0, id="association closed"), pytest.param(True, 3, id="grace is over")],
)
def test_the_wait_for_a_doppler_image_ends(arriving: bool, waited_s: float) -> None:
    seg = a_seg(a_segment(1, GREY, tracking_uid="1.9"))
    question = a_question(seg, an_image(GREY), arriving=arriving, waited_s=waited_s)
    assert decide(question, SETTINGS).state == "ready"


def test_a_seg_on_a_colour_image_waits_for_no_other() -> None:
    seg = a_seg(a_segment(1, COLOUR, tracking_uid="1.9"))
    question = a_question(seg, an_image(COLOUR, colour_flow=True), arriving=True)
    assert decide(question, SETTINGS).state == "ready"


def test_a_later_seg_on_the_colour_image_lends_its_mask() -> None:
    first = a_seg(a_segment(1, GREY, tracking_uid="1.9"), uid="1.2.3.8")
    second = a_seg(a_segment(1, COLOUR, tracking_uid="1.9"))
    images = (an_image(GREY), an_image(COLOUR, colour_flow=True))
    lender = decide(a_question(second, *images, siblings=(first,)), SETTINGS)
    assert (lender.state, lender.reason) == ("companion", "1.2.3.8")
    gainer = decide(a_question(first, *images, siblings=(second,)), SETTINGS)
    assert gainer.cases[0].doppler == (("1.2.3.9", 1, FrameReference(COLOUR)),)


def test_another_readers_colour_mask_is_not_borrowed() -> None:
    one = a_seg(a_segment(1, GREY, tracking_uid="1.9"), uid="1.2.3.8", content_creator_name="A")
    other = a_seg(a_segment(1, COLOUR, tracking_uid="1.9"), content_creator_name="B")
    images = (an_image(GREY), an_image(COLOUR, colour_flow=True))
    assert decide(a_question(other, *images, siblings=(one,)), SETTINGS).state == "ready"
    gainer = decide(a_question(one, *images, siblings=(other,)), SETTINGS)
    assert gainer.cases[0].doppler == ()
    assert not supersedes(other, one)


def test_a_later_seg_of_the_same_lesion_supersedes() -> None:
    one = a_seg(a_segment(1, GREY, tracking_uid="1.9"), uid="1.2.3.8")
    other = a_seg(a_segment(1, GREY, tracking_uid="1.9"))
    assert supersedes(other, one)
    assert not supersedes(a_seg(a_segment(1, GREY, tracking_uid="1.8")), one)


def test_a_seg_without_references_waits_until_the_study_is_quiet() -> None:
    pairing = decide(a_question(a_seg(a_segment()), an_image(), quiet_s=5), SETTINGS)
    assert pairing.state == "pending"
    assert pairing.wait_s == pytest.approx(15)


def test_a_seg_without_references_takes_the_one_still_that_fits() -> None:
    other_size = an_image("1.2.3.5", rows=100)
    question = a_question(a_seg(a_segment()), an_image(GREY), other_size, quiet_s=20)
    pairing = decide(question, SETTINGS)
    assert pairing.state == "ready"
    assert pairing.cases[0].inferred
    assert pairing.cases[0].sources == (FrameReference(GREY),)


@pytest.mark.parametrize("images", [(), (an_image(GREY), an_image("1.2.3.4"))])
def test_a_seg_without_references_is_held_unless_one_still_fits(images: tuple) -> None:
    pairing = decide(a_question(a_seg(a_segment()), *images, quiet_s=20), SETTINGS)
    assert pairing.state == "held"
    assert "assign" in pairing.reason


def test_an_image_of_another_study_never_fits_by_size() -> None:
    stranger = an_image(GREY, study_instance_uid="9.9")
    pairing = decide(a_question(a_seg(a_segment()), stranger, quiet_s=20), SETTINGS)
    assert pairing.state == "held"


def test_a_persons_word_ends_the_wait() -> None:
    frame = FrameReference(CLIP, 4)
    question = a_question(a_seg(a_segment()), an_image(CLIP), assignment=frame)
    pairing = decide(question, SETTINGS)
    assert pairing.state == "ready"
    assert pairing.cases[0].sources == (frame,)
    assert not pairing.cases[0].inferred


def test_a_seg_without_segments_is_held() -> None:
    assert decide(a_question(a_seg()), SETTINGS).state == "held"


def test_segments_without_tracking_uid_are_lesions_of_their_own() -> None:
    seg = a_seg(a_segment(1, GREY), a_segment(2, GREY), a_segment(3, GREY, tracking_uid="1.9"))
    assert [len(lesion) for lesion in lesions(seg)] == [1, 1, 1]
