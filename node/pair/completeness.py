"""Deciding what to do with a SEG now: assess, wait, or ask a person. It fires on facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from node.case import Case, FrameReference, InstanceHeader, Pairing
from node.config import PairingSettings
from node.jobs.stages import PairingQuestion
from node.pair.matching import (
    case_by_assignment,
    cases_by_reference,
    fitting_images,
    lends_doppler,
    referenced,
)
from node.pair.readings import with_readings

_RECHECK_S = 0.1  # while an association is open, a Doppler image may come any moment


def decide(question: PairingQuestion, settings: PairingSettings) -> Pairing:
    """Decide about one SEG.

    A SEG is ready when every instance that its frames derive from is here, whatever came first.
    Only for a Doppler image it waits `grace_s` at most, and only while an association that
    carries the study is open. A SEG without source references waits until the study has been
    quiet for `unreferenced_quiet_s`. A study that was told complete is waited for in
    neither way. It never waits for a reading: one that is here is used.
    """
    pairing = _decide(question, settings)
    return replace(pairing, cases=with_readings(pairing.cases, question))


def _decide(question: PairingQuestion, settings: PairingSettings) -> Pairing:
    if not question.seg.segments:
        return Pairing("held", reason="the SEG describes no segment")
    if question.assignment is not None:
        return _assigned(question, question.assignment)
    if not referenced(question.seg):
        return _unreferenced(question, settings)
    return _referenced(question, settings)


def _referenced(question: PairingQuestion, settings: PairingSettings) -> Pairing:
    seg = question.seg
    needed = referenced(seg)
    missing = tuple(uid for uid in needed if uid not in question.images)
    if missing:
        return Pairing("waiting", missing=missing, reason=f"{len(missing)} image(s) not here yet")
    if (lender := lends_doppler(seg, question.images, question.siblings)) is not None:
        return Pairing("companion", reason=lender)
    cases = cases_by_reference(seg, question.images, question.siblings)
    waited = question.now - question.seg_received_at
    left = settings.grace_s - waited.total_seconds()
    still_coming = question.study_arriving and not question.study_complete
    if still_coming and left > 0 and _may_gain_doppler(cases, question):
        return Pairing("pending", wait_s=min(_RECHECK_S, left), reason="a Doppler image may come")
    return Pairing("ready", cases=cases)


def _may_gain_doppler(cases: tuple[Case, ...], question: PairingQuestion) -> bool:
    """Only a lesion with a tracking UID can be found again on an image that comes later."""
    return any(
        case.tracking_uid
        and not case.doppler
        and not any(question.images[f.sop_instance_uid].colour_flow for f in case.sources)
        for case in cases
    )


def _assigned(question: PairingQuestion, frame: FrameReference) -> Pairing:
    image: InstanceHeader | None = question.images.get(frame.sop_instance_uid)
    if image is None:
        uid = frame.sop_instance_uid
        return Pairing("waiting", missing=(uid,), reason="the assigned image is not here")
    return Pairing("ready", cases=case_by_assignment(question.seg, frame, inferred=False))


def _unreferenced(question: PairingQuestion, settings: PairingSettings) -> Pairing:
    quiet_at = question.study_changed_at + timedelta(seconds=settings.unreferenced_quiet_s)
    left = (quiet_at - question.now).total_seconds()
    if left > 2 * settings.unreferenced_quiet_s and not question.study_arriving:
        left = 0.0  # it changed in the future: the clock was set back, and nobody sends any more
    left = min(left, settings.unreferenced_quiet_s)
    if left > 0 and not question.study_complete:
        reason = "no source reference: waiting until the study is quiet"
        return Pairing("pending", wait_s=left, reason=reason)
    fitting = fitting_images(question.seg, question.images.values())
    if len(fitting) == 1:
        frame = FrameReference(fitting[0])
        return Pairing("ready", cases=case_by_assignment(question.seg, frame, inferred=True))
    how_many = "no still" if not fitting else f"{len(fitting)} stills"
    return Pairing(
        "held",
        reason=f"no source reference, and {how_many} of the study fit(s): assign the image",
    )
