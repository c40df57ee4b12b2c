"""Small builders for the values that tests talk about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from node.case import Code, FrameReference, InstanceHeader, SegmentHeader
from node.jobs.stages import PairingQuestion

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STUDY = "1.2.3"
US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
MASS = Code("4147007", "SCT", "Mass")
ALTERED = Code("49755003", "SCT", "Morphologically Abnormal Structure")


def an_image(uid: str = "1.2.3.1", **fields: Any) -> InstanceHeader:
    """Return the header of a grey still of 480 rows and 640 columns."""
    values: dict[str, Any] = {
        "sop_class_uid": US_IMAGE,
        "sop_instance_uid": uid,
        "study_instance_uid": STUDY,
        "series_instance_uid": "1.2.3.100",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "modality": "US",
        "rows": 480,
        "columns": 640,
    }
    return InstanceHeader(**(values | fields))


def a_segment(number: int = 1, *sources: FrameReference | str, **fields: Any) -> SegmentHeader:
    """Return a segment of a mass on the given frames."""
    frames = tuple(s if isinstance(s, FrameReference) else FrameReference(s) for s in sources)
    values: dict[str, Any] = {"label": f"Lesion {number}", "category": ALTERED, "type": MASS}
    return SegmentHeader(number=number, sources=frames, **(values | fields))


def a_seg(*segments: SegmentHeader, uid: str = "1.2.3.9", **fields: Any) -> InstanceHeader:
    """Return the header of a SEG that holds the segments."""
    return an_image(uid, sop_class_uid=SEGMENTATION, modality="SEG", segments=segments, **fields)


def a_question(
    seg: InstanceHeader,
    *images: InstanceHeader,
    siblings: tuple[InstanceHeader, ...] = (),
    assignment: FrameReference | None = None,
    waited_s: float = 0.0,
    quiet_s: float = 0.0,
    arriving: bool = False,
) -> PairingQuestion:
    """Return what pairing is asked about a SEG at noon."""
    return PairingQuestion(
        seg=seg,
        seg_received_at=NOON - timedelta(seconds=waited_s),
        images={image.sop_instance_uid: image for image in images},
        siblings=siblings,
        assignment=assignment,
        study_changed_at=NOON - timedelta(seconds=quiet_s),
        study_arriving=arriving,
        now=NOON,
    )
