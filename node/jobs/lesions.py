"""Which lesion a report from elsewhere speaks of. Pure; pairing and outcomes both ask it.

A reading names its lesion in one of three ways, the first that it has counts:

1. the SEG: its segment, or its only lesion;
2. the tracking UID, in this study, unless it names another reader's SEG;
3. neither is known here: the image if only one lesion lies on it, or the study if it has only one.

Where that leaves more than one lesion it speaks of none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from node.case import Case, InstanceHeader


class NamesALesion(Protocol):
    """What a report says of where it looked; empty or None where it does not."""

    @property
    def tracking_uid(self) -> str:
        """Tracking UID (0062,0021)."""

    @property
    def seg_uid(self) -> str:
        """SOP Instance UID of a SEG."""

    @property
    def segment_number(self) -> int | None:
        """Segment of that SEG."""

    @property
    def images(self) -> tuple[str, ...]:
        """SOP Instance UIDs of images."""


def same_reader(one: InstanceHeader, other: InstanceHeader) -> bool:
    """Tell whether two SEGs can be of one person, by Content Creator's Name (0070,0084)."""
    names = {one.content_creator_name, other.content_creator_name} - {""}
    return len(names) <= 1


def supersedes(seg: InstanceHeader, earlier: InstanceHeader) -> bool:
    """Tell whether a SEG is a later look at the lesions of an earlier one.

    The same tracking UID means the same lesion; another reader's SEG stays independent.
    """
    mine = {segment.tracking_uid for segment in seg.segments if segment.tracking_uid}
    theirs = {segment.tracking_uid for segment in earlier.segments}
    return bool(mine & theirs) and same_reader(seg, earlier)


def is_about(
    where: NamesALesion,
    case: Case,
    cases: Sequence[Case],
    seg: InstanceHeader,
    siblings: Sequence[InstanceHeader],
) -> bool:
    """Tell whether a report speaks of a case.

    Args:
        where: What the report names.
        case: One of `cases`.
        cases: All lesions of the SEG.
        seg: The SEG.
        siblings: The other SEGs of the study.
    """
    segs = {case.seg_uid, *(uid for uid, _, _ in case.doppler)}
    if where.seg_uid in segs:
        return _names_segment(where, case, cases)
    named = next((s for s in siblings if s.sop_instance_uid == where.seg_uid), None)
    if named is not None and not same_reader(seg, named):
        return False
    tracked = {s.tracking_uid for header in (seg, *siblings) for s in header.segments} - {""}
    if where.tracking_uid in tracked:
        return where.tracking_uid == case.tracking_uid
    return named is None and _alone(where, case, cases, siblings)


def _names_segment(where: NamesALesion, case: Case, cases: Sequence[Case]) -> bool:
    if where.segment_number is not None:
        mine = {(case.seg_uid, case.segment_number)} | {(u, n) for u, n, _ in case.doppler}
        if (where.seg_uid, where.segment_number) in mine:
            return True
    if where.tracking_uid and any(other.tracking_uid == where.tracking_uid for other in cases):
        return where.tracking_uid == case.tracking_uid
    return where.segment_number is None and len(cases) == 1


def _alone(
    where: NamesALesion, case: Case, cases: Sequence[Case], siblings: Sequence[InstanceHeader]
) -> bool:
    """Tell whether the case is the only lesion on the named images, or of the whole study."""
    images = set(where.images)
    lesions = {
        _key(other.tracking_uid, other.seg_uid, other.segment_number)
        for other in cases
        if not images or images & other.instances()
    }
    lesions |= {
        _key(segment.tracking_uid, sibling.sop_instance_uid, segment.number)
        for sibling in siblings
        for segment in sibling.segments
        if not images or images & {source.sop_instance_uid for source in segment.sources}
    }
    return lesions == {_key(case.tracking_uid, case.seg_uid, case.segment_number)}


def _key(tracking_uid: str, seg_uid: str, number: int) -> str:
    return tracking_uid or f"{seg_uid}#{number}"
