"""Content items (PS3.3 section C.17.3) with their concept named by codes.toml."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    ScoordContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.valuerep import DS

from sr_templates.codes import Code, code
from sr_templates.values import ImageReference

Relationship = Literal[
    "CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT", "SELECTED FROM"
]


def container(
    concept: str,
    children: Iterable[ContentItem],
    *,
    template: str | None = None,
    root: bool = False,
) -> ContainerContentItem:
    """Build a CONTAINER; SEPARATE, for viewers drop the concept names of a CONTINUOUS one."""
    item = ContainerContentItem(
        code(concept).concept(),
        is_content_continuous=False,
        template_id=template,
        relationship_type=None if root else "CONTAINS",
    )
    item.ContentSequence = ContentSequence(list(children))
    return item


def text(concept: str, value: str, relationship: Relationship = "CONTAINS") -> TextContentItem:
    """Build a TEXT item."""
    return TextContentItem(code(concept).concept(), value, relationship)


def coded(
    concept: str, value: Code | str, relationship: Relationship = "CONTAINS"
) -> CodeContentItem:
    """Build a CODE item; a value given as text is looked up in codes.toml."""
    answer = code(value) if isinstance(value, str) else value
    return CodeContentItem(code(concept).concept(), answer.concept(), relationship)


def uid(concept: str, value: str, relationship: Relationship) -> UIDRefContentItem:
    """Build a UIDREF item."""
    return UIDRefContentItem(code(concept).concept(), value, relationship)


def number(concept: str, value: float, unit: str, decimals: int) -> NumContentItem:
    """Build a NUM item that shows few digits and keeps them all.

    Viewers print Numeric Value (DS), so it is rounded; Floating Point Value (FD) beside it holds
    the number to the last digit (PS3.3 section C.18.1).

    Args:
        concept: Name of the concept code.
        value: In `unit`.
        unit: Name of the unit's code.
        decimals: Digits after the point in Numeric Value.
    """
    item = NumContentItem(
        code(concept).concept(), float(value), code(unit).concept(), relationship_type="CONTAINS"
    )
    item.MeasuredValueSequence[0].NumericValue = DS(f"{value:.{decimals}f}")
    return item


def image(
    concept: str, reference: ImageReference, relationship: Relationship = "CONTAINS"
) -> ImageContentItem:
    """Build an IMAGE item that refers to an image or to one of its frames."""
    return ImageContentItem(
        code(concept).concept(),
        reference.sop_class_uid,
        reference.sop_instance_uid,
        referenced_frame_numbers=reference.frame_number,
        relationship_type=relationship,
    )


def polyline(
    concept: str, points: tuple[tuple[float, float], ...], source: ImageReference
) -> ScoordContentItem:
    """Build a SCOORD POLYLINE selected from an image.

    Args:
        concept: Name of the concept code.
        points: (column, row) in the image's pixel matrix (PS3.3 section C.18.6.1.1).
        source: The image or frame.
    """
    item = ScoordContentItem(
        code(concept).concept(), "POLYLINE", np.asarray(points), relationship_type="CONTAINS"
    )
    item.ContentSequence = ContentSequence([image("source_image", source, "SELECTED FROM")])
    return item


def modified(item: ContentItem, *modifiers: ContentItem) -> ContentItem:
    """Hang modifiers below an item and return it."""
    item.ContentSequence = ContentSequence(list(modifiers))
    return item
