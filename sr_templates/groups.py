"""The measurement groups of one lesion (TID 1410, or TID 1501 where no region can be shown)."""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import ContainerContentItem, ContentItem

from sr_templates.codes import code
from sr_templates.features import features
from sr_templates.findings import coded_feature, malignancy_class, not_assessed
from sr_templates.items import coded, container, image, polyline, text, uid
from sr_templates.measurements import measured_feature, probability
from sr_templates.values import ImageReference, LesionValues, NotAssessed
from sr_templates.wording import lesion_remarks

_PLANAR_ROI = "1410"
_NO_ROI = "1501"


def lesion_groups(lesion: LesionValues) -> tuple[ContainerContentItem, ...]:
    """Return the groups of one lesion, all under its tracking UID.

    The first refers to the segment and carries every value. The second carries the outline as
    spatial coordinates, for viewers that draw no SEG. What has no region at all (an empty mask)
    goes into a group without one.
    """
    values = list(_values(lesion))
    context = list(_context(lesion))
    if lesion.segmentation is not None and lesion.source is not None:
        region = list(_segment(lesion.segmentation, lesion.source))
        first = container("measurement_group", (*context, *region, *values), template=_PLANAR_ROI)
    else:
        first = container("measurement_group", (*context, *values), template=_NO_ROI)
    if not lesion.outline or lesion.source is None:
        return (first,)
    outline = polyline("image_region", lesion.outline, lesion.source)
    second = (*_context(lesion), outline)
    return first, container("measurement_group", second, template=_PLANAR_ROI)


def _context(lesion: LesionValues) -> Iterator[ContentItem]:
    yield text("tracking_identifier", lesion.tracking_identifier, "HAS OBS CONTEXT")
    yield uid("tracking_unique_identifier", lesion.tracking_uid, "HAS OBS CONTEXT")
    yield coded("finding", "mass")
    site = lesion.finding_site or code("soft_tissue")
    yield coded("finding_site", site, "HAS CONCEPT MOD")


def _segment(segmentation: ImageReference, source: ImageReference) -> Iterator[ContentItem]:
    # A frame of a SEG names its segment by itself: the Image SOP Instance Reference Macro takes
    # a frame number or a segment number, not both (PS3.3 table 10-3).
    yield image("referenced_segmentation_frame", segmentation)
    yield image("source_image_for_segmentation", source)


def _values(lesion: LesionValues) -> Iterator[ContentItem]:
    known = {semantic.name: semantic for semantic in lesion.semantic}
    rows = [(row, known[row.name]) for row in features() if row.name in known]
    if not isinstance(lesion.verdict, NotAssessed):
        yield probability(lesion.verdict.probability)
    for row, semantic in rows:
        if row.kind == "number" and not semantic.silent:
            yield measured_feature(row, semantic, lesion)
    if isinstance(lesion.verdict, NotAssessed):
        yield from not_assessed(lesion.verdict)
    else:
        yield malignancy_class(lesion.verdict)
    for row, semantic in rows:
        if row.kind == "code":
            yield coded_feature(row, semantic)
    for remark in lesion_remarks(lesion):
        yield text("comment", remark)
