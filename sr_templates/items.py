"""Content items (PS3.3 section C.17.3) with their concept named by codes.toml."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    PnameContentItem,
    ScoordContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.valuerep import DS

from sr_templates.codes import Code, code
from sr_templates.values import ImageReference

Relationship = Literal[
    "CONTAINS",
    "HAS CONCEPT MOD",
    "HAS OBS CONTEXT",
    "HAS ACQ CONTEXT",
    "HAS PROPERTIES",
    "INFERRED FROM",
    "SELECTED FROM",
]


def concept(named: Code) -> CodedConcept:
    """Return a new item for a code sequence; over 16 characters it is a Long Code Value."""
    return CodedConcept(named.value, named.scheme, named.meaning)


def container(
    name: str,
    children: Iterable[ContentItem],
    *,
    template: str | None = None,
    root: bool = False,
) -> ContainerContentItem:
    """Build a CONTAINER; SEPARATE, for viewers drop the concept names of a CONTINUOUS one."""
    item = ContainerContentItem(
        concept(code(name)),
        is_content_continuous=False,
        template_id=template,
        relationship_type=None if root else "CONTAINS",
    )
    item.ContentSequence = ContentSequence(list(children))
    return item


def text(name: str, value: str, relationship: Relationship = "CONTAINS") -> TextContentItem:
    """Build a TEXT item."""
    return TextContentItem(concept(code(name)), value, relationship)


def coded(name: str, value: Code | str, relationship: Relationship = "CONTAINS") -> CodeContentItem:
    """Build a CODE item; a value given as text is looked up in codes.toml."""
    answer = code(value) if isinstance(value, str) else value
    return CodeContentItem(concept(code(name)), concept(answer), relationship)


def uid(name: str, value: str, relationship: Relationship) -> UIDRefContentItem:
    """Build a UIDREF item."""
    return UIDRefContentItem(concept(code(name)), value, relationship)


def person(name: str, value: str, relationship: Relationship) -> PnameContentItem:
    """Build a PNAME item."""
    return PnameContentItem(concept(code(name)), value, relationship)


def number(
    name: str, value: float, unit: str, decimals: int, relationship: Relationship = "CONTAINS"
) -> NumContentItem:
    """Build a NUM item that shows few digits and keeps them all.

    Viewers print Numeric Value (DS), so it is rounded; Floating Point Value (FD) beside it holds
    the number to the last digit (PS3.3 section C.18.1).

    Args:
        name: Of the concept code.
        value: In `unit`.
        unit: Name of the unit's code.
        decimals: Digits after the point in Numeric Value.
        relationship: To the item that it stands below.
    """
    item = NumContentItem(
        concept(code(name)), float(value), concept(code(unit)), relationship_type=relationship
    )
    item.MeasuredValueSequence[0].NumericValue = DS(f"{value:.{decimals}f}")
    return item


def image(
    name: str, reference: ImageReference, relationship: Relationship = "CONTAINS"
) -> ImageContentItem:
    """Build an IMAGE item that refers to an image or to one of its frames."""
    return ImageContentItem(
        concept(code(name)),
        reference.sop_class_uid,
        reference.sop_instance_uid,
        referenced_frame_numbers=reference.frame_number,
        relationship_type=relationship,
    )


def polyline(
    name: str,
    points: tuple[tuple[float, float], ...],
    source: ImageReference,
    relationship: Relationship = "CONTAINS",
) -> ScoordContentItem:
    """Build a SCOORD POLYLINE selected from an image.

    Args:
        name: Of the concept code.
        points: (column, row) in the image's pixel matrix (PS3.3 section C.18.6.1.1).
        source: The image or frame.
        relationship: To the item that it stands below.
    """
    item = ScoordContentItem(
        concept(code(name)), "POLYLINE", np.asarray(points), relationship_type=relationship
    )
    item.ContentSequence = ContentSequence([image("source_image", source, "SELECTED FROM")])
    return item


def modified(item: ContentItem, *below: ContentItem) -> ContentItem:
    """Hang modifiers, properties or coordinates below an item and return it."""
    if below:
        item.ContentSequence = ContentSequence(list(below))
    return item
