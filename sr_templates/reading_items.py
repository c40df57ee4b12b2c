"""Walking the content tree of somebody else's report (PS3.3 section C.17.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset

from sr_templates.reading_words import canonical

_DEPTH: Final = 64
_PERSON_OBSERVER: Final = "DCM:121008"  # TID 1003
_SEGMENTATIONS: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


def children(item: Dataset) -> Iterator[Dataset]:
    """Yield the content items right below one."""
    yield from item.get("ContentSequence") or ()


def walk(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """Yield an item and all below it, from the root down.

    Raises:
        ValueError: If the tree is deeper than any template makes it.
    """
    if depth > _DEPTH:
        raise ValueError(f"content is nested more than {_DEPTH} deep")
    yield item
    for child in children(item):
        yield from walk(child, depth + 1)


def code_in(item: Dataset, keyword: str) -> str:
    """Return the code of a code sequence as `scheme:value`, "" where there is none."""
    for code in item.get(keyword) or ():
        value = code.get("CodeValue") or code.get("LongCodeValue") or ""
        if value:
            return canonical(str(code.get("CodingSchemeDesignator", "")), str(value))
    return ""


def meaning_in(item: Dataset, keyword: str) -> str:
    """Return the Code Meaning of a code sequence, "" where there is none."""
    for code in item.get(keyword) or ():
        return str(code.get("CodeMeaning", ""))
    return ""


def concept_of(item: Dataset) -> str:
    """Return the concept name of an item as `scheme:value`."""
    return code_in(item, "ConceptNameCodeSequence")


def named(item: Dataset, concept: str) -> Iterator[Dataset]:
    """Yield the children of a concept name."""
    return (child for child in children(item) if concept_of(child) == concept)


def text_of(item: Dataset) -> str:
    """Return the value of a TEXT, UIDREF or PNAME item."""
    for keyword in ("UID", "TextValue", "PersonName"):
        if value := item.get(keyword):
            return str(value).strip()
    return ""


def person_in(dataset: Dataset) -> str:
    """Return the person who read: the observer of the tree, who verified it, or who wrote it."""
    for item in walk(dataset):
        if concept_of(item) == _PERSON_OBSERVER and text_of(item):
            return text_of(item)
    for verifier in dataset.get("VerifyingObserverSequence") or ():
        if name := str(verifier.get("VerifyingObserverName", "")).strip():
            return name
    for author in dataset.get("AuthorObserverSequence") or ():
        if author.get("ObserverType") == "PSN" and (name := str(author.get("PersonName", ""))):
            return name.strip()
    return ""


def image_references(items: Iterable[Dataset]) -> tuple[str, int | None, tuple[str, ...]]:
    """Return the SEG, the segment and the images that items and all below them refer to."""
    seg_uid, segment_number = "", None
    images: dict[str, None] = {}
    for top in items:
        for item in walk(top):
            if item.get("ValueType") != "IMAGE":
                continue
            for reference in item.get("ReferencedSOPSequence") or ():
                uid = str(reference.get("ReferencedSOPInstanceUID", ""))
                if str(reference.get("ReferencedSOPClassUID", "")) not in _SEGMENTATIONS:
                    images[uid] = None
                elif not seg_uid:
                    seg_uid, segment_number = uid, _segment(reference)
    return seg_uid, segment_number, tuple(images)


def _segment(reference: Dataset) -> int | None:
    value = reference.get("ReferencedSegmentNumber")
    if value is None or value == "":
        return None
    return int(value) if isinstance(value, int | str) else int(value[0])


def composite_references(dataset: Dataset) -> tuple[str, ...]:
    """Return every instance in the evidence and predecessor sequences and in the tree, once."""
    found: dict[str, None] = {}
    for keyword in ("PredecessorDocumentsSequence", "CurrentRequestedProcedureEvidenceSequence"):
        for study in dataset.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                for reference in series.get("ReferencedSOPSequence") or ():
                    found[str(reference.get("ReferencedSOPInstanceUID", ""))] = None
    for item in walk(dataset):
        for reference in item.get("ReferencedSOPSequence") or ():
            found[str(reference.get("ReferencedSOPInstanceUID", ""))] = None
    return tuple(uid for uid in found if uid)
