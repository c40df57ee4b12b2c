"""Matching SEG segments to ultrasound frames by reference, tracking UID or, failing both, size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from node.case import Case, FrameReference, InstanceHeader, SegmentHeader
from node.jobs.lesions import same_reader


def lesions(seg: InstanceHeader) -> tuple[tuple[SegmentHeader, ...], ...]:
    """Group the segments of a SEG by lesion: one Tracking UID (0062,0021) is one lesion.

    Segments without a tracking UID are lesions of their own. The order is that of the SEG.
    """
    groups: dict[str, list[SegmentHeader]] = {}
    for segment in seg.segments:
        groups.setdefault(segment.tracking_uid or f"#{segment.number}", []).append(segment)
    return tuple(tuple(group) for group in groups.values())


def referenced(seg: InstanceHeader) -> tuple[str, ...]:
    """Return the SOP Instance UIDs that the frames of a SEG derive from, each once."""
    sources = (source for segment in seg.segments for source in segment.sources)
    return tuple(dict.fromkeys(source.sop_instance_uid for source in sources))


def fitting_images(seg: InstanceHeader, images: Iterable[InstanceHeader]) -> tuple[str, ...]:
    """Return the stills of the SEG's study that have its rows and columns."""
    return tuple(
        image.sop_instance_uid
        for image in images
        if image.study_instance_uid == seg.study_instance_uid
        and (image.rows, image.columns) == (seg.rows, seg.columns)
        and image.number_of_frames == 1
    )


def cases_by_reference(
    seg: InstanceHeader,
    images: Mapping[str, InstanceHeader],
    siblings: Sequence[InstanceHeader] = (),
) -> tuple[Case, ...]:
    """Make one case a lesion from the source references of the SEG.

    A lesion that lies on a grey and on a colour-flow image is read on the grey one, and its flow
    is measured with the mask that lies on the colour one; a mask is never copied between images.

    Args:
        seg: The SEG; every instance it refers to is in `images`.
        images: Headers by SOP Instance UID.
        siblings: Other SEGs of the study, oldest first: a segment of the same tracking UID there
            lends its mask on a colour-flow image.
    """
    return tuple(_case(seg, lesion, images, siblings) for lesion in lesions(seg))


def case_by_assignment(
    seg: InstanceHeader, frame: FrameReference, *, inferred: bool
) -> tuple[Case, ...]:
    """Make the cases of a SEG without source references, all on one frame."""
    return tuple(
        Case(
            name=f"{seg.sop_instance_uid}#{lesion[0].number}",
            seg_uid=seg.sop_instance_uid,
            segment_number=lesion[0].number,
            label=lesion[0].label,
            tracking_uid=lesion[0].tracking_uid,
            tracking_id=lesion[0].tracking_id,
            sources=(frame,),
            inferred=inferred,
        )
        for lesion in lesions(seg)
    )


def lends_doppler(
    seg: InstanceHeader, images: Mapping[str, InstanceHeader], siblings: Sequence[InstanceHeader]
) -> str | None:
    """Tell whether a SEG only carries the colour-flow masks of an earlier SEG's lesions.

    Returns:
        The SOP Instance UID of that earlier SEG, or None.
    """
    if not seg.segments or not all(
        segment.tracking_uid and segment.sources and not _grey(segment, images)
        for segment in seg.segments
    ):
        return None
    wanted = {segment.tracking_uid for segment in seg.segments}
    for sibling in siblings:
        on_grey = {s.tracking_uid for s in sibling.segments if _grey(s, images)}
        if wanted <= on_grey and same_reader(seg, sibling):
            return sibling.sop_instance_uid
    return None


def _grey(
    segment: SegmentHeader, images: Mapping[str, InstanceHeader]
) -> tuple[FrameReference, ...]:
    return tuple(
        source
        for source in segment.sources
        if source.sop_instance_uid in images and not images[source.sop_instance_uid].colour_flow
    )


def _coloured(
    segment: SegmentHeader, images: Mapping[str, InstanceHeader]
) -> tuple[FrameReference, ...]:
    return tuple(
        source
        for source in segment.sources
        if source.sop_instance_uid in images and images[source.sop_instance_uid].colour_flow
    )


def _case(
    seg: InstanceHeader,
    lesion: Sequence[SegmentHeader],
    images: Mapping[str, InstanceHeader],
    siblings: Sequence[InstanceHeader],
) -> Case:
    primary = next((segment for segment in lesion if _grey(segment, images)), lesion[0])
    sources = _grey(primary, images) or primary.sources
    doppler = [
        (seg.sop_instance_uid, segment.number, frame)
        for segment in lesion
        for frame in _coloured(segment, images)
        if frame not in sources
    ]
    doppler += [
        (sibling.sop_instance_uid, segment.number, frame)
        for sibling in siblings
        for segment in sibling.segments
        if primary.tracking_uid
        and segment.tracking_uid == primary.tracking_uid
        and same_reader(seg, sibling)
        for frame in _coloured(segment, images)
        if frame not in sources
    ]
    return Case(
        name=f"{seg.sop_instance_uid}#{primary.number}",
        seg_uid=seg.sop_instance_uid,
        segment_number=primary.number,
        label=primary.label,
        tracking_uid=primary.tracking_uid,
        tracking_id=primary.tracking_id,
        sources=sources,
        doppler=tuple(doppler),
    )
